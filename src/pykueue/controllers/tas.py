"""The topology ungater: pods of admitted Workloads are let go one domain at a time.

A key is a Workload. Its pods are known by the annotation `kueue.x-k8s.io/workload` and the label `kueue.x-k8s.io/podset`, which they got when
they were started; they wait behind the gate `kueue.x-k8s.io/topology`. What is decided by `core/tas/ungate.py` becomes one patch per pod: the
gate off, the domain's level values into the node selector.

The pods of an elastic job outlive the slice that started them: the slice that is admitted now looks after all pods of its chain, once the gate
of elastic jobs is off (`jobs/slice_pods.py`).

Source: tas.md §11.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pykueue.api import objects
from pykueue.api.commands import Command
from pykueue.api.constants import Annotation, Label, SchedulingGate, WorkloadCondition
from pykueue.api.conversion.topology import decode_domains
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import PodSet, PodSetAssignment, Workload
from pykueue.controllers.jobs.pod_commands import patch, together
from pykueue.controllers.jobs.slice_pods import BY_CHAIN, chain_of
from pykueue.core.tas.nodes import Path
from pykueue.core.tas.ungate import Member, Ranking, ungate
from pykueue.core.workload.lifecycle import is_finished
from pykueue.integrations.pod import gate_names, is_terminated
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

BY_WORKLOAD = "topologyWorkload"
BATCH_US = 200_000
"""Pods of a Workload appear together; letting them go together costs one pass."""


class TopologyUngater:
    """From assignments to node selectors."""

    name = "topology_ungater"

    def watches(self) -> Sequence[Watch]:
        """Pods that name a Workload, and Workloads."""
        return (Watch(POD, of_pod, BATCH_US), Watch(WORKLOAD, _of_workload, BATCH_US))

    def indexes(self) -> Sequence[Index]:
        """Pods by Workload; those of elastic jobs, and their slices, by chain."""
        return pod_indexes()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over the pods of a Workload."""
        del now
        found = reader.get(WORKLOAD, key.namespace, key.name)
        workload = reader.typed(Workload, found) if found is not None else None
        if workload is None or not workload.is_true(WorkloadCondition.ADMITTED) or is_finished(workload):
            return DONE
        if workload.status.admission is None or workload.is_true(WorkloadCondition.EVICTED):
            return DONE
        pods = [p for p in pods_of(reader, workload) if not is_terminated(p) and not _is_beyond_grant(p)]
        commands: list[Command] = []
        faults: list[str] = []
        for given in workload.status.admission.pod_set_assignments:
            mine = [pod for pod in pods if objects.labels(pod).get(Label.POD_SET) == given.name]
            if given.topology_assignment is None or not any(map(_waits, mine)):
                continue
            try:
                commands += _let_go(workload, given, mine)
            except ValueError as fault:
                faults.append(str(fault))
        return Result(together(commands), error="; ".join(faults))


def _let_go(workload: Workload, given: PodSetAssignment, pods: Sequence[Obj]) -> Iterable[Command]:
    """Patches of the pods of one pod set that have a place now.

    Raises:
        ValueError: an offset annotation is no number.
    """
    assert given.topology_assignment is not None
    pod_set = next((ps for ps in workload.spec.pod_sets if ps.name == given.name), None)
    if pod_set is None:
        return ()
    levels = given.topology_assignment.levels
    domains = decode_domains(msgspec.to_builtins(given.topology_assignment))
    unhealthy = [node.name for node in workload.status.unhealthy_nodes]
    members = [_member(pod, pod_set, levels) for pod in pods]
    places = ungate(domains, members, _ranking(workload, pod_set, given), unhealthy)
    return [
        _placed(pod, dict(zip(levels, places[name], strict=True))) for pod in pods if (name := _name(pod)) in places
    ]


def _member(pod: Obj, pod_set: PodSet, levels: Sequence[str]) -> Member:
    request, labels = pod_set.topology_request, objects.labels(pod)
    selector = objects.get_path(pod, "spec", "nodeSelector") or {}
    place: Path | None = None if _waits(pod) else tuple(selector.get(level, "") for level in levels)
    offset = objects.annotations(pod).get(Annotation.POD_INDEX_OFFSET)
    if offset is not None and not offset.isdecimal():
        where = f"metadata.annotations[{Annotation.POD_INDEX_OFFSET.value}]"
        raise ValueError(f'pod {objects.key(pod)}: {where} is "{offset}", but must be a number of at least 0')
    return Member(
        objects.name(pod),
        place,
        index=_number(labels.get(request.pod_index_label or "") if request is not None else None),
        sub_index=_number(labels.get(request.sub_group_index_label or "") if request is not None else None),
        offset=int(offset) if offset is not None else None,
    )


def _ranking(workload: Workload, pod_set: PodSet, given: PodSetAssignment) -> Ranking | None:
    request = pod_set.topology_request
    if request is None or not request.pod_index_label:
        return None
    group = request.pod_set_group_name
    others = [
        other.count
        for other in workload.spec.pod_sets
        if group and other.name != pod_set.name and other.topology_request is not None
        if other.topology_request.pod_set_group_name == group
    ]
    count = given.count if given.count is not None else pod_set.count
    return Ranking(
        count=count,
        group_offset=sum(n for n in others if n < count),
        has_sub_groups=bool(request.sub_group_index_label),
        sub_group_count=request.sub_group_count or 0,
    )


def _placed(pod: Obj, selector: dict[str, str]) -> Command:
    left: list[dict[str, Any]] = [{"name": gate} for gate in gate_names(pod) if gate != SchedulingGate.TOPOLOGY]
    return patch(pod, {"spec": {"schedulingGates": left or None, "nodeSelector": selector}})


def _name(pod: Obj) -> str:
    return objects.name(pod)


def _waits(pod: Obj) -> bool:
    return SchedulingGate.TOPOLOGY in gate_names(pod)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _is_beyond_grant(pod: Obj) -> bool:
    return SchedulingGate.ELASTIC_JOB in gate_names(pod)


def pod_indexes() -> tuple[Index, ...]:
    """What `pods_of` and `of_pod` look up."""
    return (Index(POD, BY_WORKLOAD, workload_of), Index(POD, BY_CHAIN, chain_of), Index(WORKLOAD, BY_CHAIN, chain_of))


def pods_of(reader: Reader, workload: Workload) -> Iterable[Obj]:
    """The started pods that a Workload looks after: its own, or those of all slices of its chain."""
    chain = workload.metadata.annotations.get(Annotation.WORKLOAD_SLICE_NAME)
    if chain is None:
        return reader.by_index(POD, BY_WORKLOAD, str(workload.key))
    return reader.by_index(POD, BY_CHAIN, f"{workload.metadata.namespace}/{chain}")


def workload_of(pod: Obj) -> Iterable[str]:
    """The Workload that a started pod belongs to, as `namespace/name`."""
    name = objects.annotations(pod).get(Annotation.WORKLOAD)
    return (f"{objects.namespace(pod)}/{name}",) if name and Label.POD_SET in objects.labels(pod) else ()


def of_pod(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """The Workloads to look at when a pod changed."""
    name = objects.annotations(event.new).get(Annotation.WORKLOAD)
    if not name:
        return ()
    slices = [objects.key(w) for chain in chain_of(event.new) for w in reader.by_index(WORKLOAD, BY_CHAIN, chain)]
    return dict.fromkeys((ObjectKey(objects.namespace(event.new), name), *slices))


def _of_workload(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    del reader
    given = objects.get_path(event.new, "status", "admission", "podSetAssignments") or ()
    return (objects.key(event.new),) if any("topologyAssignment" in a for a in given) else ()
