"""Admission of batch Jobs (jobs.md §2.4, §14, §17, webhooks.md §4); the texts are those that a real cluster gave."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.constants import Annotation
from pykueue.api.kinds import (
    ADMISSION_CHECK,
    CLUSTER_QUEUE,
    JOB,
    LOCAL_QUEUE,
    NAMESPACE,
    WORKLOAD_PRIORITY_CLASS,
)
from pykueue.core.features import Gate
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Indexer
from pykueue.webhooks.jobs.job import JobWebhook
from support.jobs import make_settings, make_template

K = "kueue.x-k8s.io/"
QUEUE = {K + "queue-name": "jobs"}


def make_job(
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    template: dict[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Job in a queue, with annotations at itself or at its template."""
    shown = make_template("1", annotations=template) if template else make_template("1")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "job",
            "namespace": "ns",
            "labels": {**QUEUE, **(labels or {})},
            "annotations": annotations or {},
        },
        "spec": {"parallelism": 3, "completions": 3, "template": shown, **spec},
    }


def make_reader() -> Indexer:
    reader = Indexer()
    reader.apply(NAMESPACE, {"metadata": {"name": "ns", "labels": {"kubernetes.io/metadata.name": "ns"}}})
    return reader


def check(job: dict[str, Any], old: dict[str, Any] | None = None, gates: dict[Gate, bool] | None = None) -> list[str]:
    operation = Operation.CREATE if old is None else Operation.UPDATE
    request = AdmissionRequest(operation, JOB, "ns", "job", job, old)
    return [str(error) for error in JobWebhook(make_settings(gates)).validate(request, make_reader())]


