"""Objects as server-side apply sees them: which fields they have, how two differ, how one is laid over another.

The schema decides what is one field. A map is granular (each key a field) or atomic (one field). A list is atomic, a set (each
value a field) or a map (items told apart by keys). What the schema does not know is granular for maps and atomic for lists;
`RawExtension` and its like are atomic. All functions are pure and share what stays.

Source: Kubernetes documentation, "Server-Side Apply", "Merge strategy".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pykueue.apiserver.apply.fieldsets import EMPTY, LEAF, SELF, FieldSet, is_member, make_node, shown
from pykueue.apiserver.schema.types import Schema

_UNKNOWN = Schema()
_ABSENT: Any = object()


class UntypedValue(Exception):
    """A value that does not fit the schema's list type; the text begins with its path."""


class Comparison(NamedTuple):
    """How two objects differ.

    Attributes:
        changed: fields that the new one has and the old one has not, or not with this value.
        removed: fields that the old one has and the new one has not.
    """

    changed: FieldSet
    removed: FieldSet


def field_set(value: Any, schema: Schema | None) -> FieldSet:
    """The fields that an applied configuration speaks of.

    Raises:
        UntypedValue: two items of a list have the same keys, or one has none.
    """
    return _children(value, schema or _UNKNOWN, "") or EMPTY


def compare(old: Any, new: Any, schema: Schema | None) -> Comparison:
    """How `new` differs from `old`; every level of what came or went is a field of its own."""
    changed, removed = _compare(old, new, schema or _UNKNOWN)
    return Comparison(changed, removed)


def merge(live: Any, applied: Any, schema: Schema | None) -> Any:
    """The live object with the applied configuration laid over it; `live` itself if nothing changes."""
    return _merge(live, applied, schema or _UNKNOWN)


def remove_fields(value: Any, schema: Schema | None, fields: FieldSet) -> Any:
    """The value without these fields and all that is below them; containers that become empty become None."""
    return _remove(value, schema or _UNKNOWN, fields)


def with_named_fields(fields: FieldSet, schema: Schema | None) -> FieldSet:
    """The set together with every field of an object that one of its paths runs through; keys of maps are not added."""
    node = schema or _UNKNOWN
    result: dict[str, FieldSet] = {}
    for key, child in fields.items():
        if key == SELF:
            result[key] = child
            continue
        is_field = key.startswith("f:")
        below = _child(node, key[2:]) if is_field else node.items
        named = is_field and key[2:] in node.properties
        result[key] = make_node(is_member(child) or named, with_named_fields(child, below)) or LEAF
    return result


@cache
def empty_object(schema: Schema) -> Mapping[str, Any]:
    """What Kubernetes' typed object says before anything is set: structs that are always written, and required lists as null.

    Fields of a new object that are here already do not become fields of its creator (`f:spec` has no `.`).
    """
    result: dict[str, Any] = {}
    for name, child in schema.properties.items():
        if child.has_default and child.default == {} and child.properties:
            result[name] = empty_object(child)
        elif name in schema.required and child.type == "array":
            result[name] = None
    return result


def element_of(item: Any, schema: Schema, path: str) -> str:
    """The path element of an item of a set or map list.

    Raises:
        UntypedValue: the item has none of the keys.
    """
    if schema.list_type == "set":
        return "v:" + _json(item)
    keys: dict[str, Any] = {}
    fields = schema.items.properties if schema.items is not None else {}
    for name in sorted(schema.list_map_keys):
        value = item.get(name) if isinstance(item, Mapping) else None
        if value is None and name in fields and fields[name].has_default:
            value = fields[name].default
        if value is not None:
            keys[name] = value
    if not keys:
        names = " ".join(schema.list_map_keys)
        raise UntypedValue(
            f"{path}: element 0: associative list with keys has an element that omits all keys [{names}]"
        )
    return "k:" + _json(keys)


def _json(value: Any) -> str:
    if type(value) is dict and len(value) == 1:
        # By far the most common: one key with a plain name as its value.
        ((name, only),) = value.items()
        if type(only) is str and only.isalnum() and only.isascii():
            return f'{{"{name}":"{only}"}}'
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _is_atomic(value: Any, schema: Schema) -> bool:
    """Whether a value is one field as a whole."""
    if isinstance(value, list):
        return schema.list_type == "atomic"
    if type(value) is dict or isinstance(value, Mapping):  # the exact type is the cheap question
        return schema.map_type == "atomic" or (schema.preserve_unknown and bool(schema.name))
    return value is not None


def _child(schema: Schema, name: str) -> Schema:
    return schema.child(name) or _UNKNOWN


def _children(value: Any, schema: Schema, path: str) -> dict[str, FieldSet] | None:
    """The set below a value; None if the value is one field."""
    if value is None or _is_atomic(value, schema):
        return None
    result: dict[str, FieldSet] = {}
    if isinstance(value, list):
        items = schema.items or _UNKNOWN
        for item in value:
            element = element_of(item, schema, path)
            if element in result:
                what = "key" if element[0] == "k" else "value"
                raise UntypedValue(f"{path}: duplicate entries for {what} {shown(element)}")
            result[element] = make_node(True, _children(item, items, path + shown(element)) or EMPTY) or LEAF
        return result
    for name, child in value.items():
        below = _children(child, _child(schema, name), f"{path}.{name}")
        if below is None or child == {}:
            result["f:" + name] = LEAF
        elif (node := make_node(name not in schema.properties, below)) is not None:
            result["f:" + name] = node
    return result


