"""Status by merge patch: the same Workload comes out as by server-side apply."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pykueue.api.commands import Apply
from pykueue.api.instant import Instant
from pykueue.api.kinds import WORKLOAD
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import ObjectMeta, Workload, WorkloadStatus
from pykueue.apiserver.patch.merge import apply_merge_patch
from pykueue.controllers.status_merge import as_merge_patch, is_status_apply
from pykueue.controllers.workload_status import admission_patch

META = {"name": "wl", "namespace": "ns", "uid": "u", "resourceVersion": "7"}
OWNED, OTHERS = ("QuotaReserved", "Admitted", "Evicted"), ("WaitingForReplacementPods", "Mine")


def told(type_: str, status: str) -> dict[str, Any]:
    return {"type": type_, "status": status, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def apply(status: Obj, manager: str = "kueue-admission") -> Apply:
    obj = {"apiVersion": WORKLOAD.api_version, "kind": "Workload", "metadata": META, "status": status}
    return Apply(WORKLOAD, obj, manager, subresource="status")


def patched(present: Obj, command: Apply) -> Any:
    """The status after the patch."""
    current = {"metadata": {**META, "resourceVersion": "9"}, "status": present}
    patch = as_merge_patch(command, current)
    assert patch.field_manager == command.field_manager
    assert patch.body["metadata"] == {"uid": "u", "resourceVersion": "7"}
    return apply_merge_patch(current, patch.body)["status"]


def conditions(types: tuple[str, ...]) -> Any:
    chosen = st.lists(st.sampled_from(types), unique=True)
    return chosen.flatmap(
        lambda found: st.tuples(*(st.builds(told, st.just(t), st.sampled_from(("True", "False"))) for t in found))
    )


parts = st.fixed_dictionaries(
    {},
    optional={
        "admission": st.fixed_dictionaries({"clusterQueue": st.sampled_from("ab"), "podSetAssignments": st.just([{"name": "m"}])}),
        "requeueState": st.dictionaries(st.sampled_from(("count", "requeueAt")), st.integers(1, 2)),
        "admissionChecks": st.lists(st.fixed_dictionaries({"name": st.sampled_from("xy"), "state": st.just("Ready")}), max_size=2),
        "resourceRequests": st.just([{"name": "m", "resources": {"cpu": "1"}}]),
    },
)  # fmt: skip


@given(parts, conditions(OWNED), conditions(OTHERS), parts, conditions(OWNED))
def test_the_admission_part_is_as_applied(before: Any, old: Any, others: Any, after: Any, new: Any) -> None:
    """What was there of it and is left out is gone; what others wrote stays, and so does its place."""
    present = {**before, "conditions": [*others[:1], *old, *others[1:]], "reclaimablePods": [{"name": "m", "count": 1}]}
    found = patched(present, apply({**after, "conditions": list(new)}))
    listed = found["conditions"]
    assert found == {**after, "reclaimablePods": [{"name": "m", "count": 1}], "conditions": listed}
    assert {c["type"]: c for c in listed} == {c["type"]: c for c in (*others, *new)}
    stayed = [c["type"] for c in present["conditions"] if c in others or c["type"] in {n["type"] for n in new}]
    assert [c["type"] for c in listed][: len(stayed)] == stayed


def test_nothing_that_the_admission_part_has_is_left_out() -> None:
    """Whatever `admission_patch` writes is known here as a field of its manager: it is sent, and taken away again."""
    full = {
        "admission": {"clusterQueue": "q", "podSetAssignments": [{"name": "m"}]},
        "requeueState": {"count": 1}, "accumulatedPastExecutionTimeSeconds": 1, "clusterName": "c",
        "admissionChecks": [{"name": "x", "state": "Ready"}], "nominatedClusterNames": ["c"],
        "schedulingStats": {"evictions": [{"reason": "r", "underlyingCause": "", "count": 1}]},
        "unhealthyNodes": [{"name": "n"}], "preemptionGates": [{"name": "g", "position": "Open"}],
    }  # fmt: skip
    waits = {**full, "resourceRequests": [{"name": "m", "resources": {"cpu": "1"}}]}
    del waits["admission"]
    names = {name for name in WorkloadStatus.__struct_encode_fields__ if name not in ("conditions", "reclaimablePods")}
    assert names == full.keys() | waits.keys(), "a new field belongs here, and to some manager"
    for status in (full, waits):
        meta = ObjectMeta(name="wl", namespace="ns", uid="u", resource_version="7")
        workload = Workload(metadata=meta, status=msgspec.convert(status, WorkloadStatus))
        command = admission_patch(workload, workload, Instant(0))
        assert command.obj["status"].keys() == status.keys() | {"conditions"}
        assert patched({}, command) == {k: v for k, v in command.obj["status"].items() if k != "conditions"}
        assert patched(status, apply({})) == {}


def test_other_managers_write_their_own() -> None:
    """One condition, or the reclaimable pods; nothing else is touched."""
    present = {"conditions": [told("Admitted", "True")], "admission": {"clusterQueue": "q"}}
    found = patched(present, apply({"conditions": [told("Mine", "True")]}, "kueue-pod-controller"))
    assert found == {**present, "conditions": [told("Admitted", "True"), told("Mine", "True")]}
    pods = [{"name": "m", "count": 2}]
    assert patched(present, apply({"reclaimablePods": pods}, "kueue-reclaimable-pods")) == {
        **present,
        "reclaimablePods": pods,
    }


def test_what_does_not_change_is_not_sent() -> None:
    """A patch is as small as the change."""
    status = {"admission": {"clusterQueue": "q"}, "conditions": [told("Admitted", "True")]}
    ended = apply({**status, "conditions": [*status["conditions"], told("Finished", "True")]})  # type: ignore[misc]
    assert list(as_merge_patch(ended, {"metadata": META, "status": status}).body["status"]) == ["conditions"]
    assert as_merge_patch(apply(status), {"metadata": META, "status": status}).body["status"] == {}


def test_only_status_of_workloads_is_rewritten() -> None:
    """Other applies stay what they are."""
    assert is_status_apply(apply({}))
    assert not is_status_apply(Apply(WORKLOAD, {"metadata": META}, "kueue"))
