"""The life of batch Jobs against their Workloads (jobs.md §7–§13, §17)."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.commands import Create, Delete, Patch
from pykueue.api.configuration.types import ObjectRetentionPolicies, WorkloadRetention
from pykueue.api.constants import Reason
from pykueue.api.kinds import JOB, NAMESPACE, RESOURCE_FLAVOR, WORKLOAD, WORKLOAD_PRIORITY_CLASS
from pykueue.api.v1beta2 import Admission, PodSetAssignment
from pykueue.controllers.core import transitions
from pykueue.controllers.workload_status import admission_patch
from pykueue.core.features import Gate
from pykueue.integrations.job import Job
from support.jobs import UID, JobWorld, make_settings, make_template
from support.reconciling import flat

K = "kueue.x-k8s.io/"
WL = "job-job-8d0ac"
STARTED_AT = "2026-08-01T10:00:00Z"


def make_job(
    name: str = "job",
    *,
    parallelism: int = 3,
    completions: int | None = 3,
    queue: str = "lq",
    uid: str = UID,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Job as the API server stores it, with the labels of its own controller in the template."""
    own = {"job-name": name, "controller-uid": uid, "batch.kubernetes.io/controller-uid": uid}
    template = make_template("1", labels={**own, "batch.kubernetes.io/job-name": name})
    marks = ({K + "queue-name": queue} if queue else {}) | (labels or {})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "ns", "uid": uid, "labels": marks, "annotations": annotations or {}},
        "spec": {"parallelism": parallelism, "completions": completions, "template": template, **spec},
    }


def make_world(gates: dict[Gate, bool] | None = None, *, job: dict[str, Any] | None = None, **config: Any) -> JobWorld:
    """A world with one Job in it, created through its webhook."""
    world = JobWorld(make_settings(gates, **config))
    world.admit_object(JOB, job or make_job())
    world.settle()
    return world


def run(world: JobWorld, name: str = "job", **status: Any) -> None:
    """The Job controller says how far the Job is."""
    world.change(JOB, name, status={"startTime": STARTED_AT, **status})
    world.settle()


def admit(world: JobWorld, name: str = WL, count: int | None = None) -> None:
    """Admit a Workload, with fewer pods if told so."""
    workload = world.workload(name)
    assignments = tuple(
        PodSetAssignment(name=p.name, flavors={"cpu": "flavor"}, count=count or p.count) for p in workload.spec.pod_sets
    )
    admission = Admission(cluster_queue="cq", pod_set_assignments=assignments)
    reserved = transitions.reserve_quota(workload, admission, world.now)
    world.do(admission_patch(workload, transitions.sync_admitted(reserved, world.now), world.now))
    world.settle()


def job_patches(world: JobWorld) -> list[Patch]:
    return [c for c in flat(world.writes) if isinstance(c, Patch) and c.kind == JOB]


def test_a_job_is_suspended_and_gets_its_workload() -> None:
    """G01: suspended on the way in; one pod set without the labels by which the Job controller finds its pods."""
    world = make_world()
    assert world.get(JOB, "job")["spec"]["suspend"] is True
    raw = world.get(WORKLOAD, WL)
    pod_set = raw["spec"]["podSets"][0]
    assert (pod_set["name"], pod_set["count"]) == ("main", 3)
    assert pod_set["template"]["metadata"] == {"labels": {"batch.kubernetes.io/job-name": "job"}}
    assert pod_set["topologyRequest"] == {"podIndexLabel": "batch.kubernetes.io/job-completion-index"}
    assert raw["metadata"]["labels"] == {K + "job-uid": UID}
    assert raw["metadata"]["ownerReferences"][0]["controller"]
    assert world.events == [f"Job/job Normal CreatedWorkload: Created Workload: ns/{WL}"]
    world.assert_settled()


