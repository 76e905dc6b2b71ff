"""The one contract of all job kinds.

The concept that unites them is the *unit of admission*: an object has one or more units, and each unit is one Workload. A batch Job has
one; a LeaderWorkerSet has one per group; a StatefulSet has one for all its pods; each pod of a Deployment is one by itself. An
integration is a declaration: what kind it is, how it is held back, where its counts and templates are, and what its units are. The
machinery (controllers/jobs, webhooks/jobs) reads declarations and knows no kind by name.

Held back are jobs in two ways: by a field of their own (`SuspendField`), or, where there is no such field, by a scheduling gate on each of their
pods (`GatedPods`).

Source: jobs.md §1, §5, leaderworkerset.md Part A.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pykueue.api import objects
from pykueue.api.constants import Annotation, Label
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.core.features import Features
from pykueue.integrations.naming import origin_uid, workload_name
from pykueue.integrations.podsets import PodSetWire
from pykueue.integrations.settings import JobSettings, priority_class, queue_name

_ORDINAL = re.compile(r"0|[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class SuspendField:
    """The job has a field that holds it back.

    Attributes:
        path: dotted, for example `spec.suspend`.
    """

    path: str


@dataclass(frozen=True, slots=True)
class GatedPods:
    """The job's pods are held back one by one, behind a scheduling gate.

    Attributes:
        set_label: label of a pod that names its set; empty where the controller reference does.
        grouped: whether the pods of a unit form a group with one Workload; else each pod is a unit of its own.
    """

    set_label: str = ""
    grouped: bool = True


Hold = SuspendField | GatedPods


@dataclass(frozen=True, slots=True)
class Count:
    """A number in the spec.

    Attributes:
        path: dotted.
        default: where it is absent.
    """

    path: str
    default: int = 1

    def of(self, obj: Obj) -> int:
        """Its value in an object."""
        found = objects.get_path(obj, *self.path.split("."))
        return self.default if found is None else int(found)


@dataclass(frozen=True, slots=True)
class Template:
    """A pod template in the spec.

    Attributes:
        path: dotted.
        pod_index_label: label of a pod that tells its rank among the template's pods; empty for none.
    """

    path: str
    pod_index_label: str = ""

    def of(self, obj: Obj) -> Obj | None:
        """The template in an object; None where there is none."""
        found = objects.get_path(obj, *self.path.split("."))
        return found if isinstance(found, Mapping) else None

    def annotations_of(self, obj: Obj) -> Mapping[str, str]:
        """The template's annotations; empty where there is no template."""
        return objects.get_path(self.of(obj) or {}, "metadata", "annotations") or {}


