"""Why a group waits, asked of a running cluster, by the command as people run it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from pykueue.api.kinds import (
    CLUSTER_QUEUE,
    DEPLOYMENT,
    JOB,
    LEADER_WORKER_SET,
    LOCAL_QUEUE,
    RESOURCE_FLAVOR,
    VISIBILITY_GROUP,
    Kind,
)
from pykueue.api.quantity import parse_quantity
from pykueue.cli.explain import ExplainOptions, explained
from pykueue.cli.snapshot import connect
from pykueue.ports.transport import ApiRequest, Transport
from support.commands import CommandLine

QUEUE = {"kueue.x-k8s.io/queue-name": "team-queue"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The example scaled to four groups, of which three fit, and a Job and a Deployment that wait behind."""
    found = CommandLine(tmp_path_factory.mktemp("explain"), "01-leaderworkerset")
    try:
        found.request("PATCH", LEADER_WORKER_SET, "llama", {"spec": {"replicas": 4}}, "scale")
        found.until_admitted(3, 4)
        found.until_younger()
        container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}}
        spec = {"restartPolicy": "Never", "containers": [container]}
        template = {"metadata": {"labels": {"app": "d"}}, "spec": spec}
        job = {"metadata": {"name": "j", "labels": QUEUE}, "spec": {"parallelism": 1, "template": template}}
        found.request("POST", JOB, body={"apiVersion": "batch/v1", "kind": "Job", **job})
        template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container]}}
        deployment = {"selector": {"matchLabels": {"app": "d"}}, "replicas": 2, "template": template}
        meta = {"name": "d", "labels": QUEUE}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": deployment}
        found.request("POST", DEPLOYMENT, body=body)
        found.until_admitted(3, 7)
        yield found
    finally:
        found.end()


def test_the_group_that_waits_is_told_what_would_admit_it(cluster: CommandLine) -> None:
    """Three groups are admitted; the fourth is told who holds the quota, and that 500m more would do."""
    pages = cluster.run("explain", "lws", "llama").stdout.split("\n\n")
    assert sum(": Admitted (" in page for page in pages) == 3
    (waiting,) = (page for page in pages if ": Admitted (" not in page)
    assert "number 1 of 4 in its queue" in waiting
    assert "held: cpu 500m by default/leaderworkerset-llama-" in waiting
    assert "500m more cpu in flavor on-demand as nominal quota of ClusterQueue serving" in waiting


def test_the_same_as_json(cluster: CommandLine) -> None:
    """The shape is told in `core/explain/facts.py`."""
    told = cluster.json("explain", "job", "j")
    assert (told["version"], told["queue"]) == ("v1", None)
    (workload,) = told["workloads"]
    assert workload["workload"].startswith("default/job-j-")
    assert (workload["waiting"], workload["reason"]) == (4, "WaitingForQuota")
    assert workload["lastTried"]["reason"] == "WaitingForQuota"
    quota, stop = workload["remedies"]
    assert (quota["kind"], stop["kind"]) == ("AddQuota", "StopWorkloads")
    # Which of those that were made in one second is first, their UIDs decide; everybody ahead gets its share.
    assert quota["goesFirst"] == workload["ahead"]
    share = 1000 + sum(500 if "leaderworkerset" in name else 1000 for name in workload["ahead"])
    (more,) = quota["quotas"]
    assert (more["flavor"], parse_quantity(more["add"]).milli) == ("on-demand", share)


def test_each_pod_of_a_deployment(cluster: CommandLine) -> None:
    """Its pods are Workloads of their own; each is found by its own name too."""
    told = cluster.json("explain", "deploy", "d")["workloads"]
    assert len(told) == 2
    name = told[0]["workload"].removeprefix("default/")
    assert cluster.json("explain", "wl", f"default/{name}")["workloads"][0]["workload"] == told[0]["workload"]


def test_a_queue(cluster: CommandLine) -> None:
    """Who waits, in order, and why the first does."""
    told = cluster.json("explain", "localqueue", "team-queue")["queue"]
    assert [line["position"] for line in told["waiting"]] == [1, 2, 3, 4]
    assert told["head"]["workload"] == told["waiting"][0]["workload"]
    page = cluster.run("explain", "cq", "serving", "--limit", "1").stdout
    assert "ClusterQueue serving: active" in page
    assert "... and 3 more (--limit)" in page


