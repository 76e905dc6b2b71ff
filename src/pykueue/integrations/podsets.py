"""From a job's pod templates to the pod sets of a Workload.

Templates are copied; nothing in them is interpreted here but the topology annotations.

Source: jobs.md §5, leaderworkerset.md A6.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.constants import Annotation
from pykueue.api.objects import Obj
from pykueue.core.features import Features, Gate

PodSetWire = dict[str, Any]
"""One entry of `Workload.spec.podSets`, as on the wire."""

LAYERS_MAX = 3


def make_pod_set(
    name: str,
    template: Obj,
    count: int,
    features: Features,
    *,
    pod_index_label: str = "",
) -> PodSetWire:
    """One pod set.

    Args:
        name: of the pod set; lower-cased.
        template: the pod template; shared, copied where it must change.
        count: number of pods; 0 is allowed.
        features: whether topology counts.
        pod_index_label: label of a pod that tells its rank; empty for none.
    """
    meta = template.get("metadata") or {}
    pod_set: PodSetWire = {
        "name": name.lower(),
        "count": count,
        "template": with_unique_env(template),
    }
    if features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
        request = topology_request(meta.get("annotations") or {}, pod_index_label=pod_index_label)
        if request is not None:
            pod_set["topologyRequest"] = request
    return pod_set


def with_unique_env(template: Obj) -> dict[str, Any]:
    """The template where each container has each environment variable once; the last one counts."""
    spec = dict(template.get("spec") or {})
    for key in ("initContainers", "containers"):
        if containers := spec.get(key):
            spec[key] = [_with_unique_env(container) for container in containers]
    return {**template, "spec": spec}


def _with_unique_env(container: Mapping[str, Any]) -> Mapping[str, Any]:
    env = container.get("env") or ()
    last = {var.get("name"): i for i, var in enumerate(env)}
    if len(last) == len(env):
        return container
    return {**container, "env": [var for i, var in enumerate(env) if last[var.get("name")] == i]}


def without_prefixed_metadata(template: Obj, prefix: str, *, keep: Sequence[str] = ()) -> dict[str, Any]:
    """The template without the labels and annotations of another controller."""
    meta = dict(template.get("metadata") or {})
    for key in ("labels", "annotations"):
        if values := meta.get(key):
            meta[key] = {k: v for k, v in values.items() if not k.startswith(prefix) or k in keep}
    return {**template, "metadata": meta} if meta else dict(template)


def topology_request(annotations: Mapping[str, str], *, pod_index_label: str = "") -> dict[str, Any] | None:
    """The topology request that annotations ask for; None where nothing asks for one.

    Malformed values are left out: the webhook has refused them, and objects from before it are still admitted.
    """
    request: dict[str, Any] = {}
    if required := annotations.get(Annotation.POD_SET_REQUIRED_TOPOLOGY):
        request["required"] = required
    elif preferred := annotations.get(Annotation.POD_SET_PREFERRED_TOPOLOGY):
        request["preferred"] = preferred
    elif Annotation.POD_SET_UNCONSTRAINED_TOPOLOGY in annotations:
        request["unconstrained"] = annotations[Annotation.POD_SET_UNCONSTRAINED_TOPOLOGY].lower() in ("true", "1", "t")
    request |= _slices(annotations)
    if pod_index_label:
        request["podIndexLabel"] = pod_index_label
    if not request:
        return None
    if ("required" in request or "preferred" in request) and (group := annotations.get(Annotation.POD_SET_GROUP_NAME)):
        request["podSetGroupName"] = group
    return request


def _slices(annotations: Mapping[str, str]) -> dict[str, Any]:
    topology = annotations.get(Annotation.POD_SET_SLICE_REQUIRED_TOPOLOGY)
    size = annotations.get(Annotation.POD_SET_SLICE_SIZE)
    if topology and size and size.isdecimal():
        return {"podSetSliceRequiredTopology": topology, "podSetSliceSize": int(size)}
    layers = parse_layers(annotations.get(Annotation.POD_SET_SLICE_CONSTRAINTS, ""))
    if isinstance(layers, list) and 1 <= len(layers) <= LAYERS_MAX:
        return {
            "podsetSliceRequiredTopologyConstraints": [
                {"topology": layer.get("topology", ""), "size": layer.get("size", 0)} for layer in layers
            ]
        }
    return {}


def parse_layers(text: str) -> list[dict[str, Any]] | str:
    """The layers of a slice constraint, or what is wrong with the JSON."""
    try:
        layers = json.loads(text)
    except ValueError as fault:
        return str(fault)
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        return "an array of objects is expected"
    return layers
