"""Plain pod groups: composed, admitted, healed, reclaimed and ended (jobs.md §18.3, §30)."""

from __future__ import annotations

import pytest

from pykueue.api.kinds import POD, WORKLOAD
from pykueue.core.features import Gate
from support.jobs import JobWorld, group_pod, make_settings

K = "kueue.x-k8s.io/"
ROLE = "dc85db45"
BIG_ROLE = "c3465716"


def make_world(*pods: dict[str, object], **settings: object) -> JobWorld:
    world = JobWorld(make_settings(**settings))  # type: ignore[arg-type]
    for pod in pods:
        world.admit_object(POD, pod)
    world.settle()
    return world


def running(*pods: dict[str, object]) -> JobWorld:
    """A group that is admitted, and all of whose pods run."""
    world = make_world(*pods)
    world.admit("g")
    world.settle()
    for name in world.names(POD):
        world.run_pod(name)
    world.settle()
    return world


def test_complete_group_is_one_workload_with_a_pod_set_per_role() -> None:
    """Roles are sorted by name, owners are the pods, and only the template's spec is kept."""
    world = make_world(group_pod("a"), group_pod("b"))
    raw = world.get(WORKLOAD, "g")
    (pod_set,) = raw["spec"]["podSets"]
    assert (pod_set["name"], pod_set["count"], list(pod_set["template"])) == (ROLE, 2, ["spec"])
    assert [ref["name"] for ref in raw["metadata"]["ownerReferences"]] == ["a", "b"]
    assert K + "job-uid" not in raw["metadata"].get("labels", {})
    assert "Pod/a Normal CreatedWorkload: Created Workload: ns/g" in world.events
    world.admit("g")
    world.settle()
    assert world.gates("a") == world.gates("b") == []
    assert world.get(POD, "b")["metadata"]["labels"][K + "podset"] == ROLE
    world.assert_settled()


def test_incomplete_group_waits() -> None:
    """Nothing is made, and the first pod says why."""
    world = make_world(group_pod("a", total=3))
    assert world.names(WORKLOAD) == []
    assert "Pod/a Warning ErrWorkloadCompose: 'g' group has fewer runnable pods than expected" in world.events


@pytest.mark.parametrize(
    ("second", "want"),
    [
        (group_pod("b", total=3), "pods 'a' and 'b' has different 'kueue.x-k8s.io/pod-group-total-count' values: 2!=3"),
        (
            group_pod("b")
            | {"metadata": group_pod("b")["metadata"] | {"labels": {K + "queue-name": "x", K + "pod-group-name": "g"}}},
            "pods 'a' and 'b' has different queue names: lq!=x",
        ),
    ],
)
def test_pods_that_contradict_each_other(second: dict[str, object], want: str) -> None:
    """No Workload is made of them."""
    world = make_world(group_pod("a"), second)
    assert world.names(WORKLOAD) == []
    assert f"Pod/a Warning ErrWorkloadCompose: {want}" in world.events


def test_excess_pods_are_deleted_the_youngest_first() -> None:
    """Before there is a Workload, and after its admission."""
    world = make_world(group_pod("a"), group_pod("b"))
    world.admit("g")
    world.settle(5)
    world.admit_object(POD, group_pod("c"))
    world.settle()
    assert world.names(POD) == ["a", "b"]
    assert "Pod/c Normal ExcessPodDeleted: Excess pod deleted" in world.events


def test_failed_pod_is_replaced_within_the_same_admission() -> None:
    """The group waits for a replacement, which starts at once; the failed pod is let go."""
    world = running(group_pod("a"), group_pod("b"))
    uid = world.workload("g").uid
    world.run_pod("a", phase="Failed", ready=False)
    world.settle()
    assert world.condition("g", "WaitingForReplacementPods") == (
        "True",
        "PodsFailed",
        "Some Failed pods need replacement",
    )
    assert world.condition("g", "PodsReady") == (
        "False",
        "WaitForRecovery",
        "At least one pod has failed, waiting for recovery",
    )
    world.admit_object(POD, group_pod("c"))
    world.settle()
    assert world.gates("c") == []
    assert world.condition("g", "WaitingForReplacementPods") == ("False", "PodsReady", "No pods need replacement")
    assert not world.get(POD, "a")["metadata"].get("finalizers")
    assert (world.workload("g").uid, world.workload("g").is_true("Admitted")) == (uid, True)
    assert "Workload/g Normal OwnerReferencesAdded: Added 1 owner reference(s)" in world.events


def test_group_ends_when_enough_pods_succeeded() -> None:
    """Quota of the first is reclaimed; with the last the Workload is finished and all pods are let go."""
    world = running(group_pod("a"), group_pod("b"))
    world.run_pod("a", phase="Succeeded", ready=False)
    world.settle()
    assert [(p.name, p.count) for p in world.workload("g").status.reclaimable_pods] == [(ROLE, 1)]
    world.run_pod("b", phase="Succeeded", ready=False)
    world.settle()
    assert world.condition("g", "Finished") == ("True", "Succeeded", "Pods succeeded: 2/2.")
    assert not any(world.get(POD, name)["metadata"].get("finalizers") for name in "ab")
    assert "Pod/a Normal FinishedWorkload: Workload 'ns/g' is declared finished" in world.events
    world.assert_settled()


