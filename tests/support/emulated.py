"""Manifests for tests of the emulated cluster, and a cluster in which all its parts play."""

from __future__ import annotations

from typing import Any

from pykueue.api import objects
from pykueue.api.commands import PatchType
from pykueue.api.instant import format_time
from pykueue.api.kinds import LOCAL_QUEUE, NODE, POD, WORKLOAD
from pykueue.emulation.setup import (
    NAMESPACE_CONTENT,
    OWNED_KINDS,
    emulated_reconcilers,
    emulated_webhooks,
    node_objects,
)
from support.cluster import Cluster


def make_cluster(*, nodes: str = "default") -> Cluster:
    """Every emulated part, with nodes; without the definitions of our own kinds, which take time."""
    ours = (WORKLOAD, LOCAL_QUEUE)
    reconcilers = emulated_reconcilers(
        owned_kinds=[kind for kind in OWNED_KINDS if kind not in ours],
        namespace_content=[kind for kind in NAMESPACE_CONTENT if kind not in ours],
    )
    cluster = Cluster(reconcilers, webhooks=emulated_webhooks())
    for node in node_objects(nodes):
        cluster.create(NODE, node)
    cluster.settle()
    return cluster


def template(
    *, cpu: str = "100m", image: str = "app:1", labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """A pod template with one container."""
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": cpu}}}
    return {"metadata": {"labels": labels or {}}, "spec": {"containers": [container], **spec}}


def lws(
    *, replicas: int = 2, size: int = 3, image: str = "app:1", group: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A LeaderWorkerSet called `llama`."""
    groups = {
        "size": size,
        "leaderTemplate": template(image=image),
        "workerTemplate": template(cpu="200m", image=image),
    }
    return {
        "metadata": {"name": "llama"},
        "spec": {"replicas": replicas, "leaderWorkerTemplate": groups | (group or {}), **spec},
    }


def stateful_set(*, replicas: int = 3, image: str = "app:1", **spec: Any) -> dict[str, Any]:
    """A StatefulSet called `web`."""
    labels = {"app": "web"}
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "serviceName": "web",
            "selector": {"matchLabels": labels},
            "template": template(image=image, labels=labels),
            **spec,
        },
    }


def uids(cluster: Cluster) -> dict[str, str]:
    """UIDs of all pods by name."""
    return {objects.name(pod): objects.uid(pod) for pod in cluster.list(POD)}


def images(cluster: Cluster) -> dict[str, str]:
    """Images of all pods by name."""
    return {objects.name(pod): pod["spec"]["containers"][0]["image"] for pod in cluster.list(POD)}


def phases(cluster: Cluster) -> dict[str, str]:
    """Phases of all pods by name."""
    return {objects.name(pod): pod["status"]["phase"] for pod in cluster.list(POD)}


def finish(cluster: Cluster, name: str, phase: str = "Succeeded") -> None:
    """End a pod, as whoever plays its process would."""
    told = {"status": "False", "reason": "PodCompleted", "lastTransitionTime": format_time(cluster.now)}
    ready = [{"type": type_, **told} for type_ in ("Ready", "ContainersReady")]
    body = {"status": {"phase": phase, "conditions": ready}}
    cluster.patch(POD, name, body, subresource="status", type_=PatchType.STRATEGIC)
