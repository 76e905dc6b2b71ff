"""Managers of an object: `metadata.managedFields` read, brought up to date, and written again.

A manager is told apart by name, operation, sub-resource and, for updates, API version. Updates own what they changed, and take
it from whoever owned it. The entries' field sets stay in their wire form, so reading them costs nothing.

What it does not do: translate field sets between versions of one kind. Paths of another version are compared as they stand.

Source: Kubernetes documentation, "Server-Side Apply", "Field management".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import Obj, metadata
from pykueue.apiserver.apply.fieldsets import EMPTY, LEAF, FieldSet, difference, ordered, union
from pykueue.apiserver.apply.typed import compare, empty_object
from pykueue.apiserver.schema.types import Schema

APPLY = "Apply"
UPDATE = "Update"
UPDATE_MANAGERS_MAX = 10
ANCIENT_CHANGES = "ancient-changes"

_META_FIELDS = (
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion",
)  # fmt: skip
NEVER_MANAGED: FieldSet = {
    "f:apiVersion": LEAF,
    "f:kind": LEAF,
    "f:metadata": {".": LEAF, **{f"f:{name}": LEAF for name in _META_FIELDS}},
}
"""What nobody owns."""


class Manager(NamedTuple):
    """Who owns fields.

    Attributes:
        name: for example `kubectl`.
        operation: `Apply` or `Update`.
        api_version: in which an updater wrote; empty for appliers, who are the same in every version.
        subresource: through which it wrote; empty for the object itself.
    """

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True, slots=True)
class Owned:
    """What a manager owns.

    Attributes:
        fields: its set.
        api_version: the version that the set speaks.
        time: RFC 3339, of the last change; empty if unknown.
    """

    fields: FieldSet
    api_version: str
    time: str = ""


Managers: TypeAlias = dict[Manager, Owned]


def read_managers(entries: Sequence[Mapping[str, Any]] | None) -> Managers | None:
    """The managers of `metadata.managedFields`; None if the entries are not in order."""
    result: Managers = {}
    for entry in entries or ():
        operation, version, fields = entry.get("operation"), entry.get("apiVersion"), entry.get("fieldsV1")
        if operation not in (APPLY, UPDATE) or entry.get("fieldsType") != "FieldsV1":
            return None
        if not isinstance(version, str) or not isinstance(fields, Mapping | None):
            return None
        known_as = version if operation == UPDATE else ""
        manager = Manager(str(entry.get("manager") or ""), operation, known_as, str(entry.get("subresource") or ""))
        result[manager] = Owned(fields or EMPTY, version, str(entry.get("time") or ""))
    return result


def write_managers(managers: Managers) -> list[dict[str, Any]]:
    """`metadata.managedFields`, in Kubernetes' order: appliers first, then by time."""
    order = sorted(
        managers.items(), key=lambda pair: (pair[0].operation, pair[1].time, pair[0].name, pair[1].api_version, pair[0].subresource)
    )  # fmt: skip
    entries: list[dict[str, Any]] = []
    for manager, owned in order:
        entry: dict[str, Any] = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": owned.api_version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": owned.fields,
            "subresource": manager.subresource,
        }
        entries.append({key: value for key, value in entry.items() if value != "" or key == "apiVersion"})
    return entries


def with_managers(obj: Obj, managers: Managers | None) -> Obj:
    """The object with these managers; without the field if there are none."""
    meta = {key: value for key, value in metadata(obj).items() if key != "managedFields"}
    if managers:
        meta["managedFields"] = write_managers(managers)
    return {**obj, "metadata": meta}


def update_managed_fields(
    old: Obj | None, new: Obj, manager: Manager, schema: Schema | None, now: Instant, *, ignore_status: bool = False
) -> Obj:
    """The object with `metadata.managedFields` as an update by `manager` leaves them.

    A writer may send managedFields of its own (it has read them), and `[{}]` to forget all; what cannot be read, or is missing,
    is taken from the stored object.

    Args:
        old: the stored object; None on create.
        new: the object as it will be stored.
        manager: who writes; its operation is `Update`.
        schema: of the object.
        now: the server's time.
        ignore_status: do not count fields of the status (they belong to another sub-resource).
    """
    sent = metadata(new).get("managedFields")
    if sent == [{}] and not manager.subresource:
        return with_managers(new, None)
    before = read_managers(metadata(old).get("managedFields")) if old is not None else {}
    managers = read_managers(sent) if sent and sent is not metadata(old or {}).get("managedFields") else None
    managers = managers if managers and not manager.subresource else before or {}
    if old is not None and not managers:
        return with_managers(new, None) if sent else new
    start = old if old is not None else {"metadata": {}, **empty_object(schema)} if schema else {"metadata": {}}
    changed, removed = compare(_comparable(start, ignore_status), _comparable(new, ignore_status), schema)
    if not changed and not removed and managers is before:
        kept = metadata(old or {}).get("managedFields")
        return new if sent == kept else with_managers(new, managers)
    after = _taken(managers, changed, removed)
    mine = difference(changed, NEVER_MANAGED)
    if mine:
        held = managers.get(manager)
        fields = union(difference(held.fields, removed), mine) if held else mine
        # Kubernetes parity: the scale sub-resource notes its managers without a time.
        time = "" if manager.subresource == "scale" else format_time(now)
        after[manager] = Owned(ordered(fields), manager.api_version, time)
    return with_managers(new, capped(after))


def _taken(managers: Managers, changed: FieldSet, removed: FieldSet) -> Managers:
    """The managers without what somebody changed or removed."""
    after: Managers = {}
    for manager, owned in managers.items():
        fields = difference(difference(owned.fields, changed), removed)
        if fields:
            after[manager] = owned if fields is owned.fields else replace(owned, fields=fields)
    return after


def _comparable(obj: Obj, ignore_status: bool) -> Obj:
    """The object without what is never managed."""
    skipped = ("apiVersion", "kind", "status") if ignore_status else ("apiVersion", "kind")
    meta = {key: value for key, value in metadata(obj).items() if key not in _META_FIELDS}
    return {**{key: value for key, value in obj.items() if key not in skipped}, "metadata": meta}


def capped(managers: Managers) -> Managers:
    """At most ten updaters: the oldest ones of a version become one."""
    updaters = [pair for pair in managers.items() if pair[0].operation == UPDATE]
    surplus = len(updaters) - UPDATE_MANAGERS_MAX
    if surplus <= 0:
        return managers
    result = dict(managers)
    first_of: dict[str, Manager] = {}
    for manager, owned in sorted(updaters, key=lambda pair: (pair[1].time, pair[0])):
        if surplus <= 0:
            break
        version = owned.api_version
        bucket = Manager(ANCIENT_CHANGES, UPDATE, version)
        if version not in first_of:
            first_of[version] = manager
            continue
        held = result.pop(bucket, None) or result.pop(first_of[version])
        result.pop(manager, None)
        result[bucket] = Owned(ordered(union(held.fields, owned.fields)), version, owned.time)
        surplus -= 1
    return result
