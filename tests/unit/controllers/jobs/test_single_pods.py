"""Pods that are Workloads of their own (jobs.md §7, §18.2)."""

from __future__ import annotations

from typing import Any

from pykueue.api.commands import Patch
from pykueue.api.kinds import POD, WORKLOAD
from support.jobs import JobWorld, make_pod, make_settings
from support.reconciling import flat

K = "kueue.x-k8s.io/"
UID = "3b2b5f1e-0000-4000-8000-000000000001"
WL = "pod-pod-cc356"


def make_world(
    *, frameworks: tuple[str, ...] | None = None, annotations: dict[str, str] | None = None, **labels: str
) -> JobWorld:
    world = JobWorld(make_settings(frameworks=frameworks) if frameworks else make_settings())
    pod = make_pod("pod", labels={K + "queue-name": "lq", **labels}, annotations=annotations, uid=UID)
    world.admit_object(POD, pod)
    world.settle()
    return world


def test_life_of_a_pod() -> None:
    """Gated, admitted, started by one patch, ended."""
    world = make_world()
    raw = world.get(WORKLOAD, WL)
    assert raw["metadata"]["labels"] == {K + "job-uid": UID}
    assert raw["metadata"]["ownerReferences"][0]["controller"]
    assert raw["spec"]["podSets"][0]["topologyRequest"] == {"podIndexLabel": K + "pod-group-pod-index"}
    assert "Pod/pod Normal CreatedWorkload: Created Workload: ns/pod-pod-cc356" in world.events
    world.admit(WL)
    world.settle()
    pod = world.get(POD, "pod")
    assert (world.gates("pod"), pod["metadata"]["labels"][K + "podset"]) == ([], "main")
    assert sum(isinstance(c, Patch) and c.kind == POD for c in flat(world.writes)) == 1
    assert "Pod/pod Normal Started: Admitted by clusterQueue cq" in world.events
    world.run_pod("pod")
    world.settle()
    assert world.condition(WL, "PodsReady") == (
        "True",
        "Started",
        "All pods reached readiness and the workload is running",
    )
    world.run_pod("pod", phase="Succeeded", ready=False)
    world.settle()
    assert world.condition(WL, "Finished") == ("True", "Succeeded", "")
    assert "finalizers" not in world.get(WORKLOAD, WL)["metadata"]
    assert "finalizers" not in world.get(POD, "pod")["metadata"]
    assert world.events.count(f"Pod/pod Normal FinishedWorkload: Workload 'ns/{WL}' is declared finished") == 1
    world.assert_settled()


def test_preempted_pod_is_not_queued_again() -> None:
    """It is deleted and the quota is back at once; its Workload ends with it."""
    world = make_world()
    world.admit(WL)
    world.settle()
    world.run_pod("pod")
    world.evict(WL, "Preempted", "make room")
    world.settle()
    assert world.condition(WL, "Requeued") == ("False", "Preempted", "make room")
    assert world.condition(WL, "Finished") == ("True", "OwnerNotFound", "The workload's owner no longer exists")
    assert "Pod/pod Normal Stopped: make room" in world.events
    assert world.names(POD) == []


def test_a_prebuilt_workload_keeps_its_owners() -> None:
    """The pod becomes its controller beside whoever owns it already."""
    world = JobWorld(make_settings())
    template = make_pod("pod")
    pod_set = {"name": "main", "count": 1, "template": {"spec": {"containers": template["spec"]["containers"]}}}
    owner = {"apiVersion": "example.com/v1", "kind": "Run", "name": "r", "uid": "run-uid"}
    meta = {"name": "made", "ownerReferences": [owner]}
    world.put(WORKLOAD, {"metadata": meta, "spec": {"queueName": "lq", "podSets": [pod_set]}})
    labels = {K + "queue-name": "lq", K + "prebuilt-workload-name": "made"}
    world.admit_object(POD, make_pod("pod", labels=labels, uid=UID))
    world.settle()
    owners = world.get(WORKLOAD, "made")["metadata"]["ownerReferences"]
    assert [(ref["uid"], ref.get("controller", False)) for ref in owners] == [("run-uid", False), (UID, True)]


def test_a_class_that_is_missing_keeps_nothing_else_back() -> None:
    """The pod's gates and queue reach its Workload; the priority stays, and why is told."""
    world = make_world()
    labels = {**world.get(POD, "pod")["metadata"]["labels"], K + "queue-name": "other", K + "priority-class": "none"}
    world.change(POD, "pod", metadata={"labels": labels})
    world.settle()
    assert world.workload(WL).spec.queue_name == "other"
    text = 'Pod/pod Warning WorkloadPriorityClassNotFound: WorkloadPriorityClass "none" not found'
    assert text in world.events


def test_deleted_while_gated() -> None:
    """The pod is let go and its Workload ends."""
    world = make_world()
    world.change(POD, "pod", metadata={"deletionTimestamp": "2026-08-01T10:00:00Z"})
    world.settle()
    assert world.names(POD) == []
    finished = world.condition(WL, "Finished")
    assert finished is not None
    assert finished[1] == "OwnerNotFound"


def test_running_without_admission() -> None:
    """A pod whose gate was taken off by others is stopped."""
    world = make_world()
    pod: Any = world.get(POD, "pod")
    world.put(POD, {**pod, "spec": {**pod["spec"], "schedulingGates": []}})
    world.settle()
    assert "Pod/pod Normal Stopped: Not admitted by cluster queue" in world.events


def test_pods_that_came_along_with_another_framework() -> None:
    """Where `pod` itself is not listed, a plain pod is none of ours."""
    world = make_world(frameworks=("leaderworkerset.x-k8s.io/leaderworkerset",))
    assert "schedulingGates" not in world.get(POD, "pod")["spec"]
    assert world.names(WORKLOAD) == []


def test_deployment_pods() -> None:
    """They are units of their own, and have no finalizer."""
    marks = {K + "pod-suspending-parent": "deployment"}
    world = make_world(annotations=marks, **{K + "managed": "true"})
    assert world.names(WORKLOAD) == [WL]
    assert "finalizers" not in world.get(POD, "pod")["metadata"]
