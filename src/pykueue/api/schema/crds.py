"""CustomResourceDefinitions as a cluster takes them, built from the schemas beside this module (spec: api.md §0).

What is built is kept and shared: a manifest is a value that nobody changes; `with_conversion` and `with_lean_templates` make new ones. Building reads
the pod template out of Kubernetes' own schemas once (some tens of milliseconds), therefore nothing is built at import.

`selectableFields`, printer columns and short names follow spec: api.md §0.2; a kind's webhook conversion is added by who
installs it, for its address is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from pykueue.api.kinds import KUEUE_GROUP, LEADER_WORKER_SET
from pykueue.api.schema import checks, flavors, leaderworkerset, queues, workload
from pykueue.api.schema.dsl import Node

CONVERTED_KINDS = ("ClusterQueue", "Cohort", "LocalQueue", "MultiKueueCluster", "Workload")
"""Kinds whose versions differ by more than `apiVersion`; they need the conversion webhook (spec: api.md §0.1)."""

_DEPRECATION = "This version is deprecated. Use v1beta2 instead."
Column = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Definition:
    """One kind, apart from its schema."""

    schemas: Callable[[], Mapping[str, Node]]
    plural: str
    short_names: tuple[str, ...]
    namespaced: bool = False
    status: bool = False
    columns: tuple[Column, ...] = ()
    older_columns: Mapping[int, Column] | None = None
    deprecated: bool = True
    empty_subresources: bool = False


def _column(name: str, path: str, text: str, type_: str = "string", priority: int = 0) -> Column:
    column = {"name": name, "jsonPath": path, "description": text, "type": type_}
    return column | ({"priority": priority} if priority else {})


_AGE: Column = {"name": "Age", "jsonPath": ".metadata.creationTimestamp", "type": "date"}
_PENDING = _column("Pending Workloads", ".status.pendingWorkloads", "workloads that wait", "integer")


def _condition_column(name: str, condition: str, text: str) -> Column:
    return _column(name, f".status.conditions[?(@.type=='{condition}')].status", text)


_DEFINITIONS: Mapping[str, _Definition] = {
    "AdmissionCheck": _Definition(checks.admission_check, "admissionchecks", ("ac",), status=True),
    "ClusterQueue": _Definition(
        queues.cluster_queue,
        "clusterqueues",
        ("cq",),
        status=True,
        columns=(
            _column("Cohort", ".spec.cohortName", "cohort of the queue"),
            _column("Strategy", ".spec.queueingStrategy", "order of the workloads", priority=1),
            _PENDING,
            _column("Admitted Workloads", ".status.admittedWorkloads", "workloads that run", "integer", 1),
        ),
        older_columns={0: _column("Cohort", ".spec.cohort", "cohort of the queue")},
    ),
    "Cohort": _Definition(queues.cohort, "cohorts", ("co",), status=True),
    "LocalQueue": _Definition(
        queues.local_queue,
        "localqueues",
        ("queue", "queues", "lq"),
        namespaced=True,
        status=True,
        columns=(
            _column("ClusterQueue", ".spec.clusterQueue", "the ClusterQueue behind it"),
            _PENDING,
            _column("Admitted Workloads", ".status.admittedWorkloads", "workloads that run", "integer"),
        ),
    ),
    "MultiKueueCluster": _Definition(
        checks.multikueue_cluster,
        "multikueueclusters",
        ("mkc",),
        status=True,
        columns=(_condition_column("Connected", "Active", "whether the cluster is connected"), _AGE),
    ),
    # Kueue parity: api.md §0.1 - the older version of this one kind is not marked deprecated.
    "MultiKueueConfig": _Definition(checks.multikueue_config, "multikueueconfigs", ("mkconf",), deprecated=False),
    "ProvisioningRequestConfig": _Definition(
        checks.provisioning_request_config, "provisioningrequestconfigs", ("prc",)
    ),
    "ResourceFlavor": _Definition(flavors.resource_flavor, "resourceflavors", ("flavor", "flavors", "rf")),
    "Topology": _Definition(flavors.topology, "topologies", ("topo",)),
    "Workload": _Definition(
        workload.workload,
        "workloads",
        ("kwl", "kueueworkload", "kueueworkloads"),
        namespaced=True,
        status=True,
        columns=(
            _column("Queue", ".spec.queueName", "the LocalQueue"),
            _column("Reserved in", ".status.admission.clusterQueue", "the ClusterQueue with its quota"),
            _condition_column("Admitted", "Admitted", "whether it is admitted"),
            _condition_column("Finished", "Finished", "whether it is finished"),
            _AGE,
        ),
    ),
    "WorkloadPriorityClass": _Definition(
        flavors.workload_priority_class,
        "workloadpriorityclasses",
        ("wpc",),
        columns=(_column("Value", ".value", "the priority", "integer"),),
        empty_subresources=True,
    ),
}


@cache
def crd(kind: str) -> dict[str, Any]:
    """The definition of one of our kinds; shared, not to be changed.

    Args:
        kind: for example `ClusterQueue`.

    Raises:
        KeyError: not a kind of group `kueue.x-k8s.io`.
    """
    if kind not in _DEFINITIONS:
        raise KeyError(f"{kind} is not a kind of group {KUEUE_GROUP}; its kinds are {', '.join(_DEFINITIONS)}")
    definition = _DEFINITIONS[kind]
    schemas = definition.schemas()
    versions = [_version(kind, name, definition, schemas[name]) for name in ("v1beta1", "v1beta2")]
    scope = "Namespaced" if definition.namespaced else "Cluster"
    return _manifest(KUEUE_GROUP, kind, definition.plural, definition.short_names, scope=scope, versions=versions)


def all_crds() -> list[dict[str, Any]]:
    """Definitions of all kinds of group `kueue.x-k8s.io`, by kind."""
    return [crd(kind) for kind in _DEFINITIONS]


@cache
def leaderworkerset_crd() -> dict[str, Any]:
    """The definition of LeaderWorkerSet v1; shared, not to be changed."""
    kind = LEADER_WORKER_SET
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            _column("Ready", ".status.readyReplicas", "groups that are ready", "integer"),
            _column("Desired", ".spec.replicas", "groups that are wanted", "integer"),
            _column("Up-to-date", ".status.updatedReplicas", "groups of the newest revision", "integer"),
            _AGE,
        ],
        "schema": {"openAPIV3Schema": leaderworkerset.leader_worker_set()[kind.version]},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.hpaPodSelector",
            },
        },
    }
    return _manifest(kind.group, kind.kind, kind.plural, ("lws",), scope="Namespaced", versions=[version])


def with_conversion(manifest: Mapping[str, Any], client_config: Mapping[str, Any]) -> dict[str, Any]:
    """The same definition, converted by a webhook.

    Args:
        manifest: of `crd`.
        client_config: where the webhook is (`service` or `url`, and `caBundle`), as in the CRD API.
    """
    webhook = {"clientConfig": dict(client_config), "conversionReviewVersions": ["v1"]}
    return {**manifest, "spec": {**manifest["spec"], "conversion": {"strategy": "Webhook", "webhook": webhook}}}


def without_v1beta1(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The same definition of one of our kinds in its newest version alone: there is nothing to convert.

    Args:
        manifest: of `crd`.
    """
    versions = [version for version in manifest["spec"]["versions"] if version["name"] != "v1beta1"]
    return {**manifest, "spec": {**manifest["spec"], "versions": versions}}


