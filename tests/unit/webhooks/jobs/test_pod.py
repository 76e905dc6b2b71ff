"""Admission of pods (jobs-cases.md E)."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.errors import Forbidden, join_field_errors
from pykueue.api.kinds import DEPLOYMENT, JOB, POD, REPLICA_SET
from pykueue.ports.admission import AdmissionRequest, Operation
from support.jobs import JobWorld, group_pod, make_pod, make_settings

K = "kueue.x-k8s.io/"
QUEUED = {K + "queue-name": "lq"}
BOTH = f"both the '{K}pod-group-total-count' annotation and the '{K}pod-group-name' label should be set"


def default(pod: dict[str, Any], world: JobWorld | None = None) -> dict[str, Any]:
    world = world or JobWorld()
    return dict(world.webhooks[POD].default(AdmissionRequest(Operation.CREATE, POD, "ns", "p", pod), world.reader))


def faults(pod: dict[str, Any], old: dict[str, Any] | None = None) -> str:
    world = JobWorld()
    operation = Operation.UPDATE if old else Operation.CREATE
    errors = world.webhooks[POD].validate(AdmissionRequest(operation, POD, "ns", "p", pod, old), world.reader)
    return join_field_errors(errors) if errors else ""


def owner(kind: str, api_version: str, name: str, uid: str) -> list[dict[str, Any]]:
    return [{"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}]


def test_single_pod() -> None:
    """Label, finalizer, both gates, role."""
    made = default(make_pod("p", labels=QUEUED))
    assert made["metadata"]["labels"] == QUEUED | {K + "managed": "true"}
    assert made["metadata"]["finalizers"] == [K + "managed"]
    assert made["metadata"]["annotations"] == {K + "role-hash": "dc85db45"}
    assert made["spec"]["schedulingGates"] == [{"name": K + "admission"}, {"name": K + "topology"}]


def test_pod_of_a_set() -> None:
    """It is gated without questions, and neither labelled nor held by a finalizer."""
    made = default(make_pod("p", annotations={K + "pod-suspending-parent": "statefulset"}))
    assert made["metadata"]["labels"] == {}
    assert "finalizers" not in made["metadata"]
    assert len(made["spec"]["schedulingGates"]) == 2


def test_pod_without_queue() -> None:
    """It is none of ours, unless all jobs are."""
    pod = make_pod("p")
    assert default(pod) == pod
    everything = JobWorld(make_settings(manage_jobs_without_queue_name=True))
    assert len(default(pod, everything)["spec"]["schedulingGates"]) == 2


def test_owned_pods() -> None:
    """What belongs to a managed job is left to it; an owner that is not there is an error."""
    world = JobWorld()
    pod = make_pod("p", labels=QUEUED, ownerReferences=owner("Job", "batch/v1", "j", "uj"))
    with pytest.raises(Forbidden, match="workload owner not found"):
        default(pod, world)
    world.put(JOB, {"metadata": {"name": "j", "uid": "uj", "labels": QUEUED}})
    assert default(pod, world) == pod


def test_ancestors_are_found_through_others() -> None:
    """A ReplicaSet is passed through; an owner of another UID ends the search."""
    world = JobWorld()
    world.put(DEPLOYMENT, {"metadata": {"name": "d", "uid": "ud", "labels": QUEUED}})
    world.put(
        REPLICA_SET,
        {"metadata": {"name": "r", "uid": "ur", "ownerReferences": owner("Deployment", "apps/v1", "d", "ud")}},
    )
    pod = make_pod("p", labels=QUEUED, ownerReferences=owner("ReplicaSet", "apps/v1", "r", "ur"))
    assert default(pod, world) == pod
    stranger = make_pod("p", labels=QUEUED, ownerReferences=owner("ReplicaSet", "apps/v1", "r", "other"))
    assert "schedulingGates" in default(stranger, world)["spec"]


def test_index_label() -> None:
    """The label that an annotation names becomes the pod's index."""
    labels = QUEUED | {"apps.kubernetes.io/pod-index": "3"}
    made = default(
        make_pod("p", labels=labels, annotations={K + "pod-group-pod-index-label": "apps.kubernetes.io/pod-index"})
    )
    assert made["metadata"]["labels"][K + "pod-group-pod-index"] == "3"


