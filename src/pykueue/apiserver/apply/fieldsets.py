"""Sets of field paths, kept in the form in which the API writes them (`fieldsV1`), so that nothing is ever decoded.

A set is a mapping from path elements to the sets below them. An element is `f:<field>`, `k:<keys of a list item as JSON>`,
`v:<value of a set item as JSON>` or `i:<index>`. A node without children is a member; a node with children is a member if it
has the key `.`. At the root `{}` is the empty set.

Sets are shared and never mutated. Every operation returns its first argument itself where nothing changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

FieldSet: TypeAlias = Mapping[str, "FieldSet"]

EMPTY: FieldSet = {}
LEAF: FieldSet = {}
SELF = "."


def is_member(node: FieldSet) -> bool:
    """Whether a node below the root stands for a path of the set, and not only for what is below it."""
    return not node or SELF in node


def make_node(member: bool, children: FieldSet) -> FieldSet | None:
    """A node below the root; None if it would say nothing."""
    if not children or (len(children) == 1 and SELF in children):
        return LEAF if member else None
    if member is (SELF in children):
        return children
    if member:
        return {SELF: LEAF, **children}
    return {key: child for key, child in children.items() if key != SELF}


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of either set."""
    if not right or left is right:
        return left
    if not left:
        return right
    result: dict[str, FieldSet] | None = None
    for key, node in right.items():
        if key == SELF:
            continue
        present = left.get(key)
        if present is None:
            wanted: FieldSet | None = node
        else:
            wanted = make_node(is_member(present) or is_member(node), union(present, node))
        if wanted is not None and wanted is not present:
            result = dict(left) if result is None else result
            result[key] = wanted
    return left if result is None else result


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of the first set that are not in the second; what is below a common path is looked at on its own."""
    result: dict[str, FieldSet] | None = None
    for key, other in right.items():
        node = left.get(key)
        if node is None or key == SELF:
            continue
        wanted = make_node(is_member(node) and not is_member(other), difference(node, other))
        if wanted is not node:
            result = dict(left) if result is None else result
            if wanted is None:
                del result[key]
            else:
                result[key] = wanted
    return left if result is None else result


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """Paths of both sets."""
    result: dict[str, FieldSet] = {}
    for key, node in left.items():
        other = right.get(key)
        if other is None or key == SELF:
            continue
        wanted = make_node(is_member(node) and is_member(other), intersection(node, other))
        if wanted is not None:
            result[key] = wanted
    return result


def ordered(fields: FieldSet) -> FieldSet:
    """The same set in the order in which Kubernetes writes it."""
    if len(fields) == 0:
        return LEAF
    return {key: ordered(fields[key]) for key in sorted(fields, key=_order)}


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """Every path as people read it, for example `.spec.containers[name="a"].image`; shallow ones first."""
    keys = [key for key in sorted(fields, key=_order) if key != SELF]
    for key in keys:
        if is_member(fields[key]):
            yield prefix + shown(key)
    for key in keys:
        yield from paths(fields[key], prefix + shown(key))


def shown(element: str) -> str:
    """One path element as people read it."""
    kind, _, text = element.partition(":")
    match kind:
        case "f":
            return f".{text}"
        case "k":
            keys = json.loads(text)
            return "[" + ",".join(f"{name}={json.dumps(keys[name], ensure_ascii=False)}" for name in sorted(keys)) + "]"
        case "v":
            return f"[={text}]"
        case _:
            return f"[{text}]"


@lru_cache(maxsize=16384)
def _order(element: str) -> tuple[int, str]:
    """`.` first, then fields, keys, values and indexes; numbers inside of keys by their value."""
    kind, _, text = element.partition(":")
    if kind == "k":
        keys = json.loads(text)
        text = ",".join(
            f"{name}={value:020d}" if isinstance(value, int) else f"{name}={value}"
            for name, value in sorted(keys.items())
        )
    return ({"f": 1, "k": 2, "v": 3, "i": 4}.get(kind, 0), text.zfill(20) if kind == "i" else text)
