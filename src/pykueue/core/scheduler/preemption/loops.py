"""Preemptions that lead nowhere: who evicted whom how often, and whether that goes round in circles.

Two shapes of a loop are known. One preemptor evicts the same victim again without having been admitted in between: the room was taken by
somebody else, often by the victim. Or the victim preempts its preemptor in turn, perhaps by way of others. The first time means
nothing; from the second on it is a `Loop`.

Memory is bounded: what has not happened again within `WINDOW_US` is forgotten, as is everything about a Workload that ends or asks for
something else, and beyond `PAIRS_MAX` the pair that was quiet for the longest.

Source: docs/decisions/0009-safe-preemption.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey

WINDOW_US = 3600 * SECOND_US
"""Preemptions of a pair that are further apart have nothing to do with each other."""
PAIRS_MAX = 4096
"""Pairs of preemptor and victim that are remembered."""
REPEATS_MIN = 2
"""Evictions of the same victim by the same preemptor that make a loop."""


@dataclass(slots=True)
class _Pair:
    """Evictions of one victim by one preemptor.

    Attributes:
        count: within the window.
        in_vain: of them, since the preemptor was admitted last.
        since: the first of them (µs).
        last: the last (µs).
    """

    count: int
    in_vain: int
    since: Instant
    last: Instant


@dataclass(frozen=True, slots=True)
class Loop:
    """A preemption that happened before.

    Attributes:
        preemptor: who evicts.
        victim: who is evicted.
        count: how often that was.
        since: when it was first (µs).
        circle: the victim, whom it preempts, and so on to the preemptor; empty if the preemptor was just not admitted meanwhile.
    """

    preemptor: ObjectKey
    victim: ObjectKey
    count: int
    since: Instant
    circle: tuple[ObjectKey, ...]

    @property
    def is_told(self) -> bool:
        """Whether it is worth an event: the second time, the fourth, the eighth and so on."""
        return self.count & (self.count - 1) == 0


class PreemptionHistory:
    """Who evicted whom."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[ObjectKey, ObjectKey], _Pair] = {}
        """Preemptor and victim, the one that was quiet for the longest first."""
        self._victims: dict[ObjectKey, dict[ObjectKey, None]] = {}
        self._preemptors: dict[ObjectKey, dict[ObjectKey, None]] = {}
        self._n_repeated = 0
        """Pairs that may be in a loop."""

    def __contains__(self, key: ObjectKey) -> bool:
        return key in self._victims or key in self._preemptors

    def evicted(self, preemptor: ObjectKey, victim: ObjectKey, now: Instant) -> Loop | None:
        """Take note of an eviction.

        Args:
            preemptor: for whom.
            victim: whom.
            now: Instant (µs).

        Returns:
            the loop that it is part of, if it is.
        """
        self.expire(now)
        pair = self._pairs.pop((preemptor, victim), None) or _Pair(0, 0, now, now)
        pair.count, pair.in_vain, pair.last = pair.count + 1, pair.in_vain + 1, now
        self._pairs[preemptor, victim] = pair
        if pair.count == REPEATS_MIN:
            self._n_repeated += 1
        self._victims.setdefault(preemptor, {})[victim] = None
        self._preemptors.setdefault(victim, {})[preemptor] = None
        if len(self._pairs) > PAIRS_MAX:
            self._drop(*next(iter(self._pairs)))
        return self._loop(preemptor, victim)

    def admitted(self, preemptor: ObjectKey) -> None:
        """A preemptor got what it evicted others for."""
        for victim in self._victims.get(preemptor, ()):
            self._pairs[preemptor, victim].in_vain = 0

    def forget(self, key: ObjectKey) -> None:
        """A Workload ended, or asks for something else: what it did and suffered says nothing any more."""
        for victim in list(self._victims.get(key, ())):
            self._drop(key, victim)
        for preemptor in list(self._preemptors.get(key, ())):
            self._drop(preemptor, key)

    def in_loop_with(self, preemptor: ObjectKey) -> list[ObjectKey]:
        """Whom a preemptor has evicted again and again."""
        return [victim for victim in self._victims.get(preemptor, ()) if self._loop(preemptor, victim) is not None]

    def expire(self, now: Instant) -> list[ObjectKey]:
        """Forget pairs that were quiet for long.

        Returns:
            the preemptors of those that were in a loop, perhaps.
        """
        ended = []
        while self._pairs:
            (preemptor, victim), pair = next(iter(self._pairs.items()))
            if pair.last + WINDOW_US > now:
                break
            if pair.count >= REPEATS_MIN:
                ended.append(preemptor)
            self._drop(preemptor, victim)
        return ended

    def next_end(self) -> Instant | None:
        """When the oldest pair is forgotten, if any is in a loop."""
        if not self._n_repeated:
            return None
        return Instant(next(iter(self._pairs.values())).last + WINDOW_US)

    def _loop(self, preemptor: ObjectKey, victim: ObjectKey) -> Loop | None:
        pair = self._pairs.get((preemptor, victim))
        if pair is None or pair.count < REPEATS_MIN:
            return None
        circle = self._way(victim, preemptor)
        if not circle and pair.in_vain < REPEATS_MIN:
            return None
        return Loop(preemptor, victim, pair.count, pair.since, circle)

    def _way(self, start: ObjectKey, end: ObjectKey) -> tuple[ObjectKey, ...]:
        """The shortest way from one preemptor over its victims and theirs to a Workload; empty if there is none."""
        came_from: dict[ObjectKey, ObjectKey] = {}
        reached = [start]
        for key in reached:
            for victim in self._victims.get(key, ()):
                if victim not in came_from and victim != start:
                    came_from[victim] = key
                    reached.append(victim)
            if end in came_from:
                way = [end]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return tuple(reversed(way))
        return ()

    def _drop(self, preemptor: ObjectKey, victim: ObjectKey) -> None:
        if self._pairs.pop((preemptor, victim)).count >= REPEATS_MIN:
            self._n_repeated -= 1
        for index, one, other in ((self._victims, preemptor, victim), (self._preemptors, victim, preemptor)):
            del index[one][other]
            if not index[one]:
                del index[one]