def test_unretriable_group_ends_with_its_pods() -> None:
    """It is over when nothing runs any more, however few have succeeded."""
    world = running(group_pod("a", retriable_in_group="false"), group_pod("b"))
    world.run_pod("a", phase="Succeeded", ready=False)
    world.run_pod("b", phase="Failed", ready=False)
    world.settle()
    assert world.condition("g", "Finished") == ("True", "Succeeded", "Pods succeeded: 1/2.")


def test_fast_admission() -> None:
    """The first pod stands for all; the others start as they come."""
    world = make_world(group_pod("a", total=3, pod_group_fast_admission="true"))
    assert world.workload("g").spec.pod_sets[0].count == 3
    world.admit("g")
    world.settle()
    world.admit_object(POD, group_pod("b", total=3, pod_group_fast_admission="true"))
    world.settle()
    assert world.gates("b") == []


def test_evicted_group_waits_for_new_pods() -> None:
    """The quota goes back when nothing runs; the reason stays until there are replacements."""
    world = running(group_pod("a"), group_pod("b"))
    world.evict("g", "Preempted", "make room")
    world.settle()
    assert world.workload("g").is_true("QuotaReserved")
    for name in "ab":
        world.change(POD, name, status={"phase": "Failed"})
    world.settle()
    assert world.condition("g", "QuotaReserved") == ("False", "PendingEvaluation", "make room")
    assert world.condition("g", "Requeued") == ("True", "Preempted", "make room")
    assert world.condition("g", "WaitingForReplacementPods") == ("True", "Preempted", "make room")
    assert world.condition("g", "PodsReady") == ("False", "WaitForStart", "Not all pods are ready or succeeded")


def test_name_that_is_taken() -> None:
    """A Workload of the group's name that is no group's is left alone; the pods wait until it is gone."""
    world = make_world()
    world.put(WORKLOAD, {"metadata": {"name": "g"}, "spec": {"podSets": []}})
    for name in "ab":
        world.admit_object(POD, group_pod(name))
    world.settle()
    want = 'Pod/a Warning WorkloadNameConflict: A Workload named "g" already exists but is not a pod group workload; this pod group cannot be admitted'
    assert want in world.events
    world.remove(WORKLOAD, "g")
    world.settle()
    assert world.workload("g").spec.pod_sets[0].count == 2


def test_changed_limit_makes_the_workload_anew() -> None:
    """The execution time is part of what a Workload stands for."""
    world = make_world(group_pod("a"), group_pod("b"))
    uid = world.workload("g").uid
    for name in "ab":
        labels = world.get(POD, name)["metadata"]["labels"]
        world.change(POD, name, metadata={"labels": {**labels, K + "max-exec-time-seconds": "5"}})
    world.settle()
    assert world.workload("g").uid != uid
    assert world.workload("g").spec.maximum_execution_time_seconds == 5


def test_conflicting_selector_ends_the_workload() -> None:
    """What cannot be started never will: finished as failed to start."""
    pod = group_pod("a", total=1)
    pod["spec"]["nodeSelector"] = {"pool": "b"}
    world = make_world(pod)
    world.admit("g")
    world.settle()
    finished = world.condition("g", "Finished")
    assert finished is not None
    assert finished[1] == "FailedToStart"
    assert "conflict for key=pool, value1=b, value2=a" in finished[2]


def test_pods_by_labels_to_copy_must_agree() -> None:
    """Labels that are copied must not differ between pods."""
    one, two = group_pod("a"), group_pod("b")
    one["metadata"]["labels"]["team"], two["metadata"]["labels"]["team"] = "x", "y"
    settings = make_settings({Gate.RECLAIMABLE_PODS: True})
    integrations = settings.config.integrations
    import msgspec

    config = msgspec.structs.replace(
        settings.config, integrations=msgspec.structs.replace(integrations, label_keys_to_copy=("team",))
    )
    world = JobWorld(type(settings)(config, settings.features))
    for pod in (one, two):
        world.admit_object(POD, pod)
    world.settle()
    assert world.names(WORKLOAD) == []
    assert "Pod/a Warning ErrWorkloadCompose: constructing workload: pods have different label values" in world.events


def test_deleted_workload_takes_all_pods_along() -> None:
    """Gated ones and ended ones as well."""
    world = running(group_pod("a"), group_pod("b"))
    world.change(WORKLOAD, "g", metadata={"deletionTimestamp": "2026-08-01T10:00:00Z"})
    world.settle()
    assert world.names(POD) == []
    assert "Pod/b Normal Stopped: Workload is deleted" in world.events


def test_finished_group_gets_no_other_workload() -> None:
    """When the Workload of an ended group is deleted, none is made again."""
    world = running(group_pod("a", total=1))
    world.run_pod("a", phase="Succeeded", ready=False)
    world.settle()
    world.remove(WORKLOAD, "g")
    world.settle()
    assert world.names(WORKLOAD) == []
