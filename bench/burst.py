#!/usr/bin/env python3
"""A burst of LeaderWorkerSets: how long until all groups are admitted, released and running, and what it costs the API server.

    burst.py --kubeconfig FILE [--sets 40] [--groups 5] [--size 4] [--metrics URL] [--pid PID] [--json FILE]

Plays the burst twice on the cluster it is pointed at: once without a queue label, which is the floor that the LeaderWorkerSet
controller, the scheduler and the kubelet set by themselves, and once through a queue. It only watches, so it measures any
implementation of the API. One line of JSON at the end:

    floor_running_s      all pods running, no queue
    admitted_s           all Workloads admitted
    ungated_s            no pod has a gate any more
    running_s            all pods running
    ratio                running_s / floor_running_s
    gate_wait_ms_max     longest time a pod kept its gate once its group was admitted and it existed
    writes_per_group     API writes of the manager per group (from --metrics), and the part of them that are events
    cpu_s, rss_mb        of the manager (from --pid)

With `--plane FOLDER`, where the process ids of a control plane are, both bursts are also told by CPU seconds of every process,
by requests and by calls of webhooks, on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from accounts import Account, take

NAMESPACE = "burst"
QUEUE = {
    "ResourceFlavor": {"metadata": {"name": "burst"}},
    "ClusterQueue": {
        "metadata": {"name": "burst"},
        "spec": {
            "namespaceSelector": {},
            "resourceGroups": [
                {
                    "coveredResources": ["cpu"],
                    "flavors": [{"name": "burst", "resources": [{"name": "cpu", "nominalQuota": "100k"}]}],
                }
            ],
        },
    },
    "LocalQueue": {"metadata": {"name": "burst", "namespace": NAMESPACE}, "spec": {"clusterQueue": "burst"}},
}
PLURALS = {"ResourceFlavor": "resourceflavors", "ClusterQueue": "clusterqueues", "LocalQueue": "localqueues"}
KUEUE = "/apis/kueue.x-k8s.io/v1beta2"
LWS = "/apis/leaderworkerset.x-k8s.io/v1"
MADE = (
    ("/apis/apps/v1", "statefulsets"), ("/apis/apps/v1", "controllerrevisions"), ("/api/v1", "services"),
    ("/api/v1", "endpoints"), ("/apis/discovery.k8s.io/v1", "endpointslices"), (KUEUE, "workloads"),
)  # fmt: skip
"""What comes with a LeaderWorkerSet besides its pods, and goes with it."""


class Api:
    """Just enough of a client, so that the figures do not depend on ours."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.base = cluster["server"].rstrip("/")
        authority = cluster.get("certificate-authority-data")
        context = ssl.create_default_context(
            cafile=cluster.get("certificate-authority"),
            cadata=base64.b64decode(authority).decode() if authority else None,
        )
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pair:
                pair.write(
                    base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
                )
                pair.flush()
                context.load_cert_chain(pair.name)
        headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        connector = aiohttp.TCPConnector(ssl=context, limit=64)
        self.session = aiohttp.ClientSession(connector=connector, headers=headers, read_bufsize=2**24)

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        async with self.session.request(method, self.base + path, json=body) as reply:
            data: dict[str, Any] = await reply.json(content_type=None)
            if reply.status >= 400 and reply.status not in (404, 409):
                raise SystemExit(f"burst.py: {method} {path}: {data.get('message')}")
            return data

    async def text(self, path: str) -> str:
        async with self.session.get(self.base + path) as reply:
            return await reply.text()

    async def watch(self, path: str) -> AsyncIterator[dict[str, Any]]:
        url = f"{self.base}{path}?watch=1&allowWatchBookmarks=true"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=None)
        async with self.session.get(url, timeout=timeout) as reply:
            async for line in reply.content:
                yield json.loads(line)


