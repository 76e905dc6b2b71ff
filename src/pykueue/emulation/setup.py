"""The emulated cluster as lists: which controllers play, over which kinds, and which webhooks LeaderWorkerSet brings.

`cli/cluster.py` gives the reconcilers to a manager without engine or lease, and the webhooks to the embedded server's admission chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from pykueue.api import kinds as k
from pykueue.api.errors import ConfigError
from pykueue.api.kinds import Kind
from pykueue.emulation.deployment import DeploymentController
from pykueue.emulation.garbage_collector import GarbageCollector
from pykueue.emulation.job import JobController, OrphanedJobPods
from pykueue.emulation.kubelet import Kubelet
from pykueue.emulation.leaderworkerset import (
    LeaderWorkerSetController,
    LeaderWorkerSetPods,
    LeaderWorkerSetPodWebhook,
    LeaderWorkerSetWebhook,
)
from pykueue.emulation.namespaces import NamespaceController
from pykueue.emulation.node_lifecycle import NodeLifecycle
from pykueue.emulation.nodes import NodeController, default_nodes, read_nodes
from pykueue.emulation.pod_gc import PodGarbageCollector
from pykueue.emulation.pod_scheduler import PodScheduler
from pykueue.emulation.replicaset import ReplicaSetController
from pykueue.emulation.statefulset import PERSISTENT_VOLUME_CLAIM, StatefulSetController
from pykueue.emulation.taint_eviction import TaintEviction
from pykueue.ports.admission import Webhook
from pykueue.ports.reconcile import Reconciler

OWNED_KINDS: tuple[Kind, ...] = (
    k.POD, k.STATEFUL_SET, k.REPLICA_SET, k.DEPLOYMENT, k.JOB, k.CONTROLLER_REVISION, k.SERVICE, k.CONFIG_MAP, k.SECRET,
    k.LEADER_WORKER_SET, k.WORKLOAD, k.LEASE, k.NODE, PERSISTENT_VOLUME_CLAIM,
)  # fmt: skip
"""Kinds whose objects own or are owned, in the emulated cluster."""

NAMESPACE_CONTENT: tuple[Kind, ...] = (
    *(kind for kind in OWNED_KINDS if kind.namespaced and kind is not k.LEASE),
    k.SERVICE_ACCOUNT, k.LIMIT_RANGE, k.POD_TEMPLATE, k.LOCAL_QUEUE, k.CORE_EVENT, k.LEASE,
)  # fmt: skip
"""Kinds that a namespace takes with it."""


def emulated_kinds() -> Sequence[Kind]:
    """Every kind that the emulated cluster looks at, whether or not a reconciler watches it."""
    return tuple(dict.fromkeys((*OWNED_KINDS, *NAMESPACE_CONTENT, k.NAMESPACE, k.NODE)))


def emulated_reconcilers(
    *, owned_kinds: Sequence[Kind] = OWNED_KINDS, namespace_content: Sequence[Kind] = NAMESPACE_CONTENT
) -> list[Reconciler]:
    """Everything that plays the rest of a cluster.

    Args:
        owned_kinds: what the garbage collector collects.
        namespace_content: what goes with a namespace.
    """
    return [
        NodeController(),
        NodeLifecycle(),
        TaintEviction(),
        PodGarbageCollector(),
        NamespaceController(namespace_content),
        GarbageCollector(owned_kinds),
        StatefulSetController(),
        DeploymentController(),
        ReplicaSetController(),
        JobController(),
        OrphanedJobPods(),
        LeaderWorkerSetController(),
        LeaderWorkerSetPods(),
        PodScheduler(),
        Kubelet(),
    ]


def emulated_webhooks() -> Sequence[Webhook]:
    """LeaderWorkerSet's webhooks."""
    return (LeaderWorkerSetWebhook(), LeaderWorkerSetPodWebhook())


def node_objects(nodes: str, text: str = "") -> list[dict[str, Any]]:
    """The nodes to begin with.

    Args:
        nodes: `default`, `none`, or the name of a file, for errors.
        text: of that file, YAML.

    Raises:
        ConfigError: the file is not YAML or holds faulty nodes; every fault is told.
    """
    if nodes in {"default", "none"}:
        return default_nodes() if nodes == "default" else []
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise ConfigError(nodes, [f"is not YAML: {' '.join(str(error).split())}"]) from error
    return read_nodes(nodes, documents)
