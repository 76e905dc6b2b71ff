"""Recording Events (`events.k8s.io/v1`) beside the work they tell of.

`record` never waits: the queue is bounded, and what does not fit is dropped and counted, for an Event is an aid and must not
hold back admission. For the same reason routine events (`Emit.is_routine`: this pod was started, that pod is an owner) are left out, and counted,
beyond a hundred at once and ten a second after that; what they tell is in the objects as well. Equal events about one object
within six minutes become one Event with a series: its count is patched. Source: observability.md §2.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any

from pykueue.api.commands import Emit
from pykueue.api.errors import NotFound, PykueueError
from pykueue.api.instant import SECOND_US, Instant, format_micro_time
from pykueue.api.kinds import EVENT
from pykueue.api.objects import name, namespace, resource_version, uid
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.clock import Clock
from pykueue.runtime.metrics import RuntimeMetrics

NOTE_CHARS_MAX = 1024
SERIES_WINDOW_US = 6 * 60 * SECOND_US
ROUTINE_INTERVAL_US = SECOND_US // 10
"""Routine events on average."""
ROUTINE_AT_ONCE_MAX = 100
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Series:
    """One Event that was written, and how often it happened."""

    namespace: str
    name: str
    count: int
    last: Instant


class Recorder:
    """Takes `Emit` commands at once, and writes them by and by."""

    def __init__(
        self, transport: Transport, clock: Clock, metrics: RuntimeMetrics, *, instance: str, length_max: int = 2000
    ) -> None:
        """A recorder with an empty queue.

        Args:
            transport: where to write.
            clock: for times of events.
            metrics: counts what is written and dropped.
            instance: `reportingInstance`, for example `kueue-host`.
            length_max: events that may wait; also how many series are remembered.
        """
        self._transport, self._clock, self._metrics = transport, clock, metrics
        self._instance, self._length_max = instance, length_max
        self._waiting: deque[tuple[Emit, str, Instant]] = deque()
        self._filled = asyncio.Event()
        self._series: OrderedDict[tuple[str, ...], _Series] = OrderedDict()
        self._n_named = 0
        self._routine_until = Instant(0)

    def record(self, command: Emit, reporter: str) -> None:
        """Queue an event; never waits."""
        now = self._clock.now()
        if len(self._waiting) >= self._length_max:
            self._metrics.events_dropped.labels("full").inc()
            return
        if command.is_routine and not self._has_room_for_routine(now):
            self._metrics.events_dropped.labels("routine").inc()
            return
        self._waiting.append((command, command.reporter or reporter, now))
        self._filled.set()

    def _has_room_for_routine(self, now: Instant) -> bool:
        """Whether one more routine event may be written; it takes up an interval of the time that lies ahead."""
        begins = max(self._routine_until, now)
        if begins - now >= ROUTINE_AT_ONCE_MAX * ROUTINE_INTERVAL_US:
            return False
        self._routine_until = Instant(begins + ROUTINE_INTERVAL_US)
        return True

    async def run(self) -> None:
        """Write events until cancelled."""
        while True:
            await self._filled.wait()
            while self._waiting:
                await self._write_one()
            self._filled.clear()

    async def flush(self) -> None:
        """Write what waits, and end."""
        while self._waiting:
            await self._write_one()

    async def _write_one(self) -> None:
        command, reporter, at = self._waiting.popleft()
        try:
            await self._write(command, reporter, at)
        except PykueueError as error:
            self._metrics.events_dropped.labels("refused").inc()
            _log.warning("event %s about %s was not recorded: %s", command.reason, name(command.about), error)

    async def _write(self, command: Emit, reporter: str, at: Instant) -> None:
        note = cut_note(command.note)
        about = uid(command.about) or f"{namespace(command.about)}/{name(command.about)}"
        identity = (command.kind.gvk, about, command.type, command.reason, note, reporter)
        series = self._series.get(identity)
        if series is not None and at - series.last <= SERIES_WINDOW_US and await self._continue(series, at):
            self._series.move_to_end(identity)
            return
        self._n_named += 1
        body = make_event(command, note, reporter=reporter, instance=self._instance, at=at, number=self._n_named)
        self._metrics.requests.labels("create", "Event").inc()
        await self._transport.request(ApiRequest("POST", EVENT.path(namespace(body)), body=body))
        self._series[identity] = _Series(namespace(body), name(body), 1, at)
        while len(self._series) > self._length_max:
            self._series.popitem(last=False)

    async def _continue(self, series: _Series, at: Instant) -> bool:
        """Count one more in an Event that exists; False if it is gone."""
        series.count, series.last = series.count + 1, at
        body = {"series": {"count": series.count, "lastObservedTime": format_micro_time(at)}}
        self._metrics.requests.labels("patch", "Event").inc()
        path = EVENT.path(series.namespace, series.name)
        try:
            await self._transport.request(ApiRequest("PATCH", path, {}, body, "application/merge-patch+json"))
        except NotFound:
            return False
        return True


def cut_note(note: str) -> str:
    """At most 1024 characters, with ` ...` at the end of what was cut."""
    return note if len(note) <= NOTE_CHARS_MAX else note[: NOTE_CHARS_MAX - 4] + " ..."


def make_event(command: Emit, note: str, *, reporter: str, instance: str, at: Instant, number: int) -> dict[str, Any]:
    """The Event of a command.

    Args:
        command: what to tell.
        note: its note, cut.
        reporter: reporting controller.
        instance: reporting instance.
        at: when it happened.
        number: makes names of one process differ.
    """
    about = command.about
    regarding = {
        "apiVersion": command.kind.api_version,
        "kind": command.kind.kind,
        "name": name(about),
        "namespace": namespace(about),
        "uid": uid(about),
        "resourceVersion": resource_version(about),
    }
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            # Events about cluster-scoped objects live in `default`, as Kubernetes has it.
            "namespace": namespace(about) or "default",
            "name": f"{name(about)[:220]}.{at * 1000 + number % 1000:x}",
        },
        "eventTime": format_micro_time(at),
        "reportingController": reporter,
        "reportingInstance": instance[:128],
        "action": (command.action or command.reason)[:128],
        "reason": command.reason,
        "regarding": {field: value for field, value in regarding.items() if value},
        "type": command.type,
        "note": note,
    }
