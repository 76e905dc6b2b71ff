"""The manager as a whole, over an in-memory API and in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from pykueue.api.commands import Command, Create, Delete, Emit, Patch
from pykueue.api.errors import AlreadyExists, Conflict, Forbidden, NotFound, TransportError
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import CONFIG_MAP, POD, Kind
from pykueue.api.objects import Obj, ObjectKey, key, name
from pykueue.ports.engine import EngineEffect, Fault
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch
from pykueue.ports.transport import ApiRequest
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.manager import Manager
from support.memory_api import MemoryApi


class Copier:
    """Makes a Pod for each ConfigMap, and deletes Pods whose ConfigMap is gone."""

    name = "copier"

    def __init__(self, reconcile: Callable[[Reader, ObjectKey, Instant], Result] | None = None) -> None:
        self.passes: list[ObjectKey] = []
        self._reconcile = reconcile

    def watches(self) -> Sequence[Watch]:
        def same(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
            return (key(event.new),)

        return (Watch(CONFIG_MAP, same), Watch(POD, same))

    def indexes(self) -> Sequence[Index]:
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        self.passes.append(key)
        if self._reconcile is not None:
            return self._reconcile(reader, key, now)
        wanted, there = reader.get(CONFIG_MAP, *key), reader.get(POD, *key)
        if wanted is not None and there is None:
            return Result((Create(POD, {"metadata": {"namespace": key.namespace, "name": key.name}}),))
        if wanted is None and there is not None:
            return Result((Delete(POD, key),))
        return DONE


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "ns", "name": name}}


def run(
    reconciler: Copier, story: Callable[[MemoryApi, ManualClock, Manager], Awaitable[None]], **options: Any
) -> None:
    async def main() -> None:
        api, clock = MemoryApi(), ManualClock()
        manager = Manager(api, [reconciler], clock=clock, **options)
        task = asyncio.create_task(manager.run())
        await clock.advance()
        try:
            await story(api, clock, manager)
        finally:
            manager.stop()
            await task

    asyncio.run(main())


def test_the_world_follows_the_wish() -> None:
    """Objects are made, made again when they vanish, and removed with what they follow."""

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance()
        assert api.names(POD) == ["a"]
        api.delete(POD, ObjectKey("ns", "a"))
        await clock.advance()
        assert api.names(POD) == ["a"]
        api.delete(CONFIG_MAP, ObjectKey("ns", "a"))
        await clock.advance()
        assert api.names(POD) == []
        assert manager.is_idle()

    run(Copier(), story)


def test_a_reconciler_reads_its_own_writes_though_the_watch_is_late() -> None:
    """The answer to a write is in the cache before the key runs again; nothing is created twice (TU-13)."""

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.hold_watch(POD)
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance()
        api.touch(CONFIG_MAP, ObjectKey("ns", "a"))
        await clock.advance()
        assert [r.method for r in api.requests if r.method == "POST"] == ["POST"]
        assert manager.reader.get(POD, "ns", "a") is not None

    run(Copier(), story)


def test_a_lost_watch_loses_no_deletion() -> None:
    """After an expired watch the kind is listed again, and what is not in the list is gone."""

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance()
        api.hold_watch(CONFIG_MAP)
        api.delete(CONFIG_MAP, ObjectKey("ns", "a"))
        await clock.advance()
        assert api.names(POD) == ["a"]
        api.expire_watch(CONFIG_MAP)
        await clock.advance(SECOND_US)
        assert api.names(POD) == []

    run(Copier(), story)


def test_a_broken_watch_is_resumed() -> None:
    """A connection that breaks is no reason to list again."""

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        lists = api.n_lists(CONFIG_MAP)
        api.break_watch(CONFIG_MAP, TransportError("reset"))
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance(SECOND_US)
        assert api.names(POD) == ["a"]
        assert api.n_lists(CONFIG_MAP) == lists

    run(Copier(), story)


def test_a_kind_that_is_not_served_holds_up_nobody() -> None:
    """Absent kinds count as empty, are asked for now and then, and are taken up when they come."""

    async def main() -> None:
        api, clock = MemoryApi(), ManualClock()
        api.unserved.add(POD)
        copier = Copier(lambda reader, key, now: DONE)
        manager = Manager(api, [copier], clock=clock)
        task = asyncio.create_task(manager.run())
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance()
        assert manager.is_synced()
        assert copier.passes == [ObjectKey("ns", "a")]
        api.unserved.discard(POD)
        api.create(POD, {"metadata": {"namespace": "ns", "name": "late"}})
        await clock.advance(10 * SECOND_US)
        assert ObjectKey("ns", "late") in copier.passes
        manager.stop()
        await task

    asyncio.run(main())


def test_a_faulty_key_is_retried_and_stops_nobody() -> None:
    """An exception costs its own key a retry with backoff."""
    broken = [True]

    def reconcile(reader: Reader, key: ObjectKey, now: Instant) -> Result:
        if key.name == "bad" and broken[0]:
            raise ZeroDivisionError
        return DONE

    copier = Copier(reconcile)

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.create(CONFIG_MAP, config_map("bad"))
        api.create(CONFIG_MAP, config_map("good"))
        await clock.advance(35_000)
        n_bad = copier.passes.count(ObjectKey("ns", "bad"))
        assert n_bad == 3  # at once, after 10 ms, after 20 ms more
        assert ObjectKey("ns", "good") in copier.passes
        assert manager.metrics.faults.labels("reconcile")._value.get() == 3
        broken[0] = False
        await clock.advance(SECOND_US)
        assert manager.is_idle()

    run(copier, story)


def test_a_conflict_brings_the_cache_up_to_date_before_the_retry() -> None:
    """After a Conflict the object is read, so that the retry starts from what is."""
    seen: list[str] = []

    def reconcile(reader: Reader, key: ObjectKey, now: Instant) -> Result:
        obj = reader.get(CONFIG_MAP, *key)
        if obj is None or (obj.get("data") or {}).get("done"):
            return DONE
        seen.append(obj["metadata"]["resourceVersion"])
        body = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "data": {"done": "yes"}}
        return Result((Patch(CONFIG_MAP, key, body),))

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.create(CONFIG_MAP, config_map("a"))
        api.hold_watch(CONFIG_MAP)
        api.touch(CONFIG_MAP, ObjectKey("ns", "a"))
        await clock.advance(SECOND_US)
        assert len(seen) == 2
        assert api.get(CONFIG_MAP, ObjectKey("ns", "a"))["data"] == {"done": "yes"}

    run(Copier(reconcile), story)


def test_a_refused_creation_is_told_about_its_owner() -> None:
    """The API's words stand behind the note of the event; a conflict tells nobody."""

    def reconcile(reader: Reader, key: ObjectKey, now: Instant) -> Result:
        owner = reader.get(CONFIG_MAP, *key)
        if owner is None or reader.get(POD, *key) is not None:
            return DONE
        refused = Emit(CONFIG_MAP, owner, "Warning", "FailedCreate", "Error creating: ", "copier")
        return Result((Create(POD, {"metadata": {"namespace": "ns", "name": key.name}}, refused=refused),))

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.failing += [Conflict("later"), Forbidden("pods are not wanted here")]
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance(SECOND_US)
        assert [(e["reason"], e["note"]) for e in api.events] == [
            ("FailedCreate", "Error creating: pods are not wanted here")
        ]
        assert api.names(POD) == ["a"]

    run(Copier(reconcile), story)


