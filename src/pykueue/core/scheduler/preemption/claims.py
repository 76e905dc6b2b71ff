"""Claims: what a preemptor was promised when others were evicted for it, and what became of the promise.

A preemption takes its time, for victims end when their pods have ended, each at its own pace. From the decision on, a `Claim` remembers what
the preemptor is to get and who leaves for it. It ends with the preemptor's admission, or with a reason why it came to nothing: an `Outcome`
either way. Claims are always kept, so outcomes can be counted; whether they also keep the seats free for the preemptor is for the
cycle to say (`scheduler/seats.py`, gate PyKueueSafePreemption).

The time of a claim is that of its victims: the termination grace of their pods after the eviction, and `SLACK_US` for everything around it. A
victim that has not left by then is *overdue*: nobody knows when it will, so nothing is kept free on its account.

Nothing of this is stored. A new leader begins without claims, and makes them anew in its first cycle from the victims that are still leaving.

Source: docs/decisions/0009-safe-preemption.md.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pykueue.api.constants import WorkloadCondition
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.core.resources import FlavorResource
from pykueue.core.tas.ledger import Places
from pykueue.core.workload.info import NEVER, Info

SLACK_US = 300 * SECOND_US
"""What a victim may take beyond the termination grace of its pods."""
_GRACE_S = 30
"""Kubernetes' default of `terminationGracePeriodSeconds`."""


class End(enum.StrEnum):
    """How a claim ended."""

    ADMITTED = "admitted"
    GONE = "gone"
    """The preemptor was deleted, or is finished."""
    CHANGED = "changed"
    """The preemptor asks for something else, or does not wait any more."""
    UNPLACEABLE = "unplaceable"
    """There is no room for the preemptor any more, even with its victims gone."""
    OVERDUE = "overdue"
    """Its victims took too long."""


@dataclass(slots=True, eq=False)
class Claim:
    """A promise to one preemptor.

    Attributes:
        info: the preemptor as it was judged last.
        usage: the quota it is to get.
        places: where its pods are to go, if topology plays a part.
        leaving: victims that still hold quota.
        evicted: all victims since the claim began.
        until: when its time is up (µs).
    """

    info: Info
    usage: Mapping[FlavorResource, int]
    places: Sequence[Places]
    leaving: dict[ObjectKey, None] = field(default_factory=dict)
    evicted: dict[ObjectKey, None] = field(default_factory=dict)
    until: Instant = NEVER


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claim; `why` is for people, and empty for an admission."""

    claim: Claim
    end: End
    why: str = ""


class Claims:
    """All claims, the oldest first, and everybody who leaves.

    A victim leaves for one preemptor, the last one that chose it; and goes on leaving when that one's claim has ended, though for nobody.
    """

    def __init__(self) -> None:
        self._claims: dict[ObjectKey, Claim] = {}
        self._leaving: dict[ObjectKey, tuple[ObjectKey, Instant]] = {}
        """Victim to preemptor, and when it should have left."""
        self._times: list[tuple[Instant, bool, ObjectKey]] = []
        """Heap of when the time of a victim (True) or of a preemptor is up; an entry counts only if it is still so."""

    def __iter__(self) -> Iterator[Claim]:
        return iter(list(self._claims.values()))

    def __len__(self) -> int:
        return len(self._claims)

    @property
    def leaving(self) -> Collection[ObjectKey]:
        """Victims that still hold quota and will not for long, whoever they leave for."""
        return self._leaving.keys()

    def concern(self, key: ObjectKey) -> bool:
        """Whether a Workload has a claim, or leaves."""
        return key in self._claims or key in self._leaving

    def get(self, preemptor: ObjectKey) -> Claim | None:
        """The claim of a preemptor."""
        return self._claims.get(preemptor)

    def on(self, victim: ObjectKey) -> Claim | None:
        """The claim that a victim leaves for."""
        found = self._leaving.get(victim)
        return self._claims.get(found[0]) if found is not None else None

    def make(
        self, info: Info, usage: Mapping[FlavorResource, int], places: Sequence[Places], victims: Iterable[Info],
        now: Instant,
    ) -> None:  # fmt: skip
        """Promise something to a preemptor, or something else than before; whoever leaves for it already goes on doing so.

        Args:
            info: the preemptor.
            usage: the quota it is to get.
            places: where its pods are to go.
            victims: those it waits for from now on; those that are overdue give no time.
            now: Instant (µs).
        """
        claim = self._claims.get(info.key) or Claim(info, usage, places)
        until = claim.until
        claim.info, claim.usage, claim.places = info, usage, places
        for victim in victims:
            by = leaves_by(victim, now)
            _, before = self._leaving.get(victim.key, (None, None))
            former = self.on(victim.key)
            if former is not None:
                former.leaving.pop(victim.key, None)
            claim.until = max(claim.until, by)
            claim.leaving[victim.key] = claim.evicted[victim.key] = None
            self._leaving[victim.key] = info.key, by
            if by != before:
                heapq.heappush(self._times, (by, True, victim.key))
        if claim.until != until:
            heapq.heappush(self._times, (claim.until, False, info.key))
        self._claims[info.key] = claim
        if claim.until <= now:
            del self._claims[info.key]

    def left(self, victim: ObjectKey) -> None:
        """A victim holds its quota no more, or will not leave after all."""
        claim = self.on(victim)
        if claim is not None:
            claim.leaving.pop(victim, None)
        self._leaving.pop(victim, None)

    def end(self, preemptor: ObjectKey, end: End, why: str = "") -> Outcome | None:
        """The claim of a preemptor is over; None if it had none."""
        claim = self._claims.pop(preemptor, None)
        return Outcome(claim, end, why) if claim is not None else None

    def due(self, now: Instant) -> list[Claim]:
        """Claims whose time is up; to be ended by the caller. Victims whose time is up do not count as leaving from now on."""
        is_claim_due = False
        while (at := self.next_due()) is not None and at <= now:
            _, is_victim, key = heapq.heappop(self._times)
            if is_victim:
                del self._leaving[key]
            else:
                is_claim_due = True
        return [claim for claim in self._claims.values() if claim.until <= now] if is_claim_due else []

    def next_due(self) -> Instant | None:
        """When the time of a claim or of a victim is up next."""
        while self._times:
            at, is_victim, key = self._times[0]
            if is_victim:
                found = self._leaving.get(key)
                is_current = found is not None and found[1] == at
            else:
                claim = self._claims.get(key)
                is_current = claim is not None and claim.until == at
            if is_current:
                return at
            heapq.heappop(self._times)
        return None


def leaves_by(victim: Info, now: Instant) -> Instant:
    """When a victim should have left (µs): counted from its eviction, or from now if that is still to be written."""
    evicted = victim.workload.condition(WorkloadCondition.EVICTED) if victim.is_evicted else None
    since = evicted.transitioned_at if evicted is not None else now
    return Instant(since + _grace_us(victim.workload) + SLACK_US)


def is_overdue(victim: Info, now: Instant) -> bool:
    """Whether an evicted Workload should have left by now."""
    return victim.is_evicted and leaves_by(victim, now) <= now


def _grace_us(workload: Workload) -> int:
    specs = [ps.template.get("spec") or {} for ps in workload.spec.pod_sets]
    graces = [spec.get("terminationGracePeriodSeconds") for spec in specs]
    return max((_GRACE_S if grace is None else int(grace) for grace in graces), default=_GRACE_S) * SECOND_US