@pytest.mark.parametrize(
    ("labels", "annotations", "want"),
    [
        ({"managed": "no"}, {}, f"metadata.labels[{K}managed]: Forbidden: managed label value can only be 'true'"),
        ({"pod-group-name": "g"}, {}, f"metadata.annotations[{K}pod-group-total-count]: Required value: {BOTH}"),
        ({}, {"pod-group-total-count": "2"}, f"metadata.labels[{K}pod-group-name]: Required value: {BOTH}"),
        (
            {"pod-group-name": "g"},
            {"pod-group-total-count": "two"},
            f'metadata.annotations[{K}pod-group-total-count]: Invalid value: "two": strconv.Atoi: parsing "two": invalid syntax',
        ),
        (
            {"pod-group-name": "g"},
            {"pod-group-total-count": "0"},
            (
                f'metadata.annotations[{K}pod-group-total-count]: Invalid value: "0": incorrect annotation value '
                f"'{K}pod-group-total-count=0': group total count should be greater than zero"
            ),
        ),
        (
            {"pod-group-name": "g", "prebuilt-workload-name": "w"},
            {"pod-group-total-count": "1"},
            f'metadata.labels[{K}prebuilt-workload-name]: Invalid value: "w": prebuilt workload and pod group should be equal',
        ),
        (
            {"max-exec-time-seconds": "0"},
            {},
            f"metadata.labels[{K}max-exec-time-seconds]: Invalid value: 0: should be greater than 0",
        ),
    ],
)
def test_faults_of_new_pods(labels: dict[str, str], annotations: dict[str, str], want: str) -> None:
    """One fault, one sentence."""
    pod = make_pod(
        "p",
        labels=QUEUED | {K + k: v for k, v in labels.items()},
        annotations={K + k: v for k, v in annotations.items()},
    )
    assert faults(pod) == want


def test_changes() -> None:
    """A group is kept, and an unretriable one stays so; the queue only changes behind the gate."""
    assert (
        faults(group_pod("p", "b"), group_pod("p", "a"))
        == f'metadata.labels[{K}pod-group-name]: Invalid value: "b": field is immutable'
    )
    want = (
        f"metadata.annotations[{K}retriable-in-group]: Forbidden: unretriable pod group can't be converted to retriable"
    )
    assert faults(group_pod("p"), group_pod("p", retriable_in_group="false")) == want
    other = make_pod("p", labels={K + "queue-name": "other"})
    assert (
        faults(other, make_pod("p", labels=QUEUED))
        == f'metadata.labels[{K}queue-name]: Invalid value: "other": field is immutable'
    )
    gated = default(other)
    assert faults(gated, default(make_pod("p", labels=QUEUED))) == ""
    assert faults(make_pod("p", labels=QUEUED), make_pod("p", labels=QUEUED | {K + "managed": "true"})) == ""


def test_marks_and_start_in_one_patch() -> None:
    """A gated pod may learn its group and Workload with the patch that starts it."""
    old = default(make_pod("p", labels=QUEUED))
    marks = {K + key: "g" for key in ("pod-group-name", "prebuilt-workload-name")} | {K + "pod-group-total-count": "1"}
    new = {**old, "metadata": {**old["metadata"], "annotations": {**old["metadata"]["annotations"], **marks}}}
    started = {**new, "spec": {**new["spec"], "schedulingGates": []}}
    assert faults(started, old) == ""


def test_pod_of_a_podset_group() -> None:
    """Groups of pod sets are judged where the pod sets are; a pod only needs annotations that agree with each other."""
    grouped = {K + "podset-group-name": "together", K + "podset-required-topology": "cloud/rack"}
    assert faults(make_pod("p", labels=QUEUED, annotations=grouped)) == ""
    assert (
        faults(
            make_pod(
                "p",
                labels=QUEUED,
                annotations={K + "podset-slice-size": "4", K + "podset-slice-required-topology": "cloud/rack"},
            )
        )
        == ""
    )
    alone = {K + "podset-group-name": "together"}
    assert "may not be set when neither" in faults(make_pod("p", labels=QUEUED, annotations=alone))
