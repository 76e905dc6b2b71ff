"""Writes of a Workload's status (api.md §13)."""

from __future__ import annotations

from pykueue.api.instant import parse_time
from pykueue.api.v1beta2 import (
    Admission,
    AdmissionCheckState,
    Condition,
    EvictionCount,
    ObjectMeta,
    PodSetAssignment,
    PodSetRequest,
    RequeueState,
    SchedulingStats,
    Workload,
    WorkloadStatus,
)
from pykueue.controllers.workload_status import admission_patch, condition_patch, drop_finalizer, set_condition

NOW = parse_time("2026-08-01T10:00:00Z")
THEN = "2026-08-01T09:00:00Z"


def make_workload(**status: object) -> Workload:
    meta = ObjectMeta(
        name="wl", namespace="ns", uid="u", resource_version="7", finalizers=("kueue.x-k8s.io/resource-in-use", "x")
    )
    return Workload(metadata=meta, status=WorkloadStatus(**status))  # type: ignore[arg-type]


def test_whole_admission_part_is_written() -> None:
    """Nothing that `kueue-admission` owns is left out, and names are never left to a default."""
    status = {
        "conditions": (
            Condition(type="Admitted", status="True", reason="Admitted", last_transition_time=THEN),
            Condition(type="WaitingForReplacementPods", status="True", reason="PodsFailed", last_transition_time=THEN),
        ),
        "admission": Admission(
            cluster_queue="cq", pod_set_assignments=(PodSetAssignment(flavors={"cpu": "f"}, count=1),)
        ),
        "requeue_state": RequeueState(count=1),
        "resource_requests": (PodSetRequest(name="main", resources={"cpu": "1"}),),
        "admission_checks": (AdmissionCheckState(name="c", state="Pending", last_transition_time=THEN),),
        "scheduling_stats": SchedulingStats(evictions=(EvictionCount(reason="Preempted", count=1),)),
    }
    workload = make_workload(**status)
    apply = admission_patch(workload, workload, NOW)
    assert (apply.field_manager, apply.subresource, apply.force) == ("kueue-admission", "status", True)
    assert apply.obj["metadata"] == {"name": "wl", "namespace": "ns", "uid": "u", "resourceVersion": "7"}
    assert apply.obj["status"] == {
        "conditions": [
            {"type": "Admitted", "status": "True", "reason": "Admitted", "message": "", "lastTransitionTime": THEN}
        ],
        "admission": {
            "clusterQueue": "cq",
            "podSetAssignments": [{"name": "main", "flavors": {"cpu": "f"}, "count": 1}],
        },
        "requeueState": {"count": 1},
        "admissionChecks": [{"name": "c", "state": "Pending", "message": "", "lastTransitionTime": THEN}],
        "schedulingStats": {"evictions": [{"reason": "Preempted", "underlyingCause": "", "count": 1}]},
    }


def test_requests_are_shown_only_without_admission() -> None:
    """While quota is held they are empty."""
    workload = make_workload(resource_requests=(PodSetRequest(name="main", resources={"cpu": "1"}),))
    written = admission_patch(workload, workload, NOW).obj["status"]
    assert written["resourceRequests"] == [{"name": "main", "resources": {"cpu": "1"}}]


def test_time_moves_with_the_status() -> None:
    """A new reason alone does not move it; long messages are cut."""
    old = (
        Condition(type="A", status="True", reason="X", last_transition_time=THEN),
        Condition(type="B", status="True"),
    )
    same = set_condition(old, Condition(type="A", status="True", reason="Y"), NOW)
    assert (same[0].reason, same[0].last_transition_time) == ("Y", THEN)
    other = set_condition(old, Condition(type="A", status="False", reason="Y", message="m" * 40_000), NOW)
    assert other[0].last_transition_time == "2026-08-01T10:00:00Z"
    assert (len(other[0].message), other[0].message[-5:]) == (32768, "m ...")
    assert [c.type for c in other] == ["A", "B"]


def test_one_condition_under_its_own_manager() -> None:
    """Nothing is written where nothing changes."""
    condition = Condition(type="A", status="True", reason="X")
    workload = make_workload()
    apply = condition_patch(workload, condition, "kueue-pod-controller", NOW)
    assert apply is not None
    assert [c["type"] for c in apply.obj["status"]["conditions"]] == ["A"]
    known = make_workload(conditions=set_condition((), condition, NOW))
    assert condition_patch(known, condition, "kueue-pod-controller", NOW) is None


def test_finalizer() -> None:
    """Only ours is taken off, and only from the Workload that is meant."""
    (patch,) = drop_finalizer(make_workload())
    assert patch.body == {"metadata": {"finalizers": ["x"], "uid": "u"}}  # type: ignore[union-attr]
    assert drop_finalizer(Workload()) == ()
