"""The life of a Workload, step by step."""

from __future__ import annotations

from typing import Any

import msgspec

from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.v1beta2 import (
    Admission,
    AdmissionCheckState,
    ObjectMeta,
    PodSetAssignment,
    PodSetUpdate,
    RequeueState,
    Workload,
    WorkloadStatus,
)
from pykueue.controllers.core import transitions

T0 = Instant(1_800_000_000 * SECOND_US)
ADMISSION = Admission(cluster_queue="cq", pod_set_assignments=(PodSetAssignment(name="main", count=1),))


def make_workload(**status: Any) -> Workload:
    return Workload(metadata=ObjectMeta(name="w", namespace="ns", generation=3), status=WorkloadStatus(**status))


def later(seconds: int) -> Instant:
    return Instant(T0 + seconds * SECOND_US)


def shown(workload: Workload) -> dict[str, tuple[str, str, str]]:
    return {c.type: (c.status, c.reason, c.message) for c in workload.status.conditions}


def test_reserving_without_checks_admits_in_the_same_write() -> None:
    """QuotaReserved and Admitted turn True together when there is nothing to wait for."""
    workload = transitions.sync_admitted(transitions.reserve_quota(make_workload(), ADMISSION, T0), T0)
    assert workload.status.admission == ADMISSION
    assert shown(workload) == {
        "QuotaReserved": ("True", "QuotaReserved", "Quota reserved in ClusterQueue cq"),
        "Admitted": ("True", "Admitted", "The workload is admitted"),
    }


def test_a_pending_check_keeps_the_workload_from_being_admitted() -> None:
    """Two-phase admission: quota first, checks second."""
    check = AdmissionCheckState(name="c", state="Pending")
    workload = transitions.sync_admitted(
        transitions.reserve_quota(make_workload(admission_checks=(check,)), ADMISSION, T0), T0
    )
    assert shown(workload)["Admitted"] == (
        "False",
        "UnsatisfiedAdmissionChecks",
        "The workload has not all checks ready",
    )


def test_admitted_is_silent_before_the_first_word_on_quota() -> None:
    """Admitted=False is only created once a QuotaReserved condition exists."""
    workload = make_workload()
    assert transitions.sync_admitted(workload, T0) is workload


def test_an_eviction_writes_everything_at_once_and_keeps_the_reservation() -> None:
    """Condition, checks, cluster, statistics; the admission stays until the job has stopped."""
    update = PodSetUpdate(name="main", labels={"a": "b"})
    checks = (
        AdmissionCheckState(name="a", state="Retry", retry_count=1, message="later", requeue_after_seconds=7),
        AdmissionCheckState(name="b", state="Ready", pod_set_updates=(update,)),
    )
    reserved = transitions.reserve_quota(make_workload(admission_checks=checks, cluster_name="far"), ADMISSION, T0)
    evicted = transitions.evict(reserved, Reason.ADMISSION_CHECK, "why", later(5), cause="")
    assert evicted.status.admission == ADMISSION
    assert evicted.status.cluster_name is None
    assert shown(evicted)["Evicted"] == ("True", "AdmissionCheck", "why")
    first, second = evicted.status.admission_checks
    assert (first.state, first.retry_count, first.requeue_after_seconds) == ("Pending", 2, 7)
    assert first.message == "Reset to Pending after eviction. Previously: Retry"
    assert (second.state, second.retry_count, second.pod_set_updates) == ("Pending", None, ())
    again = transitions.evict(evicted, Reason.ADMISSION_CHECK, "why", later(9))
    assert again.status.scheduling_stats is not None
    assert [(e.reason, e.underlying_cause, e.count) for e in again.status.scheduling_stats.evictions] == [
        ("AdmissionCheck", "", 2)
    ]


def test_reserving_again_closes_the_past() -> None:
    """Evicted and Preempted turn False and remember what they said."""
    reserved = transitions.reserve_quota(make_workload(), ADMISSION, T0)
    evicted = transitions.preempt(reserved, Reason.IN_CLUSTER_QUEUE, "made room", later(1))
    released = transitions.release_quota(evicted, Reason.PENDING_EVALUATION, "made room", later(2))
    assert released.status.admission is None
    back = transitions.reserve_quota(released, ADMISSION, later(3))
    assert shown(back)["Evicted"] == ("False", "QuotaReserved", "Previously: made room")
    assert shown(back)["Preempted"] == ("False", "QuotaReserved", "Previously: made room")


def test_time_spent_admitted_is_added_up() -> None:
    """Losing admission adds the elapsed seconds to what was spent before."""
    admitted = transitions.sync_admitted(transitions.reserve_quota(make_workload(), ADMISSION, T0), T0)
    once = transitions.release_quota(admitted, Reason.PENDING_EVALUATION, "x", later(40))
    assert once.status.accumulated_past_execution_time_seconds == 40
    again = transitions.sync_admitted(transitions.reserve_quota(once, ADMISSION, later(100)), later(100))
    twice = transitions.release_quota(again, Reason.PENDING_EVALUATION, "x", later(102))
    assert twice.status.accumulated_past_execution_time_seconds == 42


def test_transition_times_move_only_with_the_status() -> None:
    """Another reason or message keeps the time."""
    first = transitions.with_condition(make_workload(), WorkloadCondition.QUOTA_RESERVED, False, "A", "a", T0)
    second = transitions.with_condition(first, WorkloadCondition.QUOTA_RESERVED, False, "B", "b", later(9))
    third = transitions.with_condition(second, WorkloadCondition.QUOTA_RESERVED, True, "C", "c", later(10))
    times = [w.status.conditions[0].last_transition_time for w in (first, second, third)]
    assert times == [format_time(T0), format_time(T0), format_time(later(10))]


def test_the_requeue_state_keeps_its_count_when_the_backoff_is_over() -> None:
    """The time goes, the count stays; deactivation clears both."""
    waiting = transitions.requeue_later(make_workload(), 2, later(60))
    assert waiting.status.requeue_state == RequeueState(count=2, requeue_at=format_time(later(60)))
    assert transitions.clear_requeue_at(waiting).status.requeue_state == RequeueState(count=2)
    assert transitions.clear_requeue_state(waiting).status.requeue_state is None


def test_transitions_do_not_change_their_argument() -> None:
    """Workloads are values."""
    workload = make_workload()
    before = msgspec.json.encode(workload)
    transitions.evict(transitions.reserve_quota(workload, ADMISSION, T0), "X", "x", T0)
    assert msgspec.json.encode(workload) == before