class Picture:
    """What is known of the pods and Workloads of one burst."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.pods: dict[str, dict[str, float]] = {}
        self.admitted: dict[str, float] = {}
        self.group_of: dict[str, str] = {}

    def now(self) -> float:
        return time.monotonic() - self.began

    def see_pod(self, obj: dict[str, Any]) -> None:
        meta = obj["metadata"]
        seen = self.pods.setdefault(meta["name"], {"created": self.now()})
        annotations = meta.get("annotations", {})
        if group := annotations.get("kueue.x-k8s.io/pod-group-name"):
            self.group_of[meta["name"]] = group
        gates = [g["name"] for g in obj["spec"].get("schedulingGates", [])]
        if not gates:
            seen.setdefault("ungated", self.now())
        if obj.get("status", {}).get("phase") == "Running":
            seen.setdefault("running", self.now())

    def see_workload(self, obj: dict[str, Any]) -> None:
        conditions = {c["type"]: c["status"] for c in obj.get("status", {}).get("conditions", [])}
        if conditions.get("Admitted") == "True":
            self.admitted.setdefault(obj["metadata"]["name"], self.now())

    def last(self, what: str) -> float:
        return max(pod[what] for pod in self.pods.values())

    def count(self, what: str) -> int:
        return sum(what in pod for pod in self.pods.values())

    def gate_wait_ms_max(self) -> int:
        waits = [
            pod["ungated"] - max(pod["created"], self.admitted.get(self.group_of.get(name, ""), 0.0))
            for name, pod in self.pods.items()
            if "ungated" in pod
        ]
        return round(1000 * max(waits, default=0.0))


def leaderworkerset(name: str, groups: int, size: int, queue: str | None) -> dict[str, Any]:
    template = {
        "spec": {"containers": [{"name": "c", "image": "example.com/burst:1", "resources": {"requests": {"cpu": "1"}}}]}
    }
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"kueue.x-k8s.io/queue-name": queue} if queue else {},
        },
        "spec": {
            "replicas": groups,
            "leaderWorkerTemplate": {"size": size, "leaderTemplate": template, "workerTemplate": template},
        },
    }


async def play(api: Api, options: argparse.Namespace, queue: str | None) -> Picture:
    """One burst, from the first create to the last running pod; then everything is deleted."""
    picture = Picture()

    async def follow(path: str, see: Any) -> None:
        async for line in api.watch(path):
            if line["type"] in ("ADDED", "MODIFIED"):
                see(line["object"])

    followers = [asyncio.create_task(follow(f"/api/v1/namespaces/{NAMESPACE}/pods", picture.see_pod))]
    if queue:
        followers.append(asyncio.create_task(follow(f"{KUEUE}/namespaces/{NAMESPACE}/workloads", picture.see_workload)))
    await asyncio.sleep(0.5)
    picture.began = time.monotonic()
    sets = [leaderworkerset(f"b{i:03}", options.groups, options.size, queue) for i in range(options.sets)]
    limit = asyncio.Semaphore(8)

    async def create(obj: dict[str, Any]) -> None:
        async with limit:
            await api.call("POST", f"{LWS}/namespaces/{NAMESPACE}/leaderworkersets", obj)

    await asyncio.gather(*map(create, sets))
    want = options.sets * options.groups * options.size
    while picture.count("running") < want:
        if picture.now() > options.timeout:
            raise SystemExit(f"burst.py: only {picture.count('running')} of {want} pods run after {options.timeout} s")
        await asyncio.sleep(0.2)
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    return picture


async def clean(api: Api) -> None:
    """Delete the burst, and wait until the garbage collector is through with it: the next burst shall not pay for this one."""
    await api.call(
        "DELETE", f"{LWS}/namespaces/{NAMESPACE}/leaderworkersets", {"kind": "DeleteOptions", "apiVersion": "v1"}
    )
    for path in (
        f"/api/v1/namespaces/{NAMESPACE}/pods",
        *(f"{base}/namespaces/{NAMESPACE}/{kind}" for base, kind in MADE),
    ):
        for _ in range(1200):
            if not (await api.call("GET", f"{path}?limit=1")).get("items"):
                break
            await asyncio.sleep(0.5)
        else:
            raise SystemExit(f"burst.py: objects of the burst do not go away: {path}")
    await asyncio.sleep(5)


async def prepare(api: Api) -> None:
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    size = {"cpu": "4096", "memory": "16Ti", "pods": "2000"}
    for i in range(4):
        node = {
            "metadata": {
                "name": f"burst-{i}",
                "labels": {"kubernetes.io/hostname": f"burst-{i}"},
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
            "status": {"capacity": size, "allocatable": size},
        }
        await api.call("POST", "/api/v1/nodes", node)
    for kind, obj in QUEUE.items():
        scope = f"/namespaces/{NAMESPACE}" if "namespace" in obj["metadata"] else ""
        body = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": kind, **obj}
        await api.call("POST", f"{KUEUE}{scope}/{PLURALS[kind]}", body)
    await asyncio.sleep(3)


async def writes(url: str) -> tuple[int, int]:
    """API writes of the manager so far, and the events among them."""
    async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as reply:
        text = await reply.text()
    total = events = 0
    for labels, value in re.findall(r"^pykueue_api_requests_total\{([^}]*)\} ([0-9.e+]+)$", text, re.MULTILINE):
        if 'verb="get"' in labels.lower() or 'verb="list"' in labels.lower() or 'verb="watch"' in labels.lower():
            continue
        total += int(float(value))
        events += int(float(value)) if 'kind="Event"' in labels else 0
    return total, events


def process(pid: int) -> tuple[float, float]:
    """CPU seconds and resident megabytes of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def account(api: Api, options: argparse.Namespace) -> Account:
    """The sums so far; empty without `--plane`."""
    if options.plane is None:
        return Account()
    more = {"manager": options.pid, "bench": os.getpid()} if options.pid else {"bench": os.getpid()}
    return take(await api.text("/metrics"), options.plane, more)


