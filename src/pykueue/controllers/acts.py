"""Decisions as acts, each written on its own, and one at a time on each Workload.

A decision may ask for several writes that fail on their own: a preemption is each victim's eviction and the preemptor's word. Each is an act.

Two writes under way on one Workload race: both carry the resource version of the Workload as it was read, so the second one is refused, read again and
repeated, at the price of two more requests. So an act whose Workload is being written waits (`OneAtATime`), and is then made on the Workload as that
write left it, if it is still called for (`again`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

import msgspec

from pykueue.api.constants import WorkloadCondition
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.core.scheduler.decisions import Admit, Decision, Evict, Pending, Preempt, SecondPassFailed, Victim
from pykueue.core.scheduler.preemption.book import Notice


@dataclass(slots=True, eq=False)
class Attempt:
    """A preemption that is being written.

    Attributes:
        preemption: as it was decided.
        is_served: whether some victim is evicted: then it is told no more that it failed.
    """

    preemption: Preempt
    is_served: bool


@dataclass(frozen=True, slots=True)
class Eviction:
    """One victim's side of a preemption.

    Attributes:
        attempt: that asks for it.
        victim: as it was when it was chosen, or as it is now when it is tried again.
        n_tries: how often it was tried before.
    """

    attempt: Attempt
    victim: Victim
    n_tries: int = 0


Act: TypeAlias = Admit | Pending | SecondPassFailed | Evict | Eviction | Notice
Repeatable: TypeAlias = Admit | Pending | SecondPassFailed | Eviction
"""Acts that can be made later, on another version of the Workload."""


def acts(decision: Decision) -> tuple[Act, ...]:
    """What a decision asks for, in order."""
    if not isinstance(decision, Preempt):
        return (decision,)
    attempt = Attempt(decision, is_served=any(victim.is_evicted for victim in decision.victims))
    evictions = (Eviction(attempt, victim) for victim in decision.victims if not victim.is_evicted)
    return (*evictions, decision.pending)


def subject(act: Act) -> Workload:
    """The Workload that an act is about, in the version that was decided on."""
    return act.victim.workload if isinstance(act, Eviction) else act.workload


def again(act: Repeatable, workload: Workload) -> Repeatable | None:
    """The act on the Workload as it is now; None if it is not called for any more."""
    if workload.is_true(WorkloadCondition.FINISHED):
        return None
    has_quota = workload.is_true(WorkloadCondition.QUOTA_RESERVED)
    match act:
        case SecondPassFailed():
            return msgspec.structs.replace(act, workload=workload) if has_quota else None
        case Pending():
            return msgspec.structs.replace(act, workload=workload) if not has_quota and workload.spec.active else None
        case Admit():
            return msgspec.structs.replace(act, workload=workload) if _as_decided(act.workload, workload) else None
        case Eviction():
            if not has_quota or workload.is_true(WorkloadCondition.EVICTED):
                return None
            return dataclasses.replace(act, victim=msgspec.structs.replace(act.victim, workload=workload))
        case _:
            assert_never(act)


def _as_decided(before: Workload, after: Workload) -> bool:
    """Whether nothing changed but what is told of a Workload that waits, so that what was decided on it holds."""
    if before.is_true(WorkloadCondition.EVICTED) != after.is_true(WorkloadCondition.EVICTED):
        return False
    status = msgspec.structs.replace(
        after.status, conditions=before.status.conditions, resource_requests=before.status.resource_requests
    )
    metadata = msgspec.structs.replace(after.metadata, resource_version=before.metadata.resource_version)
    return msgspec.structs.replace(after, status=status, metadata=metadata) == before


@dataclass(slots=True)
class OneAtATime:
    """Which Workloads are being written by acts, and what waits for that."""

    _waiting: dict[ObjectKey, list[Repeatable]] = field(default_factory=dict)
    n_told: int = 0
    """How many of the writes under way tell of a Workload that waits."""

    def defers(self, act: Act) -> bool:
        """Take up an act whose Workload is being written; False if it may begin.

        Of what is decided about a Workload without quota only the last decision holds, so it replaces those that wait.
        """
        waiting = self._waiting.get(key) if (key := _written(act)) is not None else None
        if waiting is None or isinstance(act, Evict | Notice):
            return False
        if isinstance(act, Admit | Pending):
            waiting[:] = [other for other in waiting if not isinstance(other, Admit | Pending)]
        waiting.append(act)
        return True

    def begin(self, act: Act) -> None:
        """An act is being written."""
        if (key := _written(act)) is not None:
            self._waiting[key] = []
        self.n_told += isinstance(act, Pending)

    def end(self, act: Act) -> Sequence[Repeatable]:
        """It was written, or failed; what waited for it."""
        self.n_told -= isinstance(act, Pending)
        return self._waiting.pop(key, ()) if (key := _written(act)) is not None else ()


def _written(act: Act) -> ObjectKey | None:
    """The Workload whose status an act writes, as far as acts wait for each other."""
    match act:
        case Admit() | Pending():
            return act.key
        case Eviction():
            return act.victim.key
        case SecondPassFailed() | Evict() | Notice():
            return None
        case _:
            assert_never(act)