def _whole(value: Any, schema: Schema) -> FieldSet:
    """The node of a value that came or went as a whole: it and every level below."""
    if value is None or _is_atomic(value, schema):
        return LEAF
    children: dict[str, FieldSet] = {}
    if isinstance(value, list):
        items = schema.items or _UNKNOWN
        children = {element: _whole(item, items) for element, item in _indexed(value, schema).items()}
    else:
        children = {"f:" + name: _whole(child, _child(schema, name)) for name, child in value.items()}
    return {SELF: LEAF, **children} if children else LEAF


def _indexed(value: Sequence[Any] | None, schema: Schema) -> dict[str, Any]:
    """Items by path element; of repeated ones, which only old objects can have, the first."""
    result: dict[str, Any] = {}
    for item in value or ():
        result.setdefault(element_of(item, schema, ""), item)
    return result


def _compare(old: Any, new: Any, schema: Schema) -> tuple[FieldSet, FieldSet]:
    """The sets below two containers that are not atomic."""
    changed: dict[str, FieldSet] = {}
    removed: dict[str, FieldSet] = {}
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    if isinstance(old, list) or isinstance(new, list):
        items = schema.items or _UNKNOWN
        before, after = _indexed(old, schema), _indexed(new, schema)
        for element in {**before, **after}:
            _note(
                element,
                _compare_one(before.get(element, _ABSENT), after.get(element, _ABSENT), items),
                changed,
                removed,
            )
        return changed, removed
    before, after = old or {}, new or {}
    for name in after:
        child, present = after[name], before.get(name, _ABSENT)
        if child is not present:
            _note("f:" + name, _compare_one(present, child, _child(schema, name)), changed, removed)
    for name in before:
        if name not in after:
            removed["f:" + name] = _whole(before[name], _child(schema, name))
    return changed, removed


def _note(
    element: str,
    found: tuple[FieldSet | None, FieldSet | None],
    changed: dict[str, FieldSet],
    removed: dict[str, FieldSet],
) -> None:
    came, went = found
    if came is not None:
        changed[element] = came
    if went is not None:
        removed[element] = went


def _compare_one(old: Any, new: Any, schema: Schema) -> tuple[FieldSet | None, FieldSet | None]:
    """The nodes of what came or changed, and of what went; None for nothing."""
    if old is new:
        return None, None
    if old is _ABSENT:
        return _whole(new, schema), None
    if new is _ABSENT:
        return None, _whole(old, schema)
    if not _are_containers(old, new) or _is_atomic(old, schema) or _is_atomic(new, schema) or not (old or new):
        differs = old != new or isinstance(old, bool) != isinstance(new, bool)
        return (LEAF if differs else None), None
    came, went = _compare(old, new, schema)
    return came or None, went or None


def _are_containers(old: Any, new: Any) -> bool:
    """Whether both are maps, or both are lists; null is whatever the other is."""
    for type_ in (Mapping, list):
        if (old is None or isinstance(old, type_)) and (new is None or isinstance(new, type_)):
            return True
    return False


def _merge(live: Any, applied: Any, schema: Schema) -> Any:
    if isinstance(live, Mapping) and isinstance(applied, Mapping) and not _is_atomic(applied, schema):
        result: dict[str, Any] | None = None
        for name, wanted in applied.items():
            if name in live:
                present = live[name]
                made = _merge(present, wanted, _child(schema, name))
                if made is present:
                    continue
            else:
                made = wanted
            result = dict(live) if result is None else result
            result[name] = made
        return live if result is None else result
    if isinstance(live, list) and isinstance(applied, list) and not _is_atomic(applied, schema):
        return _merge_lists(live, applied, schema)
    if applied is None and isinstance(live, Mapping | list) and not _is_atomic(live, schema):
        return live
    if live == applied and isinstance(live, bool) == isinstance(applied, bool):
        return live
    return applied


def _merge_lists(live: list[Any], applied: list[Any], schema: Schema) -> list[Any]:
    """Applied items in their order; items that only the live list has come as early as their own order allows."""
    items = schema.items or _UNKNOWN
    order = [element_of(item, schema, "") for item in live]
    present, wanted = _indexed(live, schema), _indexed(applied, schema)
    wanted_order = list(wanted)
    shared = [element for element in wanted_order if element in present]
    result: list[Any] = []
    merged: dict[str, None] = {}
    at_live = at_wanted = 0
    while at_live < len(order) or at_wanted < len(wanted_order):
        if at_live < len(order):
            element = order[at_live]
            if element not in wanted:
                result.append(live[at_live])
                at_live += 1
                continue
            if element in merged or (shared and element != shared[0]):
                at_live += 1
                continue
        element = wanted_order[at_wanted]
        at_wanted += 1
        merged[element] = None
        if element in present:
            shared.pop(0)
            result.append(_merge(present[element], wanted[element], items))
        else:
            result.append(wanted[element])
    if len(result) == len(live) and all(a is b for a, b in zip(result, live, strict=True)):
        return live
    return result


def _remove(value: Any, schema: Schema, fields: FieldSet) -> Any:
    if not fields or not value or _is_atomic(value, schema):
        return value
    if isinstance(value, list):
        items = schema.items or _UNKNOWN
        kept: list[Any] = []
        for item in value:
            node = fields.get(element_of(item, schema, ""))
            if node is None:
                kept.append(item)
            elif not is_member(node):
                kept.append(_remove(item, items, node))
        return kept or None
    result: dict[str, Any] = {}
    for name, child in value.items():
        node = fields.get("f:" + name)
        if node is None:
            result[name] = child
        elif not is_member(node):
            result[name] = _remove(child, _child(schema, name), node)
    return result or None
