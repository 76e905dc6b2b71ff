"""Roles: the least that the manager needs, and what people get (spec: webhooks.md §7).

The manager's rules follow Kueue's for the kinds of this release. Two differences: our writes are patches, so `patch` stands
beside `update`; and kinds whose jobs are not managed are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.constants import SERVICE_ACCOUNT_PREFIX
from pykueue.api.kinds import KUEUE_GROUP, VISIBILITY_GROUP
from pykueue.api.schema import CONVERTED_KINDS, crd
from pykueue.cli.webhook_manifests import VALIDATING
from pykueue.cli.wiring import WEBHOOK_CONFIGURATION

PREFIX = "kueue-"
SERVICE_ACCOUNT = PREFIX + "controller-manager"

_READ = ("get", "list", "watch")
_WRITE = ("delete", "get", "list", "patch", "update", "watch")
_STATUS = ("get", "patch", "update")
_EDIT = ("create", "delete", "get", "list", "patch", "update", "watch")
_LABEL = "rbac.kueue.x-k8s.io/"
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_ADMIN, _USER = {_LABEL + "batch-admin": "true"}, {_LABEL + "batch-user": "true"}
_TO_ADMIN = {_AGGREGATE + "admin": "true"}
_TO_ALL = {_AGGREGATE + "view": "true", _AGGREGATE + "edit": "true", **_TO_ADMIN}

_MANAGER: Sequence[tuple[str, Sequence[str], Sequence[str]]] = (
    ("", ("limitranges", "namespaces", "nodes"), _READ),
    ("", ("pods",), _WRITE),
    ("", ("pods/finalizers",), ("get", "update")),
    ("", ("pods/status",), ("get", "patch")),
    ("", ("podtemplates",), ("create", "delete", "get", "list", "update", "watch")),
    ("events.k8s.io", ("events",), ("create", "patch", "update", "watch")),
    ("admissionregistration.k8s.io", ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"), _READ[1:]),
    ("apiextensions.k8s.io", ("customresourcedefinitions",), _READ[1:]),
    ("apps", ("deployments", "replicasets", "statefulsets"), _READ),
    ("batch", ("jobs",), _WRITE),
    ("batch", ("jobs/finalizers", "jobs/status"), _STATUS),
    ("leaderworkerset.x-k8s.io", ("leaderworkersets",), _READ),
    ("leaderworkerset.x-k8s.io", ("leaderworkersets/status",), _STATUS),
    (
        KUEUE_GROUP,
        ("admissionchecks", "clusterqueues", "resourceflavors", "topologies"),
        ("get", "list", "patch", "update", "watch"),
    ),
    (
        KUEUE_GROUP,
        (
            "cohorts",
            "localqueues",
            "multikueueclusters",
            "multikueueconfigs",
            "provisioningrequestconfigs",
            "workloadpriorityclasses",
        ),
        _READ,
    ),
    (KUEUE_GROUP, ("workloads",), _EDIT),
    (
        KUEUE_GROUP,
        (
            "admissionchecks/finalizers",
            "clusterqueues/finalizers",
            "resourceflavors/finalizers",
            "topologies/finalizers",
            "workloads/finalizers",
        ),
        ("update",),
    ),
    (
        KUEUE_GROUP,
        (
            "admissionchecks/status",
            "clusterqueues/status",
            "cohorts/status",
            "localqueues/status",
            "multikueueclusters/status",
            "workloads/status",
        ),
        _STATUS,
    ),
    ("node.k8s.io", ("runtimeclasses",), _READ),
    ("scheduling.k8s.io", ("priorityclasses",), _READ),
)


def service_account(namespace: str) -> str:
    """The user name of the manager that `pykueue manifests` installs."""
    return f"{SERVICE_ACCOUNT_PREFIX}{namespace}:{SERVICE_ACCOUNT}"


def rbac(namespace: str) -> list[dict[str, Any]]:
    """ServiceAccount, roles and bindings for a manager in this namespace."""
    subject = {"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": namespace}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": SERVICE_ACCOUNT, "namespace": namespace},
    }
    review = [
        _rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
        _rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
    ]
    election = [
        _rule("", ["configmaps"], _EDIT),
        _rule("coordination.k8s.io", ["leases"], _EDIT),
        _rule("", ["events"], ["create", "patch"]),
    ]
    secrets = [_rule("", ["secrets"], ["get", "list", "patch", "update", "watch"])]
    scrape = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    return [
        account,
        _role("manager-role", [*(_rule(*rule) for rule in _MANAGER), *_own_objects()]),
        _binding("manager-rolebinding", "manager-role", subject),
        _role("leader-election-role", election, namespace=namespace),
        _binding("leader-election-rolebinding", "leader-election-role", subject, namespace=namespace),
        _role("manager-secrets-role", secrets, namespace=namespace),
        _binding("manager-secrets-rolebinding", "manager-secrets-role", subject, namespace=namespace),
        _role("metrics-auth-role", review),
        _binding("metrics-auth-rolebinding", "metrics-auth-role", subject),
        _role("metrics-reader", [scrape]),
        _auth_reader(subject),
        *_people(),
    ]


def _auth_reader(subject: Mapping[str, str]) -> dict[str, Any]:
    """Reading which front proxy to trust, by a role that every cluster has."""
    binding = _binding("visibility-server-auth-reader", "", subject, namespace="kube-system")
    return {**binding, "roleRef": {**binding["roleRef"], "name": "extension-apiserver-authentication-reader"}}


def _own_objects() -> list[dict[str, Any]]:
    """Writes of certificates into objects that are ours by name."""
    crds = [crd(kind)["metadata"]["name"] for kind in CONVERTED_KINDS]
    own = ("get", "patch", "update")
    group = "admissionregistration.k8s.io"
    return [
        {**_rule(group, ["mutatingwebhookconfigurations"], own), "resourceNames": [WEBHOOK_CONFIGURATION]},
        {**_rule(group, ["validatingwebhookconfigurations"], own), "resourceNames": [VALIDATING]},
        {**_rule("apiextensions.k8s.io", ["customresourcedefinitions"], own), "resourceNames": crds},
    ]


def _people() -> list[dict[str, Any]]:
    """Roles for those who run the cluster (batch-admin) and those who submit to it (batch-user)."""
    roles = [_aggregate("batch-admin-role", _ADMIN), _aggregate("batch-user-role", _USER)]
    for name, plural, status in (
        ("clusterqueue", "clusterqueues", True),
        ("cohort", "cohorts", False),
        ("resourceflavor", "resourceflavors", False),
        ("topology", "topologies", False),
    ):
        roles += _editor_and_viewer(name, KUEUE_GROUP, plural, _ADMIN, {**_ADMIN, **_TO_ADMIN}, status=status)
    for name, plural in (("localqueue", "localqueues"), ("workload", "workloads")):
        roles += _editor_and_viewer(name, KUEUE_GROUP, plural, _ADMIN, {**_ADMIN, **_USER, **_TO_ALL})
    for name, plural, labels in (
        ("cq", "clusterqueues", {**_ADMIN, **_TO_ALL}),
        ("lq", "localqueues", {**_ADMIN, **_USER, **_TO_ALL}),
    ):
        rule = _rule(VISIBILITY_GROUP, [f"{plural}/pendingworkloads"], _READ)
        roles.append(_role(f"pending-workloads-{name}-viewer-role", [rule], labels=labels))
    everyone = {**_ADMIN, **_USER}
    for name, group, plural in (
        ("job", "batch", "jobs"),
        ("leaderworkerset", "leaderworkerset.x-k8s.io", "leaderworkersets"),
    ):
        roles += _editor_and_viewer(name, group, plural, everyone, {**everyone, **_TO_ALL})
    return roles


def _editor_and_viewer(
    name: str,
    group: str,
    plural: str,
    editors: Mapping[str, str],
    viewers: Mapping[str, str],
    *,
    status: bool = True,
) -> list[dict[str, Any]]:
    of_status = [_rule(group, [f"{plural}/status"], ["get"])] if status else []
    return [
        _role(
            f"{name}-{role}-role",
            [_rule(group, [plural], verbs), *of_status],
            labels={_LABEL + "role": f"{name}-{role}", **labels},
        )
        for role, verbs, labels in (("editor", _EDIT, editors), ("viewer", _READ, viewers))
    ]


def _aggregate(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    role = _role(name, [])
    return {**role, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": dict(labels)}]}}


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _role(
    name: str, rules: Sequence[Mapping[str, Any]], *, namespace: str = "", labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": PREFIX + name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    kind = "Role" if namespace else "ClusterRole"
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "rules": [dict(rule) for rule in rules],
    }


def _binding(name: str, role: str, subject: Mapping[str, str], *, namespace: str = "") -> dict[str, Any]:
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": PREFIX + name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": PREFIX + role},
        "subjects": [dict(subject)],
    }
