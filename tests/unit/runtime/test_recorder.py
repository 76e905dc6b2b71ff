"""Events beside the work: in order, merged into series, and routine ones bounded in a burst."""

from __future__ import annotations

import asyncio

from pykueue.api.commands import Emit
from pykueue.api.instant import SECOND_US
from pykueue.api.kinds import POD
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.metrics import RuntimeMetrics
from pykueue.runtime.recorder import ROUTINE_AT_ONCE_MAX, Recorder
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
