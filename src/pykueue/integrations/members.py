"""Pods of sets as members of their unit of admission: what such a pod is told, and whether it may start at once.

A pod of a set is held by a gate until its unit's Workload is admitted. Where that is so already when the pod is made (most pods of a burst, every pod that
replaces another), the gate would hold nothing: the pod is then made without it, with all that marking and starting it would write. Two
callers ask here, the webhook of pods (`webhooks/jobs/pod.py`) and the reconciler of pods that came gated (`controllers/jobs/set_pods.py`), so
that a pod is the same whichever way it started.

What must hold: pods start only if the unit as a whole is admitted, and never more of them than were admitted. The first is read off
the Workload. The second is counted over the pods that are there; pods that are made at the same moment do not see each other, so
besides the webhook only starts a pod whose *name* says which place in the unit is its own, and a name is there once.

Source: leaderworkerset.md A7.2, A8, A9, jobs.md §19.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.constants import MULTIKUEUE_CONTROLLER, Annotation, Label, WorkloadCondition
from pykueue.api.kinds import ADMISSION_CHECK, POD, STATEFUL_SET, WORKLOAD
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features, Gate
from pykueue.integrations import pod as pods
from pykueue.integrations.base import AdmissionUnit, PodSetOwner
from pykueue.integrations.identity import group_identity, pod_group_name
from pykueue.integrations.podset_info import (
    FlavorMissing,
    PodSetConflict,
    PodSetInfo,
    info_of,
    pod_set_infos,
    started_pod,
    with_patch,
)
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import Index

BY_GROUP = "podGroup"


@dataclass(frozen=True, slots=True)
class Membership:
    """What a pod is told of the group it belongs to.

    Attributes:
        workload: name of the group's Workload.
        role: its pod set.
        labels: to be set.
        annotations: to be set.
    """

    workload: str
    role: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def told(self, pod: Obj) -> dict[str, Any]:
        """The pod with all of it."""
        return objects.with_metadata(
            pod,
            labels={**objects.labels(pod), **self.labels},
            annotations={**objects.annotations(pod), **self.annotations},
        )


def group_index(features: Features) -> Index:
    """Pods by `namespace/group`."""

    def values(pod: Obj) -> Iterable[str]:
        name = pod_group_name(pod, features)
        return (f"{objects.namespace(pod)}/{name}",) if name else ()

    return Index(POD, BY_GROUP, values)


def membership(
    integration: PodSetOwner, obj: Obj, pod: Obj, unit: AdmissionUnit, reader: Reader, settings: JobSettings
) -> Membership:
    """What a pod of a unit is told; the queue only while the pod is gated, for then it may still change."""
    name = unit_workload_name(integration, obj, unit, reader)
    labels, annotations = group_identity(name, settings.features)
    labels = {**labels, Label.MANAGED.value: "true"}
    if (queue := queue_name(obj)) and pods.is_gated(pod):
        labels[Label.QUEUE_NAME.value] = queue
    annotations = {**annotations, **integration.pod_annotations(obj, pod)}
    return Membership(name, annotations[Annotation.ROLE_HASH], labels, annotations)


def admission_of(pod: Obj, member: Membership, reader: Reader, settings: JobSettings) -> PodSetInfo | None:
    """What a gated pod gets from its admitted group; None while the group does not let it start.

    Args:
        pod: not in the cache, or not yet marked there.
        member: what it is told.
        reader: the cache, with the index of pods by group.
        settings: the gates.

    Raises:
        FlavorMissing: a flavor that was granted does not exist.
        PodSetConflict: flavors and checks contradict each other, or the group has no such pod set.
    """
    namespace = objects.namespace(pod)
    found = reader.get(WORKLOAD, namespace, member.workload)
    if found is None or not pods.is_serving(member.told(pod)):
        return None
    workload = reader.typed(Workload, found)
    if not is_startable(workload, reader):
        return None
    present = reader.by_index(POD, BY_GROUP, f"{namespace}/{member.workload}")
    roles = [pods.role_of(other) for other in present if pods.is_runnable(other)]
    if not fits_pod_sets([*roles, member.role], workload):
        return None
    return info_of(pod_set_infos(workload, reader, settings.features), member.role)


def arriving(pod: Obj, sets: Sequence[PodSetOwner], reader: Reader, settings: JobSettings) -> Obj | None:
    """A gated pod that is being made, started; None where it must wait behind its gates as it is.

    In any doubt it waits: the reconcilers know more, and soon.

    Args:
        pod: with its gates and namespace, not stored yet.
        sets: the kinds that it may be of.
        reader: the cache.
        settings: the configuration.
    """
    if not settings.features[Gate.PYKUEUE_START_ADMITTED_PODS] or Label.MANAGED in objects.labels(pod):
        return None
    integration = owner_kind_of(pod, sets)
    if integration is None or not settings.is_enabled(integration.name):
        return None
    namespace = objects.namespace(pod)
    obj = reader.get(integration.kind, namespace, integration.set_of_pod(pod))
    if obj is None or objects.is_deleting(obj) or not integration.is_ours(obj):
        return None
    place = integration.place_of_pod(obj, pod)
    if place is None or queue_name(pod) not in ("", queue_name(obj)) or _is_outdated(pod, reader):
        return None
    if not settings.selects_namespace(reader, namespace):
        return None
    unit = integration.unit_at(obj, place.unit, settings)
    member = membership(integration, obj, pod, unit, reader, settings)
    try:
        info = admission_of(pod, member, reader, settings)
        if info is None or place.rank >= info.count:
            return None
        told = member.told(pod)
        return with_patch(told, started_pod(told, info))
    except (FlavorMissing, PodSetConflict):
        return None


def owner_kind_of(pod: Obj, sets: Sequence[PodSetOwner]) -> PodSetOwner | None:
    """The kind of set whose mark a pod carries."""
    parent = objects.annotations(pod).get(Annotation.POD_SUSPENDING_PARENT)
    return next((one for one in sets if one.name == parent), None)


def is_startable(workload: Workload, reader: Reader) -> bool:
    """Whether pods of this Workload may run here and now."""
    if workload.is_deleting or not workload.is_true(WorkloadCondition.ADMITTED):
        return False
    if workload.is_true(WorkloadCondition.EVICTED) or workload.is_true(WorkloadCondition.FINISHED):
        return False
    return not any(_is_remote(check.name, reader) for check in workload.status.admission_checks)


def fits_pod_sets(roles: Iterable[str], workload: Workload) -> bool:
    """Whether each role is a pod set of the Workload, with at least as many pods."""
    counts: dict[str, int] = {}
    for role in roles:
        counts[role] = counts.get(role, 0) + 1
    granted = {pod_set.name: pod_set.count for pod_set in workload.spec.pod_sets}
    return all(role in granted and n <= granted[role] for role, n in counts.items())


def unit_workload_name(integration: PodSetOwner, obj: Obj, unit: AdmissionUnit, reader: Reader) -> str:
    """The name of a unit's Workload: as it is made today, or as a former version made it if that one is there."""
    legacy = integration.legacy_workload_name(obj)
    if not legacy or reader.get(WORKLOAD, objects.namespace(obj), unit.workload) is not None:
        return unit.workload
    return legacy if reader.get(WORKLOAD, objects.namespace(obj), legacy) is not None else unit.workload


