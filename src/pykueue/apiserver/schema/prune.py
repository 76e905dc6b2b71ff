"""Pruning and defaulting of custom resources, compiled from a structural schema.

Both walk an object along closures made once per schema, return the object itself when there is nothing to change, and share
all that stays. Pruning drops fields that the schema does not know and tells their paths. Defaulting fills in missing fields,
and drops nulls where null is no value: a null field is the same as a missing one, unless the schema says `nullable`.

The object's own `metadata` is not pruned here: `decode.py` reads it as Kubernetes' own type.

Source: Kubernetes documentation, "Custom Resource Definition": "Field pruning", "Defaulting and Nullable".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pykueue.apiserver.schema.paths import Path, render
from pykueue.apiserver.schema.types import Schema

Pruner: TypeAlias = Callable[[Any, Path, list[str]], Any]
"""`(value, its path, paths of dropped fields so far) -> value`."""

Defaulter: TypeAlias = Callable[[Any], Any]


def compile_pruner(schema: Schema) -> Pruner:
    """A function that drops unknown fields of a whole object."""
    return _pruner(schema, is_root=True) or _keep


def compile_defaulter(schema: Schema) -> Defaulter:
    """A function that fills in defaults of a whole object and drops meaningless nulls."""
    return _defaulter(schema, is_root=True) or _same


def _keep(value: Any, _path: Path, _dropped: list[str]) -> Any:
    return value


def _same(value: Any) -> Any:
    return value


def _pruner(schema: Schema, *, is_root: bool = False) -> Pruner | None:
    """The pruner of one node; None if nothing below it can be unknown."""
    if schema.items is not None:
        return _list_pruner(schema.items)
    if isinstance(schema.additional_properties, Schema):
        return _map_pruner(schema.additional_properties)
    closed = not (schema.preserve_unknown or schema.additional_properties is True)
    if schema.type != "object" and not schema.properties:
        # A value of the wrong type is for validation to refuse; nodes of any type keep what they get.
        return None
    skip = {"metadata"} if is_root else set()
    children = {key: None if key in skip else _pruner(child) for key, child in schema.properties.items()}
    below = tuple((key, child) for key, child in children.items() if child is not None)
    known = frozenset(children)
    if not closed and not below:
        return None

    def prune(value: Any, path: Path, dropped: list[str]) -> Any:
        if not isinstance(value, Mapping):
            return value
        result: dict[str, Any] | None = None
        if closed and not value.keys() <= known:
            dropped.extend(render((path, key)) for key in value if key not in known)
            result = {key: child for key, child in value.items() if key in known}
        for key, child_pruner in below:
            child = value.get(key)
            if child is not None:
                pruned = child_pruner(child, (path, key), dropped)
                if pruned is not child:
                    result = dict(value) if result is None else result
                    result[key] = pruned
        return value if result is None else result

    return prune


def _list_pruner(items: Schema) -> Pruner | None:
    of_item = _pruner(items)
    if of_item is None:
        return None

    def prune(value: Any, path: Path, dropped: list[str]) -> Any:
        if not isinstance(value, list):
            return value
        result = [of_item(item, (path, idx), dropped) for idx, item in enumerate(value)]
        return result if any(a is not b for a, b in zip(result, value, strict=True)) else value

    return prune


def _map_pruner(values: Schema) -> Pruner | None:
    of_value = _pruner(values)
    if of_value is None:
        return None

    def prune(value: Any, path: Path, dropped: list[str]) -> Any:
        if not isinstance(value, Mapping):
            return value
        result = {key: of_value(child, (path, key), dropped) for key, child in value.items()}
        return result if any(result[key] is not value[key] for key in result) else value

    return prune


def _defaulter(schema: Schema, *, is_root: bool = False) -> Defaulter | None:
    """The defaulter of one node; None if nothing below it has a default or may hold a null."""
    if schema.items is not None:
        return _list_defaulter(schema.items)
    if isinstance(schema.additional_properties, Schema):
        return _map_defaulter(schema.additional_properties)
    if not schema.properties:
        return None
    skip = {"metadata", "apiVersion", "kind"} if is_root or schema.embedded_resource else set()
    fields = {key: child for key, child in schema.properties.items() if key not in skip}
    defaults = tuple((key, child.default) for key, child in fields.items() if child.has_default)
    nullable = frozenset(key for key, child in schema.properties.items() if child.nullable) | skip
    known = frozenset(schema.properties)
    below = tuple((key, made) for key, child in fields.items() if (made := _defaulter(child)) is not None)

    def default(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        result: dict[str, Any] | None = None
        if None in value.values():
            result = {k: v for k, v in value.items() if v is not None or k in nullable or k not in known}
        for key, filled in defaults:
            if key not in (value if result is None else result):
                result = dict(value) if result is None else result
                result[key] = filled
        for key, of_child in below:
            child = (value if result is None else result).get(key)
            if child is not None:
                made = of_child(child)
                if made is not child:
                    result = dict(value) if result is None else result
                    result[key] = made
        return value if result is None else result

    return default


def _list_defaulter(items: Schema) -> Defaulter | None:
    of_item = _defaulter(items)
    filled, is_filled = items.default, items.has_default and not items.nullable
    if of_item is None and not is_filled:
        return None
    made_of = of_item or _same

    def default(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        result = [made_of(filled if item is None and is_filled else item) for item in value]
        return result if any(a is not b for a, b in zip(result, value, strict=True)) else value

    return default


def _map_defaulter(values: Schema) -> Defaulter | None:
    of_value = _defaulter(values)
    made_of = of_value or _same
    drops_null = not values.nullable
    filled, is_filled = values.default, values.has_default and drops_null
    if of_value is None and not drops_null:
        return None

    def default(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        if drops_null and None in value.values():
            value = {k: filled if v is None else v for k, v in value.items() if v is not None or is_filled}
        if of_value is None:
            return value
        result = {key: made_of(child) for key, child in value.items()}
        return result if any(result[key] is not value[key] for key in result) else value

    return default
