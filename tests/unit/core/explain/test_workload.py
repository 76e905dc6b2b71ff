"""Where a Workload stands, and what wakes it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, WaitForPodsReady
from pykueue.api.v1beta2 import Condition
from pykueue.core.explain.facts import LastTried, WorkloadExplanation
from support.nodes import HOST
from support.world import World
from unit.core.scheduler.test_second_pass_cases import answer, checked, reserve, run_on, world_of
from unit.core.scheduler.test_topology_cases import pod_set


def explain(world: World, name: str) -> WorkloadExplanation:
    told = world.engine.explainer(world.now).workload(world.workloads[name].key)
    assert told is not None
    return told


def test_a_workload_that_waits() -> None:
    """Rule, place, who is ahead, amounts with their holders, and what wakes it."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("a", "cq", "3", at="f")
    world.workload("first", "cq", "2", 5)
    world.workload("b", "cq", "2")
    told = explain(world, "b")
    assert (told.state, told.reason, told.position, told.waiting, told.ahead) == (
        "Pending", "WaitingForQuota", 2, 2, ("ns/first",),
    )  # fmt: skip
    assert told.message == (
        "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor f, 1 more needed"
    )
    (attempt,) = told.attempts
    assert (attempt.pod_set, attempt.flavor, attempt.mode) == ("main", "f", "NO_CANDIDATES")
    (facts,) = attempt.resources
    assert (facts.asked, facts.free, facts.nominal, facts.used) == ("2", "1", "4", "3")
    assert [(h.workload, h.amount) for h in facts.holders] == [("ns/a", "3")]
    assert told.wakes_on[0] == "a Workload of ClusterQueue cq finishing, shrinking or losing its quota"


def test_a_parked_workload() -> None:
    """After its attempt it is parked, and nothing but an event wakes it."""
    world = World()
    world.queue("cq", "f:1", "co")
    world.workload("w", "cq", "2")
    world.settle()
    told = explain(world, "w")
    assert (told.state, told.reason) == ("Parked", "ExceedsMaxQuota")
    assert told.wakes_on == ("a change of quota or flavors in cohort co", "a change of the Workload itself")


def test_one_that_has_quota() -> None:
    """It holds what it holds; checks that are not ready are what it waits for."""
    world = World()
    world.queue("cq", "f:4")
    check = {"name": "prov", "state": "Pending", "lastTransitionTime": "2023-11-14T22:13:20Z", "message": ""}
    world.workload("w", "cq", "2", at="f", status={"admissionChecks": [check]})
    told = explain(world, "w")
    assert (told.state, told.cluster_queue, told.position) == ("Admitted", "cq", None)
    conditions = tuple(c for c in world.workloads["w"].status.conditions if c.type != "Admitted")
    world.put(_with_status(world.workloads["w"], conditions=conditions))
    told = explain(world, "w")
    assert (told.state, told.wakes_on) == ("QuotaReserved", ("admission check prov, which is Pending",))


def test_one_whose_pods_have_no_places() -> None:
    """Quota is held and checks are ready: what the next second pass would find, or why it would not."""
    missing = (
        "pods have no places yet: couldn't assign flavors to pod set one: topology \"tas-single-level\" doesn't allow to "
        'fit any of 1 pod(s). Total nodes: 2; excluded: resource "cpu": 2'
    )
    there_is_room = "pods have no places yet; there is room for them"
    for cpu, want in (
        ("1", ("PendingDelayedTopologyRequests", there_is_room)),
        ("5", ("TopologyPlacementFailed", missing)),
    ):
        world = checked()
        reserve(world, "w", pod_set("one", 1, cpu, required=HOST))
        answer(world, "w")
        told = explain(world, "w")
        assert (told.state, told.reason, told.message) == ("QuotaReserved", *want)
        assert told.wakes_on == ("the next second pass of the scheduler, at most 30 s after the last",)
    world = world_of("x0")
    run_on(world, "w", [pod_set("one", 1, "3", preferred=HOST)], {"one": {"x0": 1}}, "x0")
    told = explain(world, "w")
    assert (told.state, told.reason) == ("Admitted", "TopologyPlacementFailed")
    assert told.message.startswith("pods on x0 need other places: couldn't assign flavors to pod set one: topology")


