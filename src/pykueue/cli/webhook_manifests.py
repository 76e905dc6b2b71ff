"""The two webhook configurations, as data (spec: webhooks.md §1).

Only kinds that this release answers for are listed: every webhook fails closed, so one that nobody serves would block its kind.
The certificate authority is put in by the manager when it has made its certificates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import kinds
from pykueue.api.kinds import Kind

SERVICE = "kueue-webhook-service"
MUTATING = "kueue-mutating-webhook-configuration"
VALIDATING = "kueue-validating-webhook-configuration"

_CREATE, _BOTH = ("CREATE",), ("CREATE", "UPDATE")


@dataclass(frozen=True, slots=True)
class _Target:
    """One kind with webhooks.

    Attributes:
        kind: what is sent.
        mutating: operations that are defaulted; empty for none.
        validated: resources that are validated, if not the plural alone.
        job: subject to the namespace selector.
    """

    kind: Kind
    mutating: Sequence[str] = _CREATE
    validated: Sequence[str] = ()
    job: bool = True


TARGETS = (
    _Target(kinds.CLUSTER_QUEUE, job=False),
    _Target(kinds.COHORT, mutating=(), job=False),
    _Target(kinds.RESOURCE_FLAVOR, job=False),
    _Target(kinds.WORKLOAD, validated=("workloads", "workloads/status"), job=False),
    _Target(kinds.JOB),
    _Target(kinds.POD),
    _Target(kinds.DEPLOYMENT, mutating=_BOTH),
    _Target(kinds.STATEFUL_SET, mutating=_BOTH),
    _Target(kinds.LEADER_WORKER_SET, mutating=_BOTH),
)


def webhook_configurations(namespace: str) -> list[dict[str, Any]]:
    """The mutating and the validating configuration for a manager in this namespace."""
    return [
        _configuration("MutatingWebhookConfiguration", MUTATING, _mutating(namespace)),
        _configuration("ValidatingWebhookConfiguration", VALIDATING, _validating(namespace)),
    ]


def webhook_path(verb: str, kind: Kind) -> str:
    """Path of a webhook: `/mutate-batch-v1-job`, `/validate--v1-pod`."""
    return f"/{verb}-{kind.group.replace('.', '-')}-{kind.version}-{kind.kind.lower()}"


def _mutating(namespace: str) -> Iterator[dict[str, Any]]:
    for target in TARGETS:
        if target.mutating:
            yield _webhook("mutate", target, namespace, operations=target.mutating, resources=[target.kind.plural])


def _validating(namespace: str) -> Iterator[dict[str, Any]]:
    for target in TARGETS:
        resources = target.validated or [target.kind.plural]
        yield _webhook("validate", target, namespace, operations=_BOTH, resources=resources)


def _configuration(kind: str, name: str, webhooks: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "webhooks": list(webhooks),
    }


def _webhook(
    verb: str, target: _Target, namespace: str, *, operations: Sequence[str], resources: Sequence[str]
) -> dict[str, Any]:
    kind = target.kind
    rule: Mapping[str, Any] = {
        "apiGroups": [kind.group],
        "apiVersions": [kind.version],
        "operations": list(operations),
        "resources": list(resources),
    }
    service = {"name": SERVICE, "namespace": namespace, "path": webhook_path(verb, kind)}
    webhook: dict[str, Any] = {
        "name": f"{verb[0]}{kind.kind.lower()}.kb.io",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": service},
        "failurePolicy": "Fail",
        "rules": [rule],
        "sideEffects": "None",
    }
    if target.job:
        excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", namespace]}
        webhook["namespaceSelector"] = {"matchExpressions": [excluded]}
    return webhook
