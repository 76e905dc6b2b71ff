"""The life of a Workload, step by step."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

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
from pykueue.core.features import Features, Gate

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
    """AC-09: Admitted=False is only created once a QuotaReserved condition exists."""
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
    """AC-07: losing admission adds the elapsed seconds to what was spent before."""
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
    waiting = transitions.requeue_later(make_workload(requeue_state=RequeueState(count=1)), later(60), counts=True)
    assert waiting.status.requeue_state == RequeueState(count=2, requeue_at=format_time(later(60)))
    assert transitions.clear_requeue_at(waiting).status.requeue_state == RequeueState(count=2)
    assert transitions.clear_requeue_state(waiting).status.requeue_state is None


@pytest.mark.parametrize(
    ("known", "counts", "want"),
    [
        (None, False, (None, 60)),
        (None, True, (1, 60)),
        ((1, 90), True, (2, 90)),
        ((1, 30), True, (2, 60)),
        ((1, 60), True, (2, 60)),
        ((1, 90), False, (1, 90)),
        ((3, None), False, (3, 60)),
    ],
    ids=["first", "first that counts", "later stays", "earlier goes", "equal", "nothing new", "a new round"],
)
def test_the_time_to_try_again_only_moves_back(
    known: tuple[int, int | None] | None, counts: bool, want: tuple[int | None, int]
) -> None:
    """RQ-29: the later time wins, and the count goes up by itself."""

    def state(count: int | None, seconds: int | None) -> RequeueState:
        return RequeueState(count=count, requeue_at=None if seconds is None else format_time(later(seconds)))

    workload = make_workload(requeue_state=None if known is None else state(*known))
    assert transitions.requeue_later(workload, later(60), counts=counts).status.requeue_state == state(*want)


CHECKED = {"ready": ("Ready",), "pending": ("Ready", "Pending"), "none": ()}


@pytest.mark.parametrize(
    ("checks", "reserved", "fine", "want"),
    [
        ("none", True, True, ("True", "Admitted")),
        ("ready", True, True, ("True", "Admitted")),
        ("pending", True, True, ("False", "UnsatisfiedAdmissionChecks")),
        ("pending", True, False, ("False", "UnsatisfiedChecks")),
        ("ready", False, True, ("False", "NoReservation")),
        ("ready", False, False, ("False", "NoReservation")),
        ("pending", False, True, ("False", "NoReservation")),
        ("pending", False, False, ("False", "NoReservationUnsatisfiedChecks")),
    ],
)
def test_what_admitted_says(checks: str, reserved: bool, fine: bool, want: tuple[str, str]) -> None:
    """AC-05, AC-06: reservation first, then checks; without fine reasons both at once."""
    states = tuple(AdmissionCheckState(name=str(i), state=state) for i, state in enumerate(CHECKED[checks]))
    workload = transitions.reserve_quota(make_workload(admission_checks=states), ADMISSION, T0)
    if not reserved:
        workload = transitions.with_condition(workload, WorkloadCondition.QUOTA_RESERVED, False, "x", "x", T0)
    features = Features({Gate.UNADMITTED_WORKLOADS_OBSERVABILITY: fine})
    assert shown(transitions.sync_admitted(workload, T0, features))["Admitted"][:2] == want


def test_a_topology_that_is_delayed_is_not_admitted() -> None:
    """AC-08: even if it was admitted before."""
    waiting = PodSetAssignment(name="main", count=1, delayed_topology_request="Pending")
    admitted = transitions.sync_admitted(transitions.reserve_quota(make_workload(), ADMISSION, T0), T0)
    status = msgspec.structs.replace(
        admitted.status, admission=Admission(cluster_queue="cq", pod_set_assignments=(waiting,))
    )
    delayed = transitions.sync_admitted(msgspec.structs.replace(admitted, status=status), T0)
    want = ("False", "PendingDelayedTopologyRequests", "There are pending delayed topology requests")
    assert shown(delayed)["Admitted"] == want


def test_transitions_do_not_change_their_argument() -> None:
    """Workloads are values."""
    workload = make_workload()
    before = msgspec.json.encode(workload)
    transitions.evict(transitions.reserve_quota(workload, ADMISSION, T0), "X", "x", T0)
    assert msgspec.json.encode(workload) == before
