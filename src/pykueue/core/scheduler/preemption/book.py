"""The book of preemptions: what was promised, what became of it, and what goes round in circles.

The engine tells it every version of a Workload, every release of quota and the end of every cycle. It keeps the claims (`claims.py`) and the
history (`loops.py`), and says what is worth telling: `Notice`s for events, `Sample`s for metrics. What binds decisions is read by the engine:
with the gate PyKueueSafePreemption the claims keep seats, and nobody evicts a victim once more with which it is in a loop.

Source: docs/decisions/0009-safe-preemption.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import ObjectKey
from pykueue.api.series import Sample
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.entry import Entry, Status
from pykueue.core.scheduler.preemption.claims import Claim, Claims, End, Outcome, is_overdue
from pykueue.core.scheduler.preemption.loops import Loop, PreemptionHistory
from pykueue.core.workload.info import NEVER, Info
from pykueue.core.workload.lifecycle import has_quota, is_finished, may_stay_queued

LOOP = "PreemptionLoop"
"""Reason of the Warning event about evictions that repeat themselves, on both Workloads."""
IN_VAIN = "PreemptedInVain"
"""Reason of the Warning event on a preemptor that did not get what others were evicted for."""
NAMES_MAX = 5
"""Names of Workloads in one event."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A Warning event to write about a Workload."""

    workload: Workload
    reason: str
    note: str


