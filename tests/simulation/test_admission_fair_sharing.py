"""Admission fair sharing as users see it: through the manager, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pykueue.api.kinds import CLUSTER_QUEUE, LOCAL_QUEUE, NAMESPACE, RESOURCE_FLAVOR, WORKLOAD
from pykueue.api.objects import Obj, name
from support.simulated import SimulatedCluster

CONFIGURATION = """
apiVersion: config.kueue.x-k8s.io/v1beta2
kind: Configuration
admissionFairSharing: {usageHalfLifeTime: 60s, usageSamplingInterval: 10s}
"""


def test_usage_is_kept_in_the_status_and_decides_who_is_next() -> None:
    """The LocalQueue that ran lets the other go first; its history fades, and idle LocalQueues are not written."""
    asyncio.run(_play())


async def _play() -> None:
    async with SimulatedCluster.start(1, configuration=CONFIGURATION, is_faulty=False) as cluster:
        await _set_up(cluster)
        assert _consumed(cluster, "a") == _consumed(cluster, "b") == 0
        await cluster.create(WORKLOAD, _workload("a1", "a"))
        await cluster.advance(60)
        used = _consumed(cluster, "a")
        before_it, penalty, since = 4 * _learnt(5), 4 * _learnt(10), 4 * _learnt(60)
        assert used == pytest.approx((before_it + penalty) / 2 + since, rel=0.02)
        for workload, queue in (("a2", "a"), ("b1", "b")):
            await cluster.create(WORKLOAD, _workload(workload, queue))
            await cluster.advance(1)
        assert _admitted(cluster) == ["a1"]
        await cluster.delete(WORKLOAD, "a1")
        await cluster.advance(5)
        assert _admitted(cluster) == ["b1"], "the younger one, of the LocalQueue that used nothing"
        for workload in ("a2", "b1"):
            await cluster.delete(WORKLOAD, workload)
        await cluster.advance(60)
        assert _consumed(cluster, "a") < used / 1.8
        await cluster.advance(4000)
        assert _consumed(cluster, "a") == _consumed(cluster, "b") == 0
        revision = cluster.server.store.revision
        await cluster.advance(60)
        assert [write for write in cluster.writes_after(revision) if "LocalQueue" in write] == []


async def _set_up(cluster: SimulatedCluster) -> None:
    if "default" not in map(name, cluster.list(NAMESPACE)):
        await cluster.create(NAMESPACE, {"metadata": {"name": "default"}})
    await cluster.create(RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": {}})
    quota = {"name": "f", "resources": [{"name": "cpu", "nominalQuota": "4"}]}
    spec = {
        "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [quota]}],
        "namespaceSelector": {},
        "admissionScope": {"admissionMode": "UsageBasedAdmissionFairSharing"},
    }
    await cluster.create(CLUSTER_QUEUE, {"metadata": {"name": "cq"}, "spec": spec})
    for queue in ("a", "b"):
        await cluster.create(LOCAL_QUEUE, {"metadata": {"name": queue}, "spec": {"clusterQueue": "cq"}})
    await cluster.advance(5)


def _learnt(seconds: float) -> float:
    """The part of the past that a half-life of a minute replaces by the present."""
    return 1 - 0.5 ** (seconds / 60)


def _workload(called: str, queue: str) -> Obj:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "4"}}}
    template: dict[str, Any] = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    pod_set = {"name": "main", "count": 1, "template": template}
    return {"metadata": {"name": called}, "spec": {"queueName": queue, "podSets": [pod_set]}}


def _consumed(cluster: SimulatedCluster, queue: str) -> float:
    """Cores in the status of a LocalQueue."""
    found = next(obj for obj in cluster.list(LOCAL_QUEUE) if name(obj) == queue)
    text = found["status"]["fairSharing"]["admissionFairSharingStatus"]["consumedResources"].get("cpu", "0")
    return _cores(str(text))


def _cores(text: str) -> float:
    units = {"n": 1e-9, "u": 1e-6, "m": 1e-3}
    return float(text[:-1]) * units[text[-1]] if text[-1] in units else float(text)


def _admitted(cluster: SimulatedCluster) -> list[str]:
    return sorted(
        name(obj)
        for obj in cluster.list(WORKLOAD)
        for condition in (obj.get("status") or {}).get("conditions", ())
        if (condition["type"], condition["status"]) == ("Admitted", "True")
    )
