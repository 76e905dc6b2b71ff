"""A world for pure reconcilers: objects in an `Indexer`, and commands carried out one by one as an API server would.

Not a server: no validation, no generated names. Server-side apply is known for status alone, where lists of conditions merge by type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import jsonpatch

from pykueue.api import objects
from pykueue.api.commands import Apply, Chain, Command, Create, Delete, Emit, Patch, PatchType, Together
from pykueue.api.errors import Conflict
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time, parse_time
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.ports.reader import Indexer
from pykueue.ports.reconcile import Reconciler, Result

START = parse_time("2026-08-01T10:00:00Z")
_ADMISSION_FIELDS = (
    "admission",
    "requeueState",
    "admissionChecks",
    "accumulatedPastExecutionTimeSeconds",
    "schedulingStats",
)


class World:
    """Objects, a clock that is set by hand, and what was written."""

    def __init__(self, *reconcilers: Reconciler) -> None:
        self.reader = Indexer()
        self.now: Instant = START
        self.writes: list[Command] = []
        self.events: list[str] = []
        self.errors: list[str] = []
        self._reconcilers = reconcilers
        self._version = 0
        self._queue: list[tuple[Reconciler, ObjectKey]] = []
        for reconciler in reconcilers:
            for index in reconciler.indexes():
                self.reader.add_index(index.kind, index.name, index.fn)

    def get(self, kind: Kind, name: str, namespace: str = "ns") -> Any:
        return self.reader.get(kind, namespace if kind.namespaced else "", name)

    def names(self, kind: Kind) -> list[str]:
        return [objects.name(obj) for obj in self.reader.list(kind)]

    def put(self, kind: Kind, obj: Obj) -> Obj:
        """Store an object as it is, with what a server adds."""
        meta = dict(objects.metadata(obj))
        meta.setdefault("uid", f"uid-{objects.name(obj)}-{self._version}")
        meta.setdefault("creationTimestamp", format_time(self.now))
        if kind.namespaced:
            meta.setdefault("namespace", "ns")
        self._version += 1
        stored = {**obj, "metadata": {**meta, "resourceVersion": str(self._version)}}
        self._tell(kind, stored)
        return stored

    def change(self, kind: Kind, name: str, **parts: Any) -> Obj:
        """Replace top-level parts of an object; `metadata` is merged."""
        old = self.get(kind, name)
        meta = {**old["metadata"], **parts.pop("metadata", {})}
        return self.put(kind, {**old, **parts, "metadata": meta})

    def remove(self, kind: Kind, name: str) -> None:
        """An object is gone."""
        self._tell(kind, self.get(kind, name), deleted=True)

    def settle(self, seconds: float = 0) -> None:
        """Let all reconcilers work until nothing changes; timers are only heard after this time."""
        self.now = Instant(self.now + int(seconds * SECOND_US))
        timers: list[tuple[Reconciler, ObjectKey]] = []
        for _ in range(1000):
            if not self._queue:
                break
            reconciler, key = self._queue.pop(0)
            result = reconciler.reconcile(self.reader, key, self.now)
            self._carry_out(result)
            if result.requeue_after_us is not None:
                timers.append((reconciler, key))
        assert not self._queue, "reconcilers do not come to rest"
        self._queue = list(dict.fromkeys(timers))

    def assert_settled(self) -> None:
        """Every key of every reconciler would do nothing now."""
        for reconciler in self._reconcilers:
            for watch in reconciler.watches():
                for obj in self.reader.list(watch.kind):
                    for key in watch.keys(ObjectEvent(watch.kind, Change.ADDED, obj), self.reader):
                        assert reconciler.reconcile(self.reader, key, self.now).commands == ()

    def _carry_out(self, result: Result) -> None:
        if result.error:
            self.errors.append(result.error)
        self.do(*result.commands)

    def do(self, *commands: Command) -> None:
        for command in commands:
            match command:
                case Chain(inner) | Together(inner):
                    self.do(*inner)
                case Emit():
                    self.events.append(
                        f"{command.kind.kind}/{objects.name(command.about)} {command.type} {command.reason}: {command.note}"
                    )
                case Create(kind, obj):
                    self.writes.append(command)
                    assert self.reader.get(kind, *objects.key(obj)) is None
                    self.put(kind, obj)
                case Patch(kind, key, body, type_):
                    self.writes.append(command)
                    self._patch(kind, key, body, type_)
                case Apply(kind, obj, manager):
                    self.writes.append(command)
                    self._apply(kind, obj, manager)
                case Delete(kind, key):
                    self.writes.append(command)
                    self._delete(kind, key)
                case _:
                    raise AssertionError(command)

    def _patch(self, kind: Kind, key: ObjectKey, body: Any, type_: PatchType) -> None:
        old = self.reader.get(kind, *key)
        if old is None:
            return
        if type_ is PatchType.JSON:
            self.put(kind, jsonpatch.apply_patch(old, body))
            return
        guard = (body.get("metadata") or {}).get("uid")
        if guard and guard != objects.uid(old):
            raise Conflict(f"{kind.kind} {key}: another uid")
        self._store(kind, _merged(old, body))

    def _store(self, kind: Kind, obj: Obj) -> None:
        stored = self.put(kind, obj)
        if objects.is_deleting(stored) and not objects.finalizers(stored):
            self._tell(kind, stored, deleted=True)

    def _apply(self, kind: Kind, obj: Obj, manager: str) -> None:
        old = self.reader.get(kind, *objects.key(obj))
        assert old is not None
        version = objects.resource_version(obj)
        if version and version != objects.resource_version(old):
            raise Conflict(f"{kind.kind} {objects.key(obj)}: read at {version}")
        status, new = dict(old.get("status") or {}), dict(obj["status"])
        conditions = {c["type"]: c for c in status.get("conditions") or ()}
        if manager == "kueue-admission":
            conditions = {t: c for t, c in conditions.items() if t == "WaitingForReplacementPods"}
            status = {k: v for k, v in status.items() if k not in _ADMISSION_FIELDS}
        conditions |= {c["type"]: c for c in new.pop("conditions", ())}
        self.put(kind, {**old, "status": {**status, **new, "conditions": list(conditions.values())}})

    def _delete(self, kind: Kind, key: ObjectKey) -> None:
        old = self.reader.get(kind, *key)
        if old is None:
            return
        holds = objects.finalizers(old) or objects.get_path(old, "spec", "nodeName")
        if not holds:
            self._tell(kind, old, deleted=True)
        elif not objects.is_deleting(old):
            self.put(
                kind, objects.with_metadata(old, deletionTimestamp=format_time(self.now), deletionGracePeriodSeconds=30)
            )

    def _tell(self, kind: Kind, obj: Obj, *, deleted: bool = False) -> None:
        event = self.reader.apply(kind, obj, deleted=deleted)
        if event is None:
            return
        self._hear(event)
        for reconciler in self._reconcilers:
            for watch in reconciler.watches():
                if watch.kind == kind:
                    wanted = [(reconciler, key) for key in watch.keys(event, self.reader)]
                    self._queue += [item for item in wanted if item not in self._queue]

    def _hear(self, event: ObjectEvent) -> None:
        """An object changed; for worlds with more than reconcilers in them."""


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def flat(commands: Iterable[Command]) -> Sequence[Command]:
    """Commands without the composition around them."""
    return [inner for c in commands for inner in (flat(c.commands) if isinstance(c, Chain | Together) else (c,))]
