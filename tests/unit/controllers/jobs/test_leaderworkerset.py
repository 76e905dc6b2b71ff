"""LeaderWorkerSets from creation to deletion, as far as Workloads and pods go (leaderworkerset.md A7, A9)."""

from __future__ import annotations

from pykueue.api.commands import Patch
from pykueue.api.kinds import LEADER_WORKER_SET, NAMESPACE, POD, STATEFUL_SET, WORKLOAD, WORKLOAD_PRIORITY_CLASS
from pykueue.core.features import Gate
from support.jobs import JobWorld, make_lws, make_settings, make_template
from support.reconciling import flat

WL0, WL1 = "leaderworkerset-lws-0-69d9c", "leaderworkerset-lws-1-afea0"
K = "kueue.x-k8s.io/"


def make_world(*, gates: dict[Gate, bool] | None = None, **lws: object) -> JobWorld:
    world = JobWorld(make_settings(gates))
    world.admit_object(LEADER_WORKER_SET, make_lws(**lws))  # type: ignore[arg-type]
    world.settle()
    return world


def pod_writes(world: JobWorld, name: str) -> int:
    return sum(isinstance(c, Patch) and c.kind == POD and c.key.name == name for c in flat(world.writes))


def test_one_workload_per_group() -> None:
    """Each group is one Workload, with the marks that tell whose it is."""
    world = make_world(replicas=2, leader=make_template("100m"))
    assert world.names(WORKLOAD) == [WL0, WL1]
    raw = world.get(WORKLOAD, WL1)
    assert raw["metadata"]["annotations"] == {
        K + "is-group-workload": "true",
        K + "job-owner-gvk": "leaderworkerset.x-k8s.io/v1, Kind=LeaderWorkerSet",
        K + "job-owner-name": "lws",
        K + "component-workload-index": "1",
    }
    assert raw["metadata"]["finalizers"] == [K + "resource-in-use"]
    assert "controller" not in raw["metadata"]["ownerReferences"][0]
    leader, worker = raw["spec"]["podSets"]
    assert (leader["name"], leader["count"], leader.get("topologyRequest")) == ("leader", 1, None)
    assert (worker["name"], worker["count"]) == ("worker", 2)
    assert worker["topologyRequest"] == {"podIndexLabel": "leaderworkerset.sigs.k8s.io/worker-index"}
    assert f"LeaderWorkerSet/lws Normal CreatedWorkload: Created Workload: ns/{WL0}" in world.events
    world.assert_settled()


def test_pods_are_marked_then_started_together() -> None:
    """Gated pods learn their group; the admission starts all of them, each by one patch, with one event."""
    world = make_world(leader=make_template("100m"))
    names = [world.lws_pod("lws", 0), world.lws_pod("lws", 0, 1), world.lws_pod("lws", 0, 2)]
    assert world.gates(names[0]) == ["admission", "topology"]
    world.settle()
    marks = world.get(POD, names[1])["metadata"]
    assert marks["annotations"][K + "role-hash"] == "worker"
    assert marks["annotations"][K + "pod-group-name"] == marks["annotations"][K + "prebuilt-workload-name"] == WL0
    assert marks["annotations"][K + "pod-group-total-count"] == "3"
    assert (marks["labels"][K + "managed"], marks["labels"][K + "queue-name"]) == ("true", "lq")
    assert len(world.workload(WL0).metadata.owner_references) == 4
    assert world.events.count(f"Workload/{WL0} Normal OwnerReferencesAdded: Added 3 owner reference(s)") == 1
    assert world.condition(WL0, "PodsReady") == ("False", "WaitForStart", "Not all pods are ready or succeeded")
    world.admit(WL0)
    world.settle()
    for name in names:
        pod = world.get(POD, name)
        assert world.gates(name) == []
        assert pod["spec"]["nodeSelector"] == {"pool": "a"}
        assert pod["metadata"]["labels"][K + "cluster-queue-name"] == "cq"
        assert pod["metadata"]["labels"][K + "local-queue-name"] == "lq"
        assert pod["metadata"]["annotations"][K + "workload"] == WL0
        assert pod_writes(world, name) == 2
        assert world.events.count(f"Pod/{name} Normal Started: Admitted by clusterQueue cq") == 1
    assert world.get(POD, names[0])["metadata"]["labels"][K + "podset"] == "leader"
    for name in names:
        world.run_pod(name)
    world.settle()
    assert world.condition(WL0, "PodsReady") == (
        "True",
        "Started",
        "All pods reached readiness and the workload is running",
    )
    world.assert_settled()


