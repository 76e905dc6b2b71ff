"""Counters: what the difference of two versions of a Workload means."""

from __future__ import annotations

import msgspec
import pytest

from pykueue.api.constants import WorkloadCondition
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.series import SERIES, Sample
from pykueue.api.v1beta2 import Admission, AdmissionCheckState, Workload
from pykueue.controllers.core import transitions
from pykueue.controllers.measures import Home, changes, eviction_cause

CREATED = Instant(1_700_000_000 * SECOND_US)
HOME = Home("cq", ("team", "root"), is_local_measured=True, preemptor="other")


def at(seconds: float) -> Instant:
    return Instant(CREATED + int(seconds * SECOND_US))


def make_workload() -> Workload:
    obj = {
        "metadata": {"name": "w", "namespace": "ns", "creationTimestamp": format_time(CREATED)},
        "spec": {
            "queueName": "lq",
            "priorityClassRef": {"group": "kueue.x-k8s.io", "kind": "WorkloadPriorityClass", "name": "high"},
        },
    }
    return msgspec.convert(obj, Workload)


def with_quota(seconds: float, *checks: str) -> Workload:
    states = tuple(AdmissionCheckState(name=f"c{i}", state=state) for i, state in enumerate(checks))
    workload = transitions.with_checks(make_workload(), states)
    return transitions.reserve_quota(workload, Admission(cluster_queue="cq"), at(seconds))


def admitted(seconds: float) -> Workload:
    return transitions.sync_admitted(with_quota(seconds), at(seconds))


def told(
    old: Workload, new: Workload, seconds: float, home: Home = HOME
) -> dict[str, list[tuple[tuple[str, ...], float]]]:
    """Samples by series; each fits its series."""
    found: dict[str, list[tuple[tuple[str, ...], float]]] = {}
    for name, labels, value in changes(old, new, home, at(seconds)):
        assert len(SERIES[name].labels) == len(labels), name
        found.setdefault(name, []).append((labels, value))
    return found


def test_quota_and_admission_at_once() -> None:
    """Both are counted and timed from the creation, for the queue, the LocalQueue and every cohort above."""
    found = told(make_workload(), admitted(7), 7)
    assert found["quota_reserved_workloads_total"] == [(("cq", "high"), 1)]
    assert found["quota_reserved_wait_time_seconds"] == [(("cq", "high"), 7)]
    assert found["local_queue_admitted_workloads_total"] == [(("lq", "ns", "high"), 1)]
    assert found["admission_wait_time_seconds"] == [(("cq", "high"), 7)]
    assert [labels for labels, _ in found["cohort_subtree_admitted_workloads_total"]] == [
        ("team", "high"), ("root", "high"),
    ]  # fmt: skip
    assert "admission_checks_wait_time_seconds" not in found


@pytest.mark.parametrize(("checks", "want"), [((), None), (("Ready",), 0)], ids=["without checks", "with checks"])
def test_checks_that_were_ready_at_once(checks: tuple[str, ...], want: float | None) -> None:
    """Reservation and admission in one write tell of checks only if there are any, and then of no wait."""
    new = transitions.sync_admitted(with_quota(3, *checks), at(3))
    found = told(make_workload(), new, 3).get("admission_checks_wait_time_seconds")
    assert found == (None if want is None else [(("cq", "high"), want)])


def test_checks_that_took_a_while() -> None:
    """The wait for checks is from the reservation to the admission."""
    reserved = with_quota(2, "Pending")
    ready = transitions.with_checks(
        reserved, tuple(msgspec.structs.replace(c, state="Ready") for c in reserved.status.admission_checks)
    )
    found = told(reserved, transitions.sync_admitted(ready, at(30)), 30)
    assert found["admission_checks_wait_time_seconds"] == [(("cq", "high"), 28)]
    assert found["admission_wait_time_seconds"] == [(("cq", "high"), 30)]
    assert "quota_reserved_workloads_total" not in found


def test_the_wait_begins_anew_with_a_requeue() -> None:
    """After an eviction the wait is counted from the requeue, not from the creation."""
    requeued = transitions.with_condition(
        make_workload(), WorkloadCondition.REQUEUED, True, "BackoffFinished", "", at(100)
    )
    new = transitions.reserve_quota(requeued, Admission(cluster_queue="cq"), at(110))
    assert told(requeued, new, 110)["quota_reserved_wait_time_seconds"] == [(("cq", "high"), 10)]


