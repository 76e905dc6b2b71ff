"""Schema nodes of custom resources as OpenAPI: what `kubectl explain` reads.

`to_openapi(schema)` answers with `metadata` as a reference to Kubernetes' ObjectMeta, which the document must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykueue.api.builtin import REF_PREFIX
from pykueue.apiserver.schema.types import NO_LIMITS, Rule, Schema

META_V1 = "io.k8s.apimachinery.pkg.apis.meta.v1"
_LIMITS = (
    ("minimum", "minimum"), ("maximum", "maximum"), ("multiple_of", "multipleOf"), ("min_length", "minLength"),
    ("max_length", "maxLength"), ("pattern", "pattern"), ("min_items", "minItems"), ("max_items", "maxItems"),
    ("min_properties", "minProperties"), ("max_properties", "maxProperties"),
)  # fmt: skip
_FLAGS = (
    ("exclusive_minimum", "exclusiveMinimum"),
    ("exclusive_maximum", "exclusiveMaximum"),
    ("unique_items", "uniqueItems"),
)
_API_VERSION_TEXT = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to "
    "the latest internal value, and may reject unrecognized values. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND_TEXT = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the "
    "client submits requests to. Cannot be updated. In CamelCase. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)


def to_openapi(schema: Schema, ref_prefix: str = REF_PREFIX) -> dict[str, Any]:
    """The definition of a whole object.

    Args:
        schema: the root node, from `from_crd`.
        ref_prefix: of references: OpenAPI v3's by default; `#/definitions/` for v2.
    """
    definition = _node(schema, ref_prefix)
    properties = dict(definition.get("properties") or {})
    properties["apiVersion"] = {"type": "string", "description": _API_VERSION_TEXT}
    properties["kind"] = {"type": "string", "description": _KIND_TEXT}
    definition["properties"] = dict(sorted(properties.items()))
    definition["type"] = "object"
    return definition


def _node(schema: Schema, ref_prefix: str) -> dict[str, Any]:
    if schema.name:
        # Only ObjectMeta has a name in the schema of a custom resource.
        said = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
        return {"allOf": [{"$ref": ref_prefix + schema.name}], "description": said}
    made: dict[str, Any] = {}
    if schema.description:
        made["description"] = schema.description
    made |= {key: value for key, value in (("type", schema.type), ("format", schema.format)) if value}
    if schema.properties:
        made["properties"] = {key: _node(child, ref_prefix) for key, child in schema.properties.items()}
    if schema.items is not None:
        made["items"] = _node(schema.items, ref_prefix)
    if isinstance(schema.additional_properties, Schema):
        made["additionalProperties"] = _node(schema.additional_properties, ref_prefix)
    elif schema.additional_properties is not None:
        made["additionalProperties"] = schema.additional_properties
    if schema.required:
        made["required"] = list(schema.required)
    if schema.has_default:
        made["default"] = schema.default
    if schema.enum:
        made["enum"] = list(schema.enum)
    if schema.nullable:
        made["nullable"] = True
    if schema.limits is not NO_LIMITS:
        made |= {key: value for name, key in _LIMITS if (value := getattr(schema.limits, name)) is not None}
        made |= {key: True for name, key in _FLAGS if getattr(schema.limits, name)}
    for key, parts in (("allOf", schema.all_of), ("anyOf", schema.any_of), ("oneOf", schema.one_of)):
        if parts:
            made[key] = [_node(part, ref_prefix) for part in parts]
    if schema.not_ is not None:
        made["not"] = _node(schema.not_, ref_prefix)
    return made | _extensions(schema)


def _extensions(schema: Schema) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if schema.type == "array" and (schema.list_type != "atomic" or schema.list_map_keys):
        made["x-kubernetes-list-type"] = schema.list_type
    if schema.list_map_keys:
        made["x-kubernetes-list-map-keys"] = list(schema.list_map_keys)
    if schema.map_type != "granular":
        made["x-kubernetes-map-type"] = schema.map_type
    for key, flag in (
        ("x-kubernetes-int-or-string", schema.int_or_string),
        ("x-kubernetes-preserve-unknown-fields", schema.preserve_unknown),
        ("x-kubernetes-embedded-resource", schema.embedded_resource),
    ):
        if flag:
            made[key] = True
    if schema.validations:
        made["x-kubernetes-validations"] = [_rule(rule) for rule in schema.validations]
    return made


def _rule(rule: Rule) -> Mapping[str, Any]:
    said = {
        "rule": rule.rule,
        "message": rule.message,
        "messageExpression": rule.message_expression,
        "reason": rule.reason,
        "fieldPath": rule.field_path,
        "optionalOldSelf": rule.optional_old_self,
    }
    return {key: value for key, value in said.items() if value}
