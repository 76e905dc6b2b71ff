"""The contract of job kinds that are held back by a field of their own: batch Job, JobSet, the training jobs.

Such a job is one unit of admission. It is created suspended; when its Workload is admitted, what the flavors ask for goes into its templates
and the field is cleared, in one write; when it loses its quota it is suspended and its templates become again what they were. An integration
tells how the object looks in each of these states, as a whole; the machinery (controllers/jobs/suspended.py) writes the difference and
knows no kind by name.

Source: jobs.md §7, §10, §11, §17.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from pykueue.api import objects
from pykueue.api.constants import Annotation, SchedulingGate
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import PodSet
from pykueue.integrations.base import JobIntegration, SuspendField, Template, with_path
from pykueue.integrations.podset_info import PodSetConflict, PodSetInfo, merged

_SLICE_MARKS = (Annotation.WORKLOAD, Annotation.WORKLOAD_SLICE_NAME)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended."""

    is_success: bool
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, in terms that all kinds share.

    Attributes:
        is_active: something of it may still run, so its quota is in use.
        has_pods_ready: all its pods are ready or have succeeded.
        reclaimable: pods that will not run again, by name of the pod set.
        ended: None while it is not over.
    """

    is_active: bool
    has_pods_ready: bool
    reclaimable: Mapping[str, int] = field(default_factory=dict)
    ended: Ended | None = None


class SuspendedJob(JobIntegration):
    """A kind with a field that holds it back. Subclasses declare the field, the templates, `pod_sets` and `progress`."""

    hold: ClassVar[SuspendField]
    halts_first: ClassVar[bool] = False
    """Whether templates may only be restored by another write than the one that suspends."""
    managed_by: ClassVar[str] = ""
    """Path of the field that names the controller of the job; empty where the kind has none."""
    native_controller: ClassVar[str] = ""
    """The value of that field that means the kind's own controller."""
    kept_labels: ClassVar[Sequence[str]] = ()
    """Labels of a template that belong to the kind's own controller: left alone on restore, whatever the pod set says."""

    @abc.abstractmethod
    def progress(self, obj: Obj) -> Progress:
        """How far the job is."""

    def is_suspended(self, obj: Obj) -> bool:
        """Whether the job is held back."""
        return bool(objects.get_path(obj, *self.hold.path.split(".")))

    def held(self, obj: Obj) -> Obj:
        """The object, suspended, and otherwise as it is."""
        return with_path(obj, self.hold.path, value=True)

    def gated(self, obj: Obj) -> Obj:
        """The object, with the gate of elastic jobs in its templates: their pods are let go one by one."""
        for template in self._present(obj):
            spec = objects.get_path(template.of(obj) or {}, "spec") or {}
            names = [str(gate.get("name")) for gate in spec.get("schedulingGates") or ()]
            gates = [{"name": name} for name in dict.fromkeys((*names, SchedulingGate.ELASTIC_JOB.value))]
            obj = with_path(obj, f"{template.path}.spec.schedulingGates", gates)
        return obj

    def halted(self, obj: Obj) -> Obj:
        """The object after the first write of a stop; only where `halts_first`."""
        return self.held(obj)

    def stale_status(self, obj: Obj) -> Mapping[str, Any]:
        """What is cleared in the status between the writes of a stop, as a merge patch; only where `halts_first`."""
        del obj
        return {}

    def restored(self, obj: Obj, pod_sets: Sequence[PodSet]) -> Obj:
        """The object, suspended, with the templates that its Workload was made from.

        Args:
            obj: as it runs, or as `halted` left it.
            pod_sets: of the Workload; the templates stay as they are where their numbers differ.
        """
        held = self.held(obj)
        present = self._present(held)
        if len(present) != len(pod_sets):
            return held
        for template, pod_set in zip(present, pod_sets, strict=True):
            restored = restored_template(template.of(held) or {}, pod_set.template, self.kept_labels)
            held = with_path(held, template.path, restored)
        return held

    def started(self, obj: Obj, infos: Sequence[PodSetInfo]) -> Obj:
        """The object, running, with what it was granted.

        Raises:
            PodSetConflict: the numbers differ, or a template has another value already.
        """
        present = self._present(obj)
        if len(present) != len(infos):
            raise PodSetConflict(f"invalid podset infos: expecting {len(present)} podset, got {len(infos)}")
        running: Obj = with_path(obj, self.hold.path, value=False)
        for template, info in zip(present, infos, strict=True):
            running = with_path(running, template.path, injected_template(template.of(running) or {}, info))
        return running

    def _present(self, obj: Obj) -> Sequence[Template]:
        return [template for template in self.templates if template.of(obj) is not None]


def injected_template(template: Obj, info: PodSetInfo) -> Obj:
    """A pod template with what its pod set was granted.

    Raises:
        PodSetConflict: a key has another value already.
    """
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    gates = [str(gate.get("name")) for gate in spec.get("schedulingGates") or ()]
    annotations = meta.get("annotations") or {}
    if Annotation.WORKLOAD_SLICE_NAME in info.annotations:
        # Kueue parity: jobs.md §10: an elastic job may carry the marks of a former slice.
        annotations = {key: value for key, value in annotations.items() if key not in _SLICE_MARKS}
    own = PodSetInfo(
        info.name,
        info.count,
        meta.get("labels") or {},
        annotations,
        spec.get("nodeSelector") or {},
        spec.get("tolerations") or (),
        gates,
    )
    both = merged(own, info)
    return _with_values(
        template,
        {"labels": both.labels, "annotations": both.annotations},
        {
            "nodeSelector": both.node_selector,
            "tolerations": list(both.tolerations),
            "schedulingGates": [{"name": gate} for gate in both.scheduling_gates],
        },
    )


def with_slice_name(info: PodSetInfo, name: str) -> PodSetInfo:
    """What the pods of an elastic job get: also the name of its chain of slices."""
    return replace(info, annotations={**info.annotations, Annotation.WORKLOAD_SLICE_NAME.value: name})


def restored_template(template: Obj, original: Obj, kept_labels: Sequence[str]) -> Obj:
    """A pod template with the values that admission changes put back.

    Args:
        template: as it is.
        original: the one of the Workload's pod set.
        kept_labels: labels of `template` that stay.
    """
    meta, spec = original.get("metadata") or {}, original.get("spec") or {}
    present = objects.get_path(template, "metadata", "labels") or {}
    kept = {key: present[key] for key in kept_labels if key in present}
    return _with_values(
        template,
        {"labels": {**(meta.get("labels") or {}), **kept}, "annotations": meta.get("annotations")},
        {key: spec.get(key) for key in ("nodeSelector", "tolerations", "schedulingGates")},
    )


def _with_values(template: Obj, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The template with these values; what is empty is left out."""
    result = dict(template)
    for key, values in (("metadata", metadata), ("spec", spec)):
        both = {**(template.get(key) or {}), **values}
        result[key] = {name: value for name, value in both.items() if value or name not in values}
    return result