async def played(api: Api, options: argparse.Namespace, queue: str | None) -> Picture:
    """One burst, with its account."""
    before = await account(api, options)
    picture = await play(api, options, queue)
    if options.plane is not None:
        cost = (await account(api, options)).since(before)
        sys.stderr.write("\n".join([f"burst {'through a queue' if queue else 'without a queue'}", *cost.lines(), ""]))
    return picture


async def run(options: argparse.Namespace) -> int:
    api = Api(options.kubeconfig)
    groups = options.sets * options.groups
    await prepare(api)
    floor = await played(api, options, None)
    report: dict[str, Any] = {
        "groups": groups,
        "pods": groups * options.size,
        "floor_running_s": round(floor.last("running"), 1),
    }
    await clean(api)
    before = await writes(options.metrics) if options.metrics else (0, 0)
    cpu_before = process(options.pid)[0] if options.pid else 0.0
    queued = await played(api, options, "burst")
    await asyncio.sleep(3)
    report |= {
        "admitted_s": round(max(queued.admitted.values()), 1),
        "ungated_s": round(queued.last("ungated"), 1),
        "running_s": round(queued.last("running"), 1),
        "ratio": round(queued.last("running") / floor.last("running"), 2),
        "gate_wait_ms_max": queued.gate_wait_ms_max(),
    }
    if options.metrics:
        total, events = (after - b for after, b in zip(await writes(options.metrics), before, strict=True))
        report |= {"writes_per_group": round(total / groups, 1), "events_per_group": round(events / groups, 1)}
    if options.pid:
        cpu, rss = process(options.pid)
        report |= {"cpu_s": round(cpu - cpu_before, 1), "rss_mb": round(rss)}
    await clean(api)
    await api.session.close()
    text = json.dumps(report)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--size", type=int, default=4)
    parser.add_argument("--timeout", type=float, default=600.0)
    parser.add_argument("--metrics", default="")
    parser.add_argument("--pid", type=int, default=0)
    parser.add_argument("--plane", type=Path)
    parser.add_argument("--json", type=Path)
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
