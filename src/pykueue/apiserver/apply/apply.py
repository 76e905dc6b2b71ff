"""Server-side apply: an applied configuration, laid over a live object under the eyes of everyone who owns a part of it.

1. The applied fields replace the live ones.
2. Fields that this manager applied before, applies no longer, and nobody else owns, go.
3. What thereby changes and belongs to others is a conflict; with `force` it is taken from them.

An apply that changes neither the object nor who owns what returns the live object itself.

Source: Kubernetes documentation, "Server-Side Apply"; structured-merge-diff's documented algorithm.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykueue.api.errors import ApiError, BadRequest, Conflict
from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import Obj, metadata
from pykueue.apiserver.apply.fieldsets import EMPTY, FieldSet, difference, intersection, ordered, paths, union
from pykueue.apiserver.apply.managers import (
    APPLY,
    NEVER_MANAGED,
    UPDATE,
    Manager,
    Managers,
    Owned,
    capped,
    read_managers,
    with_managers,
)
from pykueue.apiserver.apply.typed import (
    Comparison,
    UntypedValue,
    compare,
    field_set,
    merge,
    remove_fields,
    with_named_fields,
)
from pykueue.apiserver.schema.types import Schema

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"


@dataclass(frozen=True, slots=True)
class Application:
    """Who applies, and how.

    Attributes:
        manager: its name (`fieldManager`).
        force: take fields from others.
        subresource: through which it applies; empty for the object itself.
        now: the server's time.
    """

    manager: str
    force: bool
    now: Instant
    subresource: str = ""


def apply_patch(live: Obj | None, applied: Obj, how: Application, schema: Schema | None) -> Obj:
    """The object after an apply, with its managedFields.

    Args:
        live: the stored object; None to create it.
        applied: the configuration, decoded, without fields that this sub-resource does not write.
        how: who applies.
        schema: of the object.

    Returns:
        `live` itself if nothing changes.

    Raises:
        BadRequest: the configuration brings managedFields, or is not of the schema.
        Conflict: others own fields that it would change, and `force` is false.
    """
    if metadata(applied).get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    version = str(applied["apiVersion"])
    try:
        applied_fields = difference(field_set(applied, schema), NEVER_MANAGED)
    except UntypedValue as error:
        raise cannot_be_typed(applied, str(error)) from error
    me = Manager(how.manager, APPLY, "", how.subresource)
    if live is None:
        managers = {me: Owned(ordered(applied_fields), version, format_time(how.now))} if applied_fields else {}
        return with_managers(applied, managers)
    managers = _managers_of(live, version, schema)
    bare = _without_managers(live)
    attempt = _Attempt(bare, applied, applied_fields, me, schema)
    try:
        new, after = attempt.outcome(managers, force=how.force)
    except Conflict:
        if how.manager != "kubectl" or not attempt.is_left_by_client_side_apply(managers):
            raise
        new, after = attempt.outcome(managers, force=True)
    mine = after.get(me)
    if compare(bare, new, schema) == Comparison(EMPTY, EMPTY):
        if mine is None or (me in managers and managers[me].fields == mine.fields):
            return live
        # Kubernetes parity: an apply that changes ownership alone leaves the entry's time as it was, or absent.
        after[me] = Owned(ordered(mine.fields), version, mine.time)
        return with_managers(bare, capped(after))
    if mine is not None:
        after[me] = Owned(ordered(mine.fields), version, format_time(how.now))
    return with_managers(new, capped(after))


def cannot_be_typed(obj: Obj, why: str) -> BadRequest:
    """The refusal of a configuration that is not of its kind's schema; `why` begins with the field's path."""
    meta = metadata(obj)
    group, _, version = str(obj.get("apiVersion")).rpartition("/")
    kind = f"{group}/{version}, Kind={obj.get('kind')}"
    return BadRequest(
        f"failed to create typed patch object ({meta.get('namespace', '')}/{meta.get('name', '')}; {kind}): {why}"
    )


def conflict_error(conflicts: Mapping[Manager, FieldSet]) -> ApiError:
    """The 409 that names every field and its owner."""
    found = [(manager, path) for manager, fields in conflicts.items() for path in paths(fields)]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in found
    ]
    if len(found) == 1:
        text = f"Apply failed with 1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        lines = []
        for manager, fields in sorted(conflicts.items(), key=lambda pair: pair[0]):
            lines += [f"conflicts with {manager}:", *(f"- {path}" for path in paths(fields))]
        text = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    return Conflict(text, details={"causes": causes})


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One apply on its way: the live object without managedFields, what is applied, its fields, and by whom."""

    live: Obj
    applied: Obj
    fields: FieldSet
    me: Manager
    schema: Schema | None

    def outcome(self, managers: Managers, *, force: bool) -> tuple[Obj, Managers]:
        """The new object without managedFields, and its managers.

        Raises:
            Conflict: see `apply_patch`.
        """
        me, last = self.me, managers.get(self.me)
        after = {**managers, me: Owned(self.fields, str(self.applied["apiVersion"]), last.time if last else "")}
        new = merge(self.live, self.applied, self.schema)
        if last is not None:
            new = _pruned(new, after, last.fields, self.fields, self.schema)
        changed, removed = compare(self.live, new, self.schema)
        conflicts: dict[Manager, FieldSet] = {}
        for manager, owned in managers.items():
            if manager != me and (fought := intersection(owned.fields, changed)):
                conflicts[manager] = fought
        if conflicts and not force:
            raise conflict_error(conflicts)
        for manager, owned in list(after.items()):
            if manager != me:
                kept = difference(difference(owned.fields, conflicts.get(manager, EMPTY)), removed)
                if kept is not owned.fields:
                    after[manager] = Owned(kept, owned.api_version, owned.time)
            if not after[manager].fields:
                del after[manager]
        return new, after

    def is_left_by_client_side_apply(self, managers: Managers) -> bool:
        """Whether all that is in conflict was last applied by `kubectl apply` without `--server-side`, as its annotation tells.

        Such fields pass to kubectl without force, so that users can move from one form of apply to the other.
        """
        live, schema = self.live, self.schema
        text = (metadata(live).get("annotations") or {}).get(LAST_APPLIED)
        if not text:
            return False
        try:
            last = json.loads(text)
            last_fields = field_set(last, schema)
        except (ValueError, UntypedValue):
            return False
        if not isinstance(last, dict) or last.get("apiVersion") != self.applied.get("apiVersion"):
            return False
        # Only fields whose live value is still the one that was applied count.
        allowed = difference(last_fields, compare(live, merge(live, last, schema), schema).changed)
        wanted = compare(live, merge(live, self.applied, schema), schema).changed
        others = [owned.fields for manager, owned in managers.items() if manager != self.me]
        return not any(difference(intersection(fields, wanted), allowed) for fields in others)


