"""Recording Events (`events.k8s.io/v1`) beside the work they tell of.

`record` never waits: the queue is bounded, and what does not fit is dropped, counted and logged, for an Event is an aid and must not
hold back admission. For the same reason routine events (`Emit.is_routine`: this pod was started, that pod is an owner) are left out, and counted,
beyond a hundred at once and ten a second after that; what they tell is in the objects as well. Equal events about one object
within six minutes become one Event with a series: its count is patched, or, while it still waits, begins higher.

Events wait in a few lanes that are written side by side. All about one object are in one lane, so they are written in their order.

Source: observability.md §2.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from pykueue.api.commands import Emit
from pykueue.api.errors import AlreadyExists, NotFound, PykueueError
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
N_LANES = 4
_log = logging.getLogger(__name__)

_Identity = tuple[str, ...]
"""What makes two events equal."""


@dataclass(slots=True)
class _Waiting:
    """Equal events that are to be written.

    Attributes:
        command: the first of them.
        reporter: reporting controller.
        number: makes names of one process differ.
        at: when the first happened.
        count: how often it happened.
        last: when it happened last.
    """

    command: Emit
    reporter: str
    number: int
    at: Instant
    count: int
    last: Instant


@dataclass(slots=True)
class _Series:
    """One Event that was written, and how often it happened."""

    namespace: str
    name: str
    count: int
    last: Instant


@dataclass(slots=True)
class _Lane:
    """Events that are written one after the other, in order."""

    waiting: OrderedDict[_Identity, _Waiting] = field(default_factory=OrderedDict)
    filled: asyncio.Event = field(default_factory=asyncio.Event)


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
        self._lanes = [_Lane() for _ in range(N_LANES)]
        self._series: OrderedDict[_Identity, _Series] = OrderedDict()
        self._n_named = 0
        self._n_lost = 0
        """Events that did not fit since the queue was empty last."""
        self._routine_until = Instant(0)

    def record(self, command: Emit, reporter: str) -> None:
        """Queue an event; never waits."""
        now = self._clock.now()
        if command.is_routine and not self._has_room_for_routine(now):
            self._metrics.events_dropped.labels("routine").inc()
            return
        about = uid(command.about) or f"{namespace(command.about)}/{name(command.about)}"
        reporter = command.reporter or reporter
        identity = (command.kind.gvk, about, command.type, command.reason, cut_note(command.note), reporter)
        lane = self._lanes[zlib.crc32(about.encode()) % N_LANES]
        known = lane.waiting.get(identity)
        if known is not None:
            known.count, known.last = known.count + 1, now
        elif sum(len(each.waiting) for each in self._lanes) >= self._length_max:
            self._lose()
        else:
            self._n_named += 1
            lane.waiting[identity] = _Waiting(command, reporter, self._n_named, now, 1, now)
            lane.filled.set()

    def _has_room_for_routine(self, now: Instant) -> bool:
        """Whether one more routine event may be written; it takes up an interval of the time that lies ahead."""
        begins = max(self._routine_until, now)
        if begins - now >= ROUTINE_AT_ONCE_MAX * ROUTINE_INTERVAL_US:
            return False
        self._routine_until = Instant(begins + ROUTINE_INTERVAL_US)
        return True

    def _lose(self) -> None:
        self._metrics.events_dropped.labels("full").inc()
        if not self._n_lost:
            _log.warning("%d events wait to be recorded: more are dropped until some are", self._length_max)
        self._n_lost += 1

    async def run(self) -> None:
        """Write events until cancelled."""
        async with asyncio.TaskGroup() as lanes:
            for lane in self._lanes:
                lanes.create_task(self._keep_writing(lane))

    async def flush(self) -> None:
        """Write what waits, and end."""
        async with asyncio.TaskGroup() as lanes:
            for lane in self._lanes:
                lanes.create_task(self._drain(lane))

    async def _keep_writing(self, lane: _Lane) -> None:
        while True:
            await lane.filled.wait()
            await self._drain(lane)
            lane.filled.clear()
            if self._n_lost and not any(each.waiting for each in self._lanes):
                _log.warning("%d events were dropped, for the API server did not take them in time", self._n_lost)
                self._n_lost = 0

    async def _drain(self, lane: _Lane) -> None:
        while lane.waiting:
            identity, item = lane.waiting.popitem(last=False)
            try:
                await self._write(identity, item)
            except PykueueError as error:
                self._metrics.events_dropped.labels("refused").inc()
                _log.warning(
                    "event %s about %s was not recorded: %s", item.command.reason, name(item.command.about), error
                )
            except asyncio.CancelledError:
                # Whether it was written is not known; writing it once more does no harm, for it has its name.
                if (later := lane.waiting.get(identity)) is not None:
                    item.count, item.last = item.count + later.count, later.last
                lane.waiting[identity] = item
                lane.waiting.move_to_end(identity, last=False)
                raise

    async def _write(self, identity: _Identity, item: _Waiting) -> None:
        series = self._series.get(identity)
        if series is not None and item.at - series.last <= SERIES_WINDOW_US and await self._continue(series, item):
            self._series.move_to_end(identity)
            return
        body = make_event(
            item.command, cut_note(item.command.note), reporter=item.reporter, instance=self._instance, at=item.at,
            number=item.number,
        )  # fmt: skip
        if item.count > 1:
            body["series"] = _told(item.count, item.last)
        self._metrics.requests.labels("create", "Event").inc()
        try:
            await self._transport.request(ApiRequest("POST", EVENT.path(namespace(body)), body=body))
        except AlreadyExists:
            _log.debug("event %s was recorded before the answer was lost", name(body))
        self._series[identity] = _Series(namespace(body), name(body), item.count, item.last)
        while len(self._series) > self._length_max:
            self._series.popitem(last=False)

    async def _continue(self, series: _Series, item: _Waiting) -> bool:
        """Count more in an Event that exists; False if it is gone."""
        count = series.count + item.count
        self._metrics.requests.labels("patch", "Event").inc()
        path, body = EVENT.path(series.namespace, series.name), {"series": _told(count, item.last)}
        try:
            await self._transport.request(ApiRequest("PATCH", path, {}, body, "application/merge-patch+json"))
        except NotFound:
            return False
        series.count, series.last = count, item.last
        return True


def _told(count: int, last: Instant) -> dict[str, Any]:
    return {"count": count, "lastObservedTime": format_micro_time(last)}


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
