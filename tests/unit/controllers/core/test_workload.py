"""The life of a Workload outside of the scheduler: the tables of scheduling-cases.md §10, on the whole product without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pykueue.api.commands import Command, Emit
from pykueue.api.configuration.types import (
    ObjectRetentionPolicies,
    RequeuingStrategy,
    WaitForPodsReady,
    WorkloadRetention,
)
from pykueue.api.errors import Conflict
from pykueue.api.instant import SECOND_US, format_time
from pykueue.api.kinds import CLUSTER_QUEUE, COHORT, JOB, LOCAL_QUEUE, RESOURCE_FLAVOR, WORKLOAD
from pykueue.api.objects import ObjectKey
from pykueue.core.features import Gate
from support.product import ProductWorld
from support.reconciling import START

K = "kueue.x-k8s.io/"
IN_USE = K + "resource-in-use"
MINUTE = 60
HOUR = 3600


def at(seconds: int) -> str:
    """A time that many seconds after the start."""
    return format_time(START + seconds * SECOND_US)  # type: ignore[arg-type]


def make_world(gates: Mapping[Gate, bool] | None = None, quotas: str = "default:4", **config: Any) -> ProductWorld:
    world = ProductWorld(dict(gates or {}), **config)
    world.queue("cq", quotas)
    world.settle(2)
    world.events.clear()
    return world


def with_checks(*names: str, **options: Any) -> ProductWorld:
    world = make_world(**options)
    for name in names:
        world.check(name)
    world.set_spec(CLUSTER_QUEUE, "cq", admissionChecksStrategy={"admissionChecks": [{"name": n} for n in names]})
    world.settle(2)
    return world


def waiting_for_pods(*, block: bool = False, recovery_s: int = 60, **strategy: Any) -> WaitForPodsReady:
    return WaitForPodsReady(
        timeout_us=MINUTE * SECOND_US, block_admission=block, recovery_timeout_us=recovery_s * SECOND_US,
        requeuing_strategy=RequeuingStrategy(**{"backoff_base_seconds": 60, "backoff_max_seconds": 3600, **strategy}),
    )  # fmt: skip


def a_job(name: str = "job", cpu: str = "1", **labels: str) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": {K + "queue-name": "cq", **labels}},
        "spec": {"parallelism": 1, "completions": 1, "template": template},
    }  # fmt: skip


def start_job(world: ProductWorld) -> str:
    """A Job through its webhook, admitted, with a pod; the name of its Workload."""
    world.admit_object(JOB, a_job())
    world.settle()
    run_pod(world)
    return next(name for name in world.names(WORKLOAD) if name.startswith("job-job-"))


def run_pod(world: ProductWorld) -> None:
    """The Job controller has made the pod."""
    assert world.get(JOB, "job")["spec"]["suspend"] is False
    world.change(JOB, "job", status={"active": 1, "ready": 0})
    world.settle()


def stop_job(world: ProductWorld) -> None:
    """The Job controller has taken the pods of a suspended Job down."""
    assert world.get(JOB, "job")["spec"]["suspend"] is True
    world.change(JOB, "job", status={})


# --- admission checks ------------------------------------------------------------------------------------------------


def test_the_list_of_checks_follows_the_queue() -> None:
    """AC-04: what is missing is added as Pending, what is foreign goes, the rest is kept; sorted by name."""
    world = with_checks("b", "a")
    world.submit("w", "cq")
    world.settle()
    assert [(c.name, c.state) for c in world.workload("w").status.admission_checks] == [
        ("a", "Pending"),
        ("b", "Pending"),
    ]
    world.set_check("w", "b", "Ready", "fine")
    world.check("c")
    strategy = {"admissionChecks": [{"name": "c"}, {"name": "b"}]}
    world.set_spec(CLUSTER_QUEUE, "cq", admissionChecksStrategy=strategy)
    world.settle(2)
    states = [(c.name, c.state, c.message) for c in world.workload("w").status.admission_checks]
    assert states == [("b", "Ready", "fine"), ("c", "Pending", "")]
    world.remove(LOCAL_QUEUE, "cq")
    world.settle(2)
    assert not world.has_quota("w")
    kept = [(c.name, c.state) for c in world.workload("w").status.admission_checks]
    assert kept == [("b", "Ready"), ("c", "Pending")], "nobody can tell what it needs"


def test_admission_in_two_phases() -> None:
    """CY-02, CY-03, AC-05: quota first; the checks decide when it is admitted."""
    world = with_checks("check")
    world.submit("w", "cq")
    world.settle(5)
    assert world.condition("w", "QuotaReserved") == ("True", "QuotaReserved", "Quota reserved in ClusterQueue cq")
    unready = ("False", "UnsatisfiedAdmissionChecks", "The workload has not all checks ready")
    assert world.condition("w", "Admitted") == unready
    world.set_check("w", "check", "Ready")
    world.settle()
    assert world.condition("w", "Admitted") == ("True", "Admitted", "The workload is admitted")
    told = [event for event in world.events_of("w") if event.startswith("Normal")]
    assert told == [
        "Normal QuotaReserved: Quota reserved in ClusterQueue cq, wait time since queued was 0s",
        "Normal Admitted: Admitted by ClusterQueue cq, wait time since reservation was 5s",
    ]
    world.set_check("w", "check", "Pending")
    world.settle()
    assert world.condition("w", "Admitted") == ("True", "Admitted", "The workload is admitted"), "only a retry evicts"


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"ac1": "m"}, 'Evicted due to AdmissionCheck in Retry state: "ac1" (m)'),
        ({"ac2": "", "ac1": ""}, 'Evicted due to AdmissionChecks in Retry state: "ac1"; "ac2"'),
        ({"ac2": "", "ac1": "m"}, 'Evicted due to AdmissionChecks in Retry state: "ac1" (m); "ac2"'),
    ],
    ids=["AC-10", "AC-11 two", "one with a message"],
)
def test_a_check_that_wants_a_retry_evicts(checks: dict[str, str], message: str) -> None:
    """The states start anew, and who asked is counted."""
    world = with_checks("ac1", "ac2")
    world.submit("w", "cq")
    world.settle()
    world.set_check("w", "ac2", "Ready")
    for name, text in checks.items():
        world.set_check("w", name, "Retry", text)
    world.settle()
    assert world.condition("w", "Evicted") == ("True", "AdmissionCheck", message)
    assert f"Normal EvictedDueToAdmissionCheck: {message}" in world.events_of("w")
    for check in world.workload("w").status.admission_checks:
        before = "Retry" if check.name in checks else "Ready"
        assert (check.state, check.message) == ("Pending", f"Reset to Pending after eviction. Previously: {before}")
        assert (check.retry_count or 0) == (1 if check.name in checks else 0)


def test_an_eviction_is_told_by_every_check() -> None:
    """AC-10: also by one that was still pending; only a change of state moves its time."""
    world = with_checks("ac1", "ac2")
    world.submit("w", "cq")
    world.settle()
    [_, before] = world.workload("w").status.admission_checks
    world.set_check("w", "ac1", "Retry", "m")
    world.settle(5)
    [_, after] = world.workload("w").status.admission_checks
    assert (after.state, after.message) == ("Pending", "Reset to Pending after eviction. Previously: Pending")
    assert after.last_transition_time == before.last_transition_time


def test_the_latest_patience_counts() -> None:
    """AC-12: of several checks that ask for time the longest is granted, and it never shrinks."""
    world = with_checks("ac1", "ac2")
    world.submit("w", "cq")
    world.settle()
    status = world.get(WORKLOAD, "w")["status"]
    states = [
        {**check, "state": "Retry", "requeueAfterSeconds": seconds, "lastTransitionTime": at(2)}
        for check, seconds in zip(status["admissionChecks"], (120, 60), strict=True)
    ]
    world.change(WORKLOAD, "w", status={**status, "admissionChecks": states})
    world.settle()
    state = world.workload("w").status.requeue_state
    assert state is not None
    assert state.requeue_at == at(122)
    world.set_check("w", "ac2", "Retry", requeueAfterSeconds=5)
    world.settle()
    state = world.workload("w").status.requeue_state
    assert state is not None
    assert state.requeue_at == at(122)


def test_a_rejected_check_deactivates() -> None:
    """AC-13: the target is noted, then the Workload is deactivated and evicted for it."""
    world = with_checks("ac1")
    world.submit("w", "cq")
    world.settle()
    world.set_check("w", "ac1", "Rejected", "m")
    world.settle()
    text = 'AdmissionCheck in Rejected state: "ac1" (m)'
    assert world.get(WORKLOAD, "w")["spec"]["active"] is False
    want = ("True", "DeactivatedDueToAdmissionCheck", f"The workload is deactivated due to {text}")
    assert world.condition("w", "Evicted") == want
    assert world.condition("w", "DeactivationTarget") is None
    assert f"Warning AdmissionCheckRejected: Deactivated due to {text}" in world.events_of("w")
    assert f"Normal EvictedDueToDeactivatedDueToAdmissionCheck: {want[2]}" in world.events_of("w")


def test_a_failed_check_keeps_a_workload_from_being_nominated() -> None:
    """AC-14: as long as a check has not taken its refusal back there is no attempt."""
    world = with_checks("ac1", quotas="default:0")
    world.submit("w", "cq")
    world.settle(2)
    world.set_check("w", "ac1", "Retry")
    world.queue("cq", "default:4", admissionChecksStrategy={"admissionChecks": [{"name": "ac1"}]})
    world.settle(3)
    assert world.condition("w", "QuotaReserved") == (
        "False",
        "PendingEvaluation",
        "The workload has failed admission checks",
    )


# --- pods that do not become ready -----------------------------------------------------------------------------------


def test_backoff_doubles_with_each_timeout() -> None:
    """LC-01, LC-21: 60 s, 120 s, 240 s; until then the Workload is not requeued, and says so."""
    world = make_world(wait_for_pods_ready=waiting_for_pods())
    name = start_job(world)
    for count, backoff in ((1, 60), (2, 120), (3, 240)):
        assert world.has_quota(name)
        world.settle(MINUTE)
        assert world.condition(name, "Evicted") == (
            "True",
            "PodsReadyTimeout",
            f"Exceeded the PodsReady timeout ns/{name}",
        )
        state = world.workload(name).status.requeue_state
        assert state is not None
        assert state.count == count
        stop_job(world)
        world.settle()
        assert world.condition(name, "Requeued") == (
            "False",
            "PodsReadyTimeout",
            f"Exceeded the PodsReady timeout ns/{name}",
        )
        assert world.condition(name, "QuotaReserved") == (
            "False", "PendingEvaluation", f"Exceeded the PodsReady timeout ns/{name}",
        )  # fmt: skip
        assert not world.has_quota(name)
        world.settle(backoff - 3)
        assert not world.has_quota(name)
        world.settle(4)
        assert world.has_quota(name)
        assert world.condition(name, "Requeued") == ("True", "BackoffFinished", "The workload backoff was finished")
        assert world.condition(name, "Evicted") == (
            "False", "QuotaReserved", f"Previously: Exceeded the PodsReady timeout ns/{name}",
        )  # fmt: skip
        run_pod(world)
    stats = world.workload(name).status.scheduling_stats
    assert stats is not None
    assert [(e.reason, e.underlying_cause, e.count) for e in stats.evictions] == [
        ("PodsReadyTimeout", "WaitForStart", 3)
    ]


@pytest.mark.parametrize("limit", [0, 1], ids=["LC-02 none", "LC-03 one"])
def test_after_the_last_retry_it_is_deactivated(limit: int) -> None:
    """The number of retries is limited; afterwards the user decides."""
    world = make_world(wait_for_pods_ready=waiting_for_pods(backoff_limit_count=limit))
    name = start_job(world)
    for _ in range(limit):
        world.settle(MINUTE)
        stop_job(world)
        world.settle(MINUTE + 1)
        run_pod(world)
    world.settle(MINUTE)
    assert world.get(WORKLOAD, name)["spec"]["active"] is False
    why = "The workload is deactivated due to exceeding the maximum number of re-queuing retries"
    assert world.condition(name, "Evicted") == ("True", "DeactivatedDueToRequeuingLimitExceeded", why)
    assert world.workload(name).status.requeue_state is None
    stats = world.workload(name).status.scheduling_stats
    assert stats is not None
    assert (stats.evictions[-1].reason, stats.evictions[-1].underlying_cause) == (
        "Deactivated",
        "RequeuingLimitExceeded",
    )
    stop_job(world)
    world.settle()
    assert world.condition(name, "QuotaReserved") == ("False", "Deactivated", "The workload is deactivated")
    world.set_spec(WORKLOAD, name, active=True)
    world.settle()
    assert world.condition(name, "Requeued") == ("True", "Reactivated", "The workload was reactivated")
    assert world.has_quota(name), "the user decided"


def test_one_that_backs_off_is_deactivated() -> None:
    """It lost its quota before; the deactivation is an eviction of its own, told and counted."""
    world = make_world(wait_for_pods_ready=waiting_for_pods())
    name = start_job(world)
    world.settle(MINUTE)
    stop_job(world)
    world.settle(1)
    assert not world.has_quota(name)
    world.set_spec(WORKLOAD, name, active=False)
    world.settle(1)
    assert world.condition(name, "Evicted") == ("True", "Deactivated", "The workload is deactivated")
    assert world.events_of(name).count("Normal EvictedDueToDeactivated: The workload is deactivated") == 1
    status = world.workload(name).status
    assert status.requeue_state is None
    assert status.scheduling_stats is not None
    assert [(e.reason, e.count) for e in status.scheduling_stats.evictions] == [
        ("PodsReadyTimeout", 1),
        ("Deactivated", 1),
    ]


def test_a_recovery_has_its_own_limit() -> None:
    """LC-05: from when the pods were lost, with its own cause."""
    world = make_world(wait_for_pods_ready=waiting_for_pods(recovery_s=10))
    world.submit("w", "cq")
    world.settle(1)
    world.set_pods_ready("w", "True", "Started")
    world.settle(300)
    world.set_pods_ready("w", "False", "WaitForRecovery")
    world.settle(9)
    assert world.condition("w", "Evicted") is None
    world.settle(1)
    stats = world.workload("w").status.scheduling_stats
    assert stats is not None
    assert stats.evictions[0].underlying_cause == "WaitForRecovery"


def test_ready_pods_and_the_gate_stop_the_clock() -> None:
    """LC-04: nothing runs out while pods are ready, nor where the feature is off."""
    world = make_world(wait_for_pods_ready=waiting_for_pods())
    world.submit("w", "cq")
    world.settle(1)
    world.set_pods_ready("w", "True", "Started")
    world.settle(HOUR)
    assert world.condition("w", "Evicted") is None
    world = make_world({Gate.DISABLE_WAIT_FOR_PODS_READY: True}, wait_for_pods_ready=waiting_for_pods())
    world.submit("w", "cq")
    world.settle(HOUR)
    assert world.condition("w", "Evicted") is None


@pytest.mark.parametrize("fine", [True, False], ids=["WaitingForPodsReady", "legacy Waiting"])
def test_others_wait_for_pods_that_are_not_ready(fine: bool) -> None:
    """LC-06: with blockAdmission one starts after the other, whatever queue it is in."""
    gates = {Gate.UNADMITTED_WORKLOADS_OBSERVABILITY: fine}
    world = make_world(gates, wait_for_pods_ready=waiting_for_pods(block=True))
    world.queue("other", "default:4")
    world.submit("a", "cq")
    world.settle(1)
    world.submit("b", "other")
    world.settle(1)
    reason = "WaitingForPodsReady" if fine else "Waiting"
    message = "waiting for all admitted workloads to be in PodsReady condition"
    assert world.condition("b", "QuotaReserved") == ("False", reason, message)
    world.set_pods_ready("a", "True", "Started")
    world.settle(1)
    assert world.has_quota("b")


# --- execution time --------------------------------------------------------------------------------------------------


def test_execution_time_is_limited() -> None:
    """LC-07, LC-08: what ran before counts; nothing is written before the time is over."""
    world = make_world()
    world.submit("w", "cq", maximumExecutionTimeSeconds=60)
    status = {"accumulatedPastExecutionTimeSeconds": 30}
    world.change(WORKLOAD, "w", status=status)
    world.settle(29)
    assert world.condition("w", "DeactivationTarget") is None
    assert world.workload("w").status.accumulated_past_execution_time_seconds == 30
    world.settle(1)
    why = "The workload is deactivated due to exceeding the maximum execution time"
    assert world.condition("w", "Evicted") == ("True", "DeactivatedDueToMaximumExecutionTimeExceeded", why)
    assert world.workload("w").status.accumulated_past_execution_time_seconds is None
    want = "Warning MaximumExecutionTimeExceeded: The maximum execution time (60s) exceeded"
    assert world.events_of("w").count(want) == 1


# --- deactivation, stops, gates --------------------------------------------------------------------------------------


def test_a_user_deactivates_and_activates_again() -> None:
    """LC-10, LC-11, LC-22: evicted and out of the queue; activated it is pending again, and the past is closed."""
    world = make_world()
    name = start_job(world)
    world.set_spec(WORKLOAD, name, active=False)
    world.settle()
    assert world.condition(name, "Evicted") == ("True", "Deactivated", "The workload is deactivated")
    assert world.has_quota(name), "the quota is kept until the job has stopped"
    stop_job(world)
    world.settle()
    assert world.condition(name, "QuotaReserved") == ("False", "Deactivated", "The workload is deactivated")
    assert world.condition(name, "Requeued") == ("False", "Deactivated", "The workload is deactivated")
    world.settle(HOUR)
    assert not world.has_quota(name)
    world.set_spec(WORKLOAD, name, active=True)
    world.settle()
    assert world.condition(name, "Requeued") == ("True", "Reactivated", "The workload was reactivated")
    assert world.condition(name, "Evicted") == ("False", "QuotaReserved", "Previously: The workload is deactivated")
    assert world.has_quota(name)


def test_a_job_some_of_whose_pods_are_done_comes_back() -> None:
    """It is granted what is left of it, which makes it no other job (jobs.md §9)."""
    world = make_world()
    job = a_job()
    world.admit_object(JOB, {**job, "spec": {**job["spec"], "parallelism": 4, "completions": 4}})
    world.settle()
    name = next(name for name in world.names(WORKLOAD) if name.startswith("job-job-"))
    world.change(JOB, "job", status={"active": 3, "ready": 3, "succeeded": 1})
    world.settle()
    world.set_spec(WORKLOAD, name, active=False)
    world.settle()
    stop_job(world)
    world.change(JOB, "job", status={"succeeded": 1})
    world.settle(2)
    world.set_spec(WORKLOAD, name, active=True)
    world.settle(2)
    uid = world.workload(name).uid
    admission = world.workload(name).status.admission
    assert admission is not None
    assert admission.pod_set_assignments[0].count == 3
    world.change(JOB, "job", status={"active": 3, "ready": 3, "succeeded": 1})
    world.settle(2)
    assert world.get(JOB, "job")["spec"]["suspend"] is False
    assert world.workload(name).uid == uid
    assert world.has_quota(name)


QUEUES = [
    pytest.param(LOCAL_QUEUE, "LocalQueue", id="LocalQueue"),
    pytest.param(CLUSTER_QUEUE, "ClusterQueue", id="ClusterQueue"),
]
STOPPED_AND_RESTARTED = [
    pytest.param(LOCAL_QUEUE, "LocalQueueStopped", "LocalQueueRestarted", id="LocalQueue"),
    pytest.param(CLUSTER_QUEUE, "ClusterQueueStopped", "ClusterQueueRestarted", id="ClusterQueue"),
]


@pytest.mark.parametrize(("kind", "stopped", "restarted"), STOPPED_AND_RESTARTED)
def test_a_drained_queue_evicts_and_comes_back(kind: Any, stopped: str, restarted: str) -> None:
    """LC-12, LC-14: HoldAndDrain evicts what is admitted; a restart requeues it."""
    noun = kind.kind
    world = make_world()
    name = start_job(world)
    world.set_spec(kind, "cq", stopPolicy="HoldAndDrain")
    world.settle(2)
    assert world.condition(name, "Evicted") == ("True", stopped, f"The {noun} is stopped")
    assert f"Normal EvictedDueTo{stopped}: The {noun} is stopped" in world.events_of(name)
    stop_job(world)
    world.settle(2)
    assert world.condition(name, "Requeued") == ("False", stopped, f"The {noun} is stopped")
    assert world.condition(name, "QuotaReserved") == ("False", "Suspended", f"{noun} cq is inactive")
    world.set_spec(kind, "cq", stopPolicy="None")
    world.settle(2)
    assert world.condition(name, "Requeued") == (
        "True", restarted, f"The {noun} was restarted after being stopped",
    )  # fmt: skip
    assert world.has_quota(name)


@pytest.mark.parametrize(("kind", "noun"), QUEUES)
@pytest.mark.parametrize("policy", ["Hold", "HoldAndDrain"])
def test_a_stopped_queue_takes_back_what_is_only_reserved(kind: Any, noun: str, policy: str) -> None:
    """LC-12, LC-13: what is not admitted loses its reservation at once; others that wait go on waiting."""
    world = with_checks("ac", quotas="default:1")
    world.submit("w", "cq")
    world.submit("next", "cq")
    world.settle(2)
    world.set_spec(kind, "cq", stopPolicy=policy)
    world.settle(2)
    assert not world.has_quota("w")
    assert world.condition("w", "Evicted") is None
    reserved = world.condition("w", "QuotaReserved")
    assert reserved in {
        ("False", "Suspended", f"{noun} cq is stopped"),
        ("False", "Suspended", f"{noun} cq is inactive"),
    }
    assert world.condition("next", "QuotaReserved") == ("False", "Suspended", f"{noun} cq is inactive")


@pytest.mark.parametrize(("kind", "noun"), QUEUES)
def test_hold_leaves_the_admitted_alone(kind: Any, noun: str) -> None:
    """LC-13: what is admitted runs on, what waits waits."""
    del noun
    world = make_world()
    world.submit("w", "cq")
    world.settle(1)
    world.set_pods_ready("w", "True", "Started")
    world.set_spec(kind, "cq", stopPolicy="Hold")
    world.submit("late", "cq")
    world.settle(HOUR)
    assert world.condition("w", "Admitted") == ("True", "Admitted", "The workload is admitted")
    assert world.condition("w", "Evicted") is None
    assert not world.has_quota("late")


@pytest.mark.parametrize("fine", [True, False], ids=["Misconfigured", "legacy Inadmissible"])
def test_a_missing_queue_is_told(fine: bool) -> None:
    """LC-15: which of the two is missing."""
    world = make_world({Gate.UNADMITTED_WORKLOADS_OBSERVABILITY: fine})
    reason = "Misconfigured" if fine else "Inadmissible"
    world.put(LOCAL_QUEUE, {"metadata": {"name": "astray"}, "spec": {"clusterQueue": "nowhere"}})
    world.submit("a", "nobody")
    world.submit("b", "astray")
    world.settle(2)
    assert world.condition("a", "QuotaReserved") == ("False", reason, "LocalQueue nobody doesn't exist")
    assert world.condition("b", "QuotaReserved") == ("False", reason, "ClusterQueue nowhere doesn't exist")
    assert world.condition("b", "Admitted") == ("False", "NoReservation", "The workload has no reservation")


def test_a_queue_that_selects_the_namespace_no_longer() -> None:
    """What waits is told at once, without being tried; what is admitted runs on."""
    world = make_world()
    world.submit("w", "cq", "4")
    world.settle(1)
    world.submit("late", "cq", "2")
    world.settle(2)
    assert world.condition("late", "QuotaReserved")[:2] == ("False", "WaitingForQuota")  # type: ignore[index]
    world.set_spec(CLUSTER_QUEUE, "cq", namespaceSelector={"matchLabels": {"no": "such"}})
    world.settle(2)
    text = "workload namespace doesn't match ClusterQueue selector"
    assert world.condition("late", "QuotaReserved") == ("False", "Misconfigured", text)
    assert world.condition("w", "Admitted") == ("True", "Admitted", "The workload is admitted")


def test_a_queue_that_selects_the_namespace_again() -> None:
    """Who is not tried, for somebody is ahead, keeps nothing of the cause either."""
    world = make_world()
    world.set_spec(CLUSTER_QUEUE, "cq", queueingStrategy="StrictFIFO")
    for name in ("w", "first", "late"):
        world.submit(name, "cq", "4")
        world.settle(1)
    for selector in ({"matchLabels": {"no": "such"}}, {}):
        world.set_spec(CLUSTER_QUEUE, "cq", namespaceSelector=selector)
        world.settle(2)
    reasons = [world.condition(name, "QuotaReserved")[1] for name in ("first", "late")]  # type: ignore[index]
    assert reasons == ["WaitingForQuota", "PendingEvaluation"]


def test_a_queue_below_a_cycle_of_cohorts() -> None:
    """It admits nobody, and its Workloads go on saying so, though its own condition does not (§7)."""
    world = make_world()
    for name, parent in (("a", "b"), ("b", "a")):
        world.put(COHORT, {"metadata": {"name": name}, "spec": {"parentName": parent}})
    world.set_spec(CLUSTER_QUEUE, "cq", cohortName="a")
    world.submit("w", "cq")
    world.settle(3)
    assert world.condition("w", "QuotaReserved") == ("False", "Suspended", "ClusterQueue cq is inactive")
    world.put(COHORT, {"metadata": {"name": "b"}, "spec": {}})
    world.settle(3)
    assert world.has_quota("w")


@pytest.mark.parametrize("fine", [True, False], ids=["Suspended", "legacy Inadmissible"])
def test_what_kept_a_workload_is_over(fine: bool) -> None:
    """§10.5: nothing of the cause is left in the condition, also where the Workload is not tried again for long."""
    world = make_world({Gate.UNADMITTED_WORKLOADS_OBSERVABILITY: fine})
    name = start_job(world)
    world.change(WORKLOAD, name, spec={**world.get(WORKLOAD, name)["spec"], "active": False})
    world.settle(2)
    stop_job(world)
    world.set_spec(CLUSTER_QUEUE, "cq", stopPolicy="Hold")
    world.change(
        WORKLOAD, name, status={**world.get(WORKLOAD, name)["status"], "requeueState": {"requeueAt": at(HOUR)}}
    )
    world.set_spec(WORKLOAD, name, active=True)
    world.settle(2)
    reason = "Suspended" if fine else "Inadmissible"
    assert world.condition(name, "QuotaReserved") == ("False", reason, "ClusterQueue cq is inactive")
    world.set_spec(CLUSTER_QUEUE, "cq", stopPolicy="None")
    world.settle(2)
    text = "Workload is pending evaluation in the scheduling queue"
    reason = "PendingEvaluation" if fine else "Pending"
    assert world.condition(name, "QuotaReserved") == ("False", reason, text)


def test_a_reservation_in_a_queue_that_goes() -> None:
    """A queue that is deleted takes back what is only reserved."""
    world = with_checks("ac")
    world.submit("w", "cq")
    world.settle(2)
    world.remove(LOCAL_QUEUE, "cq")
    world.settle(2)
    assert not world.has_quota("w")
    told = world.condition("w", "QuotaReserved")
    assert told in {
        ("False", "Misconfigured", "LocalQueue cq is terminating or missing"),
        ("False", "Misconfigured", "LocalQueue cq doesn't exist"),
    }


def test_admission_gates() -> None:
    """LC-16: as long as one is left the Workload is not queued; then it competes as any other."""
    world = make_world()
    world.submit("w", "cq", metadata={"annotations": {K + "admission-gated-by": "a,b"}})
    world.settle(2)
    assert world.condition("w", "QuotaReserved") == ("False", "AdmissionGated", "Admission is gated by: a,b")
    assert world.condition("w", "Admitted") == ("False", "NoReservation", "The workload has no reservation")
    assert world.events_of("w") == ["Normal AdmissionGated: Workload admission is gated by: a,b"]
    world.change(WORKLOAD, "w", metadata={"annotations": {K + "admission-gated-by": "b"}})
    world.settle(2)
    assert world.condition("w", "QuotaReserved") == ("False", "AdmissionGated", "Admission is gated by: b")
    world.change(WORKLOAD, "w", metadata={"annotations": {}})
    world.settle()
    assert world.has_quota("w")
    assert [event.partition(":")[0] for event in world.events_of("w")[-3:]] == [
        "Normal AdmissionGateCleared", "Normal QuotaReserved", "Normal Admitted",
    ], "that the gate is gone is told before anything else happens"  # fmt: skip


def test_an_inactive_workload_with_a_gate() -> None:
    """It says that it is inactive, and settles; the gate is noted again when it is active."""
    world = make_world()
    world.submit("w", "cq", metadata={"annotations": {K + "admission-gated-by": "a"}})
    world.settle(2)
    world.set_spec(WORKLOAD, "w", active=False)
    world.settle(2)
    assert world.condition("w", "QuotaReserved") == ("False", "Deactivated", "The workload is deactivated")
    world.set_spec(WORKLOAD, "w", active=True)
    world.settle(2)
    assert world.condition("w", "QuotaReserved") == ("False", "AdmissionGated", "Admission is gated by: a")


def test_admission_gates_are_a_gate() -> None:
    """With the gate off the annotation means nothing."""
    world = make_world({Gate.ADMISSION_GATED_BY: False})
    world.submit("w", "cq", metadata={"annotations": {K + "admission-gated-by": "a"}})
    world.settle()
    assert world.has_quota("w")


@pytest.mark.parametrize("explicit", [True, False], ids=["said at once", "said after the first attempt"])
def test_a_fresh_workload(explicit: bool) -> None:
    """LC-17: the condition is there before the first attempt only where it is asked for."""
    gates = {Gate.UNADMITTED_WORKLOADS_EXPLICIT_STATUS: explicit}
    world = make_world(gates, wait_for_pods_ready=waiting_for_pods(block=True))
    world.submit("first", "cq")
    world.submit("second", "cq")
    world.settle(1)
    world.submit("w", "cq", "2")
    world.settle()
    want = ("False", "PendingEvaluation", "Workload is pending evaluation in the scheduling queue")
    assert world.condition("w", "QuotaReserved") == (want if explicit else None)


def test_a_closed_preemption_gate() -> None:
    """CY-47: a Workload that may not preempt says so in a condition of its own, until it has quota."""
    world = make_world({Gate.MULTIKUEUE_ORCHESTRATED_PREEMPTION: True})
    world.queue("cq", "default:1", preemption={"withinClusterQueue": "LowerPriority"})
    world.submit("low", "cq", priority=-1)
    world.settle(1)
    world.submit("w", "cq", preemptionGates=[{"name": "kueue.x-k8s.io/multikueue"}])
    world.settle(1)
    text = "Workload requires preemption, but it's gated"
    assert world.condition("w", "QuotaReserved") == ("False", "AdmissionGated", text)
    assert world.condition("w", "BlockedOnPreemptionGates") == ("True", "PreemptionGated", text)
    assert f"Warning AdmissionGated: {text}" in world.events_of("w")
    world.remove(WORKLOAD, "low")
    world.settle(2)
    assert world.condition("w", "BlockedOnPreemptionGates") == ("False", "QuotaReserved", f"Previously: {text}")


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retention_s", [HOUR, 0, None], ids=["an hour", "at once", "for ever"])
def test_finished_workloads_are_kept_for_a_while(retention_s: int | None) -> None:
    """LC-18: from the end on, and only if it is configured."""
    after = None if retention_s is None else retention_s * SECOND_US
    world = make_world(
        object_retention_policies=ObjectRetentionPolicies(workloads=WorkloadRetention(after_finished_us=after))
    )
    world.submit("w", "cq", metadata={"finalizers": [IN_USE]})
    world.settle(1)
    world.set_condition("w", "Finished", "True", "Succeeded")
    world.settle((retention_s or HOUR) - 1)
    assert (world.get(WORKLOAD, "w") is None) is (retention_s == 0)
    world.settle(1)
    assert (world.get(WORKLOAD, "w") is None) is (retention_s is not None)
    note = "Normal Deleted: Deleted finished workload due to elapsed retention"
    assert world.events_of("w").count(note) == (0 if retention_s is None else 1)


@pytest.mark.parametrize("gate", [True, False])
def test_an_orphan_is_finished(gate: bool) -> None:
    """LC-19: nobody owns it any more, but a job did."""
    world = make_world({Gate.FINISH_ORPHANED_WORKLOADS: gate})
    meta = {"ownerReferences": [], "labels": {K + "job-uid": "u"}, "finalizers": [IN_USE]}
    world.submit("w", "cq", metadata=meta)
    world.settle(1)
    if gate:
        assert world.condition("w", "Finished") == ("True", "OwnerNotFound", "The workload's owner no longer exists")
        assert world.get(WORKLOAD, "w")["metadata"].get("finalizers") is None
    else:
        assert world.condition("w", "Finished") is None


def test_who_tells_of_workloads() -> None:
    """Evictions are told by one reporter, whoever evicts; the rest of a life by the Workload's reconciler."""
    reporters: dict[str, str] = {}
    for marks, is_active in (({K + "admission-gated-by": "a"}, True), ({}, False)):
        world = make_world()
        world.submit("w", "cq", metadata={"annotations": marks}, active=is_active)
        reconciler = next(each for each in world.parts.reconcilers if each.name == "workload")
        commands = reconciler.reconcile(world.reader, ObjectKey("ns", "w"), world.now).commands
        reporters |= {command.reason: command.reporter for command in commands if isinstance(command, Emit)}
    assert reporters == {"AdmissionGated": "kueue-workload-controller", "EvictedDueToDeactivated": "kueue-admission"}


