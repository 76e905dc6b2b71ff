#!/usr/bin/env python3
"""The manager under load: Kueue's *baseline* scenario through `pykueue manager` and a real kube-apiserver.

    manager.py [--scale 1.0] [--lean-workload-schema] [--without-v1beta1] [--merge-patch] [--timeout 1800] [--json FILE] [--plot FILE]

Starts etcd, a kube-apiserver and the manager on loopback (building the pinned control plane first if it is not there: some minutes, once), makes
5 cohorts of 6 ClusterQueues and creates 15,000 Workloads at the scenario's pace (`shapes.py`; `--scale 0.1` creates a tenth). There are no
pods: once a Workload is admitted it runs for its time and is then finished, and one that is evicted gives its quota back, by the same writes
that a job's controller would make. One line of JSON at the end:

    wall_s                 from the first creation to the last Workload finished
    usage                  part of the quota that was reserved, over that time
    <class>_admission_s    mean time from creation to first admission
    evictions              how many Workloads had to give their quota back
    versions               versions of Workloads that were seen, per Workload, by what they say
    writes_per_workload    API writes of the manager (from its metrics), and by kind and verb
    cpu_s, rss_mb_max      of the manager
    apiserver_cpu_s, etcd_cpu_s, runner_cpu_s   of the others on the machine
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/conformance"))

from accounts import Account, take  # noqa: E402
from golden import free_ports  # noqa: E402
from report import close  # noqa: E402
from restart import DEFAULT, Home, stop  # noqa: E402
from shapes import BASELINE, Class, Scenario, cluster_queue_spec, workload_spec  # noqa: E402

from pykueue.api.configuration.types import Configuration  # noqa: E402
from pykueue.api.errors import Conflict, NotFound, PykueueError  # noqa: E402
from pykueue.api.instant import Instant  # noqa: E402
from pykueue.api.kinds import CLUSTER_QUEUE, LOCAL_QUEUE, NAMESPACE, RESOURCE_FLAVOR, WORKLOAD, Kind  # noqa: E402
from pykueue.api.v1beta2 import Workload  # noqa: E402
from pykueue.client.http import HttpTransport  # noqa: E402
from pykueue.client.kubeconfig import load_access  # noqa: E402
from pykueue.controllers.jobs import workloads  # noqa: E402
from pykueue.controllers.status_merge import as_merge_patch  # noqa: E402
from pykueue.controllers.workload_status import admission_patch  # noqa: E402
from pykueue.core.features import Features  # noqa: E402
from pykueue.integrations.settings import JobSettings  # noqa: E402
from pykueue.ports.requests import write_request  # noqa: E402
from pykueue.ports.transport import ApiRequest  # noqa: E402

BENCH = "bench"
CREATES_MAX = 16
WRITES_MAX = 32
MANIFEST_FLAGS = ("--lean-workload-schema", "--without-v1beta1")
SETTINGS = JobSettings(Configuration(), Features())


class Job:
    """One Workload with the job that it stands for."""

    __slots__ = ("admitted_at", "created_at", "holds_since", "is_busy", "kind", "latest", "raw", "runs_until")

    def __init__(self, kind: Class) -> None:
        self.kind = kind
        self.latest: Workload | None = None
        self.raw: dict[str, Any] = {}
        self.created_at = self.admitted_at = 0.0
        self.holds_since: float | None = None
        self.runs_until: float | None = None
        self.is_busy = False


class Runner:
    """Creates Workloads, lets them run, and keeps the score."""

    def __init__(
        self, transport: HttpTransport, as_manager: HttpTransport, scenario: Scenario, *, is_merging: bool
    ) -> None:
        """A runner.

        Args:
            transport: creates and watches, as an administrator.
            as_manager: writes what a job's controller would; that is part of the manager, and asks under its account.
            scenario: what to play.
            is_merging: status is written by merge patch, as the manager does with its gate for that.
        """
        self.is_merging = is_merging
        self.transport, self.as_manager, self.scenario = transport, as_manager, scenario
        self.jobs: dict[str, Job] = {}
        self.n_total = len(scenario.queue_names()) * sum(c.n_workloads for c in scenario.classes)
        self.n_finished = self.n_evicted = self.n_conflicts = 0
        self.cpu_seconds = 0.0
        self.finished = asyncio.Event()
        self.versions: Counter[str] = Counter()
        self.curve: list[tuple[float, int, int, int]] = []
        self._slots = asyncio.Semaphore(WRITES_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self.began = 0.0

    def now(self) -> float:
        return time.monotonic() - self.began

    async def prepare(self) -> None:
        """The queues."""
        await self._create(NAMESPACE, "", BENCH, {})
        await self._create(RESOURCE_FLAVOR, "", "default", {"spec": {}})
        for name in self.scenario.queue_names():
            spec = cluster_queue_spec("cohort-" + name.split("-")[1])
            await self._create(CLUSTER_QUEUE, "", name, {"spec": spec})
            await self._create(LOCAL_QUEUE, BENCH, name, {"spec": {"clusterQueue": name}})

    async def run(self, timeout_s: float) -> float:
        """Play the scenario; how long it took in seconds."""
        listed = await self.transport.request(ApiRequest("GET", WORKLOAD.path(BENCH)))
        version = listed["metadata"]["resourceVersion"]
        self.began = time.monotonic()
        tasks = [asyncio.create_task(work) for work in (self._follow(version), self._arrivals(), self._report())]
        try:
            waiter = asyncio.create_task(self.finished.wait())
            done, _ = await asyncio.wait((waiter, tasks[0]), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if waiter not in done:
                for task in done:
                    task.result()
                raise SystemExit(f"manager.py: {self.n_finished} of {self.n_total} are finished after {timeout_s} s")
            return self.now()
        finally:
            for task in (*tasks, *self._tasks):
                task.cancel()
            await asyncio.gather(*tasks, *self._tasks, return_exceptions=True)

    async def _arrivals(self) -> None:
        due = sorted(
            (n * kind.every_ms / 1000, queue, kind.name, n, kind)
            for queue in self.scenario.queue_names()
            for kind in self.scenario.classes
            for n in range(kind.n_workloads)
        )
        limit = asyncio.Semaphore(CREATES_MAX)

        async def arrive(name: str, queue: str, kind: Class) -> None:
            try:
                self.jobs[name] = job = Job(kind)
                job.created_at = self.now()
                await self._create(WORKLOAD, BENCH, name, {"spec": workload_spec(queue, kind.cpu, kind.priority)})
            finally:
                limit.release()

        for at_s, queue, _, n, kind in due:
            if at_s > self.now():
                await asyncio.sleep(at_s - self.now())
            await limit.acquire()
            self._start(arrive(f"{queue}-{kind.name}-{n}", queue, kind))

    async def _follow(self, version: str) -> None:
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        while True:
            async for line in self.transport.watch(ApiRequest("GET", WORKLOAD.path(BENCH), query)):
                query["resourceVersion"] = line.object["metadata"]["resourceVersion"]
                if line.type in ("ADDED", "MODIFIED"):
                    self._see(line.object)

    def _see(self, obj: dict[str, Any]) -> None:
        workload = msgspec.convert(obj, Workload)
        job = self.jobs[workload.name]
        job.latest, job.raw = workload, obj
        self.versions[_told(workload)] += 1
        now = self.now()
        is_over = workload.is_true("Finished")
        holds = workload.is_true("QuotaReserved") and not is_over
        if holds and job.holds_since is None:
            job.holds_since = now
        if not holds and job.holds_since is not None:
            self.cpu_seconds += job.kind.cpu * (now - job.holds_since)
            job.holds_since = None
        if is_over:
            if job.runs_until is not None:
                job.runs_until = None
                self.n_finished += 1
            if self.n_finished == self.n_total:
                self.finished.set()
            return
        if workload.is_true("Evicted"):
            job.runs_until = None
        elif workload.is_true("Admitted") and job.runs_until is None:
            job.admitted_at = job.admitted_at or now
            job.runs_until = now + job.kind.runs_ms / 1000
            asyncio.get_running_loop().call_later(job.kind.runs_ms / 1000, self._act, job)
        self._act(job)

    def _act(self, job: Job) -> None:
        """Write what the job's controller would write now, if anything; a conflict is told by the next version."""
        workload = job.latest
        if job.is_busy or workload is None or workload.is_true("Finished") or not workload.is_true("QuotaReserved"):
            return
        at = Instant(time.time_ns() // 1000)
        if workload.is_true("Evicted"):
            desired = workloads.quota_returned(workload, SETTINGS, at, is_pod_owned=False)
            self.n_evicted += 1
        elif job.runs_until is not None and job.runs_until <= self.now() + 0.001:
            desired = workloads.finished(workload, "Succeeded", "Job finished successfully", at)
        else:
            return
        job.is_busy = True
        self._start(self._write(job, workload, desired, at))

    async def _write(self, job: Job, workload: Workload, desired: Workload, at: Instant) -> None:
        try:
            async with self._slots:
                apply = admission_patch(workload, desired, at)
                write = as_merge_patch(apply, job.raw) if self.is_merging else apply
                await self.as_manager.request(write_request(write, BENCH))
        except Conflict:
            self.n_conflicts += 1
            self.n_evicted -= workload.is_true("Evicted")
        except NotFound:
            return
        finally:
            job.is_busy = False
        if job.latest is not workload:
            self._act(job)

    async def _report(self) -> None:
        while True:
            n_admitted = sum(job.admitted_at > 0 for job in self.jobs.values())
            self.curve.append((self.now(), len(self.jobs), n_admitted, self.n_finished))
            if len(self.curve) % 10 == 1:
                text = (
                    f"{self.now():6.0f} s: {len(self.jobs)} created, {n_admitted} admitted, {self.n_finished} finished"
                )
                print(text, file=sys.stderr, flush=True)
            await asyncio.sleep(1)

    async def _create(self, kind: Kind, namespace: str, name: str, obj: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **obj}
        await self.transport.request(ApiRequest("POST", kind.path(namespace), {"fieldManager": BENCH}, body))

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), PykueueError):
            print(f"manager.py: {error}", file=sys.stderr, flush=True)

    def figures(self, wall_s: float) -> dict[str, Any]:
        """The score."""
        quota = 20 * len(self.scenario.queue_names())
        waits: dict[str, list[float]] = defaultdict(list)
        for job in self.jobs.values():
            waits[job.kind.name].append(job.admitted_at - job.created_at)
        return {
            "workloads": self.n_total,
            "wall_s": round(wall_s, 1),
            "usage": round(self.cpu_seconds / quota / wall_s, 3),
            **{f"{name}_admission_s": round(sum(w) / len(w), 1) for name, w in sorted(waits.items())},
            "evictions": self.n_evicted,
            "runner_conflicts": self.n_conflicts,
            "versions": {told: round(n / self.n_total, 2) for told, n in sorted(self.versions.items())},
        }


