"""`pykueue demo`: the main job, on an embedded cluster, through the API; ends by itself.

It applies the manifests of `examples/` as a user would: a set that is scaled beyond its quota and back, then one whose groups must each
stay within a rack. It prints what the API shows at each step. Nothing is staged: what is printed is read from the objects.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pykueue.api import objects
from pykueue.api.kinds import LEADER_WORKER_SET, NODE, POD, WORKLOAD, Kind
from pykueue.api.objects import Obj
from pykueue.cli.cluster import EmbeddedCluster, UpOptions
from pykueue.cli.manifest_files import apply_manifests, read_manifests
from pykueue.ports.transport import ApiRequest, Transport

NAMESPACE = "default"
RACK_LABEL = "cloud.provider.com/topology-rack"
STEP_S_MAX = 30.0
_INDEX = "kueue.x-k8s.io/component-workload-index"
_GROUP = "leaderworkerset.sigs.k8s.io/group-index"


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group, as the API shows it.

    Attributes:
        index: of the group.
        admitted: its Workload is admitted.
        why: the message of `QuotaReserved=False`, if there is one.
        n_running: pods that run.
        n_gated: pods that are held by a scheduling gate.
        racks: where its pods run.
    """

    index: int
    admitted: bool
    why: str
    n_running: int
    n_gated: int
    racks: tuple[str, ...] = ()

    def line(self, size: int, *, shows_racks: bool) -> str:
        """One line for people."""
        if self.admitted:
            where = f" in rack {', '.join(self.racks)}" if shows_racks else ""
            return f"  group {self.index}  admitted   {self.n_running}/{size} pods running{where}"
        return f"  group {self.index}  waiting    {self.n_gated} pod(s) gated: {self.why}"


async def run_demo(*, pause_s: float) -> int:
    """Play the demo; 0 when everything came as it should."""
    began = time.monotonic()
    click.secho("Starting an embedded cluster (API server, nodes, controllers, manager) ...", bold=True)
    async with EmbeddedCluster.start(UpOptions(memory=True, port=0)) as cluster:
        click.echo(f"  ready after {time.monotonic() - began:.1f} s: {cluster.url}, {cluster.n_nodes} nodes\n")
        demo = Demo(cluster.transport, pause_s)
        await demo.play()
    click.secho(
        f"Done in {time.monotonic() - began:.0f} s. `pykueue up` keeps such a cluster running for kubectl.", bold=True
    )
    return 0


@dataclass(frozen=True, slots=True)
class Act:
    """What is shown of one LeaderWorkerSet."""

    name: str
    size: int
    shows_racks: bool = False