def test_a_preempted_job_goes_back_at_once() -> None:
    """LC-20: its quota is given away when its pods are gone, and it waits again without a backoff."""
    world = make_world()
    world.queue("cq", "default:1", preemption={"withinClusterQueue": "LowerPriority"})
    name = start_job(world)
    assert world.has_quota(name)
    world.submit("urgent", "cq", priority=9)
    world.settle()
    preempted = world.condition(name, "Preempted")
    assert preempted is not None
    assert preempted[:2] == ("True", "InClusterQueue")
    evicted = world.condition(name, "Evicted")
    assert evicted is not None
    assert evicted[:2] == ("True", "Preempted")
    assert world.has_quota(name)
    waiting = world.condition("urgent", "QuotaReserved")
    assert waiting is not None
    assert waiting[1] == "WaitingForPreemptedWorkloads"
    assert waiting[2].endswith("1 more needed. Pending the preemption of 1 workload(s)")
    stop_job(world)
    world.settle(2)
    assert world.condition(name, "Requeued") == ("True", "Preempted", evicted[2])
    assert world.has_quota("urgent")
    told = world.condition(name, "QuotaReserved")
    assert told is not None
    assert told[1] == "WaitingForQuota"
    assert [event.split(":")[0] for event in world.events_of(name) if "reempt" in event] == [
        "Normal EvictedDueToPreempted",
        "Normal Preempted",
    ]
    assert any(
        event.startswith("Normal PreemptedWorkload: Preempted workload ns/") for event in world.events_of("urgent")
    )


