"""The topology ungater: from an admitted Workload and its waiting pods to patches (scheduling-cases.md §14)."""

from __future__ import annotations

from typing import Any

from pykueue.api.commands import Patch, Together
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import ObjectKey
from pykueue.controllers.tas import TopologyUngater
from pykueue.ports.reader import Indexer
from pykueue.ports.reconcile import Result

HOST, GATE = "kubernetes.io/hostname", "kueue.x-k8s.io/topology"
INDEX = "batch.kubernetes.io/job-completion-index"


def workload(*hosts: str, conditions: tuple[str, ...] = ("QuotaReserved", "Admitted"), **status: Any) -> dict[str, Any]:
    slices = [
        {"domainCount": 1, "valuesPerLevel": [{"universal": host}], "podCounts": {"universal": 1}} for host in hosts
    ]
    given: dict[str, Any] = {"name": "main", "flavors": {"cpu": "f"}, "count": len(hosts)}
    if hosts:
        given["topologyAssignment"] = {"levels": [HOST], "slices": slices}
    stamp = "2026-01-01T00:00:00Z"
    return {
        "metadata": {"name": "wl", "namespace": "ns", "uid": "wl"},
        "spec": {
            "podSets": [{"name": "main", "count": len(hosts), "topologyRequest": {"podIndexLabel": INDEX}}],
            "queueName": "q",
        },
        "status": {
            "admission": {"clusterQueue": "cq", "podSetAssignments": [given]},
            "conditions": [{"type": t, "status": "True", "reason": t, "lastTransitionTime": stamp} for t in conditions],
            **status,
        },
    }


def pod(name: str, index: int | None = None, **changes: Any) -> dict[str, Any]:
    labels = {"kueue.x-k8s.io/podset": "main"} | ({INDEX: str(index)} if index is not None else {})
    meta = {"name": name, "namespace": "ns", "uid": name, "labels": labels}
    meta["annotations"] = {"kueue.x-k8s.io/workload": "wl"}
    gates = [{"name": gate} for gate in changes.pop("gates", [GATE])]
    return {
        "metadata": meta | changes.pop("metadata", {}),
        "spec": {"schedulingGates": gates, **changes.pop("spec", {})},
        "status": {"phase": changes.pop("phase", "Pending")},
    }


def reconcile(owner: dict[str, Any], *pods: dict[str, Any]) -> Result:
    cache, ungater = Indexer(), TopologyUngater()
    for index in ungater.indexes():
        cache.add_index(index.kind, index.name, index.fn)
    cache.apply(WORKLOAD, owner)
    for each in pods:
        cache.apply(POD, each)
    return ungater.reconcile(cache, ObjectKey("ns", "wl"), Instant(0))


def sent(result: Result) -> dict[str, str]:
    """Pod to host."""
    commands = [
        c for command in result.commands for c in (command.commands if isinstance(command, Together) else [command])
    ]
    patches = [c for c in commands if isinstance(c, Patch)]
    return {p.key.name: p.body["spec"]["nodeSelector"][HOST] for p in patches}


def test_a_pod_goes_to_its_host() -> None:
    """TU-01: the gate off, the host in, and nothing else."""
    (patch,) = reconcile(workload("x1"), pod("a")).commands
    assert patch.body == {  # type: ignore[union-attr]
        "spec": {"schedulingGates": None, "nodeSelector": {HOST: "x1"}}, "metadata": {"uid": "a"},
    }  # fmt: skip


def test_other_gates_stay() -> None:
    """TU-04: another gate is somebody else's business."""
    (patch,) = reconcile(workload("x1"), pod("a", gates=["other", GATE])).commands
    assert patch.body["spec"]["schedulingGates"] == [{"name": "other"}]  # type: ignore[union-attr]


def test_pods_stay_gated_without_a_place() -> None:
    """TU-03: no assignment, not admitted, evicted, a pod that is not marked."""
    for owner in (workload(), workload("x1", conditions=("QuotaReserved",)),
                  workload("x1", conditions=("QuotaReserved", "Admitted", "Evicted"))):  # fmt: skip
        assert reconcile(owner, pod("a")).commands == ()
    unmarked = pod("a", metadata={"labels": {}})
    assert reconcile(workload("x1"), unmarked).commands == ()
    assert reconcile(workload("x1"), pod("a", metadata={"annotations": {}})).commands == ()


def test_a_place_is_free_again_when_its_pod_is_over() -> None:
    """TU-05: running keeps it, failed or succeeded gives it back."""
    for phase, want in (("Running", {}), ("Failed", {"b": "x1"}), ("Succeeded", {"b": "x1"})):
        first = pod("a", gates=[], phase=phase, spec={"nodeSelector": {HOST: "x1"}})
        assert sent(reconcile(workload("x1"), first, pod("b"))) == want


def test_pods_go_by_their_index() -> None:
    """TU-07: index i to the i-th place."""
    pods = [pod("a", 2), pod("b", 0), pod("c", 1)]
    assert sent(reconcile(workload("x1", "x2", "x3"), *pods)) == {"a": "x3", "b": "x1", "c": "x2"}


def test_a_malformed_offset_is_an_error() -> None:
    """TU-10: nothing is let go, and the error names the pod and its annotation."""
    bad = pod(
        "a", 1, metadata={"annotations": {"kueue.x-k8s.io/workload": "wl", "kueue.x-k8s.io/pod-index-offset": "x"}}
    )
    result = reconcile(workload("x1"), bad)
    assert result.commands == ()
    assert (
        result.error
        == 'pod ns/a: metadata.annotations[kueue.x-k8s.io/pod-index-offset] is "x", but must be a number of at least 0'
    )


def test_no_pod_is_sent_to_an_unhealthy_node() -> None:
    """TU-06."""
    owner = workload("x1", "x2", unhealthyNodes=[{"name": "x2"}])
    assert sent(reconcile(owner, pod("a"), pod("b"))) == {"a": "x1"}


def test_a_slice_places_the_pods_of_its_chain() -> None:
    """Pods that an older slice started keep their hosts; those that the grant lets go get the new ones (jobs.md §15)."""
    chain = {"kueue.x-k8s.io/workload-slice-name": "first"}
    owner = workload("x1", "x2")
    owner["metadata"]["annotations"] = chain
    del owner["spec"]["podSets"][0]["topologyRequest"]
    started = {"annotations": {"kueue.x-k8s.io/workload": "first", **chain}}
    old = pod("a", gates=[], spec={"nodeSelector": {HOST: "x1"}}, metadata=started)
    granted, beyond = pod("c", metadata=started), pod("b", gates=[GATE, "kueue.x-k8s.io/elastic-job"], metadata=started)
    assert sent(reconcile(owner, old, granted, beyond)) == {"c": "x2"}


def test_a_pod_wakes_the_slices_of_its_chain() -> None:
    """It names the slice that started it, which may be over."""
    chain = {"kueue.x-k8s.io/workload-slice-name": "first"}
    cache, ungater = Indexer(), TopologyUngater()
    for index in ungater.indexes():
        cache.add_index(index.kind, index.name, index.fn)
    owner = workload("x1")
    owner["metadata"]["annotations"] = chain
    cache.apply(WORKLOAD, owner)
    event = ObjectEvent(
        POD, Change.ADDED, pod("a", metadata={"annotations": {"kueue.x-k8s.io/workload": "first", **chain}})
    )
    found = [key.name for watch in ungater.watches() if watch.kind is POD for key in watch.keys(event, cache)]
    assert found == ["first", "wl"]