def test_the_visibility_api_tells_the_same_order(cluster: CommandLine) -> None:
    """Of both queues, over the wire, in both versions; places are counted from 0 there."""
    told = cluster.json("explain", "localqueue", "team-queue")["queue"]["waiting"]
    want = [(line["workload"], line["position"] - 1) for line in told]
    assert len(want) == 4
    for version in ("v1beta1", "v1beta2"):
        of_cluster_queue = Kind(VISIBILITY_GROUP, version, "ClusterQueue", "clusterqueues", namespaced=False)
        of_local_queue = Kind(VISIBILITY_GROUP, version, "LocalQueue", "localqueues")
        for kind, name in ((of_cluster_queue, "serving"), (of_local_queue, "team-queue")):
            items = cluster.request("GET", kind, name, subresource="pendingworkloads")["items"]
            assert [(f"default/{i['metadata']['name']}", i["positionInClusterQueue"]) for i in items] == want
            assert [i["positionInLocalQueue"] for i in items] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("job", "none"), 1, 'pykueue: jobs.batch "none" not found'),
        (("workload", "x/none"), 1, "pykueue: Workload x/none was not found"),
        (("cq", "none"), 1, "pykueue: ClusterQueue none was not found"),
        (("lq", "none"), 1, "pykueue: LocalQueue default/none was not found"),
        (("podgroup", "none"), 1, "pykueue: pod group default/none was not found"),
        (("frob", "x"), 2, "'frob' is none of workload, "),
    ],
)
def test_what_is_not_there(cluster: CommandLine, args: tuple[str, ...], code: int, text: str) -> None:
    """Exit 1 for an object, 2 for a kind."""
    done = cluster.run("explain", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_nothing_is_written(cluster: CommandLine) -> None:
    """Every request is a GET."""

    methods: set[str] = set()

    class Watched:
        """A transport that notes methods."""

        def __init__(self, inner: Transport) -> None:
            self._inner = inner

        async def request(self, request: ApiRequest) -> Any:
            methods.add(request.method)
            return await self._inner.request(request)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    async def ask() -> None:
        transport = connect(cluster.kubeconfig)
        try:
            for kind, name in (("lws", "llama"), ("deploy", "d"), ("cq", "serving")):
                await explained(Watched(transport), ExplainOptions(kind, name))  # type: ignore[arg-type]
        finally:
            await transport.close()

    asyncio.run(ask())
    assert methods == {"GET"}


def test_pods_that_are_never_made(cluster: CommandLine) -> None:
    """A group is admitted, but its workers ask for a device without a limit: the Event of the set says so, and is told."""
    cluster.request("POST", RESOURCE_FLAVOR, body=kueue(RESOURCE_FLAVOR, "gpus"))
    quotas = [{"name": "cpu", "nominalQuota": "2"}, {"name": "example.com/gpu", "nominalQuota": "2"}]
    group = {"coveredResources": ["cpu", "example.com/gpu"], "flavors": [{"name": "gpus", "resources": quotas}]}
    spec = {"namespaceSelector": {}, "resourceGroups": [group]}
    cluster.request("POST", CLUSTER_QUEUE, body=kueue(CLUSTER_QUEUE, "gpus", spec))
    cluster.request("POST", LOCAL_QUEUE, body=kueue(LOCAL_QUEUE, "gpus", {"clusterQueue": "gpus"}))
    leader, worker = (
        {"spec": {"containers": [{"name": "c", "image": "x", "resources": {"requests": requests}}]}}
        for requests in ({"cpu": "1"}, {"cpu": "1", "example.com/gpu": "1"})
    )
    size = {"size": 2, "leaderTemplate": leader, "workerTemplate": worker}
    odd = kueue(LEADER_WORKER_SET, "odd", {"replicas": 1, "leaderWorkerTemplate": size})
    odd["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpus"}
    cluster.request("POST", LEADER_WORKER_SET, body=odd)
    cluster.until_told(LEADER_WORKER_SET, "odd", "FailedCreate")
    page = cluster.run("explain", "lws", "odd").stdout
    assert "why         Admitted: The workload is admitted\n" in page
    assert (
        "pods        Not all pods are ready or succeeded; LeaderWorkerSet default/odd was told FailedCreate: " in page
    )


def kueue(kind: Kind, name: str, spec: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": spec or {}}