def _pruned(merged: Any, managers: Managers, last: FieldSet, mine: FieldSet, schema: Schema | None) -> Any:
    """The merged object without what I applied before, apply no longer, and nobody owns."""
    if not difference(last, mine):
        return merged
    named_last = with_named_fields(last, schema)
    everyone: FieldSet = EMPTY
    for owned in managers.values():
        everyone = union(everyone, owned.fields)
    everyone = with_named_fields(union(everyone, _IDENTITY), schema)
    in_merged = with_named_fields(field_set(merged, schema), schema)
    mine_gone = remove_fields(merged, schema, named_last) or {}
    kept = union(with_named_fields(field_set(mine_gone, schema), schema), everyone)
    owned_back = remove_fields(merged, schema, difference(in_merged, kept)) or {}
    left = with_named_fields(field_set(owned_back, schema), schema)
    return remove_fields(merged, schema, intersection(difference(in_merged, left), named_last))


_IDENTITY: FieldSet = {"f:apiVersion": {}, "f:kind": {}, "f:metadata": {"f:name": {}, "f:namespace": {}}}
"""What every configuration speaks of, though nobody owns it."""


def _managers_of(live: Obj, version: str, schema: Schema | None) -> Managers:
    """The live object's managers; if it has none, one that owns all there was before the first apply."""
    found = read_managers(metadata(live).get("managedFields"))
    if found:
        return found
    everything = difference(field_set(_without_managers(live), schema), NEVER_MANAGED)
    return {Manager(BEFORE_FIRST_APPLY, UPDATE, version): Owned(ordered(everything), version)}


def _without_managers(obj: Obj) -> Obj:
    return {**obj, "metadata": {key: value for key, value in metadata(obj).items() if key != "managedFields"}}
