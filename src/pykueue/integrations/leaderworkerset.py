"""LeaderWorkerSet: one Workload per group, so that a group is admitted as a whole or not at all.

    apiVersion: leaderworkerset.x-k8s.io/v1
    kind: LeaderWorkerSet
    metadata: {name: lws, labels: {kueue.x-k8s.io/queue-name: user-queue}}
    spec: {replicas: 2, leaderWorkerTemplate: {size: 3, workerTemplate: {...}}}

makes the Workloads `leaderworkerset-lws-0-<hash>` and `leaderworkerset-lws-1-<hash>`, of three pods each.

Source: leaderworkerset.md Part A.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pykueue.api import objects
from pykueue.api.constants import Annotation
from pykueue.api.kinds import LEADER_WORKER_SET
from pykueue.api.objects import Obj
from pykueue.core.features import Features, Gate
from pykueue.integrations.base import (
    AdmissionUnit,
    Count,
    GatedPods,
    Place,
    PodSetOwner,
    Template,
    ordinal,
    queue_marks,
)
from pykueue.integrations.podsets import PodSetWire, make_pod_set, without_prefixed_metadata
from pykueue.integrations.settings import JobSettings

PREFIX = "leaderworkerset.sigs.k8s.io"
SET_NAME_LABEL = f"{PREFIX}/name"
GROUP_INDEX_LABEL = f"{PREFIX}/group-index"
WORKER_INDEX_LABEL = f"{PREFIX}/worker-index"
LEADER_NAME_ANNOTATION = f"{PREFIX}/leader-name"

LEADER = Template("spec.leaderWorkerTemplate.leaderTemplate")
WORKER = Template("spec.leaderWorkerTemplate.workerTemplate", pod_index_label=WORKER_INDEX_LABEL)
SIZE = Count("spec.leaderWorkerTemplate.size")


class LeaderWorkerSet(PodSetOwner):
    """Groups of a leader and its workers."""

    name = "leaderworkerset.x-k8s.io/leaderworkerset"
    kind = LEADER_WORKER_SET
    short_names = ("lws",)
    hold = GatedPods(set_label=SET_NAME_LABEL)
    templates = (LEADER, WORKER)

    def units(self, obj: Obj, settings: JobSettings) -> Sequence[AdmissionUnit]:
        """One per group; while a rollout surges, the extra groups as well."""
        wanted = self.replicas.of(obj)
        present = int(objects.get_path(obj, "status", "replicas") or 0)
        if present > wanted and _is_surging(obj, wanted):
            wanted = present
        return [self.unit_at(obj, i, settings) for i in range(wanted)]

    def pod_sets(self, obj: Obj, features: Features) -> Sequence[PodSetWire]:
        """`main`, or with a leader template `leader` and `worker`."""
        size = SIZE.of(obj)
        if LEADER.of(obj) is None:
            return [_pod_set("main", obj, WORKER, size, features)]
        return [
            _pod_set("leader", obj, LEADER, 1, features),
            _pod_set("worker", obj, WORKER, size - 1, features),
        ]

    def template_marks(self, obj: Obj, template: Template, features: Features) -> tuple[dict[str, str], dict[str, str]]:
        """The queue's labels; annotations that make the pods members of serving groups."""
        marks = {
            Annotation.POD_SUSPENDING_PARENT.value: self.name,
            Annotation.POD_GROUP_SERVING.value: "true",
        }
        # Workers are counted from 1 where the leader is a pod set of its own; in one group the placement knows that by itself.
        is_grouped = Annotation.POD_SET_GROUP_NAME in template.annotations_of(obj)
        has_leader = LEADER.of(obj) is not None
        if template is WORKER and has_leader and not is_grouped and features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
            marks[Annotation.POD_INDEX_OFFSET.value] = "1"
        return queue_marks(obj), marks

    def unit_of_pod(self, obj: Obj, pod: Obj, settings: JobSettings) -> AdmissionUnit | None:
        """The group, once the pod has its index."""
        index = objects.labels(pod).get(GROUP_INDEX_LABEL, "")
        return self.unit_at(obj, int(index), settings) if index.isdecimal() else None

    def unit_at(self, obj: Obj, index: int, settings: JobSettings) -> AdmissionUnit:
        """The group with this index."""
        return AdmissionUnit(self.workload_name(f"{objects.name(obj)}-{index}", obj, settings), index)

    def place_of_pod(self, obj: Obj, pod: Obj) -> Place | None:
        """A leader is called `<set>-<group>`, a worker `<leader>-<number>`; labels that say otherwise speak against it."""
        leader = objects.annotations(pod).get(LEADER_NAME_ANNOTATION)
        group = ordinal(objects.name(pod) if leader is None else leader, f"{objects.name(obj)}-")
        worker = 0 if leader is None else ordinal(objects.name(pod), f"{leader}-")
        said = objects.labels(pod).get(GROUP_INDEX_LABEL, str(group))
        if group is None or worker is None or said != str(group) or (worker == 0) != (leader is None):
            return None
        is_counted_apart = leader is not None and LEADER.of(obj) is not None
        return Place(group, worker - 1 if is_counted_apart else worker)

    def pod_annotations(self, obj: Obj, pod: Obj) -> Mapping[str, str]:
        """Size of the group, and the role: `main`, or `leader` and `worker`."""
        role = "main"
        if LEADER.of(obj) is not None:
            role = "worker" if LEADER_NAME_ANNOTATION in objects.annotations(pod) else "leader"
        return {
            Annotation.POD_GROUP_TOTAL_COUNT.value: str(SIZE.of(obj)),
            Annotation.ROLE_HASH.value: role,
        }

    def workload_annotations(self, obj: Obj, unit: AdmissionUnit) -> dict[str, str]:
        """With the index of the group."""
        index = {Annotation.COMPONENT_WORKLOAD_INDEX.value: str(unit.index)}
        return super().workload_annotations(obj, unit) | index


def _pod_set(name: str, obj: Obj, template: Template, count: int, features: Features) -> PodSetWire:
    copied = without_prefixed_metadata(template.of(obj) or {}, PREFIX, keep=(SET_NAME_LABEL,))
    return make_pod_set(name, copied, count, features, pod_index_label=template.pod_index_label)


def _is_surging(obj: Obj, wanted: int) -> bool:
    config = objects.get_path(obj, "spec", "rolloutStrategy", "rollingUpdateConfiguration") or {}
    surge = config.get("maxSurge")
    # Kueue parity: leaderworkerset.md A7.1: a percentage is not a number, hence no surge.
    if not isinstance(surge, int) or surge <= 0:
        return False
    return int(objects.get_path(obj, "status", "updatedReplicas") or 0) < wanted
