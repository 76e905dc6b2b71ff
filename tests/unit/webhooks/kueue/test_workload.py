"""Admission of Workloads and of their status: what is refused, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.errors import join_field_errors
from pykueue.core.features import Features, Gate
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Indexer
from pykueue.webhooks.kueue.workload import WorkloadWebhook

K = "kueue.x-k8s.io/"
REQUESTS = "spec.podSets[0].template.spec.containers[0].resources.requests"
PARTIAL = {"minCount": 1, "count": 2}


def pod_set(
    name: str = "main", *, cpu: str = "1", resources: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    requests = {"cpu": cpu} if resources is None else resources
    template = {"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}}
    return {"name": name, "count": 1, "template": template, **more}


def workload(*pod_sets: dict[str, Any], annotations: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    meta = {"name": "w", "namespace": "ns", "annotations": annotations or {}}
    return {"metadata": meta, "spec": {"podSets": list(pod_sets or (pod_set(),)), "queueName": "lq"}, "status": status}


def condition(type_: str = "QuotaReserved", **more: Any) -> dict[str, Any]:
    return {
        "type": type_,
        "status": "True",
        "reason": type_,
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        **more,
    }


def admission(usage: str = "3", count: int = 3, name: str = "main", queue: str = "cq") -> dict[str, Any]:
    assignment = {"name": name, "flavors": {"cpu": "f"}, "resourceUsage": {"cpu": usage}, "count": count}
    return {"clusterQueue": queue, "podSetAssignments": [assignment]}


def reserved(*pod_sets: dict[str, Any], given: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return workload(
        *(pod_sets or (pod_set(count=3),)), conditions=[condition()], admission=given or admission(), **more
    )


def faults(obj: dict[str, Any], old: dict[str, Any] | None = None, gates: dict[Gate, bool] | None = None) -> str:
    webhook = WorkloadWebhook(Features(gates or {}))
    operation = Operation.CREATE if old is None else Operation.UPDATE
    errors = webhook.validate(AdmissionRequest(operation, webhook.kind, "ns", "w", obj, old), Indexer())
    return join_field_errors(errors) if errors else ""


CREATED = {
    "one pod set": (workload(), ""),
    "PA-09 two that may shrink": (
        workload(pod_set("a", **PARTIAL), pod_set("b", **PARTIAL)),
        "spec.podSets: Invalid value: 2: at most one podSet can use minCount",
    ),
    "elastic and partial": (
        workload(pod_set(**PARTIAL), annotations={K + "elastic-job": "true"}),
        "spec.podSets: Invalid value: 1: partial admission and elastic job cannot be used together",
    ),
    "pods as a resource": (
        workload(pod_set(resources={"pods": "1"})),
        f'{REQUESTS}[pods]: Invalid value: "pods": the key is reserved for internal kueue use',
    ),
    "less than nothing": (
        workload(pod_set(cpu="-1")),
        f'{REQUESTS}[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    ),
    "quota without an admission": (
        workload(conditions=[condition()]),
        "status.admission: Required value: must be set while the QuotaReserved condition is true",
    ),
    "usage that no pod can have": (
        reserved(given=admission("2500m")),
        'status.admission.podSetAssignments[0].resourceUsage[cpu]: Invalid value: "2500m": is not a multiple of 3',
    ),
    "an unknown pod set": (
        reserved(given=admission(name="other")), 'status.admission.podSetAssignments[0].name: Not found: "other"',
    ),
    "more pods done than there are": (
        workload(reclaimablePods=[{"name": "main", "count": 2}]),
        "status.reclaimablePods[main].count: Invalid value: 2: should be less or equal to 1",
    ),
    "a condition twice": (
        workload(conditions=[condition("Evicted"), condition("Evicted")]), 'status.conditions[1].type: Duplicate value: "Evicted"',
    ),
    "an empty gate name": (
        workload(annotations={K + "admission-gated-by": "a.io/b,"}),
        f'metadata.annotations[{K}admission-gated-by]: Invalid value: "a.io/b,": cannot contain empty gate names',
    ),
    "a gate name twice": (
        workload(annotations={K + "admission-gated-by": "a.io/b,a.io/b"}),
        f'metadata.annotations[{K}admission-gated-by]: Invalid value: "a.io/b,a.io/b": duplicate gate name: a.io/b',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CREATED)
def test_new_workloads(name: str) -> None:
    """Each fault by its field."""
    obj, want = CREATED[name]
    assert faults(obj) == want


READY = {"name": "ac", "state": "Ready", "podSetUpdates": [{"name": "main", "labels": {"a": "1"}}]}
UPDATED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another size with quota": (
        reserved(pod_set(count=4)), reserved(), "spec.podSets.0: Invalid value",
    ),
    "fewer pods with quota": (reserved(pod_set(count=2)), reserved(), ""),
    "another size without quota": (workload(pod_set(count=4)), workload(), ""),
    "another admission": (reserved(given=admission(queue="x")), reserved(), "status.admission: Invalid value"),
    "no admission any more": (workload(pod_set(count=3), conditions=[condition(status="False")]), reserved(), ""),
    "quota that never had an admission": (
        workload(conditions=[condition()]), workload(conditions=[condition()]), "",
    ),
    "fewer pods done": (
        reserved(reclaimablePods=[{"name": "main", "count": 1}]), reserved(reclaimablePods=[{"name": "main", "count": 2}]),
        "status.reclaimablePods[main].count: Invalid value: 1: cannot be less than 2",
    ),
    "none done any more": (
        reserved(), reserved(reclaimablePods=[{"name": "main", "count": 2}]),
        "status.reclaimablePods[main]: Required value: cannot be removed",
    ),
    "other updates of a ready check": (
        reserved(admissionChecks=[READY | {"podSetUpdates": []}]), reserved(admissionChecks=[READY]),
        "status.admissionChecks[0].podSetUpdates: Invalid value",
    ),
    "a gate more": (
        workload(annotations={K + "admission-gated-by": "a.io/b"}), workload(),
        f"metadata.annotations[{K}admission-gated-by]: Forbidden: cannot add admission gate after creation",
    ),
    "a gate less": (workload(), workload(annotations={K + "admission-gated-by": "a.io/b"}), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", UPDATED)
def test_changes(name: str) -> None:
    """What is held may not change; what is told may only grow."""
    obj, old, want = UPDATED[name]
    told = faults(obj, old)
    assert told.startswith(want) if want else told == ""


@pytest.mark.parametrize(
    ("boost", "want"),
    [
        ("5", ""),
        ("-3", ""),
        ("", 'Invalid value: "": must be a valid signed integer; use "0" explicitly, empty string is not allowed'),
        ("high", 'Invalid value: "high": must be a valid signed integer'),
    ],
)
def test_priority_boosts(boost: str, want: str) -> None:
    """Numbers with a sign, behind the gate."""
    obj = workload(annotations={K + "priority-boost": boost})
    assert faults(obj, gates={Gate.PRIORITY_BOOST: True}) == (
        want and f"metadata.annotations[{K}priority-boost]: {want}"
    )
    assert faults(obj) == ""


@pytest.mark.parametrize("is_on", [True, False])
def test_partial_admission_is_a_gate(is_on: bool) -> None:
    """Where it is off nothing is left of `minCount`."""
    webhook = WorkloadWebhook(Features({Gate.PARTIAL_ADMISSION: is_on}))
    obj = workload(pod_set(**PARTIAL))
    stored = webhook.default(AdmissionRequest(Operation.CREATE, webhook.kind, "ns", "w", obj), Indexer())
    assert ("minCount" in stored["spec"]["podSets"][0]) is is_on