def _told(workload: Workload) -> str:
    """What the newest version of a Workload says, in a few words."""
    if workload.is_true("Finished"):
        return "finished"
    if workload.is_true("Evicted") and workload.is_true("QuotaReserved"):
        return "evicted"
    if workload.is_true("Admitted"):
        return "admitted"
    reserved = workload.condition("QuotaReserved")
    return f"pending {reserved.reason}" if reserved is not None else "new"


def rss_mb_max(pid: int) -> int:
    """The most memory that a process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) // 1024 if found else 0


async def requests(url: str) -> dict[str, int]:
    """Requests of the manager so far, as `Kind verb`."""
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        text = await reply.text()
    found: dict[str, int] = {}
    for kind, verb, value in re.findall(
        r'^pykueue_api_requests_total\{kind="(\w+)",verb="(\w+)"\} ([0-9.e+]+)$', text, re.MULTILINE
    ):
        found[f"{kind} {verb}"] = int(float(value))
    return found


async def play(home: Home, scenario: Scenario, options: argparse.Namespace) -> tuple[dict[str, Any], Runner]:
    """The whole benchmark beside a home that is up."""
    transport = HttpTransport(load_access(home.kubeconfig), qps=0)
    as_manager = HttpTransport(load_access(home.manager_kubeconfig), qps=0)
    plane = home.state / "plane"
    metrics = f"http://127.0.0.1:{home.port + 12}/metrics"
    manager = int((home.state / "manager.pid").read_text())
    runner = Runner(transport, as_manager, scenario, is_merging=options.merge_patch)

    async def account() -> Account:
        text = await transport.request(ApiRequest("GET", "/metrics"))
        return take(text, plane, {"manager": manager, "runner": os.getpid()})

    try:
        await runner.prepare()
        await asyncio.sleep(3)
        before, written = await account(), await requests(metrics)
        wall_s = await runner.run(options.timeout)
        await asyncio.sleep(3)
        spent, after = (await account()).since(before), await requests(metrics)
    finally:
        await transport.close()
        await as_manager.close()
    print(*spent.lines(), sep="\n", file=sys.stderr, flush=True)
    writes = {
        name: n - written.get(name, 0) for name, n in after.items() if not name.endswith((" get", " list", " watch"))
    }
    writes = {name: n for name, n in writes.items() if n}
    found = {
        **runner.figures(wall_s),
        "writes_per_workload": round(sum(writes.values()) / runner.n_total, 2),
        "writes": {name: round(n / runner.n_total, 2) for name, n in sorted(writes.items())},
        "cpu_s": round(spent.cpu_s["manager"], 1),
        "rss_mb_max": rss_mb_max(manager),
        "apiserver_cpu_s": round(spent.cpu_s["kube-apiserver"], 1),
        "etcd_cpu_s": round(spent.cpu_s["etcd"], 1),
        "runner_cpu_s": round(spent.cpu_s["runner"], 1),
        "kueue": scenario.kueue,
    }
    return found, runner


def draw(path: Path, runner: Runner) -> None:
    """How many Workloads were created, admitted and finished over time."""
    from plots import curves

    lines = {
        name: [(p[0], p[i]) for p in runner.curve] for i, name in enumerate(("created", "admitted", "finished"), 1)
    }
    title = f"{runner.scenario.name}: {runner.n_total} Workloads through the manager and a real API server"
    curves(path, title, lines, x="seconds", y="Workloads")


def configuration(state: Path, *, is_merging: bool) -> Path:
    """The manager's, as a file."""
    path = state / "bench.yaml"
    path.write_text(yaml.safe_dump(DEFAULT | {"featureGates": {"WorkloadRequestUseMergePatch": is_merging}}))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the Workloads to create")
    parser.add_argument("--lean-workload-schema", action="store_true", help="install the lean definition of Workload")
    parser.add_argument(
        "--without-v1beta1", action="store_true", help="install our kinds in their newest version alone"
    )
    parser.add_argument("--merge-patch", action="store_true", help="write status with WorkloadRequestUseMergePatch")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds to give up after")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--plot", type=Path, help="draw the progress into this PNG")
    options = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="pykueue-manager-"))
    flags = tuple(flag for flag in MANIFEST_FLAGS if getattr(options, flag.removeprefix("--").replace("-", "_")))
    home = Home("real", state, free_ports(), is_bare=True, manifest_flags=flags, has_own_account=True)
    try:
        home.prepare()
        home.restart(configuration(state, is_merging=options.merge_patch))
        found, runner = uvloop.run(play(home, BASELINE.scaled(options.scale), options))
    finally:
        stop(state)
    close(found, options.json)
    if options.plot is not None:
        draw(options.plot, runner)
    return 0


if __name__ == "__main__":
    sys.exit(main())