class Conflicting(ProductWorld):
    """A world in which the first evictions meet somebody else's write."""

    conflicts = 0

    def _perform(self, token: int, commands: tuple[Command, ...]) -> None:
        evicts = any(isinstance(c, Emit) and c.reason == "EvictedDueToPreempted" for c in commands)
        if evicts and self.conflicts:
            self.conflicts -= 1
            self.change(WORKLOAD, "low", metadata={"labels": {"written": str(self.conflicts)}})
            self._controller.finished(token, Conflict("the object has been modified"), self.now)
            return
        super()._perform(token, commands)


@pytest.mark.parametrize("conflicts", [0, 3])
def test_an_eviction_is_tried_again_on_a_conflict(conflicts: int) -> None:
    """PR-32: the victim changed meanwhile; it is evicted as it is now, and what was written of it stays."""
    world = Conflicting()
    world.queue("cq", "default:1", preemption={"withinClusterQueue": "LowerPriority"})
    world.submit("low", "cq", priority=-1)
    world.settle(2)
    world.conflicts = conflicts
    world.submit("w", "cq")
    world.settle(2)
    preempted = world.condition("low", "Preempted")
    assert preempted is not None
    assert preempted[1] == "InClusterQueue"
    assert world.events_of("low").count(f"Normal EvictedDueToPreempted: {preempted[2]}") == 1
    stats = world.workload("low").status.scheduling_stats
    assert stats is not None
    assert [(e.reason, e.count) for e in stats.evictions] == [("Preempted", 1)]
    assert world.workload("low").metadata.labels == ({"written": "0"} if conflicts else {})