def test_pods_of_an_admitted_group_are_started_as_they_are_made() -> None:
    """A pod that comes after the admission is never gated and never patched; that it was started is told once."""
    world = make_world()
    world.admit(WL0)
    name = world.lws_pod("lws", 0)
    world.settle(5)
    assert (world.gates(name), pod_writes(world, name)) == ([], 0)
    pod = world.get(POD, name)
    assert pod["metadata"]["labels"][K + "podset"] == "main"
    assert pod["spec"]["nodeSelector"] == {"pool": "a"}
    assert world.events.count(f"Pod/{name} Normal Started: Admitted by clusterQueue cq") == 1
    world.settle(5)
    assert world.events.count(f"Pod/{name} Normal Started: Admitted by clusterQueue cq") == 1
    world.assert_settled()


def test_pods_of_an_admitted_group_cost_one_write_where_all_are_gated() -> None:
    """With the switch off, such a pod is gated, then marked and started by the same patch."""
    world = make_world(gates={Gate.PYKUEUE_START_ADMITTED_PODS: False})
    world.admit(WL0)
    name = world.lws_pod("lws", 0)
    world.settle(5)
    assert (world.gates(name), pod_writes(world, name)) == ([], 1)
    assert world.get(POD, name)["metadata"]["labels"][K + "podset"] == "main"
    assert world.events.count(f"Pod/{name} Normal Started: Admitted by clusterQueue cq") == 1


def test_a_pod_started_for_a_group_that_is_evicted_meanwhile_is_stopped() -> None:
    """The webhook may see an older Workload than there is: what it let run is stopped like any running pod."""
    world = make_world()
    world.admit(WL0)
    name = world.lws_pod("lws", 0)
    world.evict(WL0, "Preempted", "make room")
    world.settle()
    assert world.get(POD, name) is None
    assert f"Pod/{name} Normal Stopped: make room" in world.events


def test_owner_references_wait_for_the_rest_of_the_group() -> None:
    """The first pod's reference is held back for up to a second and a half, unless the group is complete before."""
    world = make_world()
    world.lws_pod("lws", 0)
    world.settle()
    assert len(world.workload(WL0).metadata.owner_references) == 1
    world.settle(2)
    assert len(world.workload(WL0).metadata.owner_references) == 2


def test_preempted_group_gives_its_quota_back_when_its_pods_are_gone() -> None:
    """Running pods are told and deleted, gated ones left; then the reservation goes and the Workload queues again."""
    world = make_world()
    names = [world.lws_pod("lws", 0), world.lws_pod("lws", 0, 1)]
    world.admit(WL0)
    world.settle()
    world.run_pod(names[0])
    world.settle()
    world.evict(WL0, "Preempted", "make room")
    world.settle()
    pod = world.get(POD, names[0])
    target = next(c for c in pod["status"]["conditions"] if c["type"] == "TerminationTarget")
    assert (target["reason"], target["message"]) == ("WorkloadEvictedDueToPreempted", "make room")
    assert pod["metadata"]["deletionTimestamp"]
    assert f"Pod/{names[0]} Normal Stopped: make room" in world.events
    assert world.workload(WL0).is_true("QuotaReserved")
    world.remove(POD, names[0])
    world.settle()
    assert world.condition(WL0, "QuotaReserved") == ("False", "PendingEvaluation", "make room")
    assert world.condition(WL0, "Requeued") == ("True", "Preempted", "make room")
    assert world.workload(WL0).status.admission is None
    again = world.lws_pod("lws", 0)
    world.settle()
    assert world.gates(again) == ["admission", "topology"]