@dataclass(frozen=True, slots=True)
class AdmissionUnit:
    """What is admitted at once, and has one Workload.

    Attributes:
        workload: name of the Workload.
        index: position of the unit where there are several; None where there is one.
    """

    workload: str
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its set a pod stands.

    Attributes:
        unit: position of its unit; 0 where there is but one.
        rank: position among the pods of its role, from 0.
    """

    unit: int
    rank: int


class JobIntegration(abc.ABC):
    """A job kind. Subclasses declare; methods have defaults that suit most kinds."""

    name: ClassVar[str]
    """Framework name, as in the configuration."""
    kind: ClassVar[Kind]
    short_names: ClassVar[Sequence[str]] = ()
    """What `kubectl` calls the kind for short."""
    hold: ClassVar[Hold]
    templates: ClassVar[Sequence[Template]]

    def is_ours(self, obj: Obj) -> bool:
        """Whether this integration handles an object of its kind: not where another framework stands above."""
        del obj
        return True

    def is_suspended(self, obj: Obj) -> bool:
        """Whether nothing of the job runs, so that its queue may change."""
        return not objects.get_path(obj, "status", "readyReplicas")

    def units(self, obj: Obj, settings: JobSettings) -> Sequence[AdmissionUnit]:
        """The units of admission, in order."""
        return (AdmissionUnit(self.workload_name(objects.name(obj), obj, settings)),)

    @abc.abstractmethod
    def pod_sets(self, obj: Obj, features: Features) -> Sequence[PodSetWire]:
        """The pod sets of each unit, in order."""

    def template_marks(self, obj: Obj, template: Template, features: Features) -> tuple[dict[str, str], dict[str, str]]:
        """Labels and annotations that the webhook puts into a pod template of a managed object."""
        del obj, template, features
        return {}, {Annotation.POD_SUSPENDING_PARENT.value: self.name}

    def workload_name(self, unit_name: str, obj: Obj, settings: JobSettings) -> str:
        """The name of the Workload of a unit."""
        kind = self.kind
        return workload_name(kind.kind, kind.group, unit_name, origin_uid(obj), short=settings.has_short_names())


class PodSetOwner(JobIntegration):
    """A kind whose pods are made by others, are marked with its name, and are grouped into units here."""

    replicas: ClassVar[Count] = Count("spec.replicas")
    hold: ClassVar[GatedPods]
    on_hold_at_zero: ClassVar[bool] = False
    """Whether the Workload of a set without replicas stays, on hold; else it goes."""

    def set_of_pod(self, pod: Obj) -> str:
        """Name of the object that a pod belongs to; empty if it is none of this kind's."""
        if objects.annotations(pod).get(Annotation.POD_SUSPENDING_PARENT) != self.name:
            return ""
        if self.hold.set_label:
            return objects.labels(pod).get(self.hold.set_label, "")
        owner = objects.controller_of(pod)
        return owner.name if owner is not None and self.kind.is_kind_of(owner) else ""

    def unit_of_pod(self, obj: Obj, pod: Obj, settings: JobSettings) -> AdmissionUnit | None:
        """The unit that a pod belongs to; None while the pod does not tell yet."""
        del pod
        return self.units(obj, settings)[0]

    def unit_at(self, obj: Obj, index: int, settings: JobSettings) -> AdmissionUnit:
        """The unit at a position, whether or not the set has that many now."""
        del index
        return self.units(obj, settings)[0]

    @abc.abstractmethod
    def place_of_pod(self, obj: Obj, pod: Obj) -> Place | None:
        """The place that a pod's name gives it, so that no two pods have the same; None if the name gives none."""

    @abc.abstractmethod
    def pod_annotations(self, obj: Obj, pod: Obj) -> Mapping[str, str]:
        """What a member of a group says of itself: the group's size, the pod's role."""

    def legacy_workload_name(self, obj: Obj) -> str:
        """The name that a former version gave to the Workload; empty if it was always the same."""
        del obj
        return ""

    def workload_annotations(self, obj: Obj, unit: AdmissionUnit) -> dict[str, str]:
        """Annotations of a unit's Workload."""
        del unit
        return {
            Annotation.IS_GROUP_WORKLOAD.value: "true",
            Annotation.JOB_OWNER_GVK.value: self.kind.gvk,
            Annotation.JOB_OWNER_NAME.value: objects.name(obj),
        }


def ordinal(text: str, prefix: str) -> int | None:
    """The number that ends a name after this prefix; None if the name is another, or writes the number another way."""
    found = _ORDINAL.fullmatch(text.removeprefix(prefix)) if text.startswith(prefix) else None
    return int(found[0]) if found else None


def queue_marks(obj: Obj) -> dict[str, str]:
    """The labels that a pod template inherits from its job: queue and priority class, where they are set."""
    labels = {Label.QUEUE_NAME.value: queue_name(obj), Label.PRIORITY_CLASS.value: priority_class(obj)}
    return {key: value for key, value in labels.items() if value}


def with_marks(obj: Obj, path: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Obj:
    """The object with labels and annotations added to the pod template at a path; itself if they are there already."""
    template = objects.get_path(obj, *path.split(".")) or {}
    meta = template.get("metadata") or {}
    wanted = {
        key: {**(meta.get(key) or {}), **marks}
        for key, marks in (("labels", labels), ("annotations", annotations))
        if any((meta.get(key) or {}).get(k) != v for k, v in marks.items())
    }
    if not wanted:
        return obj
    return with_path(obj, path, {**template, "metadata": {**meta, **wanted}})


def with_path(obj: Obj, path: str, value: Any) -> dict[str, Any]:
    """The object with another value at a dotted path; a value of None takes the field away."""
    step, _, rest = path.partition(".")
    changed = {**obj, step: with_path(obj.get(step) or {}, rest, value) if rest else value}
    return {key: held for key, held in changed.items() if key != step or held is not None}