@pytest.mark.parametrize(
    ("changes", "reason", "wakes_on"),
    [
        ({"spec": {"active": False}}, "Deactivated", "spec.active set to true"),
        (
            {"annotations": {"kueue.x-k8s.io/admission-gated-by": "me"}},
            "AdmissionGated",
            "the annotation kueue.x-k8s.io/admission-gated-by taken away",
        ),
        (
            {"condition": ("WaitingForReplacementPods", "True", "x")},
            "WaitingForReplacementPods",
            "new pods in their place",
        ),
        ({"condition": ("QuotaReserved", "False", "OnHold")}, "OnHold", "its job wanting pods again"),
    ],
)
def test_one_that_does_not_queue(changes: dict[str, Any], reason: str, wakes_on: str) -> None:
    """It is told which gate is closed, and what opens it."""
    world = World()
    world.queue("cq", "f:4")
    status = {}
    if "condition" in changes:
        type_, value, why = changes["condition"]
        stamp = "2023-11-14T22:13:20Z"
        status = {"conditions": [{"type": type_, "status": value, "reason": why, "lastTransitionTime": stamp}]}
    metadata = {"annotations": changes["annotations"]} if "annotations" in changes else {}
    workload = world.workload("w", "cq", "1", status=status, metadata=metadata)
    if "spec" in changes:
        world.put(_with_spec(workload, **changes["spec"]))
    told = explain(world, "w")
    assert (told.state, told.reason, told.wakes_on) == ("Gated", reason, (wakes_on,))


def test_queues_that_let_nobody_wait() -> None:
    """It is blocked, by what is told, and so is what unblocks it."""
    world = World()
    world.queue("cq", "f:1")
    world.queue(
        "idle", "f:1", spec={"stopPolicy": "Hold", "admissionChecksStrategy": {"admissionChecks": [{"name": "x"}]}}
    )
    world.local("astray", "nowhere")
    world.local("stopped", "cq", stop="Hold")
    want = {
        "nobody": ("Misconfigured", "LocalQueue nobody doesn't exist", "a LocalQueue nobody in namespace ns"),
        "astray": ("Misconfigured", "ClusterQueue nowhere doesn't exist", "a ClusterQueue nowhere"),
        "stopped": ("Suspended", "LocalQueue stopped is inactive", "stopPolicy None for LocalQueue ns/stopped"),
        "idle": (
            "Suspended", "ClusterQueue idle is inactive",
            "the end of what makes ClusterQueue idle inactive: is stopped, references missing AdmissionCheck(s): x",
        ),
    }  # fmt: skip
    for queue, (reason, message, wakes_on) in want.items():
        world.workload(queue, queue, "1")
        told = explain(world, queue)
        assert (told.state, told.reason, told.message, told.wakes_on) == ("Blocked", reason, message, (wakes_on,))


def test_a_namespace_that_is_not_selected() -> None:
    """What finishes elsewhere does not help: the labels or the selector must change."""
    world = World()
    world.queue("cq", "f:1", spec={"namespaceSelector": {"matchLabels": {"dep": "sales"}}})
    world.workload("w", "cq", "1")
    assert explain(world, "w").wakes_on == (
        "labels of namespace ns, or a namespaceSelector of ClusterQueue cq, that match",
    )


def test_pods_that_are_awaited() -> None:
    """Where admission waits for pods, it is told for whose."""
    config = Configuration(wait_for_pods_ready=WaitForPodsReady(block_admission=True))
    world = World(config)
    world.queue("cq", "f:4")
    world.workload("a", "cq", "1", at="f")
    world.workload("b", "cq", "1")
    told = explain(world, "b")
    assert told.reason == "WaitingForPodsReady"
    assert told.wakes_on == ("the pods of ns/a being ready",)
    assert told.remedies == ()


