"""Ratcheting: which faults of an updated object are forgiven because the value at fault did not change.

Values are matched with their old ones as Kubernetes matches them: fields and keys by name, items of `map` lists by their keys;
items of other lists have no old value, but the list itself does. A missing required field belongs to the object it is
missing from.

Source: Kubernetes documentation, "Custom Resource Definition": "Validation ratcheting".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.apiserver.schema.paths import ABSENT, Path, steps
from pykueue.apiserver.schema.types import Schema
from pykueue.apiserver.schema.validate import Fault


def unforgiven(faults: Sequence[Fault], schema: Schema, new: Any, old: Any) -> list[Fault]:
    """The faults whose value is not the same as before."""
    return [fault for fault in faults if not _is_unchanged(fault.at, schema, new, old)]


def correlate(schema: Schema, items: Sequence[Any], old_items: Any) -> list[Any]:
    """The old value of each item of a list; ABSENT where there is none, always so unless it is a `map` list."""
    if schema.list_type != "map" or not isinstance(old_items, list):
        return [ABSENT] * len(items)
    keys = schema.list_map_keys
    fields = schema.items.properties if schema.items is not None else {}
    defaults = [fields[key].default if key in fields else None for key in keys]

    def key_of(item: Any) -> tuple[Any, ...] | None:
        if not isinstance(item, Mapping):
            return None
        found = tuple(item.get(key, default) for key, default in zip(keys, defaults, strict=True))
        return None if any(isinstance(part, list | Mapping) for part in found) else found

    by_key = {found: item for item in old_items if (found := key_of(item)) is not None}
    return [ABSENT if (found := key_of(item)) is None else by_key.get(found, ABSENT) for item in items]


def _is_unchanged(at: Path, schema: Schema | None, new: Any, old: Any) -> bool:
    for step in steps(at):
        if isinstance(step, int):
            old = correlate(schema, new, old)[step] if schema is not None else ABSENT
            new, schema = new[step], schema.items if schema is not None else None
        else:
            old = old.get(step, ABSENT) if isinstance(old, Mapping) else ABSENT
            new, schema = new[step], schema.child(step) if schema is not None else None
        if old is ABSENT:
            return False
    return bool(new == old)
