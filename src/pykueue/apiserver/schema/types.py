"""Schema nodes: what one field of an object is.

A `Schema` is an immutable node; its children are nodes. The same form serves custom resources (`from_crd`, the structural
schema of a CustomResourceDefinition) and built-in kinds (`builtin_schema`, Kubernetes' OpenAPI definitions), so that pruning,
defaulting, validation, server-side apply and strategic merge patch walk one structure.

Definitions that refer to each other become shared nodes, so a graph may have cycles (JSONSchemaProps contains itself): walk it
along an object, never for its own sake.

Every object's root has `apiVersion`, `kind` and `metadata` with ObjectMeta's own fields, also where a custom resource's schema
says `metadata: {type: object}`. What a node does not know: the object it is compared with, its path, and who asks.

Source: Kubernetes API reference, CustomResourceDefinition "structural schemas", "Merge strategy" (list and map types).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from pykueue.api import builtin
from pykueue.api.kinds import Kind

_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_NOTHING: Mapping[str, Schema] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Limits:
    """The value validations that are numbers or patterns; None where there is no limit."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    min_items: int | None = None
    max_items: int | None = None
    unique_items: bool = False
    min_properties: int | None = None
    max_properties: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `x-kubernetes-validations`.

    Attributes:
        rule: CEL expression that must be true.
        message: what is wrong when it is not; may be empty.
        message_expression: CEL expression that says it better; may be empty.
        reason: `FieldValueInvalid` (also when empty), `FieldValueForbidden`, `FieldValueRequired` or `FieldValueDuplicate`.
        field_path: JSON path below the node that the fault is reported at; empty for the node itself.
        optional_old_self: whether a transition rule also runs when there is no old value.
    """

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One node; compared by identity.

    Attributes:
        type: `object`, `array`, `string`, `integer`, `number`, `boolean`; empty for anything.
        format: for example `date-time`, `int32`, `quantity`; empty for none.
        properties: known fields of an object.
        items: of an array.
        additional_properties: of a map's values; True allows any, None (and False) means that only `properties` exist.
        required: fields an object must have.
        list_type: `atomic`, `set` or `map`.
        list_map_keys: fields that tell items of a `map` list apart.
        map_type: `granular` or `atomic`.
        patch_strategy: of strategic merge patch as it is written: `merge`, `replace`, `merge,retainKeys`, `retainKeys`; or empty.
        patch_merge_key: field that strategic merge patch tells items apart by; may be empty.
        int_or_string: an integer or a string.
        preserve_unknown: unknown fields are kept.
        embedded_resource: a whole object with `apiVersion`, `kind` and `metadata`.
        nullable: null is a value.
        has_default: whether `default` says something.
        default: raw value, shared and never mutated.
        enum: allowed values; empty for no restriction.
        limits: numbers, lengths, pattern.
        validations: CEL rules of this node.
        all_of, any_of, one_of, not_: value validations combined; they never add fields.
        description: for people.
        name: of the definition, for built-in kinds (`io.k8s.api.core.v1.Pod`).
    """

    type: str = ""
    format: str = ""
    properties: Mapping[str, Schema] = field(default_factory=lambda: _NOTHING)
    items: Schema | None = None
    additional_properties: Schema | bool | None = None
    required: tuple[str, ...] = ()
    list_type: str = "atomic"
    list_map_keys: tuple[str, ...] = ()
    map_type: str = "granular"
    patch_strategy: str = ""
    patch_merge_key: str = ""
    int_or_string: bool = False
    preserve_unknown: bool = False
    embedded_resource: bool = False
    nullable: bool = False
    has_default: bool = False
    default: Any = None
    enum: tuple[Any, ...] = ()
    limits: Limits = NO_LIMITS
    validations: tuple[Rule, ...] = ()
    all_of: tuple[Schema, ...] = ()
    any_of: tuple[Schema, ...] = ()
    one_of: tuple[Schema, ...] = ()
    not_: Schema | None = None
    description: str = ""
    name: str = ""

    def child(self, name: str) -> Schema | None:
        """The node of one field of an object or of one key of a map; None if it is unknown."""
        found = self.properties.get(name)
        if found is None and isinstance(self.additional_properties, Schema):
            return self.additional_properties
        return found


def from_crd(schema: Mapping[str, Any]) -> Schema:
    """The node tree of `spec.versions[*].schema.openAPIV3Schema`, with the root fields that every object has."""
    return _as_object(_crd_node(schema))


@cache
def builtin_schema(kind: Kind) -> Schema | None:
    """The node graph of a built-in kind; None for others."""
    name = builtin.definition_name(kind)
    return None if name is None else _builtin_graph().node(name)


def object_meta() -> Schema:
    """The node of `metadata`."""
    return _builtin_graph().node(_OBJECT_META)


@cache
def _builtin_graph() -> OpenApiGraph:
    return OpenApiGraph(builtin.definitions())