def ready(workload: Workload, *, is_ready: bool, reason: str, seconds: float) -> Workload:
    return transitions.with_condition(workload, WorkloadCondition.PODS_READY, is_ready, reason, "", at(seconds))


def test_ready_pods_are_timed_once() -> None:
    """The first readiness counts; that after a failed pod does not."""
    waiting = ready(admitted(5), is_ready=False, reason="WaitForStart", seconds=5)
    running = ready(waiting, is_ready=True, reason="Started", seconds=9)
    found = told(waiting, running, 9)
    assert found["ready_wait_time_seconds"] == [(("cq", "high"), 9)]
    assert found["local_queue_admitted_until_ready_wait_time_seconds"] == [(("lq", "ns", "high"), 4)]
    lost = ready(running, is_ready=False, reason="WaitForRecovery", seconds=20)
    assert told(lost, ready(lost, is_ready=True, reason="Recovered", seconds=25), 25) == {}


def test_an_eviction_by_preemption_and_its_end() -> None:
    """Eviction, first eviction, time since readiness and preemption, each once; then how long the job held on to the quota."""
    running = ready(admitted(5), is_ready=True, reason="Started", seconds=8)
    evicted = transitions.preempt(running, "InCohortReclamation", "m", at(20))
    found = told(running, evicted, 20)
    assert found["evicted_workloads_total"] == [(("cq", "Preempted", "", "high"), 1)]
    assert found["evicted_workloads_once_total"] == [(("cq", "Preempted", "", "high"), 1)]
    assert found["local_queue_evicted_workloads_total"] == [(("lq", "ns", "Preempted", "", "high"), 1)]
    assert found["pods_ready_to_evicted_time_seconds"] == [(("cq", "Preempted", ""), 12)]
    assert found["preempted_workloads_total"] == [(("other", "InCohortReclamation"), 1)]
    released = transitions.release_quota(evicted, "Pending", "m", at(26))
    assert told(evicted, released, 26) == {"workload_eviction_latency_seconds": [(("cq", "Preempted"), 6)]}


def test_the_second_eviction_for_the_same_reason_is_not_a_first_one() -> None:
    """`once` counts Workloads, the other counts evictions."""
    first = transitions.evict(admitted(5), "PodsReadyTimeout", "m", at(9), cause="WaitForStart")
    second = transitions.evict(first, "PodsReadyTimeout", "m", at(12), cause="WaitForStart")
    found = told(first, second, 12)
    assert found["evicted_workloads_total"] == [(("cq", "PodsReadyTimeout", "WaitForStart", "high"), 1)]
    assert "evicted_workloads_once_total" not in found


def test_the_cause_is_split_from_the_reason() -> None:
    """Kueue's composed reasons are two labels."""
    assert eviction_cause("DeactivatedDueToAdmissionCheck", "") == ("Deactivated", "AdmissionCheck")
    assert eviction_cause("Preempted", "") == ("Preempted", "")


def test_a_finish_tells_the_time_of_execution() -> None:
    """From the first admission over evictions; a Workload that never ran has none."""
    past = transitions.with_past_execution_time(admitted(50), 30)
    over = transitions.with_condition(past, WorkloadCondition.FINISHED, True, "Succeeded", "", at(60))
    found = told(past, over, 60)
    assert found["execution_time_seconds"] == [(("cq", "high"), 40)]
    assert found["local_queue_finished_workloads_total"] == [(("lq", "ns", "high"), 1)]
    idle = make_workload()
    over = transitions.with_condition(idle, WorkloadCondition.FINISHED, True, "OutOfSync", "", at(60))
    assert set(told(idle, over, 60)) == {"finished_workloads_total", "local_queue_finished_workloads_total"}


def test_nothing_happened_without_a_change_of_status() -> None:
    """A new label is no news; a LocalQueue without metrics is not counted."""
    old = admitted(5)
    assert changes(old, msgspec.structs.replace(old, metadata=make_workload().metadata), HOME, at(6)) == ()
    found = changes(make_workload(), old, Home("cq"), at(6))
    assert {sample.name for sample in found if isinstance(sample, Sample)} == {
        "quota_reserved_workloads_total", "quota_reserved_wait_time_seconds",
        "admitted_workloads_total", "admission_wait_time_seconds",
    }  # fmt: skip
