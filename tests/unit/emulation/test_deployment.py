"""Deployments and ReplicaSets."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.kinds import DEPLOYMENT, POD, REPLICA_SET
from support.cluster import Cluster
from support.emulated import images, make_cluster, phases, template


@pytest.fixture
def cluster() -> Cluster:
    return make_cluster()


def deployment(*, replicas: int = 3, image: str = "app:1", **spec: Any) -> dict[str, Any]:
    labels = {"app": "site"}
    fields = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": template(image=image, labels=labels),
    }
    return {"metadata": {"name": "site"}, "spec": {**fields, **spec}}


def status(cluster: Cluster) -> dict[str, Any]:
    return dict(cluster.get(DEPLOYMENT, "site")["status"])


def test_deployment_runs_and_scales(cluster: Cluster) -> None:
    """Pods come and go with the replicas."""
    cluster.create(DEPLOYMENT, deployment())
    cluster.settle()
    assert list(phases(cluster).values()) == ["Running"] * 3
    seen = status(cluster)
    assert [seen[f] for f in ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas")] == [3] * 4
    assert {c["type"]: (c["status"], c["reason"]) for c in seen["conditions"]} == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    cluster.patch(DEPLOYMENT, "site", {"spec": {"replicas": 1}}, subresource="scale")
    cluster.settle()
    (name,) = cluster.names(REPLICA_SET)
    assert cluster.notes("ScalingReplicaSet") == [
        f"Deployment/site ScalingReplicaSet: Scaled up replica set {name} from 0 to 3",
        f"Deployment/site ScalingReplicaSet: Scaled down replica set {name} from 3 to 1",
    ]
    assert len(phases(cluster)) == 1


@pytest.mark.parametrize("strategy", [{"type": "RollingUpdate"}, {"type": "Recreate"}])
def test_update(cluster: Cluster, strategy: dict[str, str]) -> None:
    """A new template replaces every pod, by a second ReplicaSet."""
    cluster.create(DEPLOYMENT, deployment(strategy=strategy))
    cluster.settle()
    cluster.patch(DEPLOYMENT, "site", {"spec": {"template": template(image="app:2", labels={"app": "site"})}})
    cluster.settle()
    assert list(images(cluster).values()) == ["app:2"] * 3
    assert sorted(rs["spec"]["replicas"] for rs in cluster.list(REPLICA_SET)) == [0, 3]
    assert cluster.get(DEPLOYMENT, "site")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


def test_update_that_does_not_come_up_keeps_the_old_pods(cluster: Cluster) -> None:
    """Availability is kept: with a quarter unavailable of three, all old pods stay."""
    cluster.create(DEPLOYMENT, deployment())
    cluster.settle()
    held = template(image="app:2", labels={"app": "site"}, schedulingGates=[{"name": "example.com/hold"}])
    cluster.patch(DEPLOYMENT, "site", {"spec": {"template": held}})
    cluster.settle()
    assert sorted(images(cluster).values()) == ["app:1", "app:1", "app:1", "app:2"]


def test_deadline_of_progress(cluster: Cluster) -> None:
    """A rollout that does not get on says so."""
    held = template(labels={"app": "site"}, schedulingGates=[{"name": "example.com/hold"}])
    cluster.create(DEPLOYMENT, deployment(template=held, progressDeadlineSeconds=60))
    cluster.advance(90)
    reasons = {c["type"]: c["reason"] for c in status(cluster)["conditions"]}
    assert reasons == {"Available": "MinimumReplicasUnavailable", "Progressing": "ProgressDeadlineExceeded"}


def test_a_lost_pod_is_replaced(cluster: Cluster) -> None:
    """ReplicaSets keep their number."""
    cluster.create(DEPLOYMENT, deployment())
    cluster.settle()
    lost = cluster.names(POD)[0]
    cluster.delete(POD, lost)
    cluster.settle()
    assert len(phases(cluster)) == 3
    assert lost not in phases(cluster)