class OpenApiGraph:
    """Definitions of OpenAPI documents as shared nodes, made when asked for.

    Args:
        definitions: raw definitions by name.
    """

    def __init__(self, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        self._definitions = definitions
        self._nodes: dict[str, Schema] = {}

    def node(self, name: str) -> Schema:
        """The node of one definition.

        Raises:
            KeyError: there is no such definition.
        """
        found = self._nodes.get(name)
        if found is None:
            raw = self._definitions[name]
            # The node is known before its fields are read, so that a definition may refer to itself.
            properties: dict[str, Schema] = {}
            found = self._nodes[name] = replace(_openapi_node(raw, properties, self), name=name)
            properties.update((key, self.at(child)) for key, child in (raw.get("properties") or {}).items())
        return found

    def at(self, raw: Mapping[str, Any]) -> Schema:
        """The node of a schema in place: a reference, a reference with extensions of its own, or an inline schema."""
        reference = raw.get("$ref") or next((part["$ref"] for part in raw.get("allOf") or () if "$ref" in part), None)
        if reference is None:
            properties = {key: self.at(child) for key, child in (raw.get("properties") or {}).items()}
            return _openapi_node(raw, properties, self)
        target = self.node(reference.removeprefix(builtin.REF_PREFIX))
        own: dict[str, Any] = {}
        if "default" in raw:
            own |= {"has_default": True, "default": raw["default"]}
        if raw.get("description"):
            own["description"] = raw["description"]
        for extension, attribute in _EXTENSIONS.items():
            if extension in raw:
                own[attribute] = raw[extension]
        return replace(target, **own) if own else target


_EXTENSIONS = {
    "x-kubernetes-map-type": "map_type",
    "x-kubernetes-patch-strategy": "patch_strategy",
    "x-kubernetes-patch-merge-key": "patch_merge_key",
}


def _openapi_node(raw: Mapping[str, Any], properties: Mapping[str, Schema], graph: OpenApiGraph) -> Schema:
    """A node of a built-in definition. Unions of Go types show as definitions without a type."""
    type_, format_ = raw.get("type") or "", raw.get("format") or ""
    one_of = [alternative.get("type") for alternative in raw.get("oneOf") or ()]
    if one_of == ["string", "number"]:
        format_ = "quantity"
    additional = raw.get("additionalProperties")
    return Schema(
        type=type_,
        format=format_,
        properties=properties,
        items=graph.at(raw["items"]) if "items" in raw else None,
        additional_properties=graph.at(additional) if isinstance(additional, Mapping) else additional,
        required=tuple(raw.get("required") or ()),
        list_type=raw.get("x-kubernetes-list-type") or "atomic",
        list_map_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        map_type=raw.get("x-kubernetes-map-type") or "granular",
        patch_strategy=raw.get("x-kubernetes-patch-strategy") or "",
        patch_merge_key=raw.get("x-kubernetes-patch-merge-key") or "",
        int_or_string=format_ == "int-or-string",
        # RawExtension and FieldsV1 are objects without a word about their fields; JSON and its like have no type at all.
        preserve_unknown=(type_ == "object" and not raw.get("properties") and additional is None)
        or (not type_ and not raw.get("oneOf")),
        has_default="default" in raw,
        default=raw.get("default"),
        enum=tuple(raw.get("enum") or ()),
        description=raw.get("description") or "",
    )


def _crd_node(raw: Mapping[str, Any]) -> Schema:
    additional = raw.get("additionalProperties")
    node = Schema(
        type=raw.get("type") or "",
        format=raw.get("format") or "",
        properties={key: _crd_node(child) for key, child in (raw.get("properties") or {}).items()},
        items=_crd_node(raw["items"]) if isinstance(raw.get("items"), Mapping) else None,
        additional_properties=_crd_node(additional) if isinstance(additional, Mapping) else additional,
        required=tuple(raw.get("required") or ()),
        list_type=raw.get("x-kubernetes-list-type") or "atomic",
        list_map_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        map_type=raw.get("x-kubernetes-map-type") or "granular",
        int_or_string=bool(raw.get("x-kubernetes-int-or-string")),
        preserve_unknown=bool(raw.get("x-kubernetes-preserve-unknown-fields")),
        embedded_resource=bool(raw.get("x-kubernetes-embedded-resource")),
        nullable=bool(raw.get("nullable")),
        has_default="default" in raw,
        default=raw.get("default"),
        enum=tuple(raw.get("enum") or ()),
        limits=_limits(raw),
        validations=tuple(_rule(rule) for rule in raw.get("x-kubernetes-validations") or ()),
        all_of=_nodes(raw.get("allOf")),
        any_of=_nodes(raw.get("anyOf")),
        one_of=_nodes(raw.get("oneOf")),
        not_=_crd_node(raw["not"]) if raw.get("not") else None,
        description=raw.get("description") or "",
    )
    return _as_object(node) if node.embedded_resource else node


def _nodes(raws: Sequence[Mapping[str, Any]] | None) -> tuple[Schema, ...]:
    return tuple(_crd_node(raw) for raw in raws or ())


def _as_object(node: Schema) -> Schema:
    """Give a node the fields of every object; what the author says of `metadata.name` still counts."""
    meta = object_meta()
    said = node.properties.get("metadata")
    if said is not None and said.properties:
        meta = replace(meta, properties={**meta.properties, **said.properties})
    text = Schema(type="string")
    common = {
        "apiVersion": node.properties.get("apiVersion") or text,
        "kind": node.properties.get("kind") or text,
        "metadata": meta,
    }
    return replace(node, properties={**common, **{k: v for k, v in node.properties.items() if k not in common}})


def _limits(raw: Mapping[str, Any]) -> Limits:
    found = {attribute: raw[key] for key, attribute in _LIMITS.items() if raw.get(key) is not None}
    return Limits(**found) if found else NO_LIMITS


_LIMITS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minItems": "min_items",
    "maxItems": "max_items",
    "uniqueItems": "unique_items",
    "minProperties": "min_properties",
    "maxProperties": "max_properties",
}


def _rule(raw: Mapping[str, Any]) -> Rule:
    return Rule(
        rule=raw.get("rule") or "",
        message=raw.get("message") or "",
        message_expression=raw.get("messageExpression") or "",
        reason=raw.get("reason") or "",
        field_path=raw.get("fieldPath") or "",
        optional_old_self=bool(raw.get("optionalOldSelf")),
    )
