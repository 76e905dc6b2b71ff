"""One `pykueue up` as a process, and the other commands against it, as people run them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pykueue.api.instant import SECOND_US, parse_time
from pykueue.api.kinds import CORE_EVENT, WORKLOAD, Kind
from pykueue.api.objects import is_condition_true
from pykueue.cli.snapshot import connect
from pykueue.ports.transport import ApiRequest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class CommandLine:
    """A cluster of its own, with an example applied."""

    def __init__(self, folder: Path, example: str) -> None:
        self.kubeconfig = folder / "kubeconfig"
        args = ["--memory", "--port", "0", "--kubeconfig", self.kubeconfig, "-f", EXAMPLES / example]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pykueue.cli.main", "up", *map(str, args)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("Ready after")

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate()

    def run(self, verb: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """`pykueue VERB ...`, to its end."""
        command = [
            sys.executable,
            "-m",
            "pykueue.cli.main",
            verb,
            *map(str, args),
            "--kubeconfig",
            str(self.kubeconfig),
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def json(self, verb: str, *args: str) -> dict[str, Any]:
        """What it says with `-o json`."""
        done = self.run(verb, *args, "-o", "json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def request(self, method: str, kind: Kind, name: str = "", body: Any = None, subresource: str = "") -> Any:
        """One request as the administrator, in the namespace `default`; a patch is a merge patch."""

        async def ask() -> Any:
            transport = connect(self.kubeconfig)
            try:
                content = "application/merge-patch+json" if method == "PATCH" else "application/json"
                path = kind.path("default", name, subresource)
                return await transport.request(ApiRequest(method, path, {}, body, content))
            finally:
                await transport.close()

        return asyncio.run(ask())

    def until_admitted(self, n_admitted: int, n_workloads: int) -> None:
        """Wait for so many Workloads, and that so many of them are admitted."""
        for _ in range(400):
            listed = self.request("GET", WORKLOAD)["items"]
            if len(listed) == n_workloads and sum(is_condition_true(w, "Admitted") for w in listed) == n_admitted:
                return
            time.sleep(0.05)
        raise AssertionError(f"{n_admitted} of {n_workloads} Workloads were expected to be admitted")

    def until_told(self, kind: Kind, name: str, reason: str) -> None:
        """Wait for an Event about an object."""
        for _ in range(400):
            about = [(e["involvedObject"], e["reason"]) for e in self.request("GET", CORE_EVENT)["items"]]
            if any((o["kind"], o["name"], why) == (kind.kind, name, reason) for o, why in about):
                return
            time.sleep(0.05)
        raise AssertionError(f"no Event {reason} about {kind.kind} {name}")

    def until_younger(self) -> None:
        """Wait until what is made next is younger than every Workload there is; times of creation have seconds."""
        newest = max(parse_time(w["metadata"]["creationTimestamp"]) for w in self.request("GET", WORKLOAD)["items"])
        while time.time() * SECOND_US < newest + SECOND_US:
            time.sleep(0.05)
