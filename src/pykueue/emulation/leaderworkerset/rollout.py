"""How far a rolling update may go: partition and replicas of the leader StatefulSet, as arithmetic on values.

Words of this module: R wanted groups, S surge groups at most, U groups that may be missing. The leader StatefulSet's `partition` is
the first group that is updated; it moves down as groups above it become ready, and back up never.

Source: leaderworkerset.md B5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replica:
    """State of one group.

    Attributes:
        ready: leader and workers run and are ready.
        updated: leader and workers are of the newest revision.
    """

    ready: bool = False
    updated: bool = False

    @property
    def is_done(self) -> bool:
        """Ready and updated."""
        return self.ready and self.updated


@dataclass(frozen=True, slots=True)
class Pace:
    """What the set asks for.

    Attributes:
        replicas: R.
        max_surge: S, scaled and rounded up, at most R.
        max_unavailable: U, scaled and rounded down.
        partition: of the set's own rollout configuration; groups below are not updated.
    """

    replicas: int
    max_surge: int = 0
    max_unavailable: int = 1
    partition: int = 0


@dataclass(frozen=True, slots=True)
class LeaderSet:
    """The leader StatefulSet as it is.

    Attributes:
        replicas: its `spec.replicas`.
        partition: of its update strategy.
        resized: the set's replicas changed since it was written last.
    """

    replicas: int
    partition: int
    resized: bool = False


@dataclass(frozen=True, slots=True)
class Rollout:
    """What the leader StatefulSet should be."""

    partition: int
    replicas: int


def plan(pace: Pace, present: LeaderSet | None, groups: Sequence[Replica], *, updated: bool) -> Rollout:
    """Partition and replicas for the next write.

    Args:
        pace: what is asked for.
        present: the leader StatefulSet; None before its first write.
        groups: state of each group of the StatefulSet, by index.
        updated: a new revision was made in this very pass.

    Returns:
        The plan; its partition is never below the one asked for.
    """
    partition, replicas = _plan(pace, present, groups, updated=updated)
    return Rollout(max(partition, pace.partition), replicas)


def _plan(pace: Pace, present: LeaderSet | None, groups: Sequence[Replica], *, updated: bool) -> tuple[int, int]:
    wanted = pace.replicas
    if present is None:
        return 0, wanted
    if updated:
        partition = min(wanted, present.replicas)
        return partition, wanted if present.replicas < wanted else _with_surge(pace, wanted)
    if present.partition == 0 and present.replicas == wanted:
        return 0, wanted
    if present.replicas < wanted:
        return present.partition, wanted
    n_undone = sum(not _at(groups, index).is_done for index in range(wanted))
    replicas = _with_surge(pace, n_undone)
    if present.resized:
        return min(present.partition, wanted + pace.max_surge), replicas
    step = pace.max_unavailable + pace.max_surge - (wanted + pace.max_surge - present.replicas)
    return _roll(present, groups, step), replicas


def _with_surge(pace: Pace, n_undone: int) -> int:
    """Groups wanted with the surge: it shrinks as soon as what is undone fits into what may be missing."""
    if n_undone <= pace.max_surge:
        return pace.replicas + max(n_undone - pace.max_unavailable, 0)
    return pace.replicas + pace.max_surge


def _roll(present: LeaderSet, groups: Sequence[Replica], step: int) -> int:
    """The partition moves below the done tail by `step`, not counting groups that are not ready anyway."""
    n_done = 0
    while n_done < present.replicas and _at(groups, present.replicas - 1 - n_done).is_done:
        n_done += 1
    lowest = max(present.replicas - n_done - step, 0)
    partition = lowest + sum(not _at(groups, index).ready for index in range(lowest))
    for index in range(min(partition, present.replicas - 1), lowest - 1, -1):
        replica = _at(groups, index)
        if replica.ready and not replica.updated:
            break
        partition = index
    return min(partition, present.partition)


def _at(groups: Sequence[Replica], index: int) -> Replica:
    return groups[index] if 0 <= index < len(groups) else Replica()
