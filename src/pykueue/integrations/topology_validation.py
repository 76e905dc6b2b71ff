"""Rules of the topology annotations on pod templates.

Source: leaderworkerset.md A4.3, tas.md §2.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pykueue.api import fields
from pykueue.api.constants import Annotation
from pykueue.api.errors import FieldError
from pykueue.core.features import Features, Gate
from pykueue.integrations.podsets import LAYERS_MAX, parse_layers

_REQUIRED = Annotation.POD_SET_REQUIRED_TOPOLOGY.value
_PREFERRED = Annotation.POD_SET_PREFERRED_TOPOLOGY.value
_UNCONSTRAINED = Annotation.POD_SET_UNCONSTRAINED_TOPOLOGY.value
_SLICE_REQUIRED = Annotation.POD_SET_SLICE_REQUIRED_TOPOLOGY.value
_SLICE_SIZE = Annotation.POD_SET_SLICE_SIZE.value
_CONSTRAINTS = Annotation.POD_SET_SLICE_CONSTRAINTS.value
_GROUP = Annotation.POD_SET_GROUP_NAME.value
_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class AnnotatedPodSet:
    """A pod set before it is one: where its annotations are, what they say, how many pods it will have."""

    path: str
    """Of the annotations: `...metadata.annotations`."""
    annotations: Mapping[str, str]
    count: int


def validate_topology(pod_sets: Sequence[AnnotatedPodSet], features: Features) -> list[FieldError]:
    """Every rule, in Kueue's order: the annotations of each pod set, then the sizes, and the groups if all else is well."""
    if not features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
        return []
    if errors := [error for pod_set in pod_sets for error in validate_topology_of_one(pod_set, features)]:
        return errors
    errors = [error for pod_set in pod_sets for error in _validate_sizes(pod_set)]
    return errors + list(_validate_groups(pod_sets))


def validate_topology_of_one(pod_set: AnnotatedPodSet, features: Features) -> list[FieldError]:
    """The rules of the annotations alone: all that can be said of a pod, whose group and number its owner or its fellows decide."""
    return list(_validate_annotations(pod_set, features)) if features[Gate.TOPOLOGY_AWARE_SCHEDULING] else []


def _at(pod_set: AnnotatedPodSet, key: str) -> str:
    return f"{pod_set.path}[{key}]"


def _excluded(pod_set: AnnotatedPodSet, key: str, other: str) -> FieldError:
    return fields.forbidden(_at(pod_set, key), f"may not be set when '{other}' is specified")


def _validate_annotations(pod_set: AnnotatedPodSet, features: Features) -> Iterator[FieldError]:
    found = pod_set.annotations
    if sum(key in found for key in (_REQUIRED, _PREFERRED, _UNCONSTRAINED)) > 1:
        detail = (
            f'must not contain more than one topology annotation: ["{_REQUIRED}", "{_PREFERRED}", "{_UNCONSTRAINED}"]'
        )
        yield FieldError("Invalid value", pod_set.path, None, detail)
    for key in (_REQUIRED, _PREFERRED, _SLICE_REQUIRED):
        if key in found:
            yield from (fields.invalid(_at(pod_set, key), found[key], f) for f in fields.label_key_faults(found[key]))
    if _UNCONSTRAINED in found and found[_UNCONSTRAINED] not in fields.GO_BOOLEANS:
        yield fields.invalid(_at(pod_set, _UNCONSTRAINED), found[_UNCONSTRAINED], "must be a boolean value")
    yield from _validate_group_name(pod_set)
    yield from _validate_slice(pod_set)
    yield from _validate_layers(pod_set, features)


def _validate_group_name(pod_set: AnnotatedPodSet) -> Iterator[FieldError]:
    found = pod_set.annotations
    if _GROUP not in found:
        return
    path = _at(pod_set, _GROUP)
    if found[_GROUP].isdecimal():
        yield fields.invalid(path, found[_GROUP], "must not be a number")
    for key in (_SLICE_SIZE, _SLICE_REQUIRED, _CONSTRAINTS):
        if key in found:
            yield _excluded(pod_set, _GROUP, key)
    if _REQUIRED not in found and _PREFERRED not in found:
        detail = f"may not be set when neither '{_PREFERRED}' nor '{_REQUIRED}' is specified"
        yield fields.forbidden(path, detail)