class PreemptionBook:
    """What is known of preemptions that are under way, or happened again and again."""

    def __init__(self, features: Features) -> None:
        self.is_safe = features[Gate.PYKUEUE_SAFE_PREEMPTION]
        self.claims = Claims()
        self.history = PreemptionHistory()
        self._features = features
        self._notices: list[Notice] = []
        self._samples: list[Sample] = []
        self._freed: dict[str, None] = {}
        self._now = NEVER
        """When the last cycle began."""

    # --- what happens -------------------------------------------------------------------------------------------------

    def see(self, key: ObjectKey, old: Workload | None, new: Workload | None, now: Instant) -> None:
        """Take in the latest version of a Workload; None if there is, or was, none."""
        if not self.claims.concern(key) and key not in self.history:
            return
        claim, leaves_for = self.claims.get(key), self.claims.on(key)
        if new is None or is_finished(new):
            self.history.forget(key)
            self._end(key, End.GONE, "it was deleted" if new is None else "it is finished")
            return
        if leaves_for is not None and _is_preempted(new) and not (old is not None and _is_preempted(old)):
            self._note_eviction(leaves_for, new, now)
        if old is not None and old.spec != new.spec:
            self.history.forget(key)
        if claim is None:
            return
        if has_quota(new):
            # One that waits for places has quota all the while; it gets what it waits for with another admission.
            if new.status.admission != claim.info.workload.status.admission:
                self.history.admitted(key)
                self._end(key, End.ADMITTED)
        elif new.spec != claim.info.workload.spec:
            self._end(key, End.CHANGED, "its specification changed")
        elif not may_stay_queued(new, self._features):
            self._end(key, End.CHANGED, "it does not wait for quota any more")

    def left(self, key: ObjectKey) -> None:
        """A Workload holds its quota no more, or could not be evicted."""
        self.claims.left(key)

    def begin(
        self, home: Callable[[ObjectKey], str | None], is_assumed: Callable[[ObjectKey], bool], now: Instant
    ) -> None:
        """A cycle is to begin: end the claims of those who do not wait any more, and whatever has had its time.

        Args:
            home: the ClusterQueue in which a Workload waits; None if it does not.
            is_assumed: whether the admission of a Workload is being written.
            now: Instant (µs).
        """
        self._now = now
        for claim in self.claims:
            key = claim.info.key
            if home(key) is None and not is_assumed(key):
                self._end(key, End.CHANGED, "it does not wait for quota any more")
        for claim in self.claims.due(now):
            late = _names(claim.leaving)
            self._end(claim.info.key, End.OVERDUE, f"not all have left in time: {late}" if late else "time is up")
        for preemptor in self.history.expire(now):
            name = home(preemptor)
            if name is not None:
                self._freed[name] = None

    def close(self, entries: Iterable[Entry], now: Instant) -> None:
        """A cycle is over: note what it promised, and whose promises it could not keep."""
        for entry in entries:
            info = entry.info
            is_kept = entry.status is Status.PREEMPTING or (entry.is_deferred and self.is_safe and entry.has_claim)
            if is_kept and entry.assignment is not None and entry.queue is not None:
                items = entry.queue.node.tree.items
                usage = {items[i]: amount for i, amount in entry.assignment.usage.items()}
                victims = [target.info for target in entry.targets]
                self.claims.make(info, usage, tuple(entry.assignment.places), victims, now)
            elif entry.status in (Status.NOT_NOMINATED, Status.GATED):
                self._end(info.key, End.UNPLACEABLE, entry.message)

    # --- what binds decisions -----------------------------------------------------------------------------------------

    def binding(self, assumed: Callable[[ObjectKey], bool]) -> Sequence[Claim]:
        """Claims that keep seats: with the gate all, but for those whose admission is being written."""
        return [claim for claim in self.claims if not assumed(claim.info.key)] if self.is_safe else ()

    def leaving(self) -> Collection[ObjectKey]:
        """Whose quota counts as free, for those who can wait until it is: with the gate whoever leaves in time."""
        return list(self.claims.leaving) if self.is_safe else ()

    def spared(self, preemptor: ObjectKey) -> Sequence[ObjectKey]:
        """Whom a preemptor may not evict once more."""
        return self.history.in_loop_with(preemptor) if self.is_safe else ()

    def is_overdue(self, victim: Info) -> bool:
        """Whether nobody should wait for an evicted Workload to leave."""
        return self.is_safe and is_overdue(victim, self._now)

    def is_leaving(self, victim: ObjectKey) -> bool:
        """Whether the eviction of a Workload is decided already."""
        return victim in self.claims.leaving

    def wake_at(self) -> Instant | None:
        """When something ends that keeps others waiting (µs)."""
        if not self.is_safe:
            return None
        times = [at for at in (self.claims.next_due(), self.history.next_end()) if at is not None]
        return min(times, default=None)

    def take_freed(self) -> Sequence[str]:
        """ClusterQueues in whose trees more is possible than when this was asked last: their parked Workloads are to be retried."""
        if not self._freed:
            return ()
        freed, self._freed = self._freed, {}
        return list(freed) if self.is_safe else ()

    # --- what is told -------------------------------------------------------------------------------------------------

    def take_notices(self) -> Sequence[Notice]:
        """What to tell since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def take_samples(self) -> Sequence[Sample]:
        """What to count since the last call."""
        samples, self._samples = self._samples, []
        return samples

    def has_notices(self) -> bool:
        """Whether `take_notices` would give any."""
        return bool(self._notices)

    def _end(self, key: ObjectKey, end: End, why: str = "") -> None:
        outcome = self.claims.end(key, end, why)
        if outcome is None:
            return
        if end is not End.ADMITTED:
            self._freed[outcome.claim.info.cluster_queue] = None
        self._samples.append(Sample("preemption_outcomes_total", (outcome.claim.info.cluster_queue, end.value)))
        if end not in (End.ADMITTED, End.GONE):
            self._notices.append(Notice(outcome.claim.info.workload, IN_VAIN, _in_vain(outcome)))

    def _note_eviction(self, claim: Claim, victim: Workload, now: Instant) -> None:
        loop = self.history.evicted(claim.info.key, victim.key, now)
        if loop is None:
            return
        admission = victim.status.admission
        labels = (claim.info.cluster_queue, admission.cluster_queue if admission is not None else "")
        self._samples.append(Sample("preemption_loops_total", labels))
        if loop.is_told:
            note = _loop(loop, labels, is_braked=self.is_safe)
            self._notices += [Notice(workload, LOOP, note) for workload in (victim, claim.info.workload)]


def _is_preempted(workload: Workload) -> bool:
    evicted = workload.condition(WorkloadCondition.EVICTED)
    return evicted is not None and evicted.status == "True" and evicted.reason == Reason.PREEMPTED


def _in_vain(outcome: Outcome) -> str:
    evicted = outcome.claim.evicted
    return f"{len(evicted)} workload(s) were preempted for it in vain ({_names(evicted)}): {outcome.why}"


def _loop(loop: Loop, queues: tuple[str, str], *, is_braked: bool) -> str:
    how = "which was not admitted meanwhile"
    if loop.circle:
        how = "in a circle: " + ", which preempts ".join(map(str, (loop.preemptor, *loop.circle)))
    rest = "; it is spared by it from now on" if is_braked else ""
    return (
        f"Workload {loop.victim} of ClusterQueue {queues[1]} was preempted {loop.count} times since "
        f"{format_time(loop.since)} by {loop.preemptor} of ClusterQueue {queues[0]}, {how}{rest}"
    )


def _names(keys: Iterable[ObjectKey]) -> str:
    names = [str(key) for key in keys]
    more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return ", ".join(names[:NAMES_MAX]) + more
