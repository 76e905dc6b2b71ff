"""Events beside the work: in order of each object, merged into series, and bounded in a burst."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pykueue.api.commands import Emit
from pykueue.api.errors import AlreadyExists, PykueueError
from pykueue.api.instant import SECOND_US
from pykueue.api.kinds import POD
from pykueue.ports.transport import ApiRequest, WatchLine
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.metrics import RuntimeMetrics
from pykueue.runtime.recorder import N_LANES, ROUTINE_AT_ONCE_MAX, Recorder
from support.memory_api import MemoryApi


def news(number: int, *, is_routine: bool) -> Emit:
    about = {"metadata": {"name": f"p{number}", "namespace": "ns", "uid": f"u{number}"}}
    return Emit(POD, about, "Normal", "Started", "Admitted by clusterQueue cq", is_routine=is_routine)


def test_routine_events_are_bounded_and_others_are_not() -> None:
    """A hundred at once, ten a second after that; what was left out is counted, and nothing else is ever left out for it."""

    async def main() -> None:
        api, clock, metrics = MemoryApi(), ManualClock(), RuntimeMetrics()
        recorder = Recorder(api, clock, metrics, instance="test")
        for number in range(ROUTINE_AT_ONCE_MAX + 50):
            recorder.record(news(number, is_routine=True), "r")
        await recorder.flush()
        assert len(api.events) == ROUTINE_AT_ONCE_MAX
        assert metrics.registry.get_sample_value("pykueue_events_dropped_total", {"cause": "routine"}) == 50
        recorder.record(news(1000, is_routine=False), "r")
        await recorder.flush()
        assert len(api.events) == ROUTINE_AT_ONCE_MAX + 1
        await clock.advance(2 * SECOND_US)
        for number in range(2000, 2050):
            recorder.record(news(number, is_routine=True), "r")
        await recorder.flush()
        assert len(api.events) == ROUTINE_AT_ONCE_MAX + 1 + 20

    asyncio.run(main())


class SlowApi:
    """A transport that answers when it is told to, and notes what is asked; the first requests may be refused."""

    def __init__(self, *refusals: PykueueError) -> None:
        self.asked: list[ApiRequest] = []
        self.answers = asyncio.Event()
        self._refusals = list(refusals)

    async def request(self, request: ApiRequest) -> Any:
        self.asked.append(request)
        await self.answers.wait()
        if self._refusals:
            raise self._refusals.pop(0)
        return request.body

    def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        raise NotImplementedError(request)

    async def close(self) -> None:
        return

    @property
    def reasons(self) -> list[str]:
        return [f"{r.body['regarding']['name']} {r.body['reason']}" for r in self.asked if r.method == "POST"]


def told(about: str, reason: str) -> Emit:
    return Emit(POD, {"metadata": {"name": about, "namespace": "ns", "uid": about}}, "Normal", reason, "note")


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_events_about_different_objects_are_written_side_by_side() -> None:
    """A slow answer holds back what is told of the same object, and little else."""

    async def main() -> None:
        api = SlowApi()
        recorder = Recorder(api, ManualClock(), RuntimeMetrics(), instance="test")
        for reason in ("First", "Second"):
            for number in range(20):
                recorder.record(told(f"p{number}", reason), "r")
        writing = asyncio.create_task(recorder.run())
        await turns()
        assert len(api.asked) == N_LANES
        api.answers.set()
        await turns()
        await recorder.flush()
        writing.cancel()
        assert sorted(api.reasons) == sorted(f"p{n} {reason}" for n in range(20) for reason in ("First", "Second"))
        of_one = [text for text in api.reasons if text.startswith("p7 ")]
        assert of_one == ["p7 First", "p7 Second"]

    asyncio.run(main())


def test_equal_events_that_wait_are_one() -> None:
    """They take one place in the queue and one request; the Event says how often it happened, and goes on counting."""

    async def main() -> None:
        api, clock = SlowApi(), ManualClock()
        recorder = Recorder(api, clock, RuntimeMetrics(), instance="test", length_max=1)
        api.answers.set()
        for n_times in (3, 2):
            for _ in range(n_times):
                recorder.record(told("p", "Again"), "r")
            await recorder.flush()
        assert [(r.method, r.body["series"]["count"]) for r in api.asked] == [("POST", 3), ("PATCH", 5)]

    asyncio.run(main())


def test_what_is_dropped_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """Once when it begins, and once, with the number, when the queue is empty again."""

    async def main() -> None:
        api, metrics = SlowApi(), RuntimeMetrics()
        recorder = Recorder(api, ManualClock(), metrics, instance="test", length_max=2)
        for number in range(5):
            recorder.record(told(f"p{number}", "Told"), "r")
        assert metrics.registry.get_sample_value("pykueue_events_dropped_total", {"cause": "full"}) == 3
        writing = asyncio.create_task(recorder.run())
        api.answers.set()
        await turns()
        writing.cancel()
        assert len(api.asked) == 2

    with caplog.at_level(logging.WARNING, "pykueue"):
        asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "2 events wait to be recorded: more are dropped until some are",
        "3 events were dropped, for the API server did not take them in time",
    ]


def test_an_event_under_way_survives_the_end_of_the_manager() -> None:
    """It is written once more under the same name; that it is there already is well."""

    async def main() -> None:
        api, metrics = SlowApi(AlreadyExists("the first one was stored")), RuntimeMetrics()
        recorder = Recorder(api, ManualClock(), metrics, instance="test")
        recorder.record(told("p", "Told"), "r")
        writing = asyncio.create_task(recorder.run())
        await turns()
        recorder.record(told("p", "Told"), "r")
        writing.cancel()
        await turns()
        api.answers.set()
        await recorder.flush()
        assert len({request.body["metadata"]["name"] for request in api.asked}) == 1
        assert len(api.asked) == 2
        assert api.asked[-1].body["series"]["count"] == 2, "an equal one came while it was under way"
        assert metrics.registry.get_sample_value("pykueue_events_dropped_total", {"cause": "refused"}) is None

    asyncio.run(main())
