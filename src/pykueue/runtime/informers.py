"""Keeping the cache current: one task per kind that lists, then watches, and starts over when the watch cannot go on.

The rules: a watch is resumed from the last resource version seen, bookmarks included; when the server says that this is too
old, or reports an error inside of the stream, the kind is listed again, and the list is taken in whole, so that no deletion is
lost. Failures wait 0.5 s, then twice as long, up to 30 s. A kind that the cluster does not serve counts as empty, and is asked
for again after 1 s, then ever later, up to 2 minutes: nobody else waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pykueue.api.errors import Expired, NotFound, PykueueError, Retry, TransportError
from pykueue.api.instant import SECOND_US
from pykueue.api.objects import Obj, resource_version
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.cache import Scope
from pykueue.runtime.clock import Clock, sleep
from pykueue.runtime.inbox import Changed, Listed
from pykueue.runtime.metrics import RuntimeMetrics

PAGE_LENGTH = 500
WATCH_TIMEOUT_S = 290
_FAILURE_FIRST_US, _FAILURE_MAX_US = SECOND_US // 2, 30 * SECOND_US
_ABSENT_FIRST_US, _ABSENT_MAX_US = SECOND_US, 120 * SECOND_US
_RESUMES_MAX = 5
_log = logging.getLogger(__name__)


class Informer:
    """Lists and watches one scope until cancelled."""

    def __init__(
        self,
        scope: Scope,
        transport: Transport,
        put: Callable[[Listed | Changed], Awaitable[None]],
        clock: Clock,
        metrics: RuntimeMetrics,
    ) -> None:
        """An informer that has not begun; `run` does."""
        self.scope = scope
        self.error: PykueueError | None = None
        """Why the last attempt failed; None while all is well."""
        self._transport, self._put, self._clock, self._metrics = transport, put, clock, metrics
        self._failures = 0
        self._absences = 0

    async def run(self) -> None:
        """List and watch, for ever."""
        while True:
            try:
                version = await self._list()
                self._absences = 0
                await self._watch_until_stale(version)
            except NotFound as error:
                await self._not_served(error)
            except PykueueError as error:
                await self._failed(error)

    async def _list(self) -> str:
        """Put a complete list into the inbox; its resource version.

        Raises:
            PykueueError: the list could not be had.
        """
        try:
            objects, version = await self._pages(PAGE_LENGTH)
        except Expired:
            # The list changed so much while it was read that its next page is gone: ask for all of it at once.
            objects, version = await self._pages(0)
        self._metrics.relists.labels(self.scope.kind.kind).inc()
        await self._put(Listed(self.scope.kind, objects, _as_int(version)))
        self.error = None
        return version

    async def _pages(self, length: int) -> tuple[Sequence[Obj], str]:
        objects: list[Obj] = []
        query = self._query() | ({"limit": str(length)} if length else {})
        while True:
            self._metrics.requests.labels("list", self.scope.kind.kind).inc()
            answer: dict[str, Any] = await self._transport.request(ApiRequest("GET", self._path(), query))
            objects += answer.get("items") or ()
            meta = answer.get("metadata") or {}
            if not meta.get("continue"):
                return objects, str(meta.get("resourceVersion") or "")
            query = {**query, "continue": str(meta["continue"])}

    async def _watch_until_stale(self, version: str) -> None:
        """Follow changes; resume watches that end.

        Raises:
            PykueueError: the watch cannot be resumed.
        """
        breaks = 0
        while True:
            began, seen = self._clock.now(), version
            try:
                version = await self._watch(version)
                breaks = breaks + 1 if version == seen and self._clock.now() - began < SECOND_US else 0
            except TransportError as error:
                version, breaks = self._version, breaks + 1
                _log.debug("watch of %s broke: %s", self.scope.kind.plural, error)
            if breaks > _RESUMES_MAX:
                raise TransportError(f"the watch of {self.scope.kind.plural} ends again and again; listing anew")
            if breaks:
                await sleep(self._clock, _delay(breaks - 1, _FAILURE_FIRST_US, _FAILURE_MAX_US))

    async def _watch(self, version: str) -> str:
        """One watch, until the server ends it; the version up to which it told."""
        self._version = version
        query = self._query() | {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_TIMEOUT_S),
        }
        async for line in self._transport.watch(ApiRequest("GET", self._path(), query)):
            self._version = resource_version(line.object) or self._version
            self._failures = 0
            if line.type != "BOOKMARK":
                await self._put(Changed(self.scope.kind, line.object, deleted=line.type == "DELETED"))
        return self._version

    async def _not_served(self, error: NotFound) -> None:
        if not self._absences:
            _log.info("%s is not served by this cluster; waiting for it", self.scope.kind.gvk)
        self.error = error
        await self._put(Listed(self.scope.kind, (), served=False))
        await sleep(self._clock, _delay(self._absences, _ABSENT_FIRST_US, _ABSENT_MAX_US))
        self._absences += 1

    async def _failed(self, error: PykueueError) -> None:
        self.error = error
        level = logging.INFO if error.retry is Retry.RELIST else logging.WARNING
        _log.log(level, "%s must be listed again: %s", self.scope.kind.plural, error)
        await sleep(self._clock, _delay(self._failures, _FAILURE_FIRST_US, _FAILURE_MAX_US))
        self._failures += 1

    def _path(self) -> str:
        return self.scope.kind.path(self.scope.namespace)

    def _query(self) -> dict[str, str]:
        query = {}
        if self.scope.labels:
            query["labelSelector"] = ",".join(f"{name}={value}" for name, value in self.scope.labels)
        if self.scope.fields:
            query["fieldSelector"] = self.scope.fields
        return query


def _delay(failures: int, first_us: int, max_us: int) -> int:
    return min(first_us << min(failures, 20), max_us)


def _as_int(version: str) -> int:
    return int(version) if version.isdigit() else 0