def test_a_pod_that_never_ends_does_not_hold_quota_for_ever() -> None:
    """A running pod counts until its deletion and grace period have passed."""
    world = make_world()
    name = world.lws_pod("lws", 0)
    world.admit(WL0)
    world.settle()
    world.run_pod(name)
    world.evict(WL0, "Deactivated", "The workload is deactivated")
    world.settle()
    world.settle(29)
    assert world.workload(WL0).is_true("QuotaReserved")
    world.settle(2)
    assert world.condition(WL0, "Requeued") == ("False", "Deactivated", "The workload is deactivated")


def test_scale_down_removes_the_workloads_at_once() -> None:
    """Without waiting for pods; the other group is not touched."""
    world = make_world(replicas=2)
    uid = world.workload(WL0).uid
    world.change(LEADER_WORKER_SET, "lws", spec={**world.get(LEADER_WORKER_SET, "lws")["spec"], "replicas": 1})
    world.settle()
    assert world.names(WORKLOAD) == [WL0]
    assert world.workload(WL0).uid == uid


def test_surge_only_by_number() -> None:
    """While a rollout surges by a number, the extra groups have Workloads; a percentage does not count."""
    for surge, want in ((1, 3), ("50%", 2)):
        world = make_world(replicas=2)
        old = world.get(LEADER_WORKER_SET, "lws")
        spec = {**old["spec"], "rolloutStrategy": {"rollingUpdateConfiguration": {"maxSurge": surge}}}
        world.change(LEADER_WORKER_SET, "lws", spec=spec, status={"replicas": 3, "updatedReplicas": 1})
        world.settle()
        assert len(world.names(WORKLOAD)) == want


def test_queue_gates_and_priority_follow_the_set() -> None:
    """Queue and admission gates go by one write, the priority class by another; each tells what it did."""
    world = make_world()
    world.put(WORKLOAD_PRIORITY_CLASS, {"metadata": {"name": "high"}, "value": 1000})
    world.writes.clear()
    labels = {K + "queue-name": "other", K + "priority-class": "high"}
    world.change(
        LEADER_WORKER_SET, "lws", metadata={"labels": labels, "annotations": {K + "admission-gated-by": "a.io/b"}}
    )
    world.settle()
    workload = world.workload(WL0)
    assert (workload.spec.queue_name, workload.spec.priority) == ("other", 1000)
    assert 'LeaderWorkerSet/lws Normal UpdatedWorkload: Updated workload AdmissionGatedBy to "a.io/b"' in world.events
    assert f"LeaderWorkerSet/lws Normal UpdatedWorkload: Updated workload priority class: ns/{WL0}" in world.events
    assert sum(isinstance(c, Patch) and c.kind == WORKLOAD for c in world.writes) == 2


def test_missing_priority_class() -> None:
    """No Workload is made; each group tells, and it is tried again."""
    world = make_world(replicas=2, labels={K + "priority-class": "high"})
    assert world.names(WORKLOAD) == []
    want = 'LeaderWorkerSet/lws Warning WorkloadPriorityClassNotFound: WorkloadPriorityClass "high" not found'
    assert world.events.count(want) == 2
    assert world.errors == ['WorkloadPriorityClass "high" not found']


def test_orphans_are_let_go_but_not_too_early() -> None:
    """Without its set or StatefulSet a pod is ungated; a young one waits, for the cache may be behind."""
    world = make_world()
    name = world.lws_pod("lws", 0)
    world.settle()
    world.remove(STATEFUL_SET, "lws")
    world.settle()
    assert world.gates(name) == ["admission", "topology"]
    world.settle(6)
    assert world.gates(name) == []
    assert world.get(POD, name)["metadata"]["labels"][K + "managed"] == "true"