MINIMUM = f"metadata.annotations[{K}job-min-parallelism]: Invalid value:"
SYNC = f"metadata.annotations[{K}job-completions-equal-parallelism]: Invalid value:"
TEMPLATE = "spec.template.metadata.annotations"
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a minimum that is no number": (
        {"annotations": {K + "job-min-parallelism": "few"}},
        [f'{MINIMUM} "few": strconv.Atoi: parsing "few": invalid syntax'],
    ),
    "a minimum that is not below the parallelism": (
        {"annotations": {K + "job-min-parallelism": "3"}},
        [f"{MINIMUM} 3: should be between 0 and 2"],
    ),
    "a minimum of nothing": (
        {"annotations": {K + "job-min-parallelism": "0"}},
        [f"{MINIMUM} 0: should be between 0 and 2"],
    ),
    "completions follow, but have no indexes": (
        {"annotations": {K + "job-completions-equal-parallelism": "true"}},
        [f'{SYNC} "true": should not be enabled for NonIndexed jobs'],
    ),
    "completions follow, but differ": (
        {
            "annotations": {K + "job-completions-equal-parallelism": "true"},
            "completions": 4,
            "completionMode": "Indexed",
        },
        [
            (
                f"spec.completions: Invalid value: 4: should be equal to parallelism when {K}job-completions-equal-parallelism "
                "annotation is true"
            )
        ],
    ),
    "completions follow perhaps": (
        {"annotations": {K + "job-completions-equal-parallelism": "maybe"}},
        [f'{SYNC} "maybe": strconv.ParseBool: parsing "maybe": invalid syntax'],
    ),
    "no time to run": (
        {"labels": {K + "max-exec-time-seconds": "0"}},
        [f"metadata.labels[{K}max-exec-time-seconds]: Invalid value: 0: should be greater than 0"],
    ),
    "time in words": (
        {"labels": {K + "max-exec-time-seconds": "soon"}},
        [
            (
                f'metadata.labels[{K}max-exec-time-seconds]: Invalid value: "soon": '
                'strconv.Atoi: parsing "soon": invalid syntax'
            )
        ],
    ),
    "two topologies": (
        {"template": {K + "podset-required-topology": "net/rack", K + "podset-unconstrained-topology": "true"}},
        [
            (
                f"{TEMPLATE}: Invalid value: must not contain more than one topology annotation: "
                f'["{K}podset-required-topology", "{K}podset-preferred-topology", "{K}podset-unconstrained-topology"]'
            )
        ],
    ),
    "a slice larger than the pod set": (
        {"template": {K + "podset-slice-required-topology": "net/rack", K + "podset-slice-size": "4"}},
        [f'{TEMPLATE}[{K}podset-slice-size]: Invalid value: "4": must not be greater than pod set count 3'],
    ),
    "a gate twice": (
        {"annotations": {K + "admission-gated-by": "example.com/a,example.com/a"}},
        [
            (
                f'metadata.annotations[{K}admission-gated-by]: Invalid value: "example.com/a,example.com/a": '
                "duplicate gate name: example.com/a"
            )
        ],
    ),
    "elastic and with a minimum": (
        {"annotations": {K + "elastic-job": "true", K + "job-min-parallelism": "2"}},
        [f'{MINIMUM} "2": partial admission and elastic job cannot be used together'],
    ),
    "elastic and bound to a topology": (
        {"annotations": {K + "elastic-job": "true"}, "template": {K + "podset-preferred-topology": "net/rack"}},
        [f"{TEMPLATE}[{K}podset-preferred-topology]: Forbidden: preferred topology is not supported with elastic jobs"],
    ),
    "nothing wrong": ({"annotations": {K + "job-min-parallelism": "1"}}, []),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_on_creation(name: str) -> None:
    """Each rule by itself, in Kueue's words."""
    parts, want = REFUSED[name]
    assert check(make_job(**parts)) == want


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "another queue while running": (
        {"labels": {K + "queue-name": "other"}},
        {},
        [f'metadata.labels[{K}queue-name]: Invalid value: "other": field is immutable'],
    ),
    "another queue while suspended": ({"labels": {K + "queue-name": "other"}, "suspend": True}, {"suspend": True}, []),
    "a priority class while running": (
        {"labels": {K + "priority-class": "w-job"}},
        {},
        [
            (
                f'metadata.labels[{K}priority-class]: Invalid value: "w-job": '
                "WorkloadPriorityClass cannot be added to a non-suspended workload"
            )
        ],
    ),
    "execution time while running": (
        {"labels": {K + "max-exec-time-seconds": "60"}},
        {},
        [f'metadata.labels[{K}max-exec-time-seconds]: Invalid value: "60": field is immutable'],
    ),
    "a prebuilt Workload while running": (
        {"labels": {K + "prebuilt-workload-name": "x"}},
        {},
        [f'metadata.labels[{K}prebuilt-workload-name]: Invalid value: "x": field is immutable'],
    ),
    "made elastic": (
        {"annotations": {K + "elastic-job": "true"}},
        {},
        [f"metadata.annotations[{K}elastic-job]: Invalid value: true: field is immutable"],
    ),
    "resized while running with a minimum": (
        {"annotations": {K + "job-min-parallelism": "2"}, "parallelism": 4},
        {"annotations": {K + "job-min-parallelism": "2"}},
        ["spec.parallelism: Forbidden: cannot change when partial admission is enabled and the job is not suspended"],
    ),
    "shrunk by its start to its minimum": (
        {"annotations": {K + "job-min-parallelism": "2"}, "parallelism": 2},
        {"annotations": {K + "job-min-parallelism": "2"}, "suspend": True},
        [],
    ),
    "restored at the end of a stop": (
        {"annotations": {K + "job-min-parallelism": "2"}, "suspend": True},
        {"annotations": {K + "job-min-parallelism": "2", K + "stopping": "true"}, "suspend": True, "parallelism": 2},
        [],
    ),
    "completions follow all of a sudden": (
        {"annotations": {K + "job-completions-equal-parallelism": "true"}},
        {},
        [f'{SYNC} "true": field is immutable while the job is not suspended'],
    ),
    "a bad minimum while suspended": (
        {"annotations": {K + "job-min-parallelism": "9"}, "suspend": True},
        {"suspend": True},
        [f"{MINIMUM} 9: should be between 0 and 2"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_may_change(name: str) -> None:
    """What is forbidden while the Job runs, and what its own start and stop do."""
    new, old, want = CHANGES[name]
    assert check(make_job(**new), make_job(**old)) == want


def default(job: dict[str, Any], reader: Indexer, **config: Any) -> Any:
    request = AdmissionRequest(Operation.CREATE, JOB, "ns", "job", job)
    return JobWebhook(make_settings(**config)).default(request, reader)


def test_a_job_with_a_queue_is_suspended() -> None:
    """And one without is not touched at all."""
    assert default(make_job(), make_reader())["spec"]["suspend"] is True
    free = make_job()
    free["metadata"]["labels"] = {}
    assert default(free, make_reader()) is free


def test_defaults_of_the_namespace() -> None:
    """The queue `default` and the class `default`, where the Job names none; then it is Kueue's."""
    reader = make_reader()
    reader.apply(LOCAL_QUEUE, {"metadata": {"name": "default", "namespace": "ns"}, "spec": {"clusterQueue": "cq"}})
    reader.apply(WORKLOAD_PRIORITY_CLASS, {"metadata": {"name": "default"}, "value": 1})
    job = make_job()
    job["metadata"]["labels"] = {}
    admitted = default(job, reader)
    assert admitted["metadata"]["labels"] == {K + "queue-name": "default", K + "priority-class": "default"}
    assert admitted["spec"]["suspend"] is True


def test_a_disabled_framework_is_not_touched() -> None:
    """Neither defaults nor rules."""
    settings = make_settings(frameworks=("pod",))
    job = make_job(annotations={Annotation.JOB_MIN_PARALLELISM.value: "few"})
    request = AdmissionRequest(Operation.CREATE, JOB, "ns", "job", job)
    webhook = JobWebhook(settings)
    assert webhook.default(request, make_reader()) is job
    assert list(webhook.validate(request, make_reader())) == []


@pytest.mark.parametrize(
    ("given", "controller", "want"),
    [
        (None, "kueue.x-k8s.io/multikueue", "kueue.x-k8s.io/multikueue"),
        ("kubernetes.io/job-controller", "kueue.x-k8s.io/multikueue", "kueue.x-k8s.io/multikueue"),
        ("acme.io/jobs", "kueue.x-k8s.io/multikueue", "acme.io/jobs"),
        (None, "kueue.x-k8s.io/provisioning-request", None),
    ],
)
def test_who_manages_a_job(given: str | None, controller: str, want: str | None) -> None:
    """G26: MultiKueue, where a check of the ClusterQueue is its, and nobody else was named."""
    reader = make_reader()
    reader.apply(LOCAL_QUEUE, {"metadata": {"name": "jobs", "namespace": "ns"}, "spec": {"clusterQueue": "cq"}})
    strategy = {"admissionChecks": [{"name": "check"}]}
    reader.apply(CLUSTER_QUEUE, {"metadata": {"name": "cq"}, "spec": {"admissionChecksStrategy": strategy}})
    reader.apply(ADMISSION_CHECK, {"metadata": {"name": "check"}, "spec": {"controllerName": controller}})
    job = make_job(**({"managedBy": given} if given else {}))
    assert default(job, reader)["spec"].get("managedBy") == want