class Demo:
    """The play, act by act."""

    def __init__(self, transport: Transport, pause_s: float) -> None:
        self._transport = transport
        self._pause_s = pause_s

    async def play(self) -> None:
        """Create, scale beyond the quota, scale back, delete."""
        llama = Act("llama", size=3)
        for file in ("queues.yaml", "leaderworkerset.yaml"):
            await self._act(
                f"kubectl apply -f examples/01-leaderworkerset/{file}", self._applying(f"01-leaderworkerset/{file}")
            )
        await self._show(
            llama, "Two groups of three pods, 500m of cpu each, in a queue with room for three:", admitted=2
        )
        await self._act("kubectl scale leaderworkerset/llama --replicas=4", self._scaling("llama", 4))
        await self._show(
            llama, "One more group fits; another waits as a whole, and holds nothing:", admitted=3, waiting=1
        )
        await self._act("kubectl scale leaderworkerset/llama --replicas=2", self._scaling("llama", 2))
        await self._show(llama, "Whole groups go, and their quota with them:", admitted=2)
        await self._end("llama")
        trainer = Act("trainer", size=5, shows_racks=True)
        for file in ("1-queues.yaml", "2-leaderworkerset.yaml"):
            await self._act(f"kubectl apply -f examples/02-topology/{file}", self._applying(f"02-topology/{file}"))
        await self._show(trainer, "Groups of a leader and four workers with 16 GPUs, each within one rack:", admitted=2)
        await self._act("kubectl scale leaderworkerset/trainer --replicas=5", self._scaling("trainer", 5))
        await self._show(
            trainer, "There are four racks; quota is left for a fifth group, but no rack:", admitted=4, waiting=1
        )
        await self._end("trainer")

    async def _end(self, name: str) -> None:
        await self._act(f"kubectl delete leaderworkerset/{name}", self._deleting(name))
        await self._until(self._is_gone)
        click.echo("  no pods, no Workloads, no quota held\n")

    def _applying(self, file: str) -> Callable[[], Awaitable[Any]]:
        documents = load_example(file)
        return lambda: apply_manifests(self._transport, documents)

    def _scaling(self, name: str, replicas: int) -> Callable[[], Awaitable[Any]]:
        path = LEADER_WORKER_SET.path(NAMESPACE, name, "scale")
        body = {"spec": {"replicas": replicas}}
        return lambda: self._transport.request(
            ApiRequest("PATCH", path, body=body, content_type="application/merge-patch+json")
        )

    def _deleting(self, name: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._transport.request(ApiRequest("DELETE", LEADER_WORKER_SET.path(NAMESPACE, name)))

    async def _act(self, text: str, do: Callable[[], Awaitable[Any]]) -> None:
        click.secho(f"$ {text}", fg="cyan")
        await do()
        await asyncio.sleep(self._pause_s)

    async def _show(self, act: Act, title: str, *, admitted: int, waiting: int = 0) -> None:
        groups: Sequence[GroupView] = []

        async def settled() -> bool:
            nonlocal groups
            groups = await self._groups()
            running = [g for g in groups if g.admitted and g.n_running == act.size]
            held = [g for g in groups if not g.admitted and g.why and g.n_gated > 0]
            return len(groups) == admitted + waiting and len(running) == admitted and len(held) == waiting

        await self._until(settled)
        click.echo(title)
        for group in groups:
            click.echo(group.line(act.size, shows_racks=act.shows_racks))
        click.echo()
        await asyncio.sleep(self._pause_s)

    async def _groups(self) -> list[GroupView]:
        pods = await self._list(POD)
        rack_of = {objects.name(n): objects.labels(n).get(RACK_LABEL, "") for n in await self._list(NODE)}
        views = []
        for workload in await self._list(WORKLOAD):
            index = int(objects.annotations(workload).get(_INDEX, "0"))
            own = [p for p in pods if objects.labels(p).get(_GROUP) == str(index)]
            reserved = objects.condition(workload, "QuotaReserved") or {}
            views.append(
                GroupView(
                    index=index,
                    admitted=objects.is_condition_true(workload, "Admitted"),
                    why=str(reserved.get("message", "")) if reserved.get("status") == "False" else "",
                    n_running=sum(objects.get_path(p, "status", "phase") == "Running" for p in own),
                    n_gated=sum(bool(objects.get_path(p, "spec", "schedulingGates")) for p in own),
                    racks=tuple(sorted({rack_of.get(objects.get_path(p, "spec", "nodeName"), "?") for p in own})),
                )
            )
        return sorted(views, key=lambda view: view.index)

    async def _is_gone(self) -> bool:
        return not await self._list(POD) and not await self._list(WORKLOAD)

    async def _list(self, kind: Kind) -> Sequence[Obj]:
        answer: Mapping[str, Any] = await self._transport.request(ApiRequest("GET", kind.path(NAMESPACE)))
        return answer.get("items") or ()

    async def _until(self, test: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + STEP_S_MAX
        while not await test():
            if time.monotonic() > deadline:
                raise DemoStuck(f"the demo did not get on within {STEP_S_MAX:.0f} s; groups: {await self._groups()}")
            await asyncio.sleep(0.05)


def load_example(file: str) -> list[dict[str, Any]]:
    """Documents of an example that ships with the package, or lies beside it in a checkout."""
    installed = Path(__file__).parent.parent / "examples"
    folder = installed if installed.is_dir() else Path(__file__).parents[3] / "examples"
    return read_manifests([folder / file])


class DemoStuck(click.ClickException):
    """What should have happened did not."""