# --- queues ----------------------------------------------------------------------------------------------------------


def test_why_a_queue_admits_nobody() -> None:
    """LC-23: all reasons in one message, the first as the reason."""
    world = make_world()
    world.queue("q", "a:4")
    world.remove(RESOURCE_FLAVOR, "a")
    world.set_spec(CLUSTER_QUEUE, "q", stopPolicy="Hold")
    world.settle(1)
    (active,) = world.get(CLUSTER_QUEUE, "q")["status"]["conditions"]
    assert (active["status"], active["reason"]) == ("False", "Stopped")
    assert active["message"] == "Can't admit new workloads: is stopped, references missing ResourceFlavor(s): a."


@pytest.mark.parametrize(("cohort", "borrowed"), [("co", "2"), ("", "0")])
def test_usage_is_told_with_what_is_borrowed(cohort: str, borrowed: str) -> None:
    """LC-24: above nominal in a cohort is borrowed; without one nothing is."""
    world = ProductWorld()
    world.queue("lender", "default:9", **({"cohortName": "co"} if cohort else {}))
    world.queue("q", "default:7", **({"cohortName": cohort} if cohort else {}))
    world.submit("w", "q", "7")
    world.settle(2)
    groups = [
        {
            "coveredResources": ["cpu"],
            "flavors": [{"name": "default", "resources": [{"name": "cpu", "nominalQuota": "5"}]}],
        }
    ]
    world.set_spec(CLUSTER_QUEUE, "q", resourceGroups=groups)
    world.settle(2)
    status = world.get(CLUSTER_QUEUE, "q")["status"]
    [cpu] = status["flavorsReservation"][0]["resources"]
    assert (cpu["total"], cpu["borrowed"]) == ("7", borrowed)
    assert status["flavorsUsage"] == status["flavorsReservation"]


def test_a_change_of_priority_wakes_the_tree() -> None:
    """LC-25: a Workload that is less important now may be preempted by who waits elsewhere in the cohort."""
    world = ProductWorld()
    world.queue("a", "default:0", cohortName="co")
    preemption = {"reclaimWithinCohort": "LowerPriority"}
    world.queue("b", "default:1", cohortName="co", preemption=preemption)
    world.submit("held", "a", priority=5)
    world.settle(2)
    world.submit("w", "b", priority=3)
    world.settle(5)
    assert world.condition("held", "Preempted") is None
    world.set_spec(WORKLOAD, "held", priority=1)
    world.settle(2)
    preempted = world.condition("held", "Preempted")
    assert preempted is not None
    assert preempted[1] == "InCohortReclamation"
