"""The work queue: deduplication, delay, backoff, one pass at a time, fairness."""

from __future__ import annotations

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.runtime.workqueue import BACKOFF_FIRST_US, BACKOFF_MAX_US, WorkQueue

A, B = ObjectKey("ns", "a"), ObjectKey("ns", "b")


def at(us: int) -> Instant:
    return Instant(us)


def test_a_key_waits_once() -> None:
    """Adding a key that waits changes nothing."""
    queue = WorkQueue(["r"])
    queue.add("r", A, at(0))
    queue.add("r", A, at(0))
    assert queue.pop(at(0)) == ("r", A)
    assert queue.pop(at(0)) is None


def test_a_key_that_runs_is_remembered() -> None:
    """What wakes a running key lets it run again afterwards, not beside itself."""
    queue = WorkQueue(["r"])
    queue.add("r", A, at(0))
    queue.pop(at(0))
    queue.add("r", A, at(0))
    assert queue.pop(at(0)) is None
    queue.done("r", A, at(0), failed=False)
    assert queue.pop(at(0)) == ("r", A)


def test_the_earliest_time_holds() -> None:
    """A later wish does not put off an earlier one, an earlier one counts."""
    queue = WorkQueue(["r"])
    queue.add("r", A, at(0), 100)
    queue.add("r", A, at(0), 500)
    queue.add("r", A, at(0), 50)
    assert queue.next_due(at(0)) == 50
    assert queue.pop(at(49)) is None
    assert queue.pop(at(50)) == ("r", A)
    queue.done("r", A, at(50), failed=False)
    assert queue.next_due(at(50)) is None


def test_failures_wait_longer_and_longer() -> None:
    """10 ms, doubled after each failure, up to 30 s; a success forgets them."""
    queue, now, waits = WorkQueue(["r"]), 0, []
    queue.add("r", A, at(now))
    for _ in range(15):
        assert queue.pop(at(now)) == ("r", A)
        queue.done("r", A, at(now), failed=True)
        due = queue.next_due(at(now))
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits[:3] == [BACKOFF_FIRST_US, 2 * BACKOFF_FIRST_US, 4 * BACKOFF_FIRST_US]
    assert waits[-1] == BACKOFF_MAX_US
    queue.pop(at(now))
    assert queue.done("r", A, at(now), failed=False) == 0


def test_reconcilers_take_turns() -> None:
    """A reconciler with many keys does not starve another."""
    queue = WorkQueue(["busy", "calm"])
    for index in range(5):
        queue.add("busy", ObjectKey("ns", str(index)), at(0))
    queue.add("calm", B, at(0))
    popped = [queue.pop(at(0)) for _ in range(3)]
    assert ("calm", B) in popped


def test_a_timer_ends_with_the_pass() -> None:
    """A pass takes later wishes with it: the reconciler asks again if it still wants."""
    queue = WorkQueue(["r"])
    queue.add("r", A, at(0), 1000)
    queue.add("r", A, at(0))
    queue.pop(at(0))
    queue.done("r", A, at(0), failed=False)
    assert queue.next_due(at(0)) is None


def test_wishes_that_no_longer_count_do_not_pile_up() -> None:
    """A key that runs now and again and wants to run much later as well is one wish, however often that was."""
    queue = WorkQueue(["r"])
    for now in range(10_000):
        queue.add("r", A, at(now))
        queue.pop(at(now))
        queue.done("r", A, at(now), failed=False, requeue_after_us=10**9)
    assert len(queue._lanes["r"].heap) < 100
    assert queue.next_due(at(10_000)) == 10**9 + 9_999
