"""The two webhook configurations, as data (spec: webhooks.md §1).

They say what the webhooks of `wiring.py` declare of themselves, under the names and paths by which the webhook server knows them. Only kinds that
this release answers for are listed: every webhook fails closed, so one that nobody serves would block its kind.
The certificate authority is put in by the manager when it has made its certificates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pykueue.api.configuration import Configuration
from pykueue.api.kinds import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, Kind
from pykueue.cli.wiring import WEBHOOK_CONFIGURATION, make_webhooks
from pykueue.core.features import Features
from pykueue.integrations.settings import JobSettings
from pykueue.ports.admission import MatchCondition, Operation, Webhook
from pykueue.runtime.admission import mutating_name, validating_name
from pykueue.runtime.webhook_server import mutating_path, validating_path
from pykueue.webhooks.conditions import unless_own_status

SERVICE = "kueue-webhook-service"
VALIDATING = "kueue-validating-webhook-configuration"


def webhook_configurations(namespace: str, account: str = "") -> list[dict[str, Any]]:
    """The mutating and the validating configuration for a manager in this namespace.

    Args:
        namespace: of the manager.
        account: the user name that is the manager's alone; empty if others share it, and then every write is checked.
    """
    webhooks = make_webhooks(JobSettings(Configuration(), Features()))
    return [
        _configuration(MUTATING_WEBHOOKS, WEBHOOK_CONFIGURATION, [*_mutating(webhooks, namespace)]),
        _configuration(VALIDATING_WEBHOOKS, VALIDATING, [*_validating(webhooks, namespace, account)]),
    ]


def _mutating(webhooks: Sequence[Webhook], namespace: str) -> Iterable[dict[str, Any]]:
    for webhook in webhooks:
        if webhook.mutating_operations:
            rule = _rule(webhook, webhook.mutating_operations, ())
            names = (mutating_name(webhook.kind), mutating_path(webhook.kind))
            yield _entry(webhook, namespace, names, rule, webhook.mutating_conditions)


def _validating(webhooks: Sequence[Webhook], namespace: str, account: str) -> Iterable[dict[str, Any]]:
    for webhook in webhooks:
        if webhook.validating_operations:
            rule = _rule(webhook, webhook.validating_operations, webhook.validated_subresources)
            names = (validating_name(webhook.kind), validating_path(webhook.kind))
            own = (unless_own_status(account),) if account and webhook.validated_subresources else ()
            yield _entry(webhook, namespace, names, rule, (*own, *webhook.validating_conditions))


def _configuration(kind: Kind, name: str, webhooks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name},
        "webhooks": webhooks,
    }


def _rule(webhook: Webhook, operations: Sequence[Operation], subresources: Sequence[str]) -> dict[str, Any]:
    kind = webhook.kind
    return {
        "apiGroups": [kind.group],
        "apiVersions": [kind.version],
        "operations": [operation.value for operation in operations],
        "resources": [kind.plural, *(f"{kind.plural}/{subresource}" for subresource in subresources)],
    }


def _entry(
    webhook: Webhook,
    namespace: str,
    names: tuple[str, str],
    rule: dict[str, Any],
    conditions: Sequence[MatchCondition],
) -> dict[str, Any]:
    name, path = names
    entry: dict[str, Any] = {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": SERVICE, "namespace": namespace, "path": path}},
        "failurePolicy": "Fail",
        "rules": [rule],
        "sideEffects": "None",
    }
    if conditions:
        entry["matchConditions"] = [{"name": one.name, "expression": one.expression} for one in conditions]
    if webhook.skips_system_namespaces:
        excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", namespace]}
        entry["namespaceSelector"] = {"matchExpressions": [excluded]}
    return entry
