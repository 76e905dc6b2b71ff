"""Elastic Jobs: slices and the pods that they let go (jobs.md §15)."""

from __future__ import annotations

from typing import Any

from pykueue.api.constants import Reason
from pykueue.api.kinds import JOB, POD, WORKLOAD, WORKLOAD_PRIORITY_CLASS
from pykueue.controllers.jobs.workloads import finished
from pykueue.controllers.workload_status import admission_patch
from support.jobs import UID, JobWorld, make_pod, make_template

K = "kueue.x-k8s.io/"


def make_world(parallelism: int = 2, **labels: str) -> JobWorld:
    """A world with an elastic Job that waits."""
    world = JobWorld()
    for name, value in (("low", 1), ("high", 9)):
        world.put(WORKLOAD_PRIORITY_CLASS, {"metadata": {"name": name}, "value": value})
    meta = {
        "name": "job",
        "uid": UID,
        "generation": 1,
        "labels": {K + "queue-name": "lq", **labels},
        "annotations": {K + "elastic-job": "true"},
    }
    spec = {"parallelism": parallelism, "template": make_template("1")}
    world.admit_object(JOB, {"metadata": meta, "spec": spec})
    world.settle()
    return world


def resize(world: JobWorld, parallelism: int) -> None:
    """The user wants another number of pods."""
    job = world.get(JOB, "job")
    generation = job["metadata"]["generation"] + 1
    world.change(JOB, "job", metadata={"generation": generation}, spec={**job["spec"], "parallelism": parallelism})
    world.settle()
    world.settle(1)


def admit(world: JobWorld, name: str, replacing: str = "") -> None:
    """The scheduler admits a slice, and ends the one that it replaces."""
    world.admit(name)
    if replacing:
        old = world.workload(replacing)
        text = "Replaced to accommodate a workload"
        ended = finished(old, Reason.WORKLOAD_SLICE_REPLACED, text, world.now)
        world.do(admission_patch(old, ended, world.now))
    world.settle()


def add_pods(world: JobWorld, *names: str) -> None:
    """The Job controller makes pods from the template."""
    template = world.get(JOB, "job")["spec"]["template"]
    for name in names:
        pod = make_pod(name, **{key: template["metadata"][key] for key in ("labels", "annotations")})
        pod["spec"] = {**pod["spec"], "schedulingGates": template["spec"]["schedulingGates"]}
        world.put(POD, pod)
    world.settle()


def free_pods(world: JobWorld) -> list[str]:
    return [name for name in world.names(POD) if not world.gates(name)]


def live(world: JobWorld) -> list[str]:
    return [n for n in world.names(WORKLOAD) if not world.workload(n).is_true("Finished")]


def test_the_first_slice() -> None:
    """It names itself as the head of its chain; the Job's pods are gated, and its Workload's name tells its generation."""
    world = make_world()
    (name,) = world.names(WORKLOAD)
    marks = {K + "elastic-job": "true", K + "workload-slice-name": name}
    assert world.workload(name).metadata.annotations == marks
    gates = [{"name": K + "elastic-job"}]
    assert world.get(WORKLOAD, name)["spec"]["podSets"][0]["template"]["spec"]["schedulingGates"] == gates
    admit(world, name)
    template = world.get(JOB, "job")["spec"]["template"]
    assert template["metadata"]["annotations"] == {K + "workload": name, K + "workload-slice-name": name}
    assert template["spec"]["schedulingGates"] == gates
    world.assert_settled()


