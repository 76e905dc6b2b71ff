"""Topologies as users see them, in virtual time: places that wait for a check, and nodes that fail under a Job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pykueue.api.conversion.topology import decode_domains
from pykueue.api.kinds import (
    ADMISSION_CHECK,
    CLUSTER_QUEUE,
    JOB,
    LOCAL_QUEUE,
    NAMESPACE,
    NODE,
    POD,
    RESOURCE_FLAVOR,
    TOPOLOGY,
    WORKLOAD,
)
from pykueue.api.objects import Obj, get_path, is_condition_true, is_deleting, name
from support.simulated import SimulatedCluster

RACK, HOST = "cloud.provider.com/topology-rack", "kubernetes.io/hostname"


async def _set_up(cluster: SimulatedCluster, *, is_checked: bool = False) -> None:
    """A queue of the default nodes, and a Job of two pods that fill half a rack."""
    if "default" not in map(name, cluster.list(NAMESPACE)):
        await cluster.create(NAMESPACE, {"metadata": {"name": "default"}})
    levels = [{"nodeLabel": RACK}, {"nodeLabel": HOST}]
    await cluster.create(TOPOLOGY, {"metadata": {"name": "t"}, "spec": {"levels": levels}})
    flavor = {"nodeLabels": {"cloud.provider.com/node-group": "tas-group"}, "topologyName": "t"}
    await cluster.create(RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": flavor})
    quota = {"name": "f", "resources": [{"name": "cpu", "nominalQuota": "200"}]}
    spec: dict[str, Any] = {
        "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [quota]}],
        "namespaceSelector": {},
    }
    if is_checked:
        controller = {"controllerName": "kueue.x-k8s.io/provisioning-request"}
        await cluster.create(ADMISSION_CHECK, {"metadata": {"name": "prov"}, "spec": controller})
        active = {"type": "Active", "status": "True", "reason": "A", "message": "", "lastTransitionTime": _NEW_YEAR}
        await cluster.patch(ADMISSION_CHECK, "prov", {"status": {"conditions": [active]}}, "status")
        spec["admissionChecksStrategy"] = {"admissionChecks": [{"name": "prov"}]}
    await cluster.create(CLUSTER_QUEUE, {"metadata": {"name": "cq"}, "spec": spec})
    await cluster.create(LOCAL_QUEUE, {"metadata": {"name": "lq"}, "spec": {"clusterQueue": "cq"}})
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "16"}}}
    template = {
        "metadata": {"annotations": {"kueue.x-k8s.io/podset-required-topology": RACK}},
        "spec": {"containers": [container], "restartPolicy": "Never"},
    }
    job = {
        "metadata": {"name": "job", "labels": {"kueue.x-k8s.io/queue-name": "lq"}},
        "spec": {"parallelism": 2, "completions": 2, "backoffLimit": 50, "template": template},
    }
    await cluster.create(JOB, job)
    await cluster.advance(5)


_NEW_YEAR = "2026-01-01T00:00:00Z"


def _workload(cluster: SimulatedCluster) -> Obj:
    [found] = cluster.list(WORKLOAD)
    return found


def _places(cluster: SimulatedCluster) -> dict[str, int]:
    """Host to pods, of the Job's Workload."""
    for given in get_path(_workload(cluster), "status", "admission", "podSetAssignments") or ():
        return {d.values[-1]: d.n_pods for d in decode_domains(given.get("topologyAssignment") or {})}
    return {}


def _runs_on(cluster: SimulatedCluster) -> list[str]:
    """The node of each pod that runs and stays."""
    running = [p for p in cluster.list(POD) if get_path(p, "status", "phase") == "Running" and not is_deleting(p)]
    return sorted(str(get_path(pod, "spec", "nodeName")) for pod in running)


def test_places_wait_for_a_check() -> None:
    """Quota at once, places and pods a second after somebody says that the nodes are there."""

    async def play() -> None:
        async with SimulatedCluster.start(1, is_faulty=False) as cluster:
            await _set_up(cluster, is_checked=True)
            workload = _workload(cluster)
            [given] = workload["status"]["admission"]["podSetAssignments"]
            assert given["delayedTopologyRequest"] == "Pending"
            assert not is_condition_true(workload, "Admitted")
            update = {"name": "main", "nodeSelector": {RACK: "b2-r1"}}
            check = {"name": "prov", "state": "Ready", "message": "", "lastTransitionTime": _NEW_YEAR}
            ready = {"admissionChecks": [check | {"podSetUpdates": [update]}]}
            await cluster.patch(WORKLOAD, name(workload), {"status": ready}, "status")
            await cluster.advance(0.5)
            [admitted] = [c for c in _workload(cluster)["status"]["conditions"] if c["type"] == "Admitted"]
            assert admitted["reason"] == "PendingDelayedTopologyRequests"
            await cluster.advance(3)
            assert is_condition_true(_workload(cluster), "Admitted")
            assert _places(cluster) == {"b2-r1-n1": 2}
            assert _runs_on(cluster) == ["b2-r1-n1", "b2-r1-n1"]

    asyncio.run(play())


def test_a_deleted_node_is_replaced_in_its_rack() -> None:
    """The places move at once; the pods follow when those of the lost node are collected."""

    async def play() -> None:
        async with SimulatedCluster.start(1, is_faulty=False) as cluster:
            await _set_up(cluster)
            assert _runs_on(cluster) == ["b1-r1-n1", "b1-r1-n1"]
            await cluster.delete(NODE, "b1-r1-n1")
            await cluster.advance(3)
            assert _places(cluster) == {"b1-r1-n2": 2}
            assert "unhealthyNodes" not in _workload(cluster)["status"]
            await cluster.advance(60)
            assert _runs_on(cluster) == ["b1-r1-n2", "b1-r1-n2"]
            assert is_condition_true(_workload(cluster), "Admitted")

    asyncio.run(play())


def test_an_unreachable_node_is_replaced_when_its_pods_leave() -> None:
    """Five minutes later, as pods bear it for so long; until then nothing moves."""

    async def play() -> None:
        async with SimulatedCluster.start(1, is_faulty=False) as cluster:
            await _set_up(cluster)
            conditions = [
                c | ({"status": "Unknown"} if c["type"] == "Ready" else {})
                for node in cluster.list(NODE)
                if name(node) == "b1-r1-n1"
                for c in node["status"]["conditions"]
            ]
            await cluster.patch(NODE, "b1-r1-n1", {"status": {"conditions": conditions}}, "status")
            await cluster.advance(290)
            assert _places(cluster) == {"b1-r1-n1": 2}
            await cluster.advance(30)
            assert _places(cluster) == {"b1-r1-n2": 2}
            assert _runs_on(cluster) == ["b1-r1-n2", "b1-r1-n2"]

    asyncio.run(play())


@pytest.mark.parametrize("seed", [1, 2])
def test_nodes_fail_under_a_manager_that_crashes(seed: int) -> None:
    """Whatever it forgot: in the end the pods run where the Workload says, on nodes that there are."""

    async def play() -> None:
        async with SimulatedCluster.start(seed, writes_per_life=12) as cluster:
            await _set_up(cluster)
            await cluster.advance(120)
            for _ in range(3):
                lost = next(iter(_places(cluster)), "")
                assert lost, "the Workload has no places"
                await cluster.delete(NODE, lost)
                await cluster.advance(240)
            there = set(map(name, cluster.list(NODE)))
            assert len(there) == 5
            places = _places(cluster)
            assert places.keys() <= there
            assert _runs_on(cluster) == sorted(host for host, n in places.items() for _ in range(n))

    asyncio.run(play())
