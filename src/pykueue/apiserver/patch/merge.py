"""JSON merge patch (RFC 7386): apply one, and make one from a difference.

Objects merge by key, null removes a key, everything else replaces. Inputs are never changed; parts that a patch leaves alone
are shared with the result. Neighbours: `json_patch.py`, `strategic.py`; who calls them is `apiserver/patching.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """The target as the patch wants it; the target itself if nothing differs."""
    if not isinstance(patch, Mapping):
        return patch
    source: Mapping[str, Any] = target if isinstance(target, Mapping) else {}
    merged: dict[str, Any] | None = None if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            if key in source:
                merged = dict(source) if merged is None else merged
                merged.pop(key, None)
            continue
        present = source.get(key)
        wanted = apply_merge_patch(present, value)
        if key not in source or wanted is not present:
            merged = dict(source) if merged is None else merged
            merged[key] = wanted
    return target if merged is None else merged


def merge_patch(old: Any, new: Any) -> Any:
    """The patch that makes `new` of `old`; an empty mapping if two objects are equal.

    A merge patch cannot say "set to null": a null in `new` is the same as an absent key.
    """
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return _without_nulls(new)
    patch: dict[str, Any] = {}
    for key, present in old.items():
        if present is not None and new.get(key) is None:
            patch[key] = None
    for key, wanted in new.items():
        present = old.get(key)
        if wanted is None or present is wanted:
            continue
        if isinstance(wanted, Mapping) and isinstance(present, Mapping):
            if change := merge_patch(present, wanted):
                patch[key] = change
        elif present != wanted or isinstance(present, bool) != isinstance(wanted, bool):
            patch[key] = _without_nulls(wanted)
    return patch


def _without_nulls(value: Any) -> Any:
    """A value without null members of objects, which a merge patch would read as removals; lists stay as they are."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return value
