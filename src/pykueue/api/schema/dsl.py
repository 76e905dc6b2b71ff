"""A small language for structural schemas.

A node is a plain `dict` of OpenAPI v3; the functions here only save words. Three rules:

- in `obj`, a property whose name ends with `!` is required;
- rules (`x-kubernetes-validations`) are pairs of message and CEL expression, in the order in which they are reported;
- nodes are values: nothing changes a node after it was made, so nodes may be shared between places and versions.

An older version of a kind is told by its differences: `derive(newest, {path: change, ...})`, where a path is dotted and `[]`
or `{}` steps into the items of a list or the values of a map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Node: TypeAlias = dict[str, Any]
Rule: TypeAlias = tuple[str, str]
Change: TypeAlias = Callable[[Node | None], Node | None]
"""From the node at a path (None: there is none) to the new one (None: leave it out)."""

RULES = "x-kubernetes-validations"


def obj(text: str, properties: Mapping[str, Node] | None = None, /, *rules: Rule, **extra: Any) -> Node:
    """An object; names that end with `!` are required."""
    node: Node = {"description": text, "type": "object"}
    if properties is not None:
        node["properties"] = {name.removesuffix("!"): child for name, child in properties.items()}
        required = sorted(name[:-1] for name in properties if name.endswith("!"))
        if required:
            node["required"] = required
    return _finish(node, rules, extra)


def mapping(text: str, values: Node, *, max_entries: int | None = None, atomic: bool = False) -> Node:
    """A map from strings to `values`."""
    node: Node = {"description": text, "type": "object", "additionalProperties": values}
    if max_entries is not None:
        node["maxProperties"] = max_entries
    if atomic:
        node["x-kubernetes-map-type"] = "atomic"
    return node


def listing(
    text: str,
    items: Node,
    /,
    *rules: Rule,
    kind: str | None = "atomic",
    keys: Sequence[str] = (),
    at_least: int | None = None,
    at_most: int | None = None,
) -> Node:
    """A list.

    Args:
        kind: `x-kubernetes-list-type`: `atomic`, `set`, or None for a plain list. `keys` makes it a `map`.
    """
    node: Node = {"description": text, "type": "array", "items": items}
    if at_least is not None:
        node["minItems"] = at_least
    if at_most is not None:
        node["maxItems"] = at_most
    if keys:
        node["x-kubernetes-list-type"], node["x-kubernetes-list-map-keys"] = "map", list(keys)
    elif kind is not None:
        node["x-kubernetes-list-type"] = kind
    return _finish(node, rules, {})


def string(
    text: str = "",
    /,
    *rules: Rule,
    at_least: int | None = None,
    at_most: int | None = None,
    pattern: str | None = None,
    **extra: Any,
) -> Node:
    """A string, with its least and greatest length in characters."""
    node: Node = {"type": "string"}
    if text:
        node["description"] = text
    if at_least is not None:
        node["minLength"] = at_least
    if at_most is not None:
        node["maxLength"] = at_most
    if pattern is not None:
        node["pattern"] = pattern
    return _finish(node, rules, extra)


def choice(text: str, *values: str, **extra: Any) -> Node:
    """A string that is one of these."""
    return {"description": text, "type": "string", "enum": list(values), **extra}


def time(text: str) -> Node:
    """A timestamp."""
    return {"description": text, "type": "string", "format": "date-time"}


def boolean(text: str, **extra: Any) -> Node:
    """True or false."""
    return {"description": text, "type": "boolean", **extra}


def int32(text: str = "", **extra: Any) -> Node:
    """A 32-bit integer."""
    return _integer(text, "int32", extra)


def int64(text: str = "", **extra: Any) -> Node:
    """A 64-bit integer."""
    return _integer(text, "int64", extra)


def int_or_string(text: str, **extra: Any) -> Node:
    """A number, or a string that the API gives a meaning to."""
    return {
        "description": text,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
        **extra,
    }


def root(text: str, properties: Mapping[str, Node], *rules: Rule) -> Node:
    """The schema of a whole object: with `apiVersion`, `kind` and `metadata`."""
    every = {
        "apiVersion": string("version of the API that this object is written in"),
        "kind": string("name of the kind"),
        "metadata": {"type": "object"},
    }
    return obj(text, {**every, **properties}, *rules)


def drop(_: Node | None) -> None:
    """Change: the field is not there."""


def put(node: Node, *, required: bool = False) -> Change:
    """Change: this node instead, or anew; `required` adds the field to its object's required ones."""
    return lambda _: {**node, "!": True} if required else node


def edit(**changes: Any) -> Change:
    """Change: replace these keywords of the node (`x_kubernetes_…` for those with dashes); None removes one."""
    renamed = {k.replace("_", "-") if k.startswith("x_") else k: v for k, v in changes.items()}

    def change(node: Node | None) -> Node:
        if node is None:
            raise KeyError("there is nothing to edit")
        return {k: v for k, v in {**node, **renamed}.items() if v is not None}

    return change


def rules(*pairs: Rule) -> Change:
    """Change: these rules instead."""
    return edit(x_kubernetes_validations=[_rule(pair) for pair in pairs])


def derive(node: Node, changes: Mapping[str, Change]) -> Node:
    """The schema of another version, told by its differences, applied in order.

    Args:
        node: the schema of a whole object; not changed.
        changes: from path (`spec.podSets[].count`; empty for the root) to change.

    Raises:
        KeyError: a path that leads nowhere.
    """
    for path, change in changes.items():
        steps = path.replace("[]", ".[]").replace("{}", ".{}").split(".") if path else []
        node = _changed(node, steps, change, path)
    return node


def _changed(node: Node, steps: list[str], change: Change, path: str) -> Node:
    if not steps:
        changed = change(node)
        if changed is None:
            raise KeyError(f"{path}: cannot drop the object itself")
        return changed
    step, rest = steps[0], steps[1:]
    if step in ("[]", "{}"):
        key = "items" if step == "[]" else "additionalProperties"
        return {**node, key: _changed(node[key], rest, change, path)}
    children: dict[str, Node] = node.get("properties", {})
    if rest:
        if step not in children:
            raise KeyError(f"{path}: no property {step}")
        return {**node, "properties": {**children, step: _changed(children[step], rest, change, path)}}
    changed = change(children.get(step))
    required = [name for name in node.get("required", ()) if name != step or changed is not None]
    if changed is not None and changed.pop("!", False):
        required = sorted({*required, step})
    others = {name: child for name, child in children.items() if name != step}
    result = {**node, "properties": others if changed is None else {**others, step: changed}, "required": required}
    return {k: v for k, v in result.items() if k != "required" or v}


def _integer(text: str, width: str, extra: Mapping[str, Any]) -> Node:
    node: Node = {"type": "integer", "format": width, **extra}
    return {"description": text, **node} if text else node


def _finish(node: Node, pairs: Sequence[Rule], extra: Mapping[str, Any]) -> Node:
    node |= extra
    if pairs:
        node[RULES] = [_rule(pair) for pair in pairs]
    return node


def _rule(pair: Rule) -> dict[str, str]:
    message, expression = pair
    return {"message": message, "rule": expression}
