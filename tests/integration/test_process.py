"""`pykueue up` as a process: what it acknowledged outlives `kill -9`, and two processes never share a data directory."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pykueue.api.errors import PykueueError
from pykueue.api.kinds import CONFIG_MAP, LEADER_WORKER_SET, POD, WORKLOAD, Kind
from pykueue.client.http import HttpTransport
from pykueue.client.kubeconfig import load_access
from pykueue.ports.transport import ApiRequest

START_S_MAX = 20.0
EXAMPLE = Path(__file__).parents[2] / "examples" / "01-leaderworkerset"
CONFIGURATION = "apiVersion: config.kueue.x-k8s.io/v1beta2\nkind: Configuration\n"


class Server:
    """One `pykueue up` on a data directory."""

    def __init__(self, folder: Path, *args: str | Path, port: int = 0) -> None:
        self.kubeconfig = folder / "kubeconfig"
        command = [sys.executable, "-m", "pykueue.cli.main", "up", "--data", folder, "--port", str(port), *args]
        self.process = subprocess.Popen(
            [str(a) for a in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> str:
        """The address that it tells."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Ready after"), (line, self.process.poll() is not None and self.process.communicate())
        return line.split(" at ")[1].split(" ")[0]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def do(self, work: Callable[[HttpTransport], Awaitable[Any]]) -> Any:
        """Run some requests as the administrator."""

        async def main() -> Any:
            transport = HttpTransport(load_access(self.kubeconfig), qps=10_000, burst=10_000)
            try:
                return await work(transport)
            finally:
                await transport.close()

        return asyncio.run(main())

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        answer = self.do(lambda transport: transport.request(ApiRequest("GET", kind.path("default"))))
        return list(answer["items"])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers on one directory, and ends those that are left."""
    started: list[Server] = []

    def go(*args: str | Path, port: int = 0) -> Server:
        started.append(Server(tmp_path, *args, port=port))
        return started[-1]

    yield go
    for server in started:
        if server.process.poll() is None:
            server.kill()


def until(test: Callable[[], bool]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + START_S_MAX
    while not test():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def test_nothing_acknowledged_is_lost(start: Callable[..., Server]) -> None:
    """Killed in the middle of a burst of writes: all that was answered is there afterwards, at no lower version."""
    server = start("--nodes", "none")
    server.wait_until_ready()
    answered: dict[str, int] = {}

    async def burst(transport: HttpTransport) -> None:
        async def write(first: int) -> None:
            for number in range(first, 10_000, 8):
                body = {"metadata": {"name": f"n{number}"}, "data": {"number": str(number)}}
                made = await transport.request(ApiRequest("POST", CONFIG_MAP.path("default"), body=body))
                answered[f"n{number}"] = int(made["metadata"]["resourceVersion"])
                if len(answered) == 300:
                    server.process.send_signal(signal.SIGKILL)

        results = await asyncio.gather(*(write(first) for first in range(8)), return_exceptions=True)
        assert all(isinstance(r, PykueueError) for r in results), results

    server.do(burst)
    server.kill()
    assert len(answered) >= 300

    again = start("--nodes", "none")
    again.wait_until_ready()
    found = {o["metadata"]["name"]: int(o["metadata"]["resourceVersion"]) for o in again.list(CONFIG_MAP)}
    assert {name: found.get(name) for name in answered} == answered
    # At most the eight writes that were under way may be there without an answer.
    assert len(found) <= len(answered) + 8 + 1
    body = {"metadata": {"name": "later"}}
    made = again.do(lambda t: t.request(ApiRequest("POST", CONFIG_MAP.path("default"), body=body)))
    assert int(made["metadata"]["resourceVersion"]) > max(answered.values())


def test_the_manager_takes_up_where_it_was(start: Callable[..., Server], tmp_path: Path) -> None:
    """Killed while a group waits, and started with another configuration on the same port: no pod and no admission changes."""
    server = start("-f", EXAMPLE / "queues.yaml", "-f", EXAMPLE / "leaderworkerset.yaml")
    url = server.wait_until_ready()
    scale = ApiRequest(
        "PATCH",
        LEADER_WORKER_SET.path("default", "llama", "scale"),
        body={"spec": {"replicas": 4}},
        content_type="application/merge-patch+json",
    )
    server.do(lambda transport: transport.request(scale))

    def settled() -> bool:
        running = [p for p in server.list(POD) if p["status"]["phase"] == "Running"]
        return len(running) == 9 and len(server.list(WORKLOAD)) == 4

    until(settled)
    before = {o["metadata"]["uid"]: _admitted(o) for o in server.list(WORKLOAD)}
    pods = {o["metadata"]["uid"] for o in server.list(POD) if o["status"]["phase"] == "Running"}
    server.kill()

    config = tmp_path / "config.yaml"
    frameworks = "integrations: {frameworks: [leaderworkerset.x-k8s.io/leaderworkerset]}\n"
    config.write_text(CONFIGURATION + frameworks + "manageJobsWithoutQueueName: true\n")
    again = start("--config", config, port=int(url.rsplit(":", 1)[1]))
    assert again.wait_until_ready() == url
    assert sorted(before.values()) == [False, True, True, True]
    scale.body["spec"]["replicas"] = 5
    again.do(lambda transport: transport.request(scale))
    until(lambda: len(again.list(WORKLOAD)) == 5)
    after = {o["metadata"]["uid"]: _admitted(o) for o in again.list(WORKLOAD)}
    assert {uid: after.get(uid) for uid in before} == before
    assert pods <= {o["metadata"]["uid"] for o in again.list(POD)}


def test_a_data_directory_in_use(start: Callable[..., Server]) -> None:
    """The second process ends with 5 and names the first; the first goes on, and ends well when told to."""
    first = start("--nodes", "none")
    first.wait_until_ready()
    second = Server(first.kubeconfig.parent, "--nodes", "none", "--kubeconfig", first.kubeconfig.parent / "other")
    _, told = second.process.communicate(timeout=START_S_MAX)
    assert second.process.returncode == 5
    assert f"in use by another server (process {first.process.pid})" in told
    first.process.send_signal(signal.SIGTERM)
    _, told = first.process.communicate(timeout=START_S_MAX)
    assert (first.process.returncode, told.splitlines()[-1]) == (0, "Stopping ...")


def _admitted(workload: dict[str, Any]) -> bool:
    return any(c["type"] == "Admitted" and c["status"] == "True" for c in workload["status"].get("conditions", ()))
