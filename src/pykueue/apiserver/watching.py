"""Watch streams: a cursor over a storage's ring of changes.

A stream owns no queue. It remembers the last revision it has shown and reads on in the ring when the storage wakes it, so
a slow watcher costs nothing but, in the end, itself: once the ring has overrun its cursor the stream ends with an ERROR of
reason `Expired`, as Kubernetes' does. Selectors turn a change into what it means to this watcher: an object that stops
matching is DELETED for it, one that begins to match is ADDED.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api.errors import ApiError
from pykueue.api.objects import Obj, with_metadata
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.selectors import Predicate
from pykueue.apiserver.store import ChangeType, Storage, StoredEvent

BOOKMARK_EVERY_S = 60.0
_BATCH = 500
"""Events per batch, so that one far-behind watcher does not hold the loop."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch.

    Attributes:
        type: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
        object: in the version that is watched; for ERROR a Status.
        source: the change it comes from, where encoded forms are kept; None for initial events, bookmarks and errors.
    """

    type: str
    object: Obj
    source: StoredEvent | None = None


class WatchStream:
    """What a watch request is answered with."""

    def __init__(
        self,
        storage: Storage,
        resource: Resource,
        *,
        after: int,
        initial: Sequence[Obj] = (),
        marks_initial_end: bool = False,
        namespace: str = "",
        predicate: Predicate | None = None,
        bookmarks: bool = False,
        timeout_s: float = 0.0,
    ) -> None:
        """Prepare a stream; it starts with `batches`.

        Args:
            storage: what is watched.
            resource: the version that is watched.
            after: changes with a greater revision are shown.
            initial: objects (in the watched version) shown first, as ADDED.
            marks_initial_end: tell by a bookmark when these have been shown.
            namespace: show this one's objects alone; empty for all.
            predicate: show matching objects alone.
            bookmarks: send a bookmark now and then.
            timeout_s: end after this time; 0 for never.
        """
        self.resource = resource
        self.transform: Callable[[WatchEvent], WatchEvent] | None = None
        """Another form of each event, if the watcher asked for one."""
        self._storage = storage
        self._after = after
        self._initial = initial
        self._marks_initial_end = marks_initial_end
        self._namespace = namespace
        self._predicate = predicate
        self._bookmarks = bookmarks
        self._timeout_s = timeout_s

    async def batches(self) -> AsyncGenerator[Sequence[WatchEvent], None]:
        """Events as they come, in batches that are never empty. Ends at the timeout or after an ERROR."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout_s if self._timeout_s else None
        awake = asyncio.Event()
        unsubscribe = self._storage.subscribe(awake.set)
        try:
            if first := self._first():
                yield first
            while True:
                awake.clear()
                try:
                    pending = self._storage.events_after(self._after)
                except ApiError as expired:
                    yield [WatchEvent("ERROR", expired.to_status())]
                    return
                if pending:
                    batch = pending[:_BATCH]
                    self._after = batch[-1].revision
                    if events := [event for change in batch if (event := self._seen(change))]:
                        yield events
                    await asyncio.sleep(0)
                    continue
                left = BOOKMARK_EVERY_S if ends_at is None else min(BOOKMARK_EVERY_S, ends_at - loop.time())
                if left <= 0 or not await _woken(awake, left):
                    if self._bookmarks:
                        yield [self._bookmark()]
                    if ends_at is not None and loop.time() >= ends_at:
                        return
        finally:
            unsubscribe()

    def _first(self) -> list[WatchEvent]:
        first = [WatchEvent("ADDED", obj) for obj in self._initial]
        self._initial = ()
        if self._marks_initial_end:
            first.append(self._bookmark({"k8s.io/initial-events-end": "true"}))
        return first

    def _bookmark(self, annotations: dict[str, str] | None = None) -> WatchEvent:
        metadata: dict[str, Any] = {"resourceVersion": str(self._after), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        kind = self.resource.kind
        return WatchEvent("BOOKMARK", {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})

    def _seen(self, change: StoredEvent) -> WatchEvent | None:
        """What a change means to this watcher; None for nothing."""
        if self._namespace and change.key.namespace != self._namespace:
            return None
        obj = self._converted(change, "new", change.obj)
        if self._predicate is None:
            return WatchEvent(change.type.value, obj, change)
        old = self._converted(change, "old", change.old) if change.old is not None else None
        was = old is not None and self._predicate(old)
        if change.type is ChangeType.DELETED:
            return WatchEvent("DELETED", obj, change) if was else None
        if self._predicate(obj):
            return WatchEvent("MODIFIED" if was else "ADDED", obj, change)
        if was and old is not None:
            return WatchEvent("DELETED", with_metadata(old, resourceVersion=str(change.revision)))
        return None

    def _converted(self, change: StoredEvent, which: str, obj: Obj) -> Obj:
        if self.resource.convert is None:
            return obj
        form = (which, self.resource.kind)
        found: Obj | None = change.encoded.get(form)
        if found is None:
            found = change.encoded[form] = self.resource.from_storage(obj)
        return found


async def _woken(awake: asyncio.Event, timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await awake.wait()
    except TimeoutError:
        return False
    return True