def test_a_rollout_is_not_blocked_by_gated_pods_of_the_old_revision() -> None:
    """They are ungated; pods of the new revision wait for admission."""
    world = make_world()
    name = world.lws_pod("lws", 0)
    old = world.get(POD, name)["metadata"]["labels"]
    world.change(POD, name, metadata={"labels": {**old, "controller-revision-hash": "a"}})
    world.change(STATEFUL_SET, "lws", status={"currentRevision": "a", "updateRevision": "a"})
    world.settle()
    assert world.gates(name) == ["admission", "topology"]
    world.change(STATEFUL_SET, "lws", status={"currentRevision": "a", "updateRevision": "b"})
    world.settle()
    assert world.gates(name) == []


def test_deleted_workload_takes_its_pods_along_and_comes_back() -> None:
    """All pods of the group are deleted, the finalizer goes, and the set makes another Workload of the same name."""
    world = make_world()
    name = world.lws_pod("lws", 0)
    world.admit(WL0)
    world.settle()
    world.run_pod(name)
    uid = world.workload(WL0).uid
    world.change(WORKLOAD, WL0, metadata={"deletionTimestamp": "2026-08-01T10:00:00Z"})
    world.settle()
    assert f"Pod/{name} Normal Stopped: Workload is deleted" in world.events
    assert world.workload(WL0).uid != uid


def test_group_that_outgrew_its_workload() -> None:
    """More pods of a role than the Workload has: it is finished as out of sync."""
    world = make_world(size=1)
    for worker in (0, 1):
        world.lws_pod("lws", 0, worker)
    world.settle()
    want = ("True", "OutOfSync", "The prebuilt workload is out of sync with its user job")
    assert world.condition(WL0, "Finished") == want


def test_unmanaged_sets_are_left_alone() -> None:
    """No queue name, no Workload; on a MultiKueue worker none is made either."""
    assert make_world(queue="").names(WORKLOAD) == []
    remote = make_world(
        labels={K + "multikueue-origin": "m"}, metadata={"annotations": {K + "multikueue-origin-uid": "x"}}
    )
    assert remote.names(WORKLOAD) == []


def test_identifiers_as_labels() -> None:
    """With the gate off, group and Workload are named by labels."""
    world = make_world(gates={Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS: False})
    name = world.lws_pod("lws", 0)
    world.settle()
    labels = world.get(POD, name)["metadata"]["labels"]
    assert labels[K + "pod-group-name"] == labels[K + "prebuilt-workload-name"] == WL0


def test_namespace_that_is_seen_late() -> None:
    """Watches of different kinds are not in step: the set is looked at again when its namespace is known."""
    world = JobWorld()
    world.remove(NAMESPACE, "ns")
    world.put(LEADER_WORKER_SET, make_lws())
    world.settle()
    assert world.names(WORKLOAD) == []
    world.put(NAMESPACE, {"metadata": {"name": "ns", "labels": {"kubernetes.io/metadata.name": "ns"}}})
    world.settle()
    assert world.names(WORKLOAD) == [WL0]


def test_the_pods_of_a_set_that_is_gone_are_not_stopped_on_their_way_out() -> None:
    """The garbage collector comes to the StatefulSet later than to the set: meanwhile the pod, let go, is nobody's to hold."""
    world = make_world()
    name = world.lws_pod("lws", 0)
    world.settle(2)
    world.remove(LEADER_WORKER_SET, "lws")
    world.settle(6)
    world.change(POD, name, metadata={"annotations": {**world.get(POD, name)["metadata"]["annotations"], "x": "y"}})
    world.settle(1)
    assert world.gates(name) == []
    assert world.get(STATEFUL_SET, "lws") is not None
    assert not [event for event in world.events if "Stopped" in event]
