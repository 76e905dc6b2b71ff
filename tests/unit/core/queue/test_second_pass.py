"""The queue of second passes (scheduling.md §3.8)."""

from __future__ import annotations

from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey
from pykueue.core.queue.second_pass import SecondPassQueue

A, B = ObjectKey("ns", "a"), ObjectKey("ns", "b")
START = Instant(1_000 * SECOND_US)


def at(seconds: int) -> Instant:
    return Instant(START + seconds * SECOND_US)


def test_waits_a_second() -> None:
    """Not before, and by name."""
    queue = SecondPassQueue()
    assert queue.wake_at() is None
    queue.put(B, "x", START)
    queue.put(A, "x", START)
    assert queue.wake_at() == at(1)
    assert queue.take(START) == []
    assert queue.take(at(1)) == [A, B]
    assert queue.wake_at() is None


def test_waits_longer_after_each_failure() -> None:
    """Twice as long, at most half a minute."""
    queue = SecondPassQueue()
    queue.put(A, "x", START)
    now, waits = START, []
    for _ in range(8):
        then = queue.wake_at()
        assert then is not None
        waits.append((then - now) // SECOND_US)
        now = then
        assert queue.take(now) == [A]
        queue.failed(A, now)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_the_same_need_keeps_its_turn() -> None:
    """A new version of a Workload that waits already changes nothing; another need starts anew."""
    queue = SecondPassQueue()
    queue.put(A, "x", START)
    assert queue.take(at(1)) == [A]
    queue.failed(A, at(1))
    queue.put(A, "x", at(2))
    assert queue.wake_at() == at(3)
    queue.put(A, "y", at(2))
    assert queue.wake_at() == at(3)
    assert queue.take(at(3)) == [A]
    queue.failed(A, at(3))
    assert queue.wake_at() == at(5)


def test_comes_back_if_the_outcome_was_not_written() -> None:
    """Taken, and put again with the same need: the write was lost."""
    queue = SecondPassQueue()
    queue.put(A, "x", START)
    assert queue.take(at(1)) == [A]
    queue.put(A, "x", at(4))
    assert queue.wake_at() == at(5)


def test_who_needs_none_is_forgotten() -> None:
    """A late failure of it means nothing."""
    queue = SecondPassQueue()
    queue.put(A, "x", START)
    queue.delete(A)
    queue.failed(A, at(1))
    assert queue.wake_at() is None
