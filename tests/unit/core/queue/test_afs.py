"""The book of usage: what LocalQueues consumed, and what they are charged for in advance."""

from __future__ import annotations

import math

import pytest

from pykueue.api.configuration.types import AdmissionFairSharing
from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import ObjectKey
from pykueue.api.quantity import NANO
from pykueue.api.v1beta2 import AdmissionFairSharingStatus, FairSharingStatus
from pykueue.core.queue.afs import UsageBook

S = 1_000_000
NOW = Instant(1_700_000_000 * S)
LQ, OTHER = ObjectKey("ns", "lq"), ObjectKey("ns", "other")
W = ObjectKey("ns", "w")


def after(seconds: float) -> Instant:
    return Instant(NOW + int(seconds * S))


def cores(n: float) -> dict[str, int]:
    return {"cpu": int(n * NANO)}


def book(half_life_s: int = 10, interval_s: int = 10, **weights: float) -> UsageBook:
    made = UsageBook(
        AdmissionFairSharing(
            usage_half_life_time_us=half_life_s * S, usage_sampling_interval_us=interval_s * S, resource_weights=weights
        )
    )
    made.open(LQ, 1.0, None)
    return made


def written(at: Instant, **amounts: str) -> FairSharingStatus:
    used = AdmissionFairSharingStatus(consumed_resources=amounts, last_update=format_time(at))
    return FairSharingStatus(admission_fair_sharing_status=used)


@pytest.mark.parametrize(
    ("consumed", "running", "half_life_s", "elapsed_s", "want"),
    [
        ("8", 0, 10, 10, {"cpu": "4"}),
        ("0", 8, 10, 10, {"cpu": "4"}),
        ("8", 8, 10, 3, {"cpu": "8"}),
        ("8", 4, 10, 0, {"cpu": "8"}),
        ("8", 4, 10, -5, {"cpu": "8"}),
        ("8", 4, 10, 10_000_000, {"cpu": "4"}),
        ("8", 4, 0, 10, {}),
        ("1n", 0, 10, 10, {}),
        ("3n", 0, 10, 10, {"cpu": "1n"}),
    ],
    ids=[
        "AF-12 after a half-life half is forgotten", "AF-13 and half of the present is learnt", "a steady state stays",
        "no time, no change", "time never runs backwards", "in the end only the present counts", "no half-life: no history",
        "what is less than the finest unit is nothing", "rounded down",
    ],
)  # fmt: skip
def test_sampling(consumed: str, running: int, half_life_s: int, elapsed_s: int, want: dict[str, str]) -> None:
    """Consumption moves from the past to what runs now, by the half-life."""
    made = book(half_life_s)
    made.open(LQ, 1.0, written(NOW, cpu=consumed))
    made.sample(LQ, cores(running), after(elapsed_s))
    status = made.status(LQ)
    assert status is not None
    assert dict(status.consumed_resources) == want
    assert status.last_update == format_time(after(elapsed_s))


@pytest.mark.parametrize(
    ("weights", "weight", "amounts", "want"),
    [
        ({"cpu": 0.0, "gpu": 1.0}, 1.0, {"cpu": "1000", "gpu": "1"}, 1.0),
        ({}, 2.0, {"cpu": "6"}, 3.0),
        ({"cpu": 5.0}, 1.0, {"cpu": "10"}, 50.0),
        ({}, 1.0, {"memory": "1Ki"}, 1024.0),
        ({}, 1.0, {"cpu": "250m", "gpu": "1"}, 1.25),
        ({}, 0.0, {}, math.inf),
    ],
    ids=[
        "AF-02 a resource of weight 0", "AF-03 a LocalQueue of weight 2", "AF-11 a resource of weight 5", "bytes count one by one",
        "cores and others add up", "AF-07 a LocalQueue of weight 0 comes last",
    ],
)  # fmt: skip
def test_usage(weights: dict[str, float], weight: float, amounts: dict[str, str], want: float) -> None:
    """Usage is the weighed sum of the amounts by the LocalQueue's weight."""
    made = book(**weights)
    made.open(LQ, weight, written(NOW, **amounts))
    assert made.usage(LQ) == want


def test_a_penalty_is_charged_once_and_becomes_consumption() -> None:
    """AF-14: the part that the next sampling would add, however often it is charged; it settles once."""
    made = book()
    made.sample(LQ, {}, NOW)
    for _ in range(2):
        made.charge(W, LQ, cores(8))
    assert made.usage(LQ) == 4.0
    assert made.status(LQ) == AdmissionFairSharingStatus({}, format_time(NOW)), "a penalty is not history yet"
    for _ in range(2):
        made.settle(W, cores(8), NOW)
    assert made.usage(LQ) == 4.0
    assert made.charged(W) is None
    made.settle(W, cores(8), after(10))
    made.sample(LQ, cores(8), after(10))
    assert made.usage(LQ) == 6.0


def test_settling_lets_time_pass_first() -> None:
    """What ran until now is learnt before the penalty is added."""
    made = book()
    made.sample(LQ, {}, NOW)
    made.charge(W, LQ, cores(8))
    made.settle(W, cores(8), after(10))
    assert made.usage(LQ) == 8.0


def test_a_dropped_penalty_leaves_nothing() -> None:
    """Not in its own LocalQueue, nor in the one that is charged instead."""
    made = book()
    made.charge(W, LQ, cores(8))
    made.charge(W, OTHER, cores(2))
    assert (made.usage(LQ), made.usage(OTHER)) == (0.0, 1.0)
    made.drop(W)
    made.drop(W)
    assert (made.usage(LQ), made.usage(OTHER)) == (0.0, 0.0)


def test_a_lost_local_queue_counts_with_weight_one() -> None:
    """AF-10: what is charged to it stays so until it is settled or dropped; its history is gone."""
    made = book()
    made.open(LQ, 0.0, written(NOW, cpu="8"))
    made.charge(W, LQ, cores(8))
    made.close(LQ)
    assert made.usage(LQ) == 4.0
    made.settle(W, cores(8), after(10))
    assert made.usage(LQ) == 0.0
    assert made.status(LQ) is None


def test_only_newer_history_is_read() -> None:
    """After a start, and while another replica leads; a late echo of an own write changes nothing."""
    made = book()
    made.open(LQ, 1.0, written(NOW, cpu="8"))
    made.sample(LQ, {}, after(10))
    made.open(LQ, 1.0, written(NOW, cpu="8"))
    assert made.usage(LQ) == 4.0
    made.open(LQ, 1.0, written(after(20), cpu="7"))
    assert made.usage(LQ) == 7.0


def test_when_to_sample() -> None:
    """At once, and then an interval after the last time that the history was right."""
    made = book(interval_s=30)
    assert made.next_sampling(LQ, NOW) == NOW
    made.sample(LQ, {}, NOW)
    assert made.next_sampling(LQ, after(7)) == after(30)
