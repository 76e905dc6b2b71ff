"""Workloads that hold quota and must be looked at once more: their places are still to be found, or one of their nodes is lost.

Each waits a second before it is tried, and twice as long after every failure, at most thirty. What does not need a second pass any more is
taken out by whoever sees that; a Workload whose need changes starts anew.

Source: scheduling.md §3.8.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass

from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey

DELAY_US_MAX = 30 * SECOND_US


@dataclass(slots=True)
class _Turn:
    """When a Workload is tried.

    Attributes:
        need: what it is tried for.
        failures: attempts so far, all in vain.
        at: when the next is due (µs); None while it is in a cycle, or its outcome is being written.
    """

    need: Hashable
    failures: int
    at: Instant | None


class SecondPassQueue:
    """Who is due, and when."""

    def __init__(self) -> None:
        self._turns: dict[ObjectKey, _Turn] = {}
        self._due: list[tuple[Instant, ObjectKey]] = []
        """Heap of turns; an entry counts only if its Workload's turn is still then."""

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._turns

    def put(self, key: ObjectKey, need: Hashable, now: Instant) -> None:
        """Queue a Workload; one that waits for the same need already keeps its turn."""
        turn = self._turns.get(key)
        if turn is None or turn.need != need:
            turn = self._turns[key] = _Turn(need, 0, None)
        if turn.at is None:
            self._wait(key, turn, now)

    def delete(self, key: ObjectKey) -> None:
        """It needs no second pass."""
        self._turns.pop(key, None)

    def failed(self, key: ObjectKey, now: Instant) -> None:
        """The attempt was in vain: the next one comes later."""
        turn = self._turns.get(key)
        if turn is not None:
            turn.failures += 1
            self._wait(key, turn, now)

    def take(self, now: Instant) -> list[ObjectKey]:
        """Workloads whose turn it is, by name; they come back by `failed`, or by `put` if what was decided could not be written."""
        due = []
        while (at := self.wake_at()) is not None and at <= now:
            key = heapq.heappop(self._due)[1]
            self._turns[key].at = None
            due.append(key)
        return sorted(due)

    def wake_at(self) -> Instant | None:
        """When the next turn is."""
        while self._due:
            at, key = self._due[0]
            turn = self._turns.get(key)
            if turn is not None and turn.at == at:
                return at
            heapq.heappop(self._due)
        return None

    def _wait(self, key: ObjectKey, turn: _Turn, now: Instant) -> None:
        turn.at = Instant(now + _delay_us(turn.failures))
        heapq.heappush(self._due, (turn.at, key))


def _delay_us(failures: int) -> int:
    # Half a minute is reached after five failures; the exponent is bounded so that the number stays small.
    return min(DELAY_US_MAX, SECOND_US << min(failures, 5))
