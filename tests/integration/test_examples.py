"""Every folder of `examples/`, played as its README says, in process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pykueue.api import objects
from pykueue.api.kinds import LEADER_WORKER_SET, NODE, POD, WORKLOAD, Kind
from pykueue.api.objects import Obj
from pykueue.cli.cluster import EmbeddedCluster, UpOptions
from pykueue.ports.transport import ApiRequest

EXAMPLES = Path(__file__).parents[2] / "examples"
STEP_S_MAX = 20.0
_GROUP = "leaderworkerset.sigs.k8s.io/group-index"


class Player:
    """A user of a running cluster."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._transport = cluster.transport

    async def list(self, kind: Kind) -> list[Obj]:
        path = kind.path() if kind == NODE else kind.path("default")
        return list((await self._transport.request(ApiRequest("GET", path)))["items"])

    async def scale(self, name: str, replicas: int) -> None:
        path = LEADER_WORKER_SET.path("default", name, "scale")
        body = {"spec": {"replicas": replicas}}
        await self._transport.request(ApiRequest("PATCH", path, body=body, content_type="application/merge-patch+json"))

    async def until(self, n_running: int, waiting: str = "") -> list[Obj]:
        """Wait for a number of running pods and, if a text is given, a Workload that says it; the running pods."""
        deadline = asyncio.get_running_loop().time() + STEP_S_MAX
        while True:
            running = [p for p in await self.list(POD) if p["status"].get("phase") == "Running"]
            said = [_why(workload) for workload in await self.list(WORKLOAD)]
            if len(running) == n_running and any(waiting in why for why in said):
                return running
            assert asyncio.get_running_loop().time() < deadline, (len(running), said)
            await asyncio.sleep(0.05)


async def leaderworkerset(player: Player) -> None:
    """Two groups run; of four, one waits as a whole; scaled back, two run."""
    await player.until(6)
    await player.scale("llama", 4)
    await player.until(9, waiting="insufficient unused quota for cpu in flavor on-demand")
    await player.scale("llama", 2)
    await player.until(6)
    assert len(await player.list(WORKLOAD)) == 2


async def topology(player: Player) -> None:
    """Each group has a rack of its own; a fifth finds none."""
    await player.until(10)
    await player.scale("trainer", 5)
    running = await player.until(20, waiting='topology "default" doesn\'t allow to fit any of 4 pod(s)')
    racks = {objects.name(n): objects.labels(n)["cloud.provider.com/topology-rack"] for n in await player.list(NODE)}
    of_group: dict[str, set[str]] = {}
    for pod in running:
        of_group.setdefault(objects.labels(pod)[_GROUP], set()).add(racks[pod["spec"]["nodeName"]])
    assert sorted(next(iter(racks)) for racks in of_group.values()) == sorted(set(racks.values()))
    assert all(len(racks) == 1 for racks in of_group.values())


PLAYS: dict[str, Callable[[Player], Awaitable[None]]] = {"01-leaderworkerset": leaderworkerset, "02-topology": topology}


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir()))
def test_example(name: str) -> None:
    """It does what its README says; an example without a play fails."""

    async def main() -> None:
        options = UpOptions(memory=True, port=0, files=[EXAMPLES / name])
        async with EmbeddedCluster.start(options) as cluster:
            await PLAYS[name](Player(cluster))

    asyncio.run(main())


def _why(workload: Obj) -> Any:
    reserved = objects.condition(workload, "QuotaReserved") or {}
    return reserved.get("message", "") if reserved.get("status") == "False" else ""
