"""Admission of jobs whose templates carry the marks (jobs-cases.md A, F)."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.errors import join_field_errors
from pykueue.api.kinds import (
    DEPLOYMENT,
    LEADER_WORKER_SET,
    LOCAL_QUEUE,
    STATEFUL_SET,
    WORKLOAD,
    WORKLOAD_PRIORITY_CLASS,
    Kind,
)
from pykueue.core.features import Gate
from pykueue.ports.admission import AdmissionRequest, Operation
from support.jobs import JobWorld, make_lws, make_settings, make_template

K = "kueue.x-k8s.io/"
LWS_MARKS = {K + "pod-suspending-parent": "leaderworkerset.x-k8s.io/leaderworkerset", K + "pod-group-serving": "true"}
WORKER = "spec.leaderWorkerTemplate.workerTemplate"
IMMUTABLE = "field is immutable"


def default(obj: dict[str, Any], kind: Kind = LEADER_WORKER_SET, world: JobWorld | None = None) -> dict[str, Any]:
    world = world or JobWorld()
    request = AdmissionRequest(Operation.CREATE, kind, "ns", obj["metadata"]["name"], obj)
    return dict(world.webhooks[kind].default(request, world.reader))


def faults(
    obj: dict[str, Any],
    old: dict[str, Any] | None = None,
    kind: Kind = LEADER_WORKER_SET,
    world: JobWorld | None = None,
) -> str:
    world = world or JobWorld()
    operation = Operation.UPDATE if old else Operation.CREATE
    request = AdmissionRequest(operation, kind, "ns", obj["metadata"]["name"], obj, old)
    errors = world.webhooks[kind].validate(request, world.reader)
    return join_field_errors(errors) if errors else ""


def template_of(obj: dict[str, Any], which: str = "workerTemplate") -> dict[str, Any]:
    return obj["spec"]["leaderWorkerTemplate"][which].get("metadata", {})


def test_marks() -> None:
    """The queue overwrites what a template says; the offset is for workers beside a leader of their own."""
    labels = {K + "queue-name": "user", "a": "b"}
    lws = make_lws(leader=make_template(labels=labels))
    made = default(lws)
    assert template_of(made, "leaderTemplate") == {
        "labels": {K + "queue-name": "lq", "a": "b"},
        "annotations": LWS_MARKS,
    }
    assert template_of(made)["annotations"] == LWS_MARKS | {K + "pod-index-offset": "1"}
    assert template_of(default(make_lws()))["annotations"] == LWS_MARKS
    assert "metadata" not in lws["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    assert default(made) == made


def test_unmanaged_is_untouched() -> None:
    """Without a queue nothing is marked."""
    lws = make_lws(queue="")
    assert template_of(default(lws)) == {}


def test_defaults_of_the_namespace() -> None:
    """The queue and the priority class named `default` are taken where nothing is said."""
    world = JobWorld()
    world.put(LOCAL_QUEUE, {"metadata": {"name": "default"}, "spec": {"clusterQueue": "cq"}})
    world.put(WORKLOAD_PRIORITY_CLASS, {"metadata": {"name": "default"}, "value": 1})
    made = default(make_lws(queue=""), world=world)
    want = {K + "queue-name": "default", K + "priority-class": "default"}
    assert made["metadata"]["labels"] == template_of(made)["labels"] == want


def test_deployment_and_statefulset_marks() -> None:
    """A Deployment's pods are managed from the start; a StatefulSet's only know their parent."""
    obj = {"metadata": {"name": "d", "labels": {K + "queue-name": "lq"}}, "spec": {"template": make_template()}}
    assert default(obj, DEPLOYMENT)["spec"]["template"]["metadata"] == {
        "labels": {K + "managed": "true", K + "queue-name": "lq"},
        "annotations": {K + "pod-suspending-parent": "deployment"},
    }
    assert default(obj, STATEFUL_SET)["spec"]["template"]["metadata"] == {
        "annotations": {K + "pod-suspending-parent": "statefulset"}
    }


def with_worker(lws: dict[str, Any], worker: dict[str, Any], **spec: Any) -> dict[str, Any]:
    template = {**lws["spec"]["leaderWorkerTemplate"], "workerTemplate": worker, **spec}
    return {**lws, "spec": {**lws["spec"], "leaderWorkerTemplate": template}}


@pytest.mark.parametrize(
    ("ready", "old", "new", "want"),
    [
        (0, {"queue-name": "a"}, {"queue-name": "b"}, ""),
        (
            1,
            {"queue-name": "a"},
            {"queue-name": "b"},
            f'metadata.labels[{K}queue-name]: Invalid value: "b": {IMMUTABLE}',
        ),
        (0, {"queue-name": "a"}, {}, f'metadata.labels[{K}queue-name]: Invalid value: "": {IMMUTABLE}'),
        (0, {}, {"queue-name": "a"}, ""),
        (
            1,
            {"queue-name": "a"},
            {"queue-name": "a", "priority-class": "p"},
            f'metadata.labels[{K}priority-class]: Invalid value: "p": WorkloadPriorityClass cannot be added to a non-suspended workload',
        ),
        (1, {"queue-name": "a", "priority-class": "p"}, {"queue-name": "a", "priority-class": "q"}, ""),
        (
            0,
            {"queue-name": "a", "priority-class": "p"},
            {"queue-name": "a"},
            f'metadata.labels[{K}priority-class]: Invalid value: "": WorkloadPriorityClass cannot be removed from a workload',
        ),
    ],
)
def test_label_changes(ready: int, old: dict[str, str], new: dict[str, str], want: str) -> None:
    """While nothing is ready the queue may change, but not go."""
    before = make_lws(queue="", labels={K + k: v for k, v in old.items()}, status={"readyReplicas": ready})
    after = make_lws(queue="", labels={K + k: v for k, v in new.items()})
    assert faults(after, before) == want


def test_shape() -> None:
    """Requests and size stay, images may change; unmanaged sets are free."""
    old = make_lws()
    bigger = with_worker(old, make_template("400m"))
    want = f'{WORKER}.spec.containers[0].resources.requests: Invalid value: {{"cpu":"400m"}}: {IMMUTABLE}'
    assert faults(bigger, old) == want
    image = make_template()
    image["spec"]["containers"][0]["image"] = "other"
    assert faults(with_worker(old, image), old) == ""
    resized = with_worker(old, make_template(), size=4)
    assert faults(resized, old) == f"spec.leaderWorkerTemplate.size: Invalid value: 4: {IMMUTABLE}"
    off = JobWorld(make_settings({Gate.LWS_IMMUTABLE_GROUP_SIZE: False}))
    assert faults(resized, old, world=off) == ""
    free = make_lws(queue="")
    assert faults(with_worker(free, make_template("1"), size=9), free) == ""


def test_leader_template_is_there_or_not() -> None:
    """It can neither be added nor taken away."""
    assert faults(make_lws(leader=make_template()), make_lws()).startswith(
        "spec.leaderWorkerTemplate.leaderTemplate: Invalid value: "
    )


@pytest.mark.parametrize(
    ("replicas", "want"),
    [
        (-1, "spec.replicas: Invalid value: -1: invalid LeaderWorkerSet replicas: must be >= 0, got -1"),
        (
            1_000_001,
            "spec.replicas: Invalid value: 1000001: invalid LeaderWorkerSet replicas: must be <= 1000000, got 1000001",
        ),
        (0, ""),
    ],
)
def test_replicas(replicas: int, want: str) -> None:
    """Their bounds."""
    assert faults(make_lws(replicas=replicas)) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("a.io/x , b.io/y", ""),
        ("", ""),
        ("a.io/x,a.io/x", 'Invalid value: "a.io/x,a.io/x": duplicate gate name: a.io/x'),
        ("nodomain", 'Invalid value: "nodomain": must be a domain-prefixed path (such as "acme.io/foo")'),
        ("a.io/x,,", 'Invalid value: "a.io/x,,": cannot contain empty gate names'),
        ("a.io/" + "x" * 60, "Too long: may not be more than 63 bytes"),
    ],
)
def test_admission_gates(value: str, want: str) -> None:
    """A list of domain-prefixed paths."""
    path = f"metadata.annotations[{K}admission-gated-by]: "
    assert faults(make_lws(metadata={"annotations": {K + "admission-gated-by": value}})) == (
        path + want if want else ""
    )


@pytest.mark.parametrize(
    ("old", "new", "want"),
    [
        ("", "a.io/x", "cannot add admission gate after creation"),
        ("a.io/x", "b.io/y", "can only remove gates, not add new ones"),
        ("a.io/x,b.io/y", "b.io/y", ""),
        ("a.io/x", "", ""),
    ],
)
def test_admission_gate_changes(old: str, new: str, want: str) -> None:
    """They are only ever taken away."""
    before, after = (make_lws(metadata={"annotations": {K + "admission-gated-by": v}}) for v in (old, new))
    path = f"metadata.annotations[{K}admission-gated-by]: Forbidden: "
    assert faults(after, before) == (path + want if want else "")


def make_sts(replicas: int, *, n_present: int = 0) -> dict[str, Any]:
    meta = {"name": "sts", "namespace": "ns", "uid": "u", "labels": {K + "queue-name": "lq"}}
    return {
        "metadata": meta,
        "spec": {"replicas": replicas, "template": make_template()},
        "status": {"replicas": n_present},
    }


def test_statefulset_resize() -> None:
    """Only to nothing and back, when nothing of the former pods and Workload is left."""
    assert faults(make_sts(3), make_sts(2), STATEFUL_SET) == f"spec.replicas: Invalid value: 3: {IMMUTABLE}"
    assert faults(make_sts(0), make_sts(2), STATEFUL_SET) == ""
    assert faults(make_sts(2), make_sts(0), STATEFUL_SET) == ""
    assert (
        faults(make_sts(2), make_sts(0, n_present=1), STATEFUL_SET)
        == "spec.replicas: Forbidden: scaling down is still in progress"
    )
    world = JobWorld()
    name = world.webhooks[STATEFUL_SET]._set.units(make_sts(2), world.settings)[0].workload  # type: ignore[attr-defined]
    world.put(WORKLOAD, {"metadata": {"name": name}, "spec": {"podSets": []}})
    want = "spec.replicas: Forbidden: workload from previous scale-down is still being deleted"
    assert faults(make_sts(2), make_sts(0), STATEFUL_SET, world) == want
