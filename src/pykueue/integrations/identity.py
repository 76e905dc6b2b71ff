"""Which pod group and which prebuilt Workload an object names: annotation or label, depending on a gate.

Source: jobs.md §3.
"""

from __future__ import annotations

from collections.abc import Mapping

from pykueue.api import objects
from pykueue.api.constants import Annotation, Label
from pykueue.api.objects import Obj
from pykueue.core.features import Features, Gate

_LABEL_CHARS_MAX = 63


def pod_group_name(pod: Obj, features: Features) -> str:
    """The pod group that a pod belongs to; empty for none."""
    label = objects.labels(pod).get(Label.POD_GROUP_NAME, "")
    if not features[Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS]:
        return label
    return objects.annotations(pod).get(Annotation.POD_GROUP_NAME) or label


def prebuilt_workload_name(obj: Obj, features: Features) -> str:
    """The Workload that an object says was built for it; empty for none."""
    annotation = objects.annotations(obj).get(Annotation.PREBUILT_WORKLOAD_NAME, "")
    label = objects.labels(obj).get(Label.PREBUILT_WORKLOAD_NAME, "")
    if features[Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS]:
        return annotation or label
    return label or (annotation if len(annotation) > _LABEL_CHARS_MAX else "")


def group_identity(name: str, features: Features) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Labels and annotations that make a pod a member of a group with a Workload of the same name."""
    keys = {Label.POD_GROUP_NAME.value: name, Label.PREBUILT_WORKLOAD_NAME.value: name}
    return ({}, keys) if features[Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS] else (keys, {})