def test_an_admitted_job_starts_by_one_patch() -> None:
    """G02: flavors' selectors and the queue's labels go into the template, with the same write that lets the Job go."""
    world = make_world()
    world.writes.clear()
    admit(world)
    job = world.get(JOB, "job")
    assert job["spec"]["suspend"] is False
    template = job["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"pool": "a"}
    assert template["metadata"]["annotations"] == {K + "workload": WL}
    assert template["metadata"]["labels"][K + "podset"] == "main"
    assert template["metadata"]["labels"][K + "cluster-queue-name"] == "cq"
    assert template["metadata"]["labels"]["controller-uid"] == UID
    assert len(job_patches(world)) == 1
    assert "Job/job Normal Started: Admitted by clusterQueue cq" in world.events
    world.assert_settled()


def test_a_job_without_queue_is_left_alone() -> None:
    """G03: no label, and not all jobs are managed."""
    world = make_world(job=make_job(queue=""))
    assert "suspend" not in world.get(JOB, "job")["spec"]
    assert world.names(WORKLOAD) == []


def test_a_job_without_queue_is_managed_where_all_are() -> None:
    """With `manageJobsWithoutQueueName` a Workload without a queue waits."""
    world = make_world(job=make_job(queue=""), manage_jobs_without_queue_name=True)
    assert world.get(JOB, "job")["spec"]["suspend"] is True
    assert "queueName" not in world.get(WORKLOAD, WL)["spec"]


def test_a_job_outside_the_namespace_selector_is_ignored() -> None:
    """G25: even with a queue name."""
    selector = {"matchLabels": {"team": "x"}}
    world = make_world(managed_jobs_namespace_selector=selector)
    assert world.names(WORKLOAD) == []


@pytest.mark.parametrize(("type_", "reason"), [("Complete", "Succeeded"), ("Failed", "Failed")])
def test_a_finished_job_ends_its_workload(type_: str, reason: str) -> None:
    """G04: with the Job's own message; nothing holds the Workload afterwards."""
    world = make_world()
    admit(world)
    run(world, conditions=[{"type": type_, "status": "True", "message": "so it went"}])
    assert world.condition(WL, "Finished") == ("True", reason, "so it went")
    assert "finalizers" not in world.get(WORKLOAD, WL)["metadata"]
    note = f"Job/job Normal FinishedWorkload: Workload 'ns/{WL}' is declared finished"
    assert world.events.count(note) == 1
    world.assert_settled()


def test_a_job_that_runs_unadmitted_is_stopped() -> None:
    """G05: somebody cleared the field by hand."""
    world = make_world()
    world.change(JOB, "job", spec={**world.get(JOB, "job")["spec"], "suspend": False})
    world.settle()
    assert world.get(JOB, "job")["spec"]["suspend"] is True
    assert "Job/job Normal Stopped: Not admitted by cluster queue" in world.events
    assert world.names(WORKLOAD) == [WL]


def test_a_running_job_without_workload_is_stopped_first() -> None:
    """G06: then, when its pods are gone, it gets one."""
    world = JobWorld()
    world.put(JOB, {**make_job(), "status": {"active": 1}})
    world.settle()
    assert "Job/job Normal Stopped: Missing Workload; unable to restore pod templates" in world.events
    assert world.names(WORKLOAD) == []
    run(world, active=0)
    assert world.names(WORKLOAD) == [WL]
    assert world.get(JOB, "job")["spec"]["suspend"] is True


def test_a_waiting_job_that_changes_changes_its_workload() -> None:
    """G07: in place, and whether it is active stays."""
    world = make_world()
    raw = world.get(WORKLOAD, WL)
    world.change(WORKLOAD, WL, spec={**raw["spec"], "active": False})
    uid = raw["metadata"]["uid"]
    world.change(JOB, "job", spec={**world.get(JOB, "job")["spec"], "parallelism": 2})
    world.settle()
    raw = world.get(WORKLOAD, WL)
    assert (raw["metadata"]["uid"], raw["spec"]["podSets"][0]["count"], raw["spec"]["active"]) == (uid, 2, False)
    note = f"Job/job Normal UpdatedWorkload: Updated not matching Workload for suspended job: ns/{WL}"
    assert world.events.count(note) == 1
    world.assert_settled()


def test_a_running_job_that_changes_is_stopped_and_starts_anew() -> None:
    """G08: it is as it was before admission, but for what the user changed; the Workload is another one."""
    world = make_world()
    admit(world)
    uid = world.get(WORKLOAD, WL)["metadata"]["uid"]
    run(world, active=3)
    world.change(JOB, "job", spec={**world.get(JOB, "job")["spec"], "parallelism": 2})
    world.settle()
    job = world.get(JOB, "job")
    assert (job["spec"]["suspend"], job["spec"]["parallelism"]) == (True, 2)
    assert "nodeSelector" not in job["spec"]["template"]["spec"]
    assert world.names(WORKLOAD) == []
    text = "No matching Workload; restoring pod templates according to existent Workload"
    assert f"Job/job Normal Stopped: {text}" in world.events
    assert f"Job/job Normal DeletedWorkload: Deleted not matching Workload: ns/{WL}" in world.events
    run(world, active=0)
    assert world.get(WORKLOAD, WL)["metadata"]["uid"] != uid
    assert world.workload(WL).spec.pod_sets[0].count == 2


def test_one_of_two_workloads_goes() -> None:
    """G09: the first that fits stays."""
    world = make_world()
    raw = world.get(WORKLOAD, WL)
    twin = {"name": "zz", "uid": "twin", "ownerReferences": raw["metadata"]["ownerReferences"]}
    world.put(WORKLOAD, {**raw, "metadata": twin})
    world.settle()
    assert world.names(WORKLOAD) == [WL]


def test_an_evicted_job_is_stopped_by_three_patches() -> None:
    """G10: suspended and marked, its start time cleared, its template and parallelism restored and the mark taken off."""
    annotations = {K + "job-min-parallelism": "2"}
    world = make_world(job=make_job(parallelism=10, completions=10, annotations=annotations))
    admit(world, count=7)
    assert world.get(JOB, "job")["spec"]["parallelism"] == 7
    run(world, active=7)
    world.writes.clear()
    world.evict(WL, Reason.PREEMPTED, "make room")
    world.settle()
    bodies = [(patch.subresource, patch.body) for patch in job_patches(world)]
    assert bodies[0] == (
        "",
        {"metadata": {"uid": UID, "annotations": {K + "stopping": "true"}}, "spec": {"suspend": True}},
    )
    assert bodies[1] == ("status", {"metadata": {"uid": UID}, "status": {"startTime": None}})
    job = world.get(JOB, "job")
    assert (len(bodies), job["spec"]["suspend"], job["spec"]["parallelism"]) == (3, True, 10)
    assert K + "stopping" not in job["metadata"]["annotations"]
    assert set(job["spec"]["template"]["metadata"]) == {"labels"}
    assert set(job["spec"]["template"]["metadata"]["labels"]) == {
        "job-name", "controller-uid", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
    }  # fmt: skip
    assert "Job/job Normal Stopped: make room" in world.events


def test_a_stop_that_was_cut_short_goes_on() -> None:
    """G10: after the first patch the Job still counts as running."""
    world = make_world()
    admit(world)
    run(world, active=3)
    job = world.get(JOB, "job")
    world.evict(WL, Reason.PREEMPTED, "make room")
    world.change(JOB, "job", metadata={"annotations": {K + "stopping": "true"}}, spec={**job["spec"], "suspend": True})
    world.writes.clear()
    world.settle()
    assert [patch.subresource for patch in job_patches(world)] == ["status", ""]
    assert "nodeSelector" not in world.get(JOB, "job")["spec"]["template"]["spec"]
    assert not world.get(JOB, "job")["metadata"].get("annotations")


@pytest.mark.parametrize(
    ("reason", "requeued"),
    [(Reason.PREEMPTED, "True"), (Reason.PODS_READY_TIMEOUT, "False"), (Reason.NODE_FAILURES, "True")],
)
def test_quota_is_kept_until_the_pods_are_gone(reason: Reason, requeued: str) -> None:
    """G11: then the reservation goes, and the Workload is told whether it queues at once."""
    world = make_world()
    admit(world)
    run(world, active=3)
    world.evict(WL, reason, "why")
    world.settle()
    reserved = world.condition(WL, "QuotaReserved")
    assert reserved is not None
    assert reserved[0] == "True"
    run(world, active=0)
    assert world.condition(WL, "QuotaReserved") == ("False", "PendingEvaluation", "why")
    assert world.condition(WL, "Requeued") == (requeued, reason, "why")
    assert world.workload(WL).status.admission is None
    world.assert_settled()


def test_completions_follow_where_the_job_says_so() -> None:
    """G12: down on admission, up again on eviction."""
    marks = {K + "job-min-parallelism": "5", K + "job-completions-equal-parallelism": "true"}
    world = make_world(job=make_job(parallelism=10, completions=10, annotations=marks, completionMode="Indexed"))
    admit(world, count=7)
    spec = world.get(JOB, "job")["spec"]
    assert (spec["parallelism"], spec["completions"]) == (7, 7)
    world.assert_settled()
    world.evict(WL, Reason.PREEMPTED, "make room")
    world.settle()
    spec = world.get(JOB, "job")["spec"]
    assert (spec["parallelism"], spec["completions"]) == (10, 10)
    assert world.names(WORKLOAD) == [WL]


def test_the_labels_of_the_job_controller_stay() -> None:
    """G10: also where a prebuilt Workload does not know them; a Job without them is refused."""
    world = make_world()
    own = ("job-name", "controller-uid", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
    job = world.get(JOB, "job")
    labels = {**dict.fromkeys(own, "x"), K + "podset": "main"}
    template = {**job["spec"]["template"], "metadata": {"labels": labels}}
    restored = Job().restored({**job, "spec": {**job["spec"], "template": template}}, world.workload(WL).spec.pod_sets)
    assert restored["spec"]["template"]["metadata"]["labels"] == dict.fromkeys(own, "x")


def test_partial_admission_can_be_switched_off() -> None:
    """Without the gate no minimal count is asked for."""
    marks = {K + "job-min-parallelism": "2"}
    world = make_world({Gate.PARTIAL_ADMISSION: False}, job=make_job(annotations=marks))
    assert "minCount" not in world.get(WORKLOAD, WL)["spec"]["podSets"][0]
    world.assert_settled()


def test_pods_that_are_done_give_their_share_back() -> None:
    """G13, and not where the gate is off."""
    for gates, want in (({}, 1), ({Gate.RECLAIMABLE_PODS: False}, None)):
        world = make_world(gates)
        admit(world)
        run(world, active=2, succeeded=1)
        pods = world.workload(WL).status.reclaimable_pods
        assert (pods[0].count if pods else None) == want


def test_what_was_given_back_is_not_taken_again() -> None:
    """A Job that comes back smaller than it asks for counts anew; while it holds quota its Workload keeps to the higher number."""
    job = make_job(parallelism=8, completions=8, annotations={K + "job-min-parallelism": "3"})
    world = make_world(job=job)
    admit(world, count=5)
    run(world, active=4, succeeded=4)
    assert [pods.count for pods in world.workload(WL).status.reclaimable_pods] == [1]
    world.evict(WL, Reason.PREEMPTED, "make room")
    run(world, succeeded=4)
    assert [pods.count for pods in world.workload(WL).status.reclaimable_pods] == [4], "it is of its full size again"
    admit(world, count=4)
    assert world.get(JOB, "job")["spec"]["parallelism"] == 4
    run(world, active=4, ready=4, succeeded=4)
    assert [pods.count for pods in world.workload(WL).status.reclaimable_pods] == [4]
    assert world.condition(WL, "PodsReady") == (
        "True", "Started", "All pods reached readiness and the workload is running",
    )  # fmt: skip
    world.assert_settled()


def test_pods_ready_follows_the_jobs_status() -> None:
    """G14: waits, started, lost one, recovered."""
    world = make_world()
    wait = ("False", "WaitForStart", "Not all pods are ready or succeeded")
    fine = "All pods reached readiness and the workload is running"
    assert world.condition(WL, "PodsReady") == wait
    admit(world)
    assert world.condition(WL, "PodsReady") == wait
    run(world, active=2, ready=2, succeeded=1)
    assert world.condition(WL, "PodsReady") == ("True", "Started", fine)
    run(world, active=3, ready=2, succeeded=0)
    lost = ("False", "WaitForRecovery", "At least one pod has failed, waiting for recovery")
    assert world.condition(WL, "PodsReady") == lost
    run(world, active=3, ready=2, uncountedTerminatedPods={"succeeded": ["x"]})
    assert world.condition(WL, "PodsReady") == ("True", "Recovered", fine)


def test_contradicting_checks_end_the_workload() -> None:
    """G15: it can never start, and says why."""
    world = make_world()
    workload = world.workload(WL)
    admission = Admission(
        cluster_queue="cq", pod_set_assignments=(PodSetAssignment(name="main", flavors={"cpu": "flavor"}, count=3),)
    )
    reserved = transitions.sync_admitted(transitions.reserve_quota(workload, admission, world.now), world.now)
    world.do(admission_patch(workload, reserved, world.now))
    raw = world.get(WORKLOAD, WL)
    checks = [
        {"name": f"check{v}", "state": "Ready", "message": "", "lastTransitionTime": STARTED_AT,
         "podSetUpdates": [{"name": "main", "labels": {"a": str(v)}}]}
        for v in (1, 2)
    ]  # fmt: skip
    world.put(WORKLOAD, {**raw, "status": {**raw["status"], "admissionChecks": checks}})
    world.settle()
    ended = world.condition(WL, "Finished")
    assert ended is not None
    assert ended[:2] == ("True", "FailedToStart")
    assert ended[2].startswith(
        'in admission check "check2": invalid admission check PodSetUpdate: conflict for labels: conflict for key=a'
    )
    assert world.get(JOB, "job")["spec"]["suspend"] is True


def test_a_missing_flavor_is_waited_for() -> None:
    """What admission names may come late; nothing is started by halves."""
    world = make_world()
    world.remove(RESOURCE_FLAVOR, "flavor")
    admit(world)
    assert world.get(JOB, "job")["spec"]["suspend"] is True
    assert world.errors == ['resourceflavors.kueue.x-k8s.io "flavor" not found']


def test_a_child_runs_only_with_its_ancestor() -> None:
    """G16: suspended while the ancestor's Workload is not admitted, whatever labels it has; never a Workload of its own."""
    world = make_world()
    child = make_job("child", uid="child-uid")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": UID, "controller": True}
    child["metadata"]["ownerReferences"] = [owner]
    world.put(JOB, child)
    world.settle()
    assert world.get(JOB, "child")["spec"]["suspend"] is True
    assert "Job/child Normal Suspended: Kueue managed child job suspended" in world.events
    admit(world)
    world.change(JOB, "child", spec={**child["spec"], "suspend": False})
    world.settle()
    assert world.get(JOB, "child")["spec"]["suspend"] is False
    assert world.names(WORKLOAD) == [WL]


def test_too_many_owners_are_told() -> None:
    """G17: a chain of eleven."""
    world = JobWorld()
    for i in range(12):
        job = make_job(f"j{i}", uid=f"u{i}", queue="")
        if i:
            ref = {"apiVersion": "batch/v1", "kind": "Job", "name": f"j{i - 1}", "uid": f"u{i - 1}", "controller": True}
            job["metadata"]["ownerReferences"] = [ref]
        world.put(JOB, job)
    world.settle()
    note = "Terminated search for Kueue-managed Job because ancestor depth exceeded limit of 10"
    assert f"Job/j11 Warning JobNestingTooDeep: {note}" in world.events


def make_prebuilt(world: JobWorld, count: int = 3, **meta: Any) -> None:
    pod_set = {"name": "main", "count": count, "template": make_template("1")}
    world.put(WORKLOAD, {"metadata": {"name": "made", **meta}, "spec": {"queueName": "lq", "podSets": [pod_set]}})


def test_a_prebuilt_workload_is_taken_over() -> None:
    """G19: the Job becomes its controller."""
    world = JobWorld()
    world.admit_object(JOB, make_job(labels={K + "prebuilt-workload-name": "made"}))
    world.settle()
    assert world.names(WORKLOAD) == []
    make_prebuilt(world)
    world.settle()
    meta = world.get(WORKLOAD, "made")["metadata"]
    assert (meta["labels"], meta["ownerReferences"][0]["uid"]) == ({K + "job-uid": UID}, UID)
    admit(world, "made")
    assert world.get(JOB, "job")["spec"]["suspend"] is False
    assert world.names(WORKLOAD) == ["made"]


def test_a_prebuilt_workload_that_does_not_fit_ends() -> None:
    """G19: the Job stays suspended."""
    world = JobWorld()
    make_prebuilt(world, count=2)
    world.admit_object(JOB, make_job(labels={K + "prebuilt-workload-name": "made"}))
    world.settle()
    want = ("True", "OutOfSync", "The prebuilt workload is out of sync with its user job")
    assert world.condition("made", "Finished") == want
    assert world.get(JOB, "job")["spec"]["suspend"] is True
    world.assert_settled()


def test_a_prebuilt_workload_without_the_defaults_of_the_server_ends() -> None:
    """What the API server fills in of a Job's template must be in the Workload's, or they differ."""
    world = JobWorld()
    make_prebuilt(world)
    job = make_job(labels={K + "prebuilt-workload-name": "made"})
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["imagePullPolicy"] = "IfNotPresent"
    world.admit_object(JOB, job)
    world.settle()
    want = ("True", "OutOfSync", "The prebuilt workload is out of sync with its user job")
    assert world.condition("made", "Finished") == want
    assert world.get(JOB, "job")["spec"]["suspend"] is True


def test_a_prebuilt_workload_of_another_job_is_not_touched() -> None:
    """G19: as if there were none."""
    world = JobWorld()
    ref = {"apiVersion": "batch/v1", "kind": "Job", "name": "other", "uid": "o", "controller": True}
    make_prebuilt(world, ownerReferences=[ref])
    world.writes.clear()
    world.put(JOB, make_job(labels={K + "prebuilt-workload-name": "made"}))
    world.settle()
    assert "Job/job Normal Stopped: missing workload" in world.events
    assert {write.kind for write in flat(world.writes)} <= {JOB, WORKLOAD}
    assert world.get(WORKLOAD, "made")["metadata"]["ownerReferences"] == [ref]


@pytest.mark.parametrize("gate", [True, False])
def test_a_workload_whose_job_is_gone_ends(gate: bool) -> None:
    """G20: and with the gate off it is only let go."""
    world = make_world({Gate.FINISH_ORPHANED_WORKLOADS: gate})
    world.remove(JOB, "job")
    world.settle()
    want = ("True", "OwnerNotFound", "The workload's owner no longer exists") if gate else None
    assert world.condition(WL, "Finished") == want
    assert "finalizers" not in world.get(WORKLOAD, WL)["metadata"]


def test_another_priority_class_is_taken_over() -> None:
    """G21: reference and value; a missing class is told and asked for again."""
    world = JobWorld()
    for name, value in (("low", 1), ("high", 9)):
        world.put(WORKLOAD_PRIORITY_CLASS, {"metadata": {"name": name}, "value": value})
    world.admit_object(JOB, make_job(labels={K + "priority-class": "low"}))
    world.settle()
    for name in ("high", "none"):
        world.change(JOB, "job", metadata={"labels": {K + "queue-name": "lq", K + "priority-class": name}})
        world.settle()
    spec = world.workload(WL).spec
    assert (spec.priority, spec.priority_class_ref.name if spec.priority_class_ref else "") == (9, "high")
    assert f"Job/job Normal UpdatedWorkload: Updated workload priority class: ns/{WL}" in world.events
    text = 'WorkloadPriorityClass "none" not found'
    assert f"Job/job Warning WorkloadPriorityClassNotFound: {text}" in world.events
    assert world.errors[-1] == text


def test_a_job_deactivated_for_good_is_deleted_in_time() -> None:
    """G23: after the retention, if it was Kueue that deactivated it."""
    policies = ObjectRetentionPolicies(workloads=WorkloadRetention(after_deactivated_by_kueue_us=60_000_000))
    for reason, is_kept in (("DeactivatedDueToRequeuingLimitExceeded", False), ("Deactivated", True)):
        world = make_world(object_retention_policies=policies)
        admit(world)
        raw = world.get(WORKLOAD, WL)
        world.change(WORKLOAD, WL, spec={**raw["spec"], "active": False})
        world.evict(WL, reason, "no more")
        world.settle()
        world.settle(59)
        assert world.get(JOB, "job") is not None
        world.settle(1)
        assert (world.get(JOB, "job") is not None) == is_kept
        note = "Job/job Normal Deleted: Deleted job: deactivation retention period expired"
        assert (note in world.events) != is_kept


def test_the_execution_time_is_in_the_workload() -> None:
    """G24: the label's seconds."""
    world = make_world(job=make_job(labels={K + "max-exec-time-seconds": "10"}))
    assert world.workload(WL).spec.maximum_execution_time_seconds == 10


def test_a_uid_that_is_no_label_is_left_out() -> None:
    """G29: longer than 63 characters."""
    world = make_world(job=make_job(uid="u" * 64))
    (name,) = world.names(WORKLOAD)
    assert K + "job-uid" not in world.get(WORKLOAD, name)["metadata"].get("labels", {})


def test_an_environment_variable_counts_once() -> None:
    """G30: the last one; the Workload still stands for the Job."""
    job = make_job()
    job["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    world = make_world(job=job)
    container = world.get(WORKLOAD, WL)["spec"]["podSets"][0]["template"]["spec"]["containers"][0]
    assert container["env"] == [{"name": "A", "value": "2"}]
    world.assert_settled()


def test_the_queue_follows_while_the_job_waits() -> None:
    """Another queue name in the Job is another in the Workload."""
    world = make_world()
    for labels, want in (({K + "queue-name": "other"}, "other"), ({K + "queue-name": "lq"}, "lq")):
        world.change(JOB, "job", metadata={"labels": labels})
        world.settle()
        assert world.workload(WL).spec.queue_name == want


def test_admission_gates_are_kept_in_line() -> None:
    """What the annotation says, the Workload says; and it is told."""
    gate = {K + "admission-gated-by": "example.com/a"}
    world = make_world(job=make_job(annotations=gate))
    assert world.workload(WL).metadata.annotations == gate
    world.change(JOB, "job", metadata={"annotations": {}})
    world.settle()
    assert world.workload(WL).metadata.annotations == {}
    assert 'Job/job Normal UpdatedWorkload: Updated workload AdmissionGatedBy to ""' in world.events


def test_a_deleted_workload_stops_its_job() -> None:
    """The Job is restored before the Workload is let go; then it gets another one."""
    world = make_world()
    admit(world)
    run(world, active=3)
    world.writes.clear()
    world.do(Delete(WORKLOAD, world.workload(WL).key))
    world.settle()
    assert "Job/job Normal Stopped: Workload is deleted" in world.events
    assert world.names(WORKLOAD) == []
    run(world, active=0)
    assert world.names(WORKLOAD) == [WL]
    assert sum(isinstance(c, Create) for c in flat(world.writes)) == 1


def test_pending_checks_are_told() -> None:
    """While quota is reserved: name and message of each check that says something."""
    world = make_world()
    raw = world.get(WORKLOAD, WL)
    check = {"state": "Pending", "lastTransitionTime": STARTED_AT}
    checks = [{**check, "name": "a", "message": "soon"}, {**check, "name": "b", "message": ""}]
    reserved = {"type": "QuotaReserved", "status": "True", "reason": "QuotaReserved", "lastTransitionTime": STARTED_AT}
    world.put(WORKLOAD, {**raw, "status": {"conditions": [reserved], "admissionChecks": checks}})
    world.settle()
    assert "Job/job Normal UpdatedAdmissionCheck: a: soon" in world.events


def test_a_namespace_that_is_seen_late() -> None:
    """Watches of different kinds are not in step: a Job is looked at again once its namespace is known, or selected."""
    world = JobWorld(make_settings(managed_jobs_namespace_selector={"matchLabels": {"team": "x"}}))
    world.remove(NAMESPACE, "ns")
    world.put(JOB, make_job(suspend=True))
    world.settle()
    assert world.names(WORKLOAD) == [], "nobody knows the namespace"
    world.put(NAMESPACE, {"metadata": {"name": "ns"}})
    world.settle()
    assert world.names(WORKLOAD) == [], "it is not selected"
    world.put(NAMESPACE, {"metadata": {"name": "ns", "labels": {"team": "x"}}})
    world.settle()
    assert world.names(WORKLOAD) == [WL]
