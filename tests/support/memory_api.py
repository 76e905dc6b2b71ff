"""A small API server for tests of the shell: objects in a dictionary, and watches that can be held, broken or expired."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from pykueue.api.errors import AlreadyExists, Conflict, Expired, NotFound, PykueueError
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey, key, resource_version
from pykueue.ports.transport import ApiRequest, WatchLine


class MemoryApi:
    """`Transport` over dictionaries."""

    def __init__(self) -> None:
        self.requests: list[ApiRequest] = []
        self.unserved: set[Kind] = set()
        self.events: list[Obj] = []
        self.version = 0
        self.failing: list[PykueueError] = []
        """Errors for the next writes, first come first served."""
        self._objects: dict[str, dict[ObjectKey, Obj]] = defaultdict(dict)
        self._log: dict[str, list[tuple[int, WatchLine]]] = defaultdict(list)
        self._held: dict[str, int] = {}
        self._broken: dict[str, PykueueError] = {}
        self._changed = asyncio.Event()

    # What tests do and see.

    def create(self, kind: Kind, obj: Obj) -> Obj:
        return self._store(kind.plural, "ADDED", obj)

    def touch(self, kind: Kind, object_key: ObjectKey) -> None:
        self._store(kind.plural, "MODIFIED", self._objects[kind.plural][object_key])

    def delete(self, kind: Kind, object_key: ObjectKey) -> Obj:
        obj = self._objects[kind.plural][object_key]
        self._store(kind.plural, "DELETED", obj)
        return obj

    def get(self, kind: Kind, object_key: ObjectKey) -> Obj:
        return self._objects[kind.plural][object_key]

    def names(self, kind: Kind) -> list[str]:
        return sorted(object_key.name for object_key in self._objects[kind.plural])

    def n_lists(self, kind: Kind) -> int:
        return sum(r.method == "GET" and r.path == kind.path() and "watch" not in r.query for r in self.requests)

    def hold_watch(self, kind: Kind, after: int = 0) -> None:
        """Tell nothing more, but for a number of further lines."""
        self._held[kind.plural] = self.version + after

    def expire_watch(self, kind: Kind) -> None:
        self._held.pop(kind.plural, None)
        self.break_watch(kind, Expired("too old resource version"))

    def break_watch(self, kind: Kind, error: PykueueError) -> None:
        self._broken[kind.plural] = error
        self._wake()

    # The port.

    async def request(self, request: ApiRequest) -> Any:
        self.requests.append(request)
        await asyncio.sleep(0)
        plural, object_key = _parse(request.path)
        if any(kind.plural == plural for kind in self.unserved):
            raise NotFound("404 page not found")
        if request.method != "GET" and self.failing:
            raise self.failing.pop(0)
        return getattr(self, f"_{request.method.lower()}")(plural, object_key, request)

    async def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        plural, _ = _parse(request.path)
        seen = int(request.query["resourceVersion"])
        while True:
            if (error := self._broken.pop(plural, None)) is not None:
                raise error
            for version, line in list(self._log[plural]):
                if seen < version <= self._held.get(plural, version):
                    seen = version
                    yield line
            changed = self._changed
            await changed.wait()

    async def close(self) -> None:
        pass

    def _get(self, plural: str, object_key: ObjectKey, request: ApiRequest) -> Any:
        if object_key.name:
            return self._existing(plural, object_key)
        items = [obj for k, obj in sorted(self._objects[plural].items()) if object_key.namespace in ("", k.namespace)]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def _post(self, plural: str, object_key: ObjectKey, request: ApiRequest) -> Any:
        if request.path.startswith("/apis/events.k8s.io"):
            self.events.append(request.body)
        if key(request.body) in self._objects[plural]:
            raise AlreadyExists(f"{key(request.body)} already exists")
        return self._store(plural, "ADDED", request.body)

    def _put(self, plural: str, object_key: ObjectKey, request: ApiRequest) -> Any:
        self._check(self._existing(plural, object_key), request.body)
        return self._store(plural, "MODIFIED", request.body)

    def _patch(self, plural: str, object_key: ObjectKey, request: ApiRequest) -> Any:
        obj = self._existing(plural, object_key)
        self._check(obj, request.body)
        return self._store(plural, "MODIFIED", _merge(obj, request.body))

    def _delete(self, plural: str, object_key: ObjectKey, request: ApiRequest) -> Any:
        obj = self._existing(plural, object_key)
        self._store(plural, "DELETED", obj)
        return {"kind": "Status", "status": "Success", "details": {"uid": obj["metadata"]["uid"]}}

    def _existing(self, plural: str, object_key: ObjectKey) -> Obj:
        obj = self._objects[plural].get(object_key)
        if obj is None:
            raise NotFound(f'{plural} "{object_key.name}" not found')
        return obj

    @staticmethod
    def _check(obj: Obj, body: Obj) -> None:
        wanted = resource_version(body)
        if wanted and wanted != resource_version(obj):
            raise Conflict("the object has been modified")

    def _store(self, plural: str, change: str, obj: Obj) -> Obj:
        self.version += 1
        meta = {"uid": f"uid-{self.version}", **obj["metadata"], "resourceVersion": str(self.version)}
        obj = {**obj, "metadata": meta}
        if change == "DELETED":
            del self._objects[plural][key(obj)]
        else:
            self._objects[plural][key(obj)] = obj
        self._log[plural].append((self.version, WatchLine(change, obj)))
        self._wake()
        return obj

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _parse(path: str) -> tuple[str, ObjectKey]:
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    return parts[0], ObjectKey(namespace, parts[1] if len(parts) > 1 else "")


def _merge(obj: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(obj) if isinstance(obj, dict) else {}
    for field, value in patch.items():
        if value is None:
            merged.pop(field, None)
        else:
            merged[field] = _merge(merged.get(field), value)
    return merged
