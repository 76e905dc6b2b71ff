"""StatefulSets: one Workload for all pods, on hold while there are none (jobs.md §19)."""

from __future__ import annotations

from typing import Any

from pykueue.api.kinds import POD, STATEFUL_SET, WORKLOAD
from support.jobs import UID, JobWorld, make_pod, make_template

K = "kueue.x-k8s.io/"
WL = "statefulset-sts-fd84b"


def make_sts(replicas: int = 2, **parts: Any) -> dict[str, Any]:
    meta = {"name": "sts", "namespace": "ns", "uid": UID, "labels": {K + "queue-name": "lq"}}
    return {
        "metadata": meta,
        "spec": {"replicas": replicas, "template": make_template("1", labels={"app": "x"})},
        **parts,
    }


def make_world(replicas: int = 2, **parts: Any) -> JobWorld:
    world = JobWorld()
    world.admit_object(STATEFUL_SET, make_sts(replicas, **parts))
    world.settle()
    return world


def add_pod(world: JobWorld, index: int) -> str:
    name = f"sts-{index}"
    template = world.get(STATEFUL_SET, "sts")["spec"]["template"]["metadata"]
    pod = make_pod(
        name,
        labels={**template["labels"], "apps.kubernetes.io/pod-index": str(index)},
        annotations=template["annotations"],
    )
    pod["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "sts", "uid": UID, "controller": True}
    ]
    world.admit_object(POD, pod)
    return name


def test_one_workload_for_all_pods() -> None:
    """The template's metadata is not copied; the pods form a serving group that is admitted at once."""
    world = make_world()
    pod_set = world.get(WORKLOAD, WL)["spec"]["podSets"][0]
    assert (pod_set["name"], pod_set["count"], list(pod_set["template"])) == ("main", 2, ["spec"])
    assert pod_set["topologyRequest"] == {"podIndexLabel": "apps.kubernetes.io/pod-index"}
    name = add_pod(world, 0)
    world.settle()
    annotations = world.get(POD, name)["metadata"]["annotations"]
    want = {
        "pod-group-fast-admission": "true",
        "pod-group-name": WL,
        "pod-group-pod-index-label": "apps.kubernetes.io/pod-index",
        "pod-group-serving": "true",
        "pod-group-total-count": "2",
        "pod-suspending-parent": "statefulset",
        "prebuilt-workload-name": WL,
        "role-hash": "main",
    }
    assert annotations == {K + key: value for key, value in want.items()}
    world.admit(WL)
    world.settle()
    assert world.gates(name) == []
    world.assert_settled()


def test_to_nothing_and_back() -> None:
    """Without replicas the quota goes and the Workload stays on hold; then it queues again."""
    world = make_world()
    world.admit(WL)
    uid = world.workload(WL).uid
    world.change(STATEFUL_SET, "sts", spec={**world.get(STATEFUL_SET, "sts")["spec"], "replicas": 0})
    world.settle()
    assert world.condition(WL, "QuotaReserved") == ("False", "OnHold", "StatefulSet scaled to zero; workload on hold")
    assert world.condition(WL, "Admitted") == ("False", "NoReservation", "The workload has no reservation")
    world.change(STATEFUL_SET, "sts", spec={**world.get(STATEFUL_SET, "sts")["spec"], "replicas": 2})
    world.settle()
    want = ("False", "PendingEvaluation", "Workload no longer on hold; waiting for quota reservation")
    assert world.condition(WL, "QuotaReserved") == want
    assert world.workload(WL).uid == uid


def test_to_nothing_and_back_with_another_size() -> None:
    """The Workload asks for the new size before it queues again; in Kueue such a set is stuck."""
    world = make_world()
    world.admit(WL)
    uid = world.workload(WL).uid
    for replicas in (0, 3):
        world.change(STATEFUL_SET, "sts", spec={**world.get(STATEFUL_SET, "sts")["spec"], "replicas": replicas})
        world.settle()
    assert [pod_set.count for pod_set in world.workload(WL).spec.pod_sets] == [3]
    assert world.condition(WL, "QuotaReserved")[1] == "PendingEvaluation"
    assert world.workload(WL).uid == uid


def test_created_without_replicas() -> None:
    """There is no Workload until there are pods to come."""
    world = make_world(0)
    assert world.names(WORKLOAD) == []
    world.change(STATEFUL_SET, "sts", spec={**world.get(STATEFUL_SET, "sts")["spec"], "replicas": 1})
    world.settle()
    assert world.names(WORKLOAD) == [WL]


def test_name_of_a_former_version() -> None:
    """A Workload whose name has no UID in it is taken over."""
    world = JobWorld()
    from pykueue.integrations.statefulset import StatefulSet

    legacy = StatefulSet().legacy_workload_name(make_sts())
    world.put(WORKLOAD, {"metadata": {"name": legacy}, "spec": {"podSets": [], "queueName": "lq"}})
    world.admit_object(STATEFUL_SET, make_sts())
    world.settle()
    assert world.names(WORKLOAD) == [legacy]
    assert world.workload(legacy).metadata.owner_references[0].uid == UID


def test_sets_of_another_framework() -> None:
    """The StatefulSets of a LeaderWorkerSet are none of ours."""
    marks = {K + "pod-suspending-parent": "leaderworkerset.x-k8s.io/leaderworkerset"}
    sts = make_sts()
    sts["spec"]["template"]["metadata"]["annotations"] = marks
    world = JobWorld()
    world.admit_object(STATEFUL_SET, sts)
    world.settle()
    assert world.names(WORKLOAD) == []
