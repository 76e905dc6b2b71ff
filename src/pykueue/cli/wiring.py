"""The product, assembled from its parts: the one list of reconcilers and webhooks for both homes.

`cli` is the composition root: only here are concrete parts introduced to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pykueue.api import kinds, objects
from pykueue.api.commands import Apply
from pykueue.api.configuration import Configuration
from pykueue.api.errors import ConfigError
from pykueue.api.kinds import Kind
from pykueue.controllers.admission import AdmissionController
from pykueue.controllers.concurrent_admission import ConcurrentAdmissionReconciler
from pykueue.controllers.core import in_use
from pykueue.controllers.core.clusterqueue import ClusterQueueReconciler
from pykueue.controllers.core.cohort import CohortReconciler
from pykueue.controllers.core.in_use import InUseFinalizer
from pykueue.controllers.core.localqueue import LocalQueueReconciler
from pykueue.controllers.core.priorityclass import PriorityClassReconciler
from pykueue.controllers.core.workload import WorkloadReconciler
from pykueue.controllers.jobs.setup import job_reconcilers
from pykueue.controllers.status_merge import as_merge_patch, is_status_apply
from pykueue.controllers.tas import TopologyUngater
from pykueue.controllers.tas_nodes import NodeFailureReconciler
from pykueue.core.configuration import load
from pykueue.core.engine import AdmissionEngine
from pykueue.core.features import Features, Gate
from pykueue.integrations.settings import JobSettings
from pykueue.ports.admission import Webhook
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import Reconciler
from pykueue.ports.requests import Write
from pykueue.webhooks.jobs.setup import job_webhooks
from pykueue.webhooks.kueue.clusterqueue import ClusterQueueWebhook, CohortWebhook
from pykueue.webhooks.kueue.resourceflavor import ResourceFlavorWebhook
from pykueue.webhooks.kueue.workload import WorkloadWebhook

WEBHOOK_CONFIGURATION = "kueue-mutating-webhook-configuration"
CACHED_KINDS: Sequence[Kind] = (
    kinds.NAMESPACE, kinds.LOCAL_QUEUE, kinds.WORKLOAD_PRIORITY_CLASS, kinds.PRIORITY_CLASS, kinds.POD, kinds.JOB,
    kinds.STATEFUL_SET, kinds.DEPLOYMENT, kinds.REPLICA_SET, kinds.LEADER_WORKER_SET,
)  # fmt: skip
"""Kinds that webhooks and the search for owners look up, whether or not a reconciler watches them."""


@dataclass(frozen=True, slots=True)
class Product:
    """One manager's parts."""

    features: Features
    engine: AdmissionEngine
    controller: AdmissionController
    reconcilers: Sequence[Reconciler]
    webhooks: Sequence[Webhook]

    def rewrite(self, command: Write, reader: Reader) -> Write:
        """The form in which a write is sent: status by merge patch, where the gate says so."""
        if not self.features[Gate.WORKLOAD_REQUEST_USE_MERGE_PATCH] or not isinstance(command, Apply):
            return command
        current = reader.get(command.kind, *objects.key(command.obj))
        return as_merge_patch(command, current) if current is not None and is_status_apply(command) else command


def assemble(config: Configuration, features: Features) -> Product:
    """Build the manager for a configuration."""
    engine = AdmissionEngine(config, features)
    settings = JobSettings(config, features)
    reconcilers: list[Reconciler] = [
        WorkloadReconciler(engine, config, features),
        ClusterQueueReconciler(engine),
        LocalQueueReconciler(engine),
        CohortReconciler(engine),
        PriorityClassReconciler(),
        InUseFinalizer(
            "resourceflavor", kinds.RESOURCE_FLAVOR, engine.flavor_in_use, kinds.CLUSTER_QUEUE, in_use.flavors_of
        ),
        InUseFinalizer(
            "admissioncheck", kinds.ADMISSION_CHECK, engine.check_in_use, kinds.CLUSTER_QUEUE, in_use.checks_of
        ),
        InUseFinalizer("topology", kinds.TOPOLOGY, engine.topology_in_use, kinds.RESOURCE_FLAVOR, in_use.topology_of),
        *job_reconcilers(settings),
        *([ConcurrentAdmissionReconciler(features)] if features[Gate.CONCURRENT_ADMISSION] else []),
        *([TopologyUngater()] if features[Gate.TOPOLOGY_AWARE_SCHEDULING] else []),
        *([NodeFailureReconciler(features)] if features[Gate.TAS_FAILED_NODE_REPLACEMENT] else []),
    ]
    waits = config.wait_for_pods_ready is not None and not features[Gate.DISABLE_WAIT_FOR_PODS_READY]
    controller = AdmissionController(engine, features, tracks_readiness=waits)
    return Product(features, engine, controller, reconcilers, make_webhooks(settings))


def make_webhooks(settings: JobSettings) -> Sequence[Webhook]:
    """Every webhook, one per kind; those of frameworks that are off admit everything, for their kinds are registered too."""
    features = settings.features
    return (
        ClusterQueueWebhook(features),
        CohortWebhook(),
        ResourceFlavorWebhook(),
        WorkloadWebhook(features),
        *job_webhooks(settings),
    )


def read_configuration(
    path: Path | None, feature_gates: str, namespace: str = "kueue-system"
) -> tuple[Configuration, Features]:
    """Read the configuration file, or take the defaults.

    Raises:
        ConfigError: unreadable, or with faults; all of them are told.
    """
    if path is None:
        return load("", "defaults", feature_gates=feature_gates, namespace=namespace)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from error
    if not text.strip():
        raise ConfigError(str(path), ["the file is empty: apiVersion and kind of a Configuration are expected"])
    return load(text, str(path), feature_gates=feature_gates, namespace=namespace)
