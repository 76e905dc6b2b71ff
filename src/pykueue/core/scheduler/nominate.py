"""Step three of a cycle: what could each head get, judged alone.

Source: scheduling.md §5.3, §6.9.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pykueue.api.constants import Annotation, Reason
from pykueue.api.objects import ObjectKey, matches_labels
from pykueue.core.cache.clusterqueue import Cache
from pykueue.core.features import Gate
from pykueue.core.queue.heads import RequeueReason
from pykueue.core.scheduler.assignment import Assignment, Mode, ScanProgress
from pykueue.core.scheduler.entry import Entry, Status
from pykueue.core.scheduler.flavor_assigner import AssignerContext, Pins, assign, valid_progress
from pykueue.core.scheduler.preemption.candidates import Target
from pykueue.core.scheduler.preemption.policy import Preemptor
from pykueue.core.scheduler.second_pass import held_places, standing_assignment, with_check_updates
from pykueue.core.workload.info import Info
from pykueue.core.workload.lifecycle import has_failed_checks, is_single_pod

NAMESPACE_MISMATCH = "workload namespace doesn't match ClusterQueue selector"


@dataclass(frozen=True, slots=True)
class Nominator:
    """Judges heads.

    Attributes:
        cache: what holds quota.
        context: of the flavor search.
        preemptor: of the search for victims.
        namespaces: labels of the namespaces that exist.
    """

    cache: Cache
    context: AssignerContext
    preemptor: Preemptor
    namespaces: Callable[[str], Mapping[str, str] | None]

    def nominate(self, entry: Entry) -> None:
        """Fill the entry in with an assignment and victims, or with why not."""
        info, queue = entry.info, entry.queue
        if has_failed_checks(info.workload):
            entry.refuse(Reason.PENDING_EVALUATION, "The workload has failed admission checks")
            return
        if queue is None:
            entry.refuse(Reason.MISCONFIGURED, f"ClusterQueue {info.cluster_queue} not found")
            return
        if queue.is_cyclic or not queue.is_active:
            # A cycle of cohorts ends with a change of a cohort, which wakes; until then a strict queue must not spin.
            parked = RequeueReason.NAMESPACE_MISMATCH
            entry.refuse(Reason.SUSPENDED, f"ClusterQueue {queue.name} is inactive", parked)
            return
        if not self._is_valid(entry):
            return
        if entry.is_second_pass:
            entry.info = with_check_updates(info)
            entry.status = Status.NOMINATED
            entry.assignment, entry.targets = self._find_places(entry)
            return
        entry.replaces = self._replaced_slice(info)
        progress = entry.pending.progress
        features = self.context.features
        progress = valid_progress(progress, info, queue, self.context.cycle, features)
        entry.status = Status.NOMINATED
        entry.assignment, entry.targets = self._find(entry, progress=progress)
        entry.pending.progress = entry.assignment.progress

    def without(self, gone: frozenset[ObjectKey]) -> Nominator:
        """One that judges as if some Workloads were gone too; their usage already is."""
        if gone <= self.preemptor.gone:
            return self
        preemptor = replace(self.preemptor, gone=self.preemptor.gone | gone)
        return replace(self, preemptor=preemptor, context=replace(self.context, oracle=preemptor))

    def renominate(self, entry: Entry, pins: Pins) -> None:
        """Judge again with only the pinned flavors (§5.6 b)."""
        if entry.is_second_pass:
            entry.assignment, entry.targets = self._find_places(entry)
            return
        entry.assignment, entry.targets = self._find(entry, pins=pins)
        entry.pending.progress = entry.assignment.progress

    def _is_valid(self, entry: Entry) -> bool:
        info, queue = entry.info, entry.queue
        assert queue is not None
        labels = self.namespaces(info.key.namespace)
        if labels is None:
            name = info.key.namespace
            text = f'workload namespace "{name}" does not exist: namespaces "{name}" not found'
            entry.refuse(Reason.MISCONFIGURED, text)
        elif not matches_labels(queue.spec.spec.namespace_selector, labels):
            entry.refuse(Reason.MISCONFIGURED, NAMESPACE_MISMATCH, RequeueReason.NAMESPACE_MISMATCH)
        elif info.fault is not None:
            entry.refuse(Reason.MISCONFIGURED, info.fault)
        else:
            return True
        return False

    def _find(
        self, entry: Entry, *, progress: ScanProgress | None = None, pins: Pins | None = None
    ) -> tuple[Assignment, list[Target]]:
        """Full counts if they fit or find victims, else the largest reduced counts that do (§6.9)."""
        info, queue = entry.info, entry.queue
        assert queue is not None

        def attempt(counts: Sequence[int] | None) -> tuple[Assignment, list[Target]]:
            found = assign(
                info, queue, self.context, progress=progress, counts=counts, pins=pins, replaces=entry.replaces
            )
            if entry.replaces is not None:
                self._begin_with_slice(entry.replaces, found)
            self.context.topologies.place(info, found)
            targets = self.preemptor.targets(info, queue, found) if found.mode is Mode.PREEMPT else []
            return found, targets

        full, targets = attempt(None)
        if full.mode is Mode.FIT or targets or not self.context.features[Gate.PARTIAL_ADMISSION]:
            return full, targets
        reduced = _largest_reduction_that_works(info, attempt)
        return reduced or (full, targets)

    def _find_places(self, entry: Entry) -> tuple[Assignment, list[Target]]:
        """Places for a Workload that has quota: for pods that have none yet, or for those on lost nodes (§3.8)."""
        info, queue = entry.info, entry.queue
        assert queue is not None
        features, topologies = self.context.features, self.context.topologies
        found = standing_assignment(info, queue, self.cache)
        lost = [node.name for node in info.workload.status.unhealthy_nodes] if info.is_admitted else []
        if not lost:
            topologies.place(info, found)
        elif not (features[Gate.SKIP_REASSIGNMENT_FOR_POD_OWNED_WORKLOADS] and is_single_pod(info.workload)):
            topologies.replace_nodes(info, found, lost)
        targets = self.preemptor.targets(info, queue, found) if found.mode is Mode.PREEMPT else []
        return found, targets

    def _begin_with_slice(self, replaced: Info, assignment: Assignment) -> None:
        """Let the pods of an elastic job begin with the places that they have (tas.md §10)."""
        if not self.context.features[Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES_WITH_TAS]:
            return
        held = held_places(replaced.workload, self.cache)
        for result in assignment.pod_sets:
            result.held = held.get(result.name)

    def _replaced_slice(self, info: Info) -> Info | None:
        if not self.context.features[Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES]:
            return None
        key = info.workload.metadata.annotations.get(Annotation.WORKLOAD_SLICE_REPLACEMENT_FOR)
        if not key:
            return None
        namespace, _, name = key.partition("/")
        return self.cache.workloads.get(ObjectKey(namespace, name))


def reduced_counts(info: Info, step: int) -> list[int]:
    """Counts of the pod sets at a step of the search: 0 is the full counts (§6.9)."""
    most = [ps.count for ps in info.pod_sets]
    least = [ps.count if ps.min_count is None else min(ps.min_count, ps.count) for ps in info.pod_sets]
    distance = sum(most) - sum(least)
    return [m - (m - n) * step // distance for m, n in zip(most, least, strict=True)]


def _largest_reduction_that_works(
    info: Info, attempt: Callable[[Sequence[int]], tuple[Assignment, list[Target]]]
) -> tuple[Assignment, list[Target]] | None:
    distance = sum(ps.count - min(ps.min_count, ps.count) for ps in info.pod_sets if ps.min_count is not None)
    if distance == 0:
        return None
    low, high = 0, distance
    best: tuple[Assignment, list[Target]] | None = None
    # Kueue parity: scheduling.md §6.9, a plain lower-bound search; it trusts that fewer pods never fit worse.
    while low <= high:
        middle = (low + high) // 2
        found, targets = attempt(reduced_counts(info, middle))
        if found.mode is Mode.FIT or targets:
            best, high = (found, targets), middle - 1
        else:
            low = middle + 1
    return best
