"""Strategic merge patch: a merge patch that knows which lists are sets or maps.

The schema says it (`patch_strategy`, `patch_merge_key`); lists without a strategy are replaced. Directives of the format:

| In the patch | Means |
|---|---|
| `$patch: replace` in an object | this object instead of the present one |
| `$patch: delete` in an object or item | nothing instead; or: remove the item with this merge key |
| `{$patch: replace}` as an item | the other items instead of the present list |
| `$deleteFromPrimitiveList/<field>` | remove these values from a list of scalars |
| `$setElementOrder/<field>` | put the items in this order; what only the server has keeps its place between them |
| `$retainKeys` | drop all keys but these before merging |

Inputs are never changed. New items come before those the server has unless an order is given, as in Kubernetes.

Source: Kubernetes documentation, "Update API objects in place using kubectl patch"; strategic-merge-patch.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import BadRequest
from pykueue.apiserver.schema.types import Schema

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PREFIX = "$deleteFromPrimitiveList/"
_ORDER_PREFIX = "$setElementOrder/"


def apply_strategic_patch(original: Mapping[str, Any], patch: Any, schema: Schema | None) -> dict[str, Any]:
    """The object as the patch wants it.

    Args:
        original: present object.
        patch: the patch document.
        schema: node of the object; without one, nothing is known of its lists.

    Raises:
        BadRequest: the patch uses a directive wrongly.
    """
    if not isinstance(patch, Mapping):
        raise BadRequest("a strategic merge patch must be an object")
    return _merge_map(original, patch, schema)


def _merge_map(original: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema | None) -> dict[str, Any]:
    if _DIRECTIVE in patch:
        directive = patch[_DIRECTIVE]
        if directive == "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "delete":
            return {}
        if directive != "merge":
            raise BadRequest(f"unknown patch type found: {directive}; use replace, delete or merge")
    merged = dict(original)
    _retain_keys(merged, patch)
    ordered = _merge_ordered_lists(merged, original, patch, schema)
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN) or key.startswith(_ORDER_PREFIX) or key in ordered:
            continue
        if key.startswith(_DELETE_PREFIX):
            name = key.removeprefix(_DELETE_PREFIX)
            if isinstance(merged.get(name), list):
                merged[name] = [item for item in merged[name] if item not in _listed(value, key)]
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_value(merged.get(key), value, schema.child(key) if schema else None, key)
    return merged


def _merge_value(present: Any, value: Any, schema: Schema | None, key: str) -> Any:
    strategies = schema.patch_strategy.split(",") if schema is not None else ()
    if isinstance(value, Mapping):
        if "replace" in strategies:
            return {k: v for k, v in value.items() if k != _DIRECTIVE}
        return _merge_map(present if isinstance(present, Mapping) else {}, value, schema)
    if isinstance(value, list) and schema is not None and "merge" in strategies:
        return _merge_list(present if isinstance(present, list) else [], value, schema, key)
    return _without_nulls(value) if present is None else value


def _merge_list(original: Sequence[Any], patch: Sequence[Any], schema: Schema, key: str) -> list[Any]:
    if not any(isinstance(item, Mapping) for item in (*original, *patch)):
        merged = [*original, *(item for item in patch if item not in original)]
        return _in_order(_unique(merged), patch, original, "")
    merge_key = schema.patch_merge_key
    if not merge_key:
        raise BadRequest(f"cannot merge lists without merge key for {key}; send the whole list with $patch: replace")
    original, patch = _special_items(original, patch, merge_key, key)
    by_key = {_key_of(item, merge_key, key): item for item in original}
    result = dict(by_key)
    for item in patch:
        identity = _key_of(item, merge_key, key)
        result[identity] = _merge_map(by_key.get(identity, {}), item, schema.items)
    return _in_order(list(result.values()), patch, original, merge_key)


def _special_items(
    original: Sequence[Any], patch: Sequence[Any], merge_key: str, key: str
) -> tuple[list[Any], list[Any]]:
    """Carry out the items that are directives. Returns the remaining original and patch items."""
    plain: list[Any] = []
    dropped: list[Any] = []
    replace = False
    for item in patch:
        if not isinstance(item, Mapping):
            raise BadRequest(f"invalid type of list element of {key} in the patch: items must be objects")
        directive = item.get(_DIRECTIVE)
        if directive == "replace":
            replace = True
            if rest := {k: v for k, v in item.items() if k != _DIRECTIVE}:
                plain.append(rest)
        elif directive == "delete":
            dropped.append(_key_of(item, merge_key, key))
        elif directive in (None, "merge"):
            plain.append(item)
        else:
            raise BadRequest(f"unknown patch type found: {directive}; use replace, delete or merge")
    if replace:
        return [], plain
    return [item for item in original if not isinstance(item, Mapping) or item.get(merge_key) not in dropped], plain


def _key_of(item: Any, merge_key: str, key: str) -> Any:
    if not isinstance(item, Mapping) or merge_key not in item:
        raise BadRequest(f"map: {item!r} does not contain declared merge key: {merge_key} (list {key})")
    return item[merge_key]


def _merge_ordered_lists(
    merged: dict[str, Any], original: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema | None
) -> frozenset[str]:
    """Carry out `$setElementOrder`; returns the fields that are done with."""
    done = []
    for directive, order in patch.items():
        if not directive.startswith(_ORDER_PREFIX):
            continue
        key = directive.removeprefix(_ORDER_PREFIX)
        child = schema.child(key) if schema else None
        merge_key = child.patch_merge_key if child else ""
        wanted = _listed(order, directive)
        present = merged.get(key)
        deleted = _listed(patch.get(_DELETE_PREFIX + key) or [], key)
        if key in patch and patch[key] is None:
            continue
        if key in patch:
            present = _merge_value(present, patch[key], child, key)
        if isinstance(present, list):
            kept = [item for item in present if item not in deleted]
            merged[key] = _in_order(kept, wanted, original.get(key) or [], merge_key)
        done.append(key)
    return frozenset(done)


def _in_order(items: Sequence[Any], wanted: Sequence[Any], server: Sequence[Any], merge_key: str) -> list[Any]:
    """Items named in `wanted` in that order; the others in the server's order, before what they stood before there."""

    def identity(item: Any) -> Any:
        return item.get(merge_key) if merge_key and isinstance(item, Mapping) else item

    wanted_keys, server_keys = [identity(item) for item in wanted], [identity(item) for item in server]
    named = sorted((i for i in items if identity(i) in wanted_keys), key=lambda i: wanted_keys.index(identity(i)))
    others = [i for i in items if identity(i) not in wanted_keys]
    others.sort(key=lambda i: server_keys.index(identity(i)) if identity(i) in server_keys else len(server_keys))
    result: list[Any] = []
    while others and named:
        left, right = identity(others[0]), identity(named[0])
        before = left in server_keys and right in server_keys and server_keys.index(left) < server_keys.index(right)
        result.append(others.pop(0) if before else named.pop(0))
    return [*result, *others, *named]


def _retain_keys(merged: dict[str, Any], patch: Mapping[str, Any]) -> None:
    if _RETAIN not in patch:
        return
    retained = _listed(patch[_RETAIN], _RETAIN)
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in retained:
            raise BadRequest(f"{_RETAIN} list of the patch does not contain all fields present in it: {key} is missing")
    for key in list(merged):
        if key not in retained:
            del merged[key]


def _listed(value: Any, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest(f"{key} of the patch must be a list")
    return value


def _unique(items: Sequence[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if item not in result:
            result.append(item)
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return value