def test_growing_makes_another_slice() -> None:
    """G27: the Job goes on; when the new slice is admitted, the pods that are more are let go."""
    world = make_world()
    (first,) = world.names(WORKLOAD)
    admit(world, first)
    add_pods(world, "a", "b")
    assert free_pods(world) == ["a", "b"]
    world.change(JOB, "job", status={"active": 2, "ready": 2})
    world.settle()
    resize(world, 4)
    add_pods(world, "d", "c")
    (second,) = [name for name in world.names(WORKLOAD) if name != first]
    annotations = world.workload(second).metadata.annotations
    assert annotations[K + "workload-slice-replacement-for"] == f"ns/{first}"
    assert annotations[K + "workload-slice-name"] == first
    assert world.get(JOB, "job")["spec"]["suspend"] is False
    ready = [world.condition(name, "PodsReady") for name in (first, second)]
    assert [found[:2] for found in ready if found] == [("True", "Started"), ("False", "WaitForStart")]
    assert free_pods(world) == ["a", "b"]
    assert not any("Stopped" in event for event in world.events)
    admit(world, second, replacing=first)
    assert free_pods(world) == ["a", "b", "c", "d"]
    assert live(world) == [second]
    world.assert_settled()


def test_shrinking_keeps_the_slice() -> None:
    """G27: the count is changed in place."""
    world = make_world(4)
    (first,) = world.names(WORKLOAD)
    admit(world, first)
    resize(world, 1)
    assert world.names(WORKLOAD) == [first]
    assert world.workload(first).spec.pod_sets[0].count == 1
    world.assert_settled()


def test_a_slice_that_waits_is_changed_in_place() -> None:
    """G28: whether it grows or shrinks; so does one that waits to replace another."""
    world = make_world()
    (first,) = world.names(WORKLOAD)
    resize(world, 5)
    assert (world.names(WORKLOAD), world.workload(first).spec.pod_sets[0].count) == ([first], 5)
    admit(world, first)
    resize(world, 6)
    resize(world, 7)
    (second,) = [name for name in world.names(WORKLOAD) if name != first]
    assert world.workload(second).spec.pod_sets[0].count == 7


def test_a_slice_nobody_needs_ends() -> None:
    """A second one that waits to replace the same one is out of step; one that was replaced says so."""
    world = make_world()
    (first,) = world.names(WORKLOAD)
    admit(world, first)
    resize(world, 3)
    (second,) = [name for name in world.names(WORKLOAD) if name != first]
    raw = world.get(WORKLOAD, second)
    world.settle(1)
    meta: dict[str, Any] = {k: v for k, v in raw["metadata"].items() if k not in ("uid", "creationTimestamp")}
    world.put(WORKLOAD, {**raw, "metadata": {**meta, "name": "zz"}})
    world.settle()
    want = ("True", "OutOfSync", "The workload slice is out of sync with its parent job")
    assert world.condition(second, "Finished") == want
    admit(world, "zz")
    want = ("True", "WorkloadSliceReplaced", "Replaced to accommodate a new workload slice")
    assert world.condition(first, "Finished") == want


def test_a_priority_class_goes_to_both_slices() -> None:
    """The one that runs and the one that waits."""
    world = make_world(**{K + "priority-class": "low"})
    (first,) = world.names(WORKLOAD)
    admit(world, first)
    resize(world, 3)
    world.change(JOB, "job", metadata={"labels": {K + "queue-name": "lq", K + "priority-class": "high"}})
    world.settle()
    assert [world.workload(name).spec.priority for name in world.names(WORKLOAD)] == [9, 9]


def test_a_finished_job_ends_its_last_slice() -> None:
    """And lets it go."""
    world = make_world()
    (first,) = world.names(WORKLOAD)
    admit(world, first)
    world.change(JOB, "job", status={"conditions": [{"type": "Complete", "status": "True", "message": "done"}]})
    world.settle()
    assert world.condition(first, "Finished") == ("True", "Succeeded", "done")
    assert "finalizers" not in world.get(WORKLOAD, first)["metadata"]
    assert world.names(WORKLOAD) == [first]
    world.assert_settled()


def test_an_evicted_elastic_job_is_stopped() -> None:
    """Then it waits like any other, and starts again with the same chain."""
    world = make_world()
    (first,) = world.names(WORKLOAD)
    admit(world, first)
    world.evict(first, "Preempted", "make room")
    world.settle()
    assert world.get(JOB, "job")["spec"]["suspend"] is True
    assert world.condition(first, "QuotaReserved") == ("False", "PendingEvaluation", "make room")
    admit(world, first)
    assert world.get(JOB, "job")["spec"]["suspend"] is False
