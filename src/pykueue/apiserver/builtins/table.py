"""The table of built-in resources: names, verbs, sub-resources and strategies, as discovery of the real server tells them.

Kinds that are absent here answer 404. `builtin_resources()` is what the server is assembled with.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pykueue.api import kinds as k
from pykueue.api.kinds import Kind
from pykueue.apiserver.builtins.cluster import (
    BudgetStrategy,
    ClaimStrategy,
    ConfigMapStrategy,
    LimitRangeStrategy,
    NamespaceStrategy,
    NodeStrategy,
    PriorityClassStrategy,
    ResourceQuotaStrategy,
    SecretStrategy,
    ServiceStrategy,
    StorageClassStrategy,
    WebhookStrategy,
)
from pykueue.apiserver.builtins.events import EventStrategy, convert_event
from pykueue.apiserver.builtins.jobs import CronJobStrategy, JobStrategy
from pykueue.apiserver.builtins.meta import BuiltinStrategy, path_segment_faults
from pykueue.apiserver.builtins.pods import PodStrategy
from pykueue.apiserver.builtins.workloads import (
    DaemonSetStrategy,
    DeploymentStrategy,
    PodTemplateStrategy,
    ReplicaSetStrategy,
    StatefulSetStrategy,
)
from pykueue.apiserver.resources import ALL_VERBS, Converter, Resource, ScalePaths, SelectableField, field_at
from pykueue.apiserver.schema.decode import builtin_decoder
from pykueue.apiserver.schema.types import builtin_schema
from pykueue.apiserver.strategy import Strategy

_NO_COLLECTION_DELETE = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
_REPLICAS = ScalePaths("spec.replicas", "status.replicas", "spec.selector")
_ALL = ("all",)
_EXTENSIONS = ("api-extensions",)


@cache
def builtin_resources() -> tuple[Resource, ...]:
    """Every built-in resource, in discovery order. CustomResourceDefinitions bring their own (`crd.py`)."""
    return (*_core(), *_events(), *_workloads(), *_cluster(), *_authorization(), *_storage())


def _make(
    kind: Kind,
    strategy: Strategy,
    short: str = "",
    *,
    categories: tuple[str, ...] = (),
    subresources: tuple[str, ...] = (),
    scale: ScalePaths | None = None,
    verbs: tuple[str, ...] = ALL_VERBS,
    fields: Mapping[str, SelectableField] | None = None,
    storage_kind: Kind | None = None,
    convert: Converter | None = None,
) -> Resource:
    return Resource(
        kind=kind,
        strategy=strategy,
        short_names=tuple(short.split()),
        categories=categories,
        verbs=verbs,
        subresources=subresources,
        scale=scale,
        schema=builtin_schema(kind),
        decode=builtin_decoder(kind),
        storage="events" if storage_kind else "",
        storage_kind=storage_kind,
        convert=convert,
        fields=fields or {},
    )


def _fields(*paths: str) -> dict[str, SelectableField]:
    return {path: field_at(path) for path in paths}


def _core() -> list[Resource]:
    stored = BuiltinStrategy()
    pod_fields = _fields(
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    )  # fmt: skip
    return [
        _make(k.CONFIG_MAP, ConfigMapStrategy(), "cm"),
        _make(Kind("", "v1", "Endpoints", "endpoints"), BuiltinStrategy(create_on_update=True), "ep"),
        _make(k.LIMIT_RANGE, LimitRangeStrategy(), "limits"),
        _make(
            k.NAMESPACE, NamespaceStrategy(), "ns", verbs=_NO_COLLECTION_DELETE,
            subresources=("finalize", "status"), fields=_fields("status.phase"),
        ),
        _make(k.NODE, NodeStrategy(), "no", subresources=("status",), fields=_fields("spec.unschedulable")),
        _make(Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"), ClaimStrategy(), "pvc", subresources=("status",)),
        _make(
            Kind("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False),
            BuiltinStrategy(namespaced=False, status=True), "pv", subresources=("status",),
        ),
        _make(
            k.POD, PodStrategy(), "po", categories=_ALL,
            subresources=("binding", "eviction", "status"), fields=pod_fields,
        ),
        _make(k.POD_TEMPLATE, PodTemplateStrategy()),
        _make(Kind("", "v1", "ResourceQuota", "resourcequotas"), ResourceQuotaStrategy(), "quota", subresources=("status",)),
        _make(k.SECRET, SecretStrategy(), fields=_fields("type")),
        _make(k.SERVICE_ACCOUNT, stored, "sa"),
        _make(
            k.SERVICE, ServiceStrategy(), "svc", categories=_ALL,
            subresources=("status",), fields=_fields("spec.clusterIP", "spec.type"),
        ),
    ]  # fmt: skip


def _events() -> list[Resource]:
    about = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    plain = _fields("reason", "type", "reportingController")
    core = plain | {f"involvedObject.{f}": field_at(f"involvedObject.{f}") for f in about}
    core |= {"source": field_at("source.component"), "reportingComponent": field_at("reportingComponent")}
    new = plain | {f"regarding.{f}": field_at(f"regarding.{f}") for f in about}
    return [
        _make(k.CORE_EVENT, EventStrategy(k.CORE_EVENT), "ev", fields=core, storage_kind=k.CORE_EVENT, convert=convert_event),
        _make(k.EVENT, EventStrategy(k.EVENT), "ev", fields=new, storage_kind=k.CORE_EVENT, convert=convert_event),
    ]  # fmt: skip


def _workloads() -> list[Resource]:
    scaled = ("scale", "status")
    return [
        _make(k.CONTROLLER_REVISION, BuiltinStrategy()),
        _make(Kind("apps", "v1", "DaemonSet", "daemonsets"), DaemonSetStrategy(), "ds", categories=_ALL, subresources=("status",)),
        _make(k.DEPLOYMENT, DeploymentStrategy(), "deploy", categories=_ALL, subresources=scaled, scale=_REPLICAS),
        _make(k.REPLICA_SET, ReplicaSetStrategy(), "rs", categories=_ALL, subresources=scaled, scale=_REPLICAS, fields=_fields("status.replicas")),
        _make(k.STATEFUL_SET, StatefulSetStrategy(), "sts", categories=_ALL, subresources=scaled, scale=_REPLICAS),
        _make(Kind("batch", "v1", "CronJob", "cronjobs"), CronJobStrategy(), "cj", categories=_ALL, subresources=("status",)),
        _make(k.JOB, JobStrategy(), categories=_ALL, subresources=("status",), fields=_fields("status.successful")),
        _make(k.LEASE, BuiltinStrategy(create_on_update=True)),
        _make(Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"), BudgetStrategy(), "pdb", subresources=("status",)),
        _make(Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices"), BuiltinStrategy(generation=True)),
    ]  # fmt: skip


def _cluster() -> list[Resource]:
    return [
        _make(k.PRIORITY_CLASS, PriorityClassStrategy(), "pc"),
        _make(k.RUNTIME_CLASS, BuiltinStrategy(namespaced=False)),
        *(
            _make(Kind("admissionregistration.k8s.io", "v1", kind, plural, namespaced=False), WebhookStrategy(mutating=kind.startswith("Mut")), categories=_EXTENSIONS)
            for kind, plural in (
                ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
                ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
            )
        ),
    ]  # fmt: skip


def _authorization() -> list[Resource]:
    group = "rbac.authorization.k8s.io"
    inert = "whoever is authenticated may do everything"
    namespaced = BuiltinStrategy(create_on_update=True, name_rule=path_segment_faults, inert=inert)
    cluster = BuiltinStrategy(namespaced=False, create_on_update=True, name_rule=path_segment_faults, inert=inert)
    return [
        _make(Kind(group, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False), cluster),
        _make(Kind(group, "v1", "ClusterRole", "clusterroles", namespaced=False), cluster),
        _make(Kind(group, "v1", "RoleBinding", "rolebindings"), namespaced),
        _make(Kind(group, "v1", "Role", "roles"), namespaced),
    ]


def _storage() -> list[Resource]:
    networking = "networking.k8s.io"
    return [
        _make(Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", namespaced=False), StorageClassStrategy(), "sc"),
        _make(Kind(networking, "v1", "Ingress", "ingresses"), BuiltinStrategy(generation=True, status=True), "ing", subresources=("status",)),
        _make(Kind(networking, "v1", "NetworkPolicy", "networkpolicies"), BuiltinStrategy(generation=True), "netpol"),
    ]  # fmt: skip
