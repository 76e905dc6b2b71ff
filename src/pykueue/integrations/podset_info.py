"""What admission adds to pods: selectors, tolerations, labels, annotations and gates of the flavors and checks that were granted.

The same facts go into a job's template (suspended jobs) or into each pod (gated pods). A value that is set differently already is a
conflict: it is permanent, and the Workload ends with it.

Source: jobs.md §10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.api import objects
from pykueue.api.constants import Annotation, Label, SchedulingGate
from pykueue.api.fields import is_dns1123_label
from pykueue.api.kinds import RESOURCE_FLAVOR
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import PodSetAssignment, ResourceFlavor, TopologyRequest, Workload
from pykueue.core.features import Features, Gate
from pykueue.ports.reader import Reader


class PodSetConflict(ValueError):
    """Two sources want different values for one key: retrying does not help."""


class FlavorMissing(LookupError):
    """A ResourceFlavor that an admission names is not there."""


@dataclass(frozen=True, slots=True)
class PodSetInfo:
    """What the pods of one pod set get."""

    name: str
    count: int
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    scheduling_gates: Sequence[str] = ()


def pod_set_infos(workload: Workload, reader: Reader, features: Features) -> tuple[PodSetInfo, ...]:
    """What each pod set of an admitted Workload gets, in the order of its assignments.

    Raises:
        PodSetConflict: flavors and checks contradict each other.
        FlavorMissing: a flavor does not exist (any more); worth a retry.
    """
    admission = workload.status.admission
    if admission is None:
        return ()
    common = _common_labels(workload, admission.cluster_queue, features)
    infos = []
    for assignment in admission.pod_set_assignments:
        info = _from_assignment(workload, assignment, common, reader, features)
        for check in workload.status.admission_checks:
            update = next((u for u in check.pod_set_updates if u.name == info.name), None)
            if update is not None:
                more = PodSetInfo(
                    info.name, info.count, update.labels, update.annotations, update.node_selector, update.tolerations
                )
                try:
                    info = merged(info, more)
                except PodSetConflict as conflict:
                    raise PodSetConflict(f'in admission check "{check.name}": {conflict}') from conflict
        infos.append(info)
    return tuple(infos)


def merged(info: PodSetInfo, more: PodSetInfo) -> PodSetInfo:
    """Both together; tolerations and gates are not repeated.

    Raises:
        PodSetConflict: a key has different values.
    """
    return PodSetInfo(
        info.name,
        info.count,
        _merge("labels", info.labels, more.labels),
        _merge("annotations", info.annotations, more.annotations),
        _merge("nodeSelector", info.node_selector, more.node_selector),
        with_new(info.tolerations, more.tolerations),
        tuple(dict.fromkeys((*info.scheduling_gates, *more.scheduling_gates))),
    )


def with_new(present: Iterable[Any], more: Iterable[Any]) -> list[Any]:
    """The list with what is not in it yet."""
    result = list(present)
    for item in more:
        if item not in result:
            result.append(item)
    return result


def info_of(infos: Sequence[PodSetInfo], role: str) -> PodSetInfo:
    """What the pods of a role get.

    Raises:
        PodSetConflict: there is no such pod set.
    """
    for info in infos:
        if info.name == role:
            return info
    raise PodSetConflict(f'the workload has no pod set "{role}"')


def with_patch(pod: Obj, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The pod as it is once the patch of `started_pod` is applied to it."""
    meta, spec = objects.metadata(pod), {**(pod.get("spec") or {})}
    told = {key: {**(meta.get(key) or {}), **values} for key, values in (patch.get("metadata") or {}).items()}
    for key, value in patch["spec"].items():
        spec[key] = {**(spec.get(key) or {}), **value} if isinstance(value, Mapping) else value
    return {
        **objects.with_metadata(pod, **told),
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def started_pod(pod: Obj, info: PodSetInfo) -> dict[str, Any]:
    """The merge patch that starts a gated pod: what admission adds, and the gates that are left.

    Raises:
        PodSetConflict: the pod has another value already.
    """
    meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    own = PodSetInfo(
        info.name,
        1,
        meta.get("labels") or {},
        meta.get("annotations") or {},
        spec.get("nodeSelector") or {},
        spec.get("tolerations") or (),
    )
    both = merged(own, info)
    present = [gate.get("name") for gate in spec.get("schedulingGates") or ()]
    left = [g for g in present if g not in (SchedulingGate.ADMISSION, SchedulingGate.TOPOLOGY)]
    left += [g for g in info.scheduling_gates if g in present]
    patch_spec: dict[str, Any] = {"schedulingGates": [{"name": gate} for gate in left] or None}
    if both.node_selector != own.node_selector:
        patch_spec["nodeSelector"] = dict(info.node_selector)
    if list(both.tolerations) != list(own.tolerations):
        patch_spec["tolerations"] = list(both.tolerations)
    patch_meta: dict[str, Any] = {}
    if both.labels != own.labels:
        patch_meta["labels"] = dict(info.labels)
    if both.annotations != own.annotations:
        patch_meta["annotations"] = dict(info.annotations)
    return {"metadata": patch_meta, "spec": patch_spec} if patch_meta else {"spec": patch_spec}


def _merge(what: str, present: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    for key in sorted(more):
        if key in present and present[key] != more[key]:
            raise PodSetConflict(
                f"invalid admission check PodSetUpdate: conflict for {what}: "
                f"conflict for key={key}, value1={present[key]}, value2={more[key]}"
            )
    return {**present, **more}


def _common_labels(workload: Workload, cluster_queue: str, features: Features) -> dict[str, str]:
    labels: dict[str, str] = {}
    if Label.MULTIKUEUE_ORIGIN in workload.metadata.labels:
        labels[Label.MULTIKUEUE_WORKER_WORKLOAD_POD.value] = "true"
    if features[Gate.ASSIGN_QUEUE_LABELS_FOR_PODS]:
        if workload.spec.queue_name:
            labels[Label.LOCAL_QUEUE_NAME.value] = workload.spec.queue_name
        if is_dns1123_label(cluster_queue):
            labels[Label.CLUSTER_QUEUE_NAME.value] = cluster_queue
    return labels


def _from_assignment(
    workload: Workload, assignment: PodSetAssignment, common: Mapping[str, str], reader: Reader, features: Features
) -> PodSetInfo:
    pod_set = next((p for p in workload.spec.pod_sets if p.name == assignment.name), None)
    default_count = pod_set.count if pod_set else 0
    selector: dict[str, str] = {}
    tolerations: list[Mapping[str, Any]] = []
    for name in dict.fromkeys(assignment.flavors[resource] for resource in sorted(assignment.flavors)):
        found = reader.get(RESOURCE_FLAVOR, "", name)
        if found is None:
            raise FlavorMissing(f'resourceflavors.kueue.x-k8s.io "{name}" not found')
        flavor = reader.typed(ResourceFlavor, found).spec
        selector |= flavor.node_labels
        tolerations = with_new(tolerations, flavor.tolerations)
    annotations: dict[str, str] = {}
    gates: list[str] = []
    if features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
        annotations[Annotation.WORKLOAD.value] = workload.name
        if assignment.topology_assignment is not None or assignment.delayed_topology_request is not None:
            gates.append(SchedulingGate.TOPOLOGY.value)
            if not _is_explicit(pod_set.topology_request if pod_set else None):
                annotations[Annotation.POD_SET_UNCONSTRAINED_TOPOLOGY.value] = "true"
    labels = {**common, Label.POD_SET.value: assignment.name}
    count = assignment.count if assignment.count is not None else default_count
    return PodSetInfo(assignment.name, count, labels, annotations, selector, tolerations, gates)


def _is_explicit(request: TopologyRequest | None) -> bool:
    return request is not None and any(
        (
            request.required,
            request.preferred,
            request.unconstrained is not None,
            request.pod_set_slice_required_topology,
            request.podset_slice_required_topology_constraints,
        )
    )