def with_lean_templates(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The same definition of Workload, with pod templates that the API server keeps as they come and does not look into.

    Args:
        manifest: of `crd`, of kind Workload.
    """
    lean: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(manifest))
    for version in lean["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        template = spec["properties"]["podSets"]["items"]["properties"]["template"]
        told = {"description": template["description"]} if "description" in template else {}
        spec["properties"]["podSets"]["items"]["properties"]["template"] = {
            **told, "type": "object", "x-kubernetes-preserve-unknown-fields": True,
        }  # fmt: skip
    return lean


def _version(kind: str, name: str, definition: _Definition, schema: Node) -> dict[str, Any]:
    newest = name == "v1beta2"
    version: dict[str, Any] = {"name": name, "served": True, "storage": newest}
    if not newest and definition.deprecated:
        version |= {"deprecated": True, "deprecationWarning": _DEPRECATION}
    if definition.columns:
        older = {} if newest else definition.older_columns or {}
        columns = [older.get(i, column) for i, column in enumerate(definition.columns)]
        version["additionalPrinterColumns"] = columns
    version["schema"] = {"openAPIV3Schema": schema}
    if kind == "Workload" and newest:
        version["selectableFields"] = [{"jsonPath": ".status.admission.clusterQueue"}]
    if definition.status:
        version["subresources"] = {"status": {}}
    elif definition.empty_subresources:
        version["subresources"] = {}
    return version


def _manifest(
    group: str, kind: str, plural: str, short_names: tuple[str, ...], *, scope: str, versions: list[dict[str, Any]]
) -> dict[str, Any]:
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": list(short_names),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": scope, "versions": versions},
    }
