"""Everything that a cluster needs to run the manager, as objects ready to apply (spec: config.md §4, webhooks.md §1, §7).

Names are Kueue's, so that tools that look for them find them: prefix `kueue-`, the webhook Service, the Secret of its
certificates (empty here; the manager fills it), the ConfigMap with the configuration. Apply with server-side apply: the
Workload's definition is larger than what client-side apply can note down.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from pykueue.api.configuration.frameworks import FRAMEWORKS
from pykueue.api.kinds import API_SERVICE, VISIBILITY_GROUP
from pykueue.api.schema import CONVERTED_KINDS, all_crds, with_conversion, with_lean_templates, without_v1beta1
from pykueue.cli.rbac import SERVICE_ACCOUNT, rbac, service_account
from pykueue.cli.visibility import VERSIONS
from pykueue.cli.webhook_manifests import SERVICE, webhook_configurations

VISIBILITY_SERVICE = "kueue-visibility-server"
_MANAGER = "kueue-controller-manager"
_CONFIG_MAP, _CONFIG_KEY = "kueue-manager-config", "controller_manager_config.yaml"
_SECRET = "kueue-webhook-server-cert"  # noqa: S105 - the name of a Secret
_CERT_DIR = "/tmp/k8s-webhook-server/serving-certs"  # noqa: S108 - Kueue's default
_LABELS = {"app.kubernetes.io/name": "kueue", "control-plane": "controller-manager"}


def manifests(
    *,
    namespace: str = "kueue-system",
    image: str = "pykueue:latest",
    only: Collection[str] = (),
    is_lean: bool = False,
    has_v1beta1: bool = True,
) -> list[dict[str, Any]]:
    """The objects, in an order in which they can be applied.

    Args:
        namespace: of the manager.
        image: of the Deployment.
        only: parts to give: `crds`, `rbac`, `webhooks`, `visibility`, `deployment`; empty for all.
        is_lean: the API server keeps the pod templates of Workloads as they come, instead of checking them by a schema.
        has_v1beta1: False for clusters in which nobody uses our kinds in their older version.

    Raises:
        ValueError: a part that does not exist.
    """
    parts = {
        "crds": crds(namespace, is_lean=is_lean, has_v1beta1=has_v1beta1),
        "rbac": rbac(namespace),
        "deployment": deployment(namespace, image),
        "visibility": [visibility_service(namespace), *api_services(namespace)],
        "webhooks": webhook_configurations(namespace, service_account(namespace)),
    }
    unknown = sorted(set(only) - set(parts))
    if unknown:
        raise ValueError(f"no such part: {', '.join(unknown)}; parts are {', '.join(parts)}")
    first = [] if only else [{"apiVersion": "v1", "kind": "Namespace", "metadata": _metadata(namespace)}]
    chosen = first + [obj for part, objects in parts.items() if not only or part in only for obj in objects]
    # Schemas share their nodes, which YAML would write as anchors and aliases; a round trip makes them separate.
    return list(msgspec.json.decode(msgspec.json.encode(chosen)))


def crds(namespace: str, *, is_lean: bool = False, has_v1beta1: bool = True) -> list[dict[str, Any]]:
    """Definitions of our kinds, with the conversion webhook of a manager in this namespace where it is needed.

    Args:
        namespace: of the manager.
        is_lean: without the schema of pod templates in Workload.
        has_v1beta1: with the older version of each kind, and its conversion.
    """
    service = {"service": {"name": SERVICE, "namespace": namespace, "path": "/convert"}}
    found = []
    for crd in all_crds():
        kind = crd["spec"]["names"]["kind"]
        chosen = with_lean_templates(crd) if is_lean and kind == "Workload" else crd
        if not has_v1beta1:
            chosen = without_v1beta1(chosen)
        elif kind in CONVERTED_KINDS:
            chosen = with_conversion(chosen, service)
        found.append(chosen)
    return found


def visibility_service(namespace: str) -> dict[str, Any]:
    """The Service by which the API server finds the visibility API of a manager in this namespace."""
    return _service(VISIBILITY_SERVICE, namespace, {"name": "https", "port": 443, "targetPort": "visibility"})


def api_services(namespace: str) -> list[dict[str, Any]]:
    """What makes the visibility API a part of the cluster's API.

    Nobody verifies the certificate that it is served with, as in Kueue: every replica makes its own.
    """
    return [
        {
            "apiVersion": API_SERVICE.api_version,
            "kind": API_SERVICE.kind,
            "metadata": _metadata(f"{version}.{VISIBILITY_GROUP}"),
            "spec": {
                "group": VISIBILITY_GROUP,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": VISIBILITY_SERVICE, "namespace": namespace, "port": 443},
            },
        }
        for version in VERSIONS
    ]


def deployment(namespace: str, image: str) -> list[dict[str, Any]]:
    """The manager with its configuration, certificates and Services."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(_CONFIG_MAP, namespace),
            "data": {_CONFIG_KEY: shipped_configuration()},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": _metadata(_SECRET, namespace)},
        _service(SERVICE, namespace, {"name": "webhook", "port": 443, "targetPort": "webhook-server"}),
        _service(f"{_MANAGER}-metrics-service", namespace, {"name": "https", "port": 8443, "targetPort": "metrics"}),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": _metadata(_MANAGER, namespace),
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": _LABELS},
                "template": {
                    "metadata": {
                        "labels": _LABELS,
                        "annotations": {"kubectl.kubernetes.io/default-container": "manager"},
                    },
                    "spec": _pod(image),
                },
            },
        },
    ]


