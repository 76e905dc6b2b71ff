"""The book of usage against its obvious twin, which remembers everything that ever ran."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.configuration.types import AdmissionFairSharing
from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.quantity import NANO
from pykueue.core.queue.afs import UsageBook

SECOND = 1_000_000
LQ, W = ObjectKey("ns", "lq"), ObjectKey("ns", "w")
HALF_LIFE_S, INTERVAL_S = 10, 5
steps = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 64), st.booleans()), min_size=1, max_size=25)


@settings(max_examples=200)
@given(steps)
def test_usage_is_the_sum_of_all_that_ran_each_faded_by_its_age(play: list[tuple[int, int, bool]]) -> None:
    """Decaying step by step, rounded down, stays within one nano-unit a step of the whole history summed up anew."""
    config = AdmissionFairSharing(
        usage_half_life_time_us=HALF_LIFE_S * SECOND, usage_sampling_interval_us=INTERVAL_S * SECOND
    )
    book = UsageBook(config)
    book.open(LQ, 1.0, None)
    book.sample(LQ, {}, Instant(0))
    now_s = 0
    spans: list[tuple[int, int, int]] = []
    penalties: list[tuple[int, Fraction]] = []
    for seconds, cores, is_admission in play:
        spans.append((now_s, now_s + seconds, cores))
        now_s += seconds
        running = {"cpu": cores * NANO}
        if is_admission:
            book.charge(W, LQ, running)
            book.settle(W, running, Instant(now_s * SECOND))
            penalties.append((now_s, cores * NANO * (1 - half_lives(INTERVAL_S))))
        else:
            book.sample(LQ, running, Instant(now_s * SECOND))
    want = sum(
        (ran * NANO * (half_lives(now_s - end) - half_lives(now_s - begin)) for begin, end, ran in spans), Fraction()
    )
    want += sum((amount * half_lives(now_s - at) for at, amount in penalties), Fraction())
    assert abs(book.usage(LQ) * NANO - want) <= 2 * len(play) + want * Fraction(1, 10**12)


def half_lives(seconds: int) -> Fraction:
    """What is left of something after some time."""
    return Fraction(0.5 ** (seconds / HALF_LIFE_S))