def _validate_slice(pod_set: AnnotatedPodSet) -> Iterator[FieldError]:
    found = pod_set.annotations
    has_topology, has_size = _SLICE_REQUIRED in found, _SLICE_SIZE in found
    if has_topology and not has_size:
        detail = f"must be set when '{_SLICE_REQUIRED}' is specified"
        yield fields.required(_at(pod_set, _SLICE_SIZE), detail)
    if not has_size:
        return
    if not has_topology:
        detail = f"may not be set when '{_SLICE_REQUIRED}' is not specified"
        yield fields.forbidden(_at(pod_set, _SLICE_SIZE), detail)
    size = _int32(found[_SLICE_SIZE])
    if size is None:
        yield fields.invalid(_at(pod_set, _SLICE_SIZE), found[_SLICE_SIZE], "must be a numeric value")
    elif size < 1:
        yield fields.invalid(_at(pod_set, _SLICE_SIZE), found[_SLICE_SIZE], "must be greater than or equal to 1")


def _validate_layers(pod_set: AnnotatedPodSet, features: Features) -> Iterator[FieldError]:
    text = pod_set.annotations.get(_CONSTRAINTS)
    if text is None:
        return
    path = _at(pod_set, _CONSTRAINTS)
    if not features[Gate.TAS_MULTI_LAYER_TOPOLOGY]:
        yield fields.forbidden(path, "the TASMultiLayerTopology feature gate must be enabled to use this annotation")
        return
    for key in (_SLICE_REQUIRED, _SLICE_SIZE):
        if key in pod_set.annotations:
            yield _excluded(pod_set, _CONSTRAINTS, key)
    layers = parse_layers(text)
    if isinstance(layers, str):
        yield fields.invalid(path, text, f"must be a valid JSON array: {layers}")
        return
    if not 1 <= len(layers) <= LAYERS_MAX:
        yield fields.invalid(path, text, f"topology constraints must contain between 1 and {LAYERS_MAX} entries")
        return
    seen: list[str] = []
    parent: int | None = None
    for i, layer in enumerate(layers):
        topology, size = str(layer.get("topology", "")), layer.get("size", 0)
        size = size if isinstance(size, int) else 0
        yield from (fields.invalid(f"{path}[{i}].topology", topology, f) for f in fields.label_key_faults(topology))
        if topology in seen:
            shown = f"{topology} (also at index {seen.index(topology)})"
            yield fields.duplicate(f"{path}[{i}].topology", shown)
        seen.append(topology)
        if size < 1:
            yield fields.invalid(f"{path}[{i}].size", size, "must be greater than or equal to 1")
        elif parent is not None and parent % size:
            yield fields.invalid(f"{path}[{i}].size", size, f"must evenly divide the parent layer size {parent}")
        parent = size if size >= 1 else None


def _validate_sizes(pod_set: AnnotatedPodSet) -> Iterator[FieldError]:
    text = pod_set.annotations.get(_SLICE_SIZE)
    detail = f"must not be greater than pod set count {pod_set.count}"
    if text is not None and (_int32(text) or 0) > pod_set.count:
        yield fields.invalid(_at(pod_set, _SLICE_SIZE), text, detail)
    layers = parse_layers(pod_set.annotations.get(_CONSTRAINTS, "[]"))
    if isinstance(layers, list) and layers and int(layers[0].get("size", 0)) > pod_set.count:
        yield fields.invalid(f"{_at(pod_set, _CONSTRAINTS)}[0].size", layers[0]["size"], detail)


def _validate_groups(pod_sets: Sequence[AnnotatedPodSet]) -> Iterator[FieldError]:
    groups: dict[str, list[AnnotatedPodSet]] = {}
    for pod_set in pod_sets:
        if name := pod_set.annotations.get(_GROUP):
            groups.setdefault(name, []).append(pod_set)
    for name in sorted(groups):
        members = groups[name]
        if len(members) != 2:
            detail = f"can only define groups of exactly 2 pod sets, got: {len(members)} pod set(s)"
            yield from (fields.invalid(_at(member, _GROUP), name, detail) for member in members)
            continue
        yield from _validate_pair(name, *members)


def _validate_pair(name: str, first: AnnotatedPodSet, second: AnnotatedPodSet) -> Iterator[FieldError]:
    if first.count != 1 and second.count != 1:
        detail = (
            "can only define groups where at least one pod set has only 1 replica, got: "
            f"{first.count} replica(s) and {second.count} replica(s) in the group"
        )
        yield from (fields.invalid(_at(member, _GROUP), name, detail) for member in (first, second))
    same = all(first.annotations.get(key) == second.annotations.get(key) for key in (_REQUIRED, _PREFERRED))
    if same and (_REQUIRED in first.annotations or _PREFERRED in first.annotations):
        return
    for member, other in ((first, second), (second, first)):
        detail = (
            f"must specify '{_REQUIRED}' or '{_PREFERRED}' topology consistent with '{other.path}' in group '{name}'"
        )
        yield FieldError("Invalid value", member.path, None, detail)


def _int32(text: str) -> int | None:
    if not re.fullmatch(r"[+-]?\d+", text) or not -_INT32_MAX - 1 <= int(text) <= _INT32_MAX:
        return None
    return int(text)