def stateful_set_of(pod: Obj, reader: Reader) -> Obj | None:
    """The StatefulSet that a pod of a set was made by."""
    owner = objects.controller_of(pod)
    return reader.get(STATEFUL_SET, objects.namespace(pod), owner.name) if owner is not None else None


def is_let_go(pod: Obj, reader: Reader) -> bool:
    """Whether a set's pod stands in the way: its StatefulSet is gone, or rolls on from the revision the pod is of.

    Such a pod is not held back any more, and not stopped for lack of quota: it is replaced anyway.
    """
    return stateful_set_of(pod, reader) is None or _is_outdated(pod, reader)


def is_left_over(pod: Obj, sets: Sequence[PodSetOwner], reader: Reader) -> bool:
    """Whether a pod of a set is nobody's to hold: it was let go, or its set is gone already and the rest goes piece by piece."""
    kind = owner_kind_of(pod, sets)
    if kind is not None and reader.get(kind.kind, objects.namespace(pod), kind.set_of_pod(pod)) is None:
        return True
    return Annotation.POD_SUSPENDING_PARENT in objects.annotations(pod) and is_let_go(pod, reader)


def _is_outdated(pod: Obj, reader: Reader) -> bool:
    status = (stateful_set_of(pod, reader) or {}).get("status") or {}
    current, update = status.get("currentRevision"), status.get("updateRevision")
    return current != update and objects.labels(pod).get("controller-revision-hash") == current


def _is_remote(check: str, reader: Reader) -> bool:
    found = reader.get(ADMISSION_CHECK, "", check)
    return found is not None and objects.get_path(found, "spec", "controllerName") == MULTIKUEUE_CONTROLLER
