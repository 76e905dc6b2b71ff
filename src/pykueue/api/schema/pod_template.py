"""Kubernetes' own types inside our schemas: pod templates and volume claims, converted from the built-in OpenAPI.

A CRD wants a *structural* schema, so references are inlined and what Go's generator leaves to the reader of OpenAPI is made
explicit. The rules of the conversion:

- descriptions are left out: the template is most of a CRD, and a cluster's own `kubectl explain pod.spec` tells them;
- embedded `metadata` keeps `labels`, `annotations`, `finalizers`, `name` and `namespace` (spec: api.md §1.1);
- quantities and int-or-string become what CRDs have for them;
- a default stays only on an optional property: on required ones, items and map values OpenAPI states Go's zero values;
- types that embed a LocalObjectReference are atomic maps, as that type is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pykueue.api import builtin
from pykueue.api.schema.common import QUANTITY
from pykueue.api.schema.dsl import Node

_CORE = "io.k8s.api.core.v1."
_KEPT = ("type", "format", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
_ATOMIC = frozenset(
    _CORE + name
    for name in (
        "ConfigMapEnvSource", "SecretEnvSource", "ConfigMapProjection", "SecretProjection", "ConfigMapVolumeSource",
    )
)  # fmt: skip
_SYMBOLIC_DEFAULTS = {_CORE + "AzureDiskVolumeSource": ("cachingMode", "kind")}
"""Defaults that core/v1 writes as a Go constant, which CRDs of Go projects lack."""

_INT_OR_STRING: Node = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
_STRING: Node = {"type": "string"}
_STRINGS: Node = {"type": "object", "additionalProperties": _STRING}
_METADATA: Node = {
    "type": "object",
    "properties": {
        "annotations": _STRINGS,
        "finalizers": {"type": "array", "items": _STRING},
        "labels": _STRINGS,
        "name": _STRING,
        "namespace": _STRING,
    },
}
_WELL_KNOWN: Mapping[str, Node] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {**_INT_OR_STRING, "pattern": QUANTITY},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _INT_OR_STRING,
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": _METADATA,
}


def pod_template(text: str) -> Node:
    """`core/v1.PodTemplateSpec`."""
    return {"description": text, **_definition(_CORE + "PodTemplateSpec")}


def persistent_volume_claim(text: str) -> Node:
    """`core/v1.PersistentVolumeClaim`."""
    return {"description": text, **_definition(_CORE + "PersistentVolumeClaim")}


@cache
def _definition(name: str) -> Node:
    """One named type; built once and shared by all places that refer to it."""
    if name in _WELL_KNOWN:
        return _WELL_KNOWN[name]
    node = _node(builtin.definitions()[name])
    if name in _ATOMIC:
        node["x-kubernetes-map-type"] = "atomic"
    for field in _SYMBOLIC_DEFAULTS.get(name, ()):
        node["properties"][field].pop("default")
    return node


def _node(source: Mapping[str, Any]) -> Node:
    reference = source.get("$ref") or next((part["$ref"] for part in source.get("allOf", ())), None)
    if reference is not None:
        return _definition(reference.rpartition("/")[2])
    node: Node = {key: source[key] for key in _KEPT if key in source}
    if "properties" in source:
        required = sorted(source.get("required", ()))
        node["properties"] = {
            name: _property(child, optional=name not in required) for name, child in source["properties"].items()
        }
        if required:
            node["required"] = required
    for key in ("items", "additionalProperties"):
        if key in source:
            node[key] = _node(source[key])
    return node


def _property(source: Mapping[str, Any], *, optional: bool) -> Node:
    default = source.get("default") if optional else None
    node = _node(source)
    # An empty object stands for "all fields unset" in OpenAPI and is no default of the API.
    return node if default is None or default == {} else {**node, "default": default}
