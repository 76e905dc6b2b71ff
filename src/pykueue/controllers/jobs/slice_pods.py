"""Pods of elastic jobs: as many are let go as the admitted slice was granted.

A key is a chain of slices, by the name of its first. The gate of a pod is taken off in the order of names, while fewer pods are free than the
newest admitted slice has. What a check of that slice adds to its pods comes with the same patch; a pod that contradicts it stays
gated, for it belongs to another slice.

Source: jobs.md §15.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command
from pykueue.api.constants import Annotation, Label, SchedulingGate, WorkloadCondition
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import PodSetAssignment, Workload
from pykueue.controllers.jobs import pod_commands
from pykueue.integrations import pod as pods
from pykueue.integrations.podset_info import PodSetConflict, PodSetInfo, merged
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

BY_CHAIN = "sliceChain"


class SlicePodReconciler:
    """Lets the pods of elastic jobs go."""

    name = "elastic_job_pods"

    def watches(self) -> Sequence[Watch]:
        """Pods and Workloads that name a chain."""
        return (Watch(POD, _keys), Watch(WORKLOAD, _keys))

    def indexes(self) -> Sequence[Index]:
        """Both, by chain."""
        return (Index(POD, BY_CHAIN, chain_of), Index(WORKLOAD, BY_CHAIN, chain_of))

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over the pods of one chain."""
        del now
        members = [pod for pod in reader.by_index(POD, BY_CHAIN, str(key)) if not pods.is_terminated(pod)]
        if not any(_is_held(pod) for pod in members):
            return DONE
        found = (reader.typed(Workload, raw) for raw in reader.by_index(WORKLOAD, BY_CHAIN, str(key)))
        admitted = sorted((w for w in found if _may_run(w)), key=lambda w: (w.created_at, w.uid))
        admission = admitted[-1].status.admission if admitted else None
        if admission is None:
            return DONE
        freed = (c for a in admission.pod_set_assignments for c in _let_go(admitted[-1], a, members))
        return Result(pod_commands.together(freed))


def chain_of(obj: Obj) -> Iterable[str]:
    """The chain that a pod or a Workload belongs to: the index `sliceChain`."""
    name = objects.annotations(obj).get(Annotation.WORKLOAD_SLICE_NAME)
    return (f"{objects.namespace(obj)}/{name}",) if name else ()


def _keys(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    del reader
    name = objects.annotations(event.new).get(Annotation.WORKLOAD_SLICE_NAME)
    return (ObjectKey(objects.namespace(event.new), name),) if name else ()


def _may_run(workload: Workload) -> bool:
    if workload.is_deleting or workload.is_true(WorkloadCondition.FINISHED):
        return False
    return workload.is_true(WorkloadCondition.ADMITTED) and not workload.is_true(WorkloadCondition.EVICTED)


def _is_held(pod: Obj) -> bool:
    return SchedulingGate.ELASTIC_JOB in pods.gate_names(pod)


def _let_go(workload: Workload, assignment: PodSetAssignment, members: Sequence[Obj]) -> Iterable[Command]:
    role = [pod for pod in members if objects.labels(pod).get(Label.POD_SET) == assignment.name]
    waiting = sorted((p for p in role if _is_held(p) and not objects.is_deleting(p)), key=objects.name)
    room = (assignment.count or 0) - sum(not _is_held(pod) for pod in role)
    for pod in waiting:
        if room <= 0:
            return
        body = _freed(pod, workload, assignment.name)
        if body is not None:
            room -= 1
            yield pod_commands.patch(pod, body)


def _freed(pod: Obj, workload: Workload, pod_set: str) -> Mapping[str, Any] | None:
    """The patch that lets a pod go; None if it contradicts what the checks of its slice add."""
    own = PodSetInfo(
        pod_set,
        1,
        annotations=objects.annotations(pod),
        node_selector=objects.get_path(pod, "spec", "nodeSelector") or {},
    )
    both = own
    for check in workload.status.admission_checks:
        for update in check.pod_set_updates:
            if update.name == pod_set:
                more = PodSetInfo(pod_set, 1, annotations=update.annotations, node_selector=update.node_selector)
                try:
                    both = merged(both, more)
                except PodSetConflict:
                    return None
    left = [{"name": name} for name in pods.gate_names(pod) if name != SchedulingGate.ELASTIC_JOB]
    body: dict[str, Any] = {"spec": {"schedulingGates": left or None}}
    if both.node_selector != own.node_selector:
        body["spec"]["nodeSelector"] = dict(both.node_selector)
    if both.annotations != own.annotations:
        body["metadata"] = {"annotations": dict(both.annotations)}
    return body
