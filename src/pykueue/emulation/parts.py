"""What the emulated controllers share: watches of owned objects, pods' states, conditions, template hashes, status patches.

The rules kept here: conditions change their transition time only with their status; a status patch is returned only where it would
change something (level-based controllers do nothing the second time); hashes depend on content alone, never on the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Patch, Together
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import Instant, format_time, parse_time
from pykueue.api.kinds import POD, Kind
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import Index, Watch

OWNER_UID = "owner-uid"
"""Index of objects by the UIDs of all their owners."""

_SAFE = "bcdfghjklmnpqrstvwxz2456789"


def owner_uids(obj: Obj) -> Iterable[str]:
    """UIDs of all owners, for `OWNER_UID`."""
    return [ref.uid for ref in objects.owner_references(obj)]


def owned_index(kind: Kind) -> Index:
    """The index that `owned` reads."""
    return Index(kind, OWNER_UID, owner_uids)


def owned(reader: Reader, kind: Kind, owner: Obj) -> list[Obj]:
    """Objects whose controller is this owner, by name."""
    uid = objects.uid(owner)
    return [obj for obj in reader.by_index(kind, OWNER_UID, uid) if controller_uid(obj) == uid]


def controller_uid(obj: Obj) -> str:
    """UID of the controller, or the empty string."""
    owner = objects.controller_of(obj)
    return owner.uid if owner is not None else ""


def own_watch(kind: Kind) -> Watch:
    """A reconciler's own kind: every change wakes the object itself."""
    return Watch(kind, lambda event, _: (objects.key(event.new),))


def owned_watch(kind: Kind, owner: Kind, delay_us: int = 0) -> Watch:
    """Changes of owned objects wake their controllers of one kind, the former one as well."""

    def keys(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        del reader
        found: dict[ObjectKey, None] = {}
        for obj in (event.new, event.old):
            ref = objects.controller_of(obj) if obj is not None else None
            if ref is not None and obj is not None and (ref.kind, ref.api_version) == (owner.kind, owner.api_version):
                found[ObjectKey(objects.namespace(obj), ref.name)] = None
        return found

    return Watch(kind, keys, delay_us)


def together(commands: Iterable[Command]) -> tuple[Command, ...]:
    """Commands side by side, as one; nothing for none."""
    many = tuple(commands)
    return many if len(many) < 2 else (Together(many),)


def side_by_side(steps: Iterable[Sequence[Command]]) -> tuple[Command, ...]:
    """Steps that do not depend on each other; within a step, what comes later (the event) needs what comes before."""
    return together(step[0] if len(step) == 1 else Chain(tuple(step)) for step in steps if step)


def phase(pod: Obj) -> str:
    """`status.phase`, or the empty string."""
    return str(get_path(pod, "status", "phase") or "")


def is_pod_ready(pod: Obj) -> bool:
    """Running, with the Ready condition, and not on its way out is the caller's question."""
    return phase(pod) == "Running" and objects.is_condition_true(pod, "Ready")


def is_pod_finished(pod: Obj) -> bool:
    """Succeeded or Failed."""
    return phase(pod) in {"Succeeded", "Failed"}


def is_pod_available(pod: Obj, min_ready_s: int, now: Instant) -> bool:
    """Ready for at least `min_ready_s`."""
    if not is_pod_ready(pod):
        return False
    return available_in_us(pod, min_ready_s, now) == 0


def available_in_us(pod: Obj, min_ready_s: int, now: Instant) -> int:
    """How long a ready pod must stay so until it counts as available; 0 if it does."""
    ready = objects.condition(pod, "Ready")
    if min_ready_s <= 0 or ready is None:
        return 0
    since = parse_time(ready.get("lastTransitionTime") or format_time(now))
    return max(0, since + min_ready_s * 1_000_000 - now)


def wake_for_availability(pods: Iterable[Obj], min_ready_s: int, now: Instant) -> int | None:
    """When the next ready pod becomes available, or None."""
    waits = [wait for pod in pods if is_pod_ready(pod) and (wait := available_in_us(pod, min_ready_s, now))]
    return min(waits, default=None)


def set_condition(
    conditions: Sequence[Mapping[str, Any]],
    type_: str,
    status: str,
    *,
    reason: str,
    message: str,
    now: Instant,
    **more: Any,
) -> list[Mapping[str, Any]]:
    """Conditions with one set: in its old place, or at the end; the transition time moves with the status alone."""
    stamp = format_time(now)
    old = next((c for c in conditions if c.get("type") == type_), None)
    new: dict[str, Any] = {"type": type_, "status": status, "reason": reason, "message": message, **more}
    if old is not None and old.get("status") == status:
        stamp = old.get("lastTransitionTime") or stamp
        for kept in ("lastProbeTime", "lastUpdateTime"):
            if kept in new and old.get("reason") == reason and old.get("message") == message:
                new[kept] = old.get(kept)
    new = {**{k: v for k, v in (old or {}).items() if k not in new}, **new, "lastTransitionTime": stamp}
    if old is None:
        return [*conditions, new]
    return [new if c is old else c for c in conditions]


def status_patch(kind: Kind, obj: Obj, wanted: Mapping[str, Any]) -> tuple[Command, ...]:
    """A merge patch of the status fields that differ; a wanted None removes the field. Nothing where all is well."""
    present = obj.get("status") or {}
    changed = {
        name: value
        for name, value in wanted.items()
        if (present.get(name) != value if value is not None else name in present)
    }
    if not changed:
        return ()
    return (
        Patch(
            kind,
            objects.key(obj),
            {"metadata": {"uid": objects.uid(obj)}, "status": changed},
            subresource="status",
            missing_ok=True,
        ),
    )


def content_hash(content: Any, *, salt: str = "") -> str:
    """Hash of JSON content, spelled without vowels as Kubernetes spells its own: decimal FNV-1 of 32 bits, made safe."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":")) + salt
    value = 2166136261
    for byte in text.encode():
        value = ((value * 16777619) & 0xFFFFFFFF) ^ byte
    return "".join(_SAFE[ord(c) % len(_SAFE)] for c in str(value))


def pod_from_template(
    template: Mapping[str, Any], owner_kind: Kind, owner: Obj, *, name: str = "", generate_name: str = ""
) -> dict[str, Any]:
    """A pod of a template, with its controller."""
    meta = template.get("metadata") or {}
    new_meta: dict[str, Any] = {
        "namespace": objects.namespace(owner),
        "labels": dict(meta.get("labels") or {}),
        "annotations": dict(meta.get("annotations") or {}),
        "finalizers": list(meta.get("finalizers") or ()),
        "ownerReferences": [objects.make_owner_reference(owner_kind, owner, controller=True)],
    }
    new_meta |= {"name": name} if name else {}
    new_meta |= {"generateName": generate_name} if generate_name else {}
    return {
        "apiVersion": POD.api_version,
        "kind": POD.kind,
        "metadata": {k: v for k, v in new_meta.items() if v},
        "spec": dict(template.get("spec") or {}),
    }


def scaled(value: Any, total: int, *, up: bool) -> int:
    """An int-or-percent of a total; a percentage is rounded up or down.

    Raises:
        ValueError: neither a number nor a percentage.
    """
    if isinstance(value, str):
        percent = int(value.removesuffix("%")) if value.endswith("%") else _not_percent(value)
        return -(-percent * total // 100) if up else percent * total // 100
    return int(value)


def _not_percent(value: str) -> int:
    raise ValueError(f"{value!r} is neither a whole number nor a percentage such as 25%")