def test_timers_come_back() -> None:
    """`requeue_after_us` brings the key again, once per answer."""
    copier = Copier(lambda reader, key, now: Result(requeue_after_us=10 * SECOND_US))

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance(35 * SECOND_US)
        assert len(copier.passes) == 4

    run(copier, story)


class Admitter:
    """An engine that asks for one write per ConfigMap, and remembers how it ended."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.due: list[Obj] = []
        self.ended: list[tuple[int, object]] = []

    def kinds(self) -> Sequence[Kind]:
        return (CONFIG_MAP,)

    def apply(self, event: ObjectEvent, reader: Reader, now: Instant) -> None:
        self.applied.append(f"{event.change.value} {name(event.new)}")
        if event.old is None:
            self.due.append(event.new)

    def next_cycle_at(self, now: Instant) -> Instant | None:
        return now if self.due else None

    def cycle(self, reader: Reader, now: Instant) -> Sequence[EngineEffect]:
        due, self.due = self.due, []
        commands: list[tuple[Command, ...]] = [
            (
                Patch(CONFIG_MAP, key(obj), {"data": {"admitted": "yes"}}),
                Emit(CONFIG_MAP, obj, "Normal", "Admitted", "so"),
            )
            for obj in due
        ]
        return [EngineEffect(token, effect) for token, effect in enumerate(commands)]

    def finished(self, token: int, error: object, now: Instant) -> None:
        self.ended.append((token, error))

    def take_faults(self) -> Sequence[Fault]:
        return ()

    def take_woken(self) -> Sequence[tuple[str, ObjectKey]]:
        return [("copier", ObjectKey("", "woken"))] if self.ended else ()


def test_the_engine_decides_and_is_told() -> None:
    """Cycles run when due, writes are in the cache before the end is told, and woken keys run."""
    engine, copier = Admitter(), Copier(lambda reader, key, now: DONE)

    async def story(api: MemoryApi, clock: ManualClock, manager: Manager) -> None:
        api.create(CONFIG_MAP, config_map("a"))
        await clock.advance()
        assert engine.ended == [(0, None)]
        assert engine.applied == ["ADDED a", "MODIFIED a"]
        api.touch(CONFIG_MAP, ObjectKey("ns", "a"))
        await clock.advance()
        assert ObjectKey("", "woken") in copier.passes
        assert [event["reason"] for event in api.events] == ["Admitted"]

    run(copier, story, engine=engine)


def test_the_memory_api_is_a_fair_double() -> None:
    """The double refuses what an API server refuses."""

    async def main() -> None:
        api = MemoryApi()
        api.create(CONFIG_MAP, config_map("a"))
        for request, want in (
            (ApiRequest("POST", CONFIG_MAP.path("ns"), body=config_map("a")), AlreadyExists),
            (ApiRequest("GET", CONFIG_MAP.path("ns", "b")), NotFound),
            (
                ApiRequest("PATCH", CONFIG_MAP.path("ns", "a"), body={"metadata": {"resourceVersion": "999"}}),
                Conflict,
            ),
        ):
            try:
                await api.request(request)
            except want:
                continue
            raise AssertionError(f"{request.method} {request.path} was not refused")

    asyncio.run(main())