def test_the_last_word_of_the_scheduler() -> None:
    """It is the condition's."""
    world = World()
    world.queue("cq", "f:1")
    stamp = "2023-11-14T22:00:00Z"
    condition = {
        "type": "QuotaReserved",
        "status": "False",
        "reason": "Pending",
        "message": "m",
        "lastTransitionTime": stamp,
    }
    world.workload("w", "cq", "2", status={"conditions": [condition]})
    assert explain(world, "w").last_tried == LastTried(stamp, "Pending", "m", "condition")


def test_an_unknown_workload() -> None:
    """Nothing is known of it."""
    world = World()
    assert world.engine.explainer(world.now).workload(world.workload("w", "x", "1").key) is not None
    world.delete("w")
    assert world.engine.explainer(world.now).cluster_queue("x") is None


def _with_status(workload: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(workload, status=msgspec.structs.replace(workload.status, **changes))


def _with_spec(workload: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(workload, spec=msgspec.structs.replace(workload.spec, **changes))


def conditions(*told: tuple[str, str, str, str]) -> list[dict[str, str]]:
    stamp = "2023-11-14T22:13:20Z"
    return [{"type": t, "status": s, "reason": r, "message": m, "lastTransitionTime": stamp} for t, s, r, m in told]


def test_one_that_backs_off() -> None:
    """It would fit, and is not tried before its time: why it was evicted, and when that is."""
    world = World()
    world.queue("cq", "f:4")
    evicted = ("Evicted", "True", "PodsReadyTimeout", "Exceeded the PodsReady timeout ns/w")
    requeued = ("Requeued", "False", "PodsReadyTimeout", "")
    status = {"conditions": conditions(evicted, requeued), "requeueState": {"requeueAt": "2023-11-14T23:00:00Z"}}
    world.workload("w", "cq", "1", status=status)
    told = explain(world, "w")
    assert (told.reason, told.message) == ("PodsReadyTimeout", "Exceeded the PodsReady timeout ns/w; it backs off")
    assert (told.wakes_on, told.remedies) == (("the end of its backoff, at 2023-11-14T23:00:00Z",), ())
    world.workload("w", "cq", "1", status={"conditions": conditions(evicted, requeued)})
    want = ("its condition Requeued, which is False for PodsReadyTimeout, turning True",)
    assert explain(world, "w").wakes_on == want


def test_one_that_holds_quota_without_running() -> None:
    """Whoever is evicted says so while it leaves; whose pods are not ready says that."""
    world = World()
    world.queue("cq", "f:4")
    held = world.workload("w", "cq", "1", at="f")
    more = conditions(
        ("PodsReady", "False", "WaitForStart", "Not all pods are ready or succeeded"),
        ("Evicted", "True", "Preempted", "why"),
    )
    waits, evicted = msgspec.convert(more, list[Condition])
    world.put(_with_status(held, conditions=(*held.status.conditions, waits)))
    told = explain(world, "w")
    assert (told.state, told.pods) == ("Admitted", "Not all pods are ready or succeeded")
    world.put(_with_status(held, conditions=(*held.status.conditions, waits, evicted)))
    told = explain(world, "w")
    assert (told.state, told.reason, told.wakes_on) == ("Admitted", "Preempted", ("the end of its pods",))
    assert told.message == "why; it is evicted, and holds its quota until its pods are gone"


def test_a_cycle_of_cohorts() -> None:
    """Nothing but the end of the cycle helps."""
    world = World()
    world.cohort("a", parent="b")
    world.cohort("b", parent="a")
    world.queue("cq", "f:4", "a")
    world.workload("w", "cq", "1")
    told = explain(world, "w")
    assert (told.reason, told.message) == ("Suspended", "ClusterQueue cq is inactive")
    assert told.wakes_on == ("a change of the cohorts above ClusterQueue cq, which form a cycle",)
