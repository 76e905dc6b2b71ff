#!/usr/bin/env python3
"""What a write costs the API server: each way to write a Workload's status, under the full schema and under the lean one.

    writes.py [--writes 300] [--json FILE]

Starts etcd and a kube-apiserver on loopback, without a manager and so without webhooks, and makes the same change to as many Workloads
in each of three ways: a PUT of the whole object, a merge patch, and a server-side apply of the admission part as `pykueue manager` makes it. The
figures are CPU milliseconds of the kube-apiserver and of etcd per request. One line of JSON at the end:

    <schema>_<way>_ms    schema is `full` or `lean`; way is `create`, `put`, `merge`, `apply`; `event_ms` is the creation of an Event
    <schema>_<way>_etcd_ms
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/conformance"))

from golden import free_ports  # noqa: E402
from report import close  # noqa: E402
from restart import Home, stop  # noqa: E402

from pykueue.api.kinds import EVENT, NAMESPACE, WORKLOAD  # noqa: E402
from pykueue.client.http import HttpTransport  # noqa: E402
from pykueue.client.kubeconfig import load_access  # noqa: E402
from pykueue.ports.transport import ApiRequest  # noqa: E402

HOME = "writes"
AT_A_TIME = 4
STAMP = "2026-01-01T00:00:00Z"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
CONTAINER = {
    "name": "main",
    "image": "example.com/train:1",
    "command": ["python", "-m", "train"],
    "args": ["--steps=1000", "--batch=32"],
    "env": [{"name": f"SETTING_{i}", "value": str(i)} for i in range(8)],
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "imagePullPolicy": "IfNotPresent",
}
POD = {
    "containers": [CONTAINER],
    "volumes": [{"name": "data", "emptyDir": {}}],
    "restartPolicy": "Never",
    "tolerations": [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}],
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}


def workload(name: str) -> dict[str, Any]:
    """A Workload as a Job of some size would have it."""
    pod_set = {"name": "main", "count": 4, "template": {"metadata": {"labels": {"app": "train"}}, "spec": POD}}
    return {
        "apiVersion": WORKLOAD.api_version,
        "kind": "Workload",
        "metadata": {"name": name, "namespace": HOME, "finalizers": ["kueue.x-k8s.io/resource-in-use"]},
        "spec": {"podSets": [pod_set], "queueName": "queue", "priority": 100},
    }


def admitted() -> dict[str, Any]:
    """The status of an admission."""
    conditions = [
        {"type": t, "status": "True", "reason": t, "message": f"{t} in ClusterQueue queue", "lastTransitionTime": STAMP}
        for t in ("QuotaReserved", "Admitted")
    ]
    given = {"name": "main", "flavors": {"cpu": "default"}, "resourceUsage": {"cpu": "4"}, "count": 4}
    return {"conditions": conditions, "admission": {"clusterQueue": "queue", "podSetAssignments": [given]}}


class Meter:
    """CPU time of the control plane's processes."""

    def __init__(self, plane: Path) -> None:
        self.pids = {part: int((plane / f"{part}.pid").read_text()) for part in ("kube-apiserver", "etcd")}

    def cpu_ms(self, part: str) -> float:
        """So far."""
        fields = Path(f"/proc/{self.pids[part]}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


Write = Callable[[str], Awaitable[Any]]


async def measure(transport: HttpTransport, meter: Meter, label: str, n: int) -> dict[str, float]:
    """All ways to write, under the schema that is installed now."""
    found: dict[str, float] = {}
    objects: dict[str, Any] = {}

    async def count(way: str, write: Write) -> None:
        idle = {part: meter.cpu_ms(part) for part in meter.pids}
        await asyncio.sleep(3)
        before = {part: meter.cpu_ms(part) for part in meter.pids}
        began = asyncio.get_running_loop().time()
        names = [f"{label}-{i}" for i in range(n)]
        for first in range(0, n, AT_A_TIME):
            await asyncio.gather(*map(write, names[first : first + AT_A_TIME]))
        lasted_s = asyncio.get_running_loop().time() - began
        for part, suffix in (("kube-apiserver", ""), ("etcd", "_etcd")):
            # What the process does by itself, without being asked, does not count.
            alone_ms = (before[part] - idle[part]) / 3 * lasted_s
            found[f"{label}_{way}{suffix}_ms"] = round((meter.cpu_ms(part) - before[part] - alone_ms) / n, 2)

    def path(name: str, subresource: str = "") -> str:
        return WORKLOAD.path(HOME, name, subresource)

    async def create(name: str) -> None:
        objects[name] = await transport.request(ApiRequest("POST", WORKLOAD.path(HOME), body=workload(name)))

    async def put(name: str) -> None:
        body = {**objects[name], "status": admitted()}
        objects[name] = await transport.request(ApiRequest("PUT", path(name, "status"), body=body))

    async def merge(name: str) -> None:
        body = {"metadata": {"resourceVersion": objects[name]["metadata"]["resourceVersion"]}, "status": admitted()}
        objects[name] = await transport.request(ApiRequest("PATCH", path(name, "status"), {}, body, MERGE))

    async def apply(name: str) -> None:
        identity = {k: objects[name]["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": WORKLOAD.api_version, "kind": "Workload", "metadata": identity, "status": admitted()}
        query = {"fieldManager": "kueue-admission", "force": "true"}
        objects[name] = await transport.request(ApiRequest("PATCH", path(name, "status"), query, body, APPLY))

    async def event(name: str) -> None:
        about = {"apiVersion": WORKLOAD.api_version, "kind": "Workload", "name": name, "namespace": HOME}
        body = {
            "metadata": {"generateName": "writes-", "namespace": HOME},
            "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": "writes", "reportingInstance": "writes", "action": "Admit",
            "type": "Normal", "reason": "Admitted", "note": "Admitted by ClusterQueue queue", "regarding": about,
        }  # fmt: skip
        await transport.request(ApiRequest("POST", EVENT.path(HOME), body=body))

    for way, write in (("put", put), ("merge", merge), ("apply", apply)):
        await count("create", create)
        await count(way, write)
        for name in list(objects):
            await transport.request(ApiRequest("PATCH", path(name), {}, {"metadata": {"finalizers": None}}, MERGE))
            await transport.request(ApiRequest("DELETE", path(name)))
        objects.clear()
    if label == "full":
        await count("event", event)
        found["event_ms"], found["event_etcd_ms"] = found.pop("full_event_ms"), found.pop("full_event_etcd_ms")
    return found


async def run(home: Home, n: int) -> dict[str, float]:
    """Both schemas, one after the other."""
    from pykueue.api.schema import crd, with_lean_templates

    transport = HttpTransport(load_access(home.kubeconfig), qps=0)
    meter = Meter(home.state / "plane")
    await transport.request(ApiRequest("POST", NAMESPACE.path(), body={"metadata": {"name": HOME}}))
    found = await measure(transport, meter, "full", n)
    print(found, file=sys.stderr, flush=True)
    lean = {"spec": {"versions": with_lean_templates(crd("Workload"))["spec"]["versions"]}}
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workloads.kueue.x-k8s.io"
    await transport.request(ApiRequest("PATCH", definition, {}, lean, MERGE))
    await asyncio.sleep(10)
    found |= await measure(transport, meter, "lean", n)
    await transport.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="pykueue-writes-"))
    home = Home("real", state, free_ports(), is_bare=True)
    try:
        home.prepare()
        found = asyncio.run(run(home, options.writes))
    finally:
        stop(state)
    close(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
