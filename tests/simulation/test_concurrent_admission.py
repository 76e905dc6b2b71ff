"""Concurrent admission on the whole embedded cluster: a Job runs, moves to a better flavor, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any

from pykueue.api.kinds import CLUSTER_QUEUE, JOB, LOCAL_QUEUE, NAMESPACE, NODE, POD, RESOURCE_FLAVOR, WORKLOAD
from pykueue.api.objects import name
from support.simulated import SimulatedCluster


def test_a_job_moves_to_a_better_flavor() -> None:
    """Its variants wait in every flavor; the better one takes over once it has room; with the Job all of them go."""
    asyncio.run(_play())


async def _play() -> None:
    async with SimulatedCluster.start(1, feature_gates="ConcurrentAdmission=true", is_faulty=False) as cluster:
        await _set_up(cluster)
        await cluster.create(JOB, _job("first"))
        await cluster.advance(5)
        assert _pools(cluster) == {"first": "better"}
        await cluster.create(JOB, _job("second"))
        await cluster.advance(5)
        assert _pools(cluster) == {"first": "better", "second": "good"}
        await cluster.delete(JOB, "first")
        await cluster.advance(60)
        assert _pools(cluster) == {"second": "better"}
        assert list(cluster.restless()) == []
        (queue,) = cluster.list(CLUSTER_QUEUE)
        assert (queue["status"]["reservingWorkloads"], queue["status"]["pendingWorkloads"]) == (1, 0)
        await cluster.delete(JOB, "second")
        await cluster.advance(30)
        assert (cluster.list(WORKLOAD), cluster.list(POD)) == ([], [])
        assert cluster.refused == []


def _pools(cluster: SimulatedCluster) -> dict[str, str]:
    """Of each Job the pool that its running pod is sent to."""
    return {
        pod["metadata"]["labels"]["job-name"]: pod["spec"]["nodeSelector"]["pool"]
        for pod in cluster.list(POD)
        if pod["status"].get("phase") == "Running"
    }


async def _set_up(cluster: SimulatedCluster) -> None:
    if "default" not in map(name, cluster.list(NAMESPACE)):
        await cluster.create(NAMESPACE, {"metadata": {"name": "default"}})
    flavors = []
    for flavor in ("better", "good"):
        await cluster.create(RESOURCE_FLAVOR, {"metadata": {"name": flavor}, "spec": {"nodeLabels": {"pool": flavor}}})
        flavors.append({"name": flavor, "resources": [{"name": "cpu", "nominalQuota": "1"}]})
    for node in cluster.list(NODE):
        pool = "better" if node["metadata"]["name"].endswith("1") else "good"
        await cluster.patch(NODE, node["metadata"]["name"], {"metadata": {"labels": {"pool": pool}}})
    spec = {
        "resourceGroups": [{"coveredResources": ["cpu"], "flavors": flavors}],
        "namespaceSelector": {},
        "concurrentAdmissionPolicy": {"migration": {"mode": "TryPreferredFlavors"}},
    }
    await cluster.create(CLUSTER_QUEUE, {"metadata": {"name": "cq"}, "spec": spec})
    await cluster.create(LOCAL_QUEUE, {"metadata": {"name": "lq"}, "spec": {"clusterQueue": "cq"}})


def _job(job: str) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    return {
        "metadata": {"name": job, "labels": {"kueue.x-k8s.io/queue-name": "lq"}},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