def _pod(image: str) -> dict[str, Any]:
    config, certs = "/etc/kueue/config", "cert"
    container = {
        "name": "manager",
        "image": image,
        "args": ["manager", f"--config={config}/{_CONFIG_KEY}"],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "ports": [
            {"name": "health", "containerPort": 8081, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 8443, "protocol": "TCP"},
            {"name": "visibility", "containerPort": 8082, "protocol": "TCP"},
            {"name": "webhook-server", "containerPort": 9443, "protocol": "TCP"},
        ],
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": 8081},
            "initialDelaySeconds": 15,
            "periodSeconds": 20,
        },
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 8081},
            "initialDelaySeconds": 5,
            "periodSeconds": 10,
        },
        "resources": {
            "requests": {"cpu": "500m", "memory": "512Mi"},
            "limits": {"cpu": "2", "memory": "512Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "manager-config", "mountPath": config, "readOnly": True},
            {"name": certs, "mountPath": _CERT_DIR, "readOnly": True},
        ],
    }
    return {
        "serviceAccountName": SERVICE_ACCOUNT,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "manager-config", "configMap": {"name": _CONFIG_MAP}},
            {"name": certs, "secret": {"secretName": _SECRET, "defaultMode": 420}},
        ],
    }


def shipped_configuration() -> str:
    """The configuration that is shipped, and what `pykueue up` runs with: the defaults, with all frameworks of this release."""
    frameworks = "".join(f"  - {name}\n" for name, framework in FRAMEWORKS.items() if framework.supported)
    return (
        "apiVersion: config.kueue.x-k8s.io/v1beta2\n"
        "kind: Configuration\n"
        "health:\n  healthProbeBindAddress: :8081\n"
        "metrics:\n  bindAddress: :8443\n"
        "webhook:\n  port: 9443\n"
        "leaderElection:\n  leaderElect: true\n"
        f"integrations:\n  frameworks:\n{frameworks}"
    )


def _service(name: str, namespace: str, port: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(name, namespace),
        "spec": {"selector": _LABELS, "ports": [{**port, "protocol": "TCP"}]},
    }


def _metadata(name: str, namespace: str = "") -> dict[str, Any]:
    return {"name": name, **({"namespace": namespace} if namespace else {}), "labels": _LABELS}
