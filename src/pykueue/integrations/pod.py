"""Pods by themselves and pod groups: what a pod says of its group, and how it stands.

Source: jobs.md §18.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pykueue.api import objects
from pykueue.api.constants import Annotation, Label, SchedulingGate
from pykueue.api.instant import SECOND_US, Instant, parse_time
from pykueue.api.objects import Obj
from pykueue.core.features import Features
from pykueue.integrations.podsets import PodSetWire, make_pod_set

TERMINAL_PHASES = ("Succeeded", "Failed")


def gate_names(pod: Obj) -> list[str]:
    """The scheduling gates of a pod."""
    return [str(gate.get("name")) for gate in objects.get_path(pod, "spec", "schedulingGates") or ()]


def is_gated(pod: Obj) -> bool:
    """Whether the pod waits for admission."""
    return SchedulingGate.ADMISSION in gate_names(pod)


def phase(pod: Obj) -> str:
    """`status.phase`, empty before the API server has set it."""
    return str(objects.get_path(pod, "status", "phase") or "")


def is_terminated(pod: Obj) -> bool:
    """Whether the pod has run its course."""
    return phase(pod) in TERMINAL_PHASES


def is_suspended(pod: Obj) -> bool:
    """Whether nothing of the pod runs: it is gated, or over."""
    return is_terminated(pod) or is_gated(pod)


def is_managed_pod(pod: Obj) -> bool:
    """Whether the pod carries the label of managed pods."""
    return objects.labels(pod).get(Label.MANAGED) == "true"


def is_serving(pod: Obj) -> bool:
    """Whether the pod's group serves: it never ends, and its pods come and go."""
    return objects.annotations(pod).get(Annotation.POD_GROUP_SERVING) == "true"


def is_runnable(pod: Obj) -> bool:
    """Whether the pod runs or may still run: not failed, and not deleted before it had a node."""
    if phase(pod) == "Failed":
        return False
    return not (objects.is_deleting(pod) and not objects.get_path(pod, "spec", "nodeName"))


def is_ready(pod: Obj) -> bool:
    """Whether the pod's condition `Ready` is True."""
    return objects.is_condition_true(pod, "Ready")


def lost_at(pod: Obj) -> Instant | None:
    """When a deleted pod no longer counts as running, ended or not; None for a pod that is not being deleted."""
    meta = objects.metadata(pod)
    deleted = meta.get("deletionTimestamp")
    if not deleted:
        return None
    return Instant(parse_time(deleted) + int(meta.get("deletionGracePeriodSeconds") or 0) * SECOND_US)


def group_total(pod: Obj) -> int | None:
    """The number of pods that the group shall have; None if it is not said or not a number."""
    text = objects.annotations(pod).get(Annotation.POD_GROUP_TOTAL_COUNT, "")
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else None


def role_of(pod: Obj) -> str:
    """The role of a pod in its group."""
    return objects.annotations(pod).get(Annotation.ROLE_HASH, "")


def pod_pod_set(name: str, pod: Obj, count: int, features: Features) -> PodSetWire:
    """The pod set of pods like this one: of the template only the spec is kept."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    annotations = objects.annotations(pod)
    template = {"metadata": {"annotations": annotations}, "spec": spec}
    pod_set = make_pod_set(name, template, count, features, pod_index_label=Label.POD_GROUP_POD_INDEX.value)
    return pod_set | {"template": {"spec": pod_set["template"]["spec"]}}
