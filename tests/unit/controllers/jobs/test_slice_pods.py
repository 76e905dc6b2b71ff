"""Which pods of an elastic job are let go (jobs.md §15)."""

from __future__ import annotations

from typing import Any

from pykueue.api.constants import Label
from pykueue.api.instant import Instant
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import ObjectKey
from pykueue.controllers.jobs.slice_pods import SlicePodReconciler
from support.jobs import make_pod
from support.reconciling import World

K = "kueue.x-k8s.io/"
GATES = [{"name": K + "elastic-job"}]
ADMITTED = {"type": "Admitted", "status": "True", "reason": "Admitted", "lastTransitionTime": "2026-08-01T10:00:00Z"}


def put_slice(world: World, name: str, count: int, *, conditions: Any = (ADMITTED,), **status: Any) -> None:
    """A slice of the chain `first`, granted this many pods."""
    assignments = [{"name": "main", "count": count, "flavors": {}, "resourceUsage": {}}]
    admission = {"clusterQueue": "cq", "podSetAssignments": assignments}
    world.put(
        WORKLOAD,
        {
            "metadata": {"name": name, "annotations": {K + "workload-slice-name": "first"}},
            "spec": {"podSets": [{"name": "main", "count": count, "template": {}}]},
            "status": {"admission": admission, "conditions": list(conditions), **status},
        },
    )


def put_pod(world: World, name: str, *, gated: bool = True, phase: str = "Pending", **meta: Any) -> None:
    pod = make_pod(name, labels={Label.POD_SET.value: "main"}, annotations={K + "workload-slice-name": "first"}, **meta)
    spec = {**pod["spec"], "schedulingGates": GATES} if gated else pod["spec"]
    world.put(POD, {**pod, "spec": spec, "status": {"phase": phase}})


def free(world: World) -> list[str]:
    """The pods without a gate, once the reconciler has come to rest."""
    world.settle()
    return [n for n in world.names(POD) if not world.get(POD, n)["spec"].get("schedulingGates")]


def test_as_many_as_were_granted_in_order_of_names() -> None:
    """Those that run count; those that have ended make room."""
    world = World(SlicePodReconciler())
    put_slice(world, "first", 3)
    put_pod(world, "z", gated=False, phase="Running")
    put_pod(world, "y", gated=False, phase="Succeeded")
    for name in ("c", "a", "b"):
        put_pod(world, name)
    assert free(world) == ["a", "b", "y", "z"]


def test_nothing_is_let_go_before_admission() -> None:
    """Nor after an eviction, nor by a slice that has ended."""
    for type_ in ("QuotaReserved", "Evicted", "Finished"):
        world = World(SlicePodReconciler())
        more = () if type_ == "QuotaReserved" else (ADMITTED,)
        put_slice(world, "first", 3, conditions=[*more, {**ADMITTED, "type": type_}])
        put_pod(world, "a")
        assert free(world) == []


def test_what_a_check_adds_comes_with_it() -> None:
    """A pod that contradicts the check of the admitted slice stays gated, and takes no room."""
    world = World(SlicePodReconciler())
    update = {"name": "main", "annotations": {"request": "two"}, "nodeSelector": {"pool": "b"}}
    check = {"name": "c", "state": "Ready", "lastTransitionTime": "2026-08-01T10:00:00Z", "podSetUpdates": [update]}
    put_slice(world, "first", 1, admissionChecks=[check])
    put_pod(world, "a")
    pod = world.get(POD, "a")
    world.change(POD, "a", metadata={"annotations": {**pod["metadata"]["annotations"], "request": "one"}})
    put_pod(world, "b")
    assert free(world) == ["b"]
    pod = world.get(POD, "b")
    assert (pod["metadata"]["annotations"]["request"], pod["spec"]["nodeSelector"]) == ("two", {"pool": "b"})


def test_a_chain_nobody_knows_is_left_alone() -> None:
    """Pods may be seen before their Workload."""
    world = World(SlicePodReconciler())
    put_pod(world, "a")
    assert free(world) == []
    result = SlicePodReconciler().reconcile(world.reader, ObjectKey("ns", "first"), Instant(0))
    assert result.commands == ()
