"""StatefulSet: one Workload for all its pods.

It cannot be resized while it runs, but to nothing and back: its Workload then waits on hold.

Source: jobs.md §19.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pykueue.api import objects
from pykueue.api.constants import Annotation
from pykueue.api.kinds import STATEFUL_SET
from pykueue.api.objects import Obj
from pykueue.core.features import Features
from pykueue.integrations.base import GatedPods, Place, PodSetOwner, Template, ordinal
from pykueue.integrations.naming import workload_name
from pykueue.integrations.podsets import PodSetWire, make_pod_set

POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"
TEMPLATE = Template("spec.template", pod_index_label=POD_INDEX_LABEL)


class StatefulSet(PodSetOwner):
    """A set of numbered pods that are admitted together."""

    name = "statefulset"
    kind = STATEFUL_SET
    short_names = ("sts",)
    hold = GatedPods()
    templates = (TEMPLATE,)
    on_hold_at_zero = True

    def is_ours(self, obj: Obj) -> bool:
        """Not where the template says that another framework holds the pods."""
        return TEMPLATE.annotations_of(obj).get(Annotation.POD_SUSPENDING_PARENT, self.name) == self.name

    def pod_sets(self, obj: Obj, features: Features) -> Sequence[PodSetWire]:
        """`main`, with all replicas."""
        template = TEMPLATE.of(obj) or {}
        pod_set = make_pod_set(
            "main", template, self.replicas.of(obj), features, pod_index_label=TEMPLATE.pod_index_label
        )
        # Kueue parity: jobs.md §19: the template's metadata is not copied.
        return [pod_set | {"template": {"spec": pod_set["template"]["spec"]}}]

    def place_of_pod(self, obj: Obj, pod: Obj) -> Place | None:
        """The number at the end of its name, counted from where the set begins."""
        number = ordinal(objects.name(pod), f"{objects.name(obj)}-")
        first = int(objects.get_path(obj, "spec", "ordinals", "start") or 0)
        return Place(0, number - first) if number is not None and number >= first else None

    def pod_annotations(self, obj: Obj, pod: Obj) -> Mapping[str, str]:
        """A serving group that is admitted before all of its pods exist."""
        del pod
        return {
            Annotation.POD_GROUP_TOTAL_COUNT.value: str(self.replicas.of(obj)),
            Annotation.POD_GROUP_FAST_ADMISSION.value: "true",
            Annotation.POD_GROUP_SERVING.value: "true",
            Annotation.POD_GROUP_POD_INDEX_LABEL.value: POD_INDEX_LABEL,
            Annotation.ROLE_HASH.value: "main",
        }

    def legacy_workload_name(self, obj: Obj) -> str:
        """The name that former versions gave, without the UID."""
        return workload_name(self.kind.kind, self.kind.group, objects.name(obj), "")
