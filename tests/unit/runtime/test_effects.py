"""Carrying out commands: what queues behind what."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from pykueue.api.commands import Patch
from pykueue.api.errors import PykueueError
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import ObjectKey
from pykueue.ports.transport import ApiRequest
from pykueue.runtime.clock import SystemClock
from pykueue.runtime.effects import Effects
from pykueue.runtime.inbox import Changed
from pykueue.runtime.metrics import RuntimeMetrics
from pykueue.runtime.recorder import Recorder


class SlowServer:
    """Answers requests about Workloads when it is told to, and all others at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()

    async def request(self, request: ApiRequest) -> Any:
        self.asked.append(request.path.rsplit("/", 1)[-1])
        if "workloads" in request.path:
            await self.answers.wait()
        return {}


def test_a_pod_does_not_queue_behind_other_requests() -> None:
    """While as many Workloads as may be are being written, a pod is started."""

    async def play() -> tuple[list[str], list[str]]:
        server, metrics = SlowServer(), RuntimeMetrics(CollectorRegistry())
        ended: list[PykueueError | None] = []
        one_ended = asyncio.Event()

        async def note(error: PykueueError | None) -> None:
            ended.append(error)
            one_ended.set()

        async def put(_change: Changed) -> None:
            return

        recorder = Recorder(server, SystemClock(), metrics, instance="test")
        effects = Effects(server, recorder, metrics, put, field_manager="test", requests_max=2)
        for name in ("a", "b", "c"):
            effects.start((Patch(WORKLOAD, ObjectKey("ns", name), {}),), "test", name, note)
        effects.start((Patch(POD, ObjectKey("ns", "pod"), {}),), "test", "pod", note)
        await one_ended.wait()
        before = list(server.asked)
        server.answers.set()
        await effects.stop(grace_s=10)
        assert ended == [None] * 4
        return before, server.asked

    before, after = asyncio.run(play())
    assert before == ["a", "b", "pod"]
    assert after == ["a", "b", "pod", "c"]
