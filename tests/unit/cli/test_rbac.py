"""The manager's rights cover what its parts declare that they need."""

from __future__ import annotations

from collections.abc import Iterable

from pykueue.api.configuration import Configuration
from pykueue.api.kinds import EVENT, LEASE, SECRET, WORKLOAD, Kind
from pykueue.cli.rbac import SERVICE_ACCOUNT, rbac
from pykueue.cli.wiring import CACHED_KINDS, assemble
from pykueue.core.features import Features

OBJECTS = rbac("queueing")


def granted(role_name: str) -> set[tuple[str, str, str]]:
    """Group, resource and verb of everything that a role allows on all objects."""
    [role] = [o for o in OBJECTS if o["kind"] in ("Role", "ClusterRole") and o["metadata"]["name"] == role_name]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        if "resourceNames" not in rule and "nonResourceURLs" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def cached_kinds() -> Iterable[Kind]:
    product = assemble(Configuration(), Features())
    yield from product.controller.kinds()
    yield from CACHED_KINDS
    for reconciler in product.reconcilers:
        yield from (watch.kind for watch in reconciler.watches())
        yield from (index.kind for index in reconciler.indexes())


def test_every_kind_that_is_cached_may_be_read() -> None:
    """A new watch without its right would keep the manager from ever getting ready."""
    rights = granted("kueue-manager-role")
    for kind in cached_kinds():
        missing = [verb for verb in ("get", "list", "watch") if (kind.group, kind.plural, verb) not in rights]
        assert not missing, f"{kind.plural}.{kind.group}: {missing}"


def test_what_the_shell_writes_is_allowed() -> None:
    """Statuses by patch and apply, events, the lease and the Secret of the certificates."""
    rights = granted("kueue-manager-role")
    assert {(WORKLOAD.group, "workloads/status", "patch"), (WORKLOAD.group, "workloads", "create")} <= rights
    assert {(EVENT.group, "events", verb) for verb in ("create", "patch")} <= rights
    assert {(LEASE.group, "leases", verb) for verb in ("get", "create", "update")} <= granted(
        "kueue-leader-election-role"
    )
    assert {(SECRET.group, "secrets", verb) for verb in ("get", "patch")} <= granted("kueue-manager-secrets-role")


def test_scrapes_may_be_judged() -> None:
    """The manager may ask about tokens and rights; who scrapes needs the reader's role alone."""
    reviews = {
        ("authentication.k8s.io", "tokenreviews", "create"), ("authorization.k8s.io", "subjectaccessreviews", "create"),
    }  # fmt: skip
    assert granted("kueue-metrics-auth-role") == reviews
    [reader] = [o for o in OBJECTS if o["metadata"]["name"] == "kueue-metrics-reader"]
    assert reader["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]


def test_the_roles_are_the_managers() -> None:
    """Each role of the manager is bound to its ServiceAccount, and to nobody else."""
    bound = {
        o["roleRef"]["name"]: [(s["name"], s["namespace"]) for s in o["subjects"]]
        for o in OBJECTS
        if o["kind"].endswith("Binding")
    }
    names = ("manager-role", "leader-election-role", "manager-secrets-role", "metrics-auth-role")
    roles = (*(f"kueue-{name}" for name in names), "extension-apiserver-authentication-reader")
    assert bound == {role: [(SERVICE_ACCOUNT, "queueing")] for role in roles}
