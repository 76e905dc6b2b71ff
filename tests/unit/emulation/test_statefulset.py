"""StatefulSets: identity, order, rolling updates, revisions."""

from __future__ import annotations

import pytest

from pykueue.api import objects
from pykueue.api.kinds import CONTROLLER_REVISION, POD, STATEFUL_SET
from support.cluster import Cluster
from support.emulated import finish, images, make_cluster, phases, stateful_set, template, uids


@pytest.fixture
def cluster() -> Cluster:
    return make_cluster()


def status(cluster: Cluster) -> dict[str, object]:
    return dict(cluster.get(STATEFUL_SET, "web")["status"])


def test_identity_and_status(cluster: Cluster) -> None:
    """Pods have ordinals, labels and host names; the status counts them."""
    cluster.create(STATEFUL_SET, stateful_set(ordinals={"start": 2}))
    cluster.settle()
    assert phases(cluster) == {"web-2": "Running", "web-3": "Running", "web-4": "Running"}
    pod = cluster.get(POD, "web-3")
    assert objects.labels(pod)["apps.kubernetes.io/pod-index"] == "3"
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-3", "web")
    seen = status(cluster)
    assert [
        seen[f] for f in ("replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "currentReplicas")
    ] == [3] * 5
    assert seen["currentRevision"] == seen["updateRevision"] == objects.labels(pod)["controller-revision-hash"]
    assert seen["observedGeneration"] == 1


def test_ordered_creation_waits(cluster: Cluster) -> None:
    """A pod that is not ready holds back those after it; with Parallel nothing is held back."""
    gates = {"schedulingGates": [{"name": "example.com/hold"}]}
    cluster.create(STATEFUL_SET, stateful_set(template=template(labels={"app": "web"}, **gates)))
    cluster.settle()
    assert list(phases(cluster)) == ["web-0"]
    cluster.delete(STATEFUL_SET, "web")
    cluster.settle()
    parallel = stateful_set(podManagementPolicy="Parallel", template=template(labels={"app": "web"}, **gates))
    cluster.create(STATEFUL_SET, parallel)
    cluster.settle()
    assert list(phases(cluster)) == ["web-0", "web-1", "web-2"]
    assert status(cluster)["availableReplicas"] == 0


def test_scaling_down_takes_the_highest(cluster: Cluster) -> None:
    """The highest ordinals go, the others stay the same pods."""
    cluster.create(STATEFUL_SET, stateful_set())
    cluster.settle()
    before = uids(cluster)
    cluster.patch(STATEFUL_SET, "web", {"spec": {"replicas": 1}}, subresource="scale")
    cluster.settle()
    assert uids(cluster) == {"web-0": before["web-0"]}
    order = cluster.notes("SuccessfulDelete")
    assert order == [
        "StatefulSet/web SuccessfulDelete: delete Pod web-2 in StatefulSet web successful",
        "StatefulSet/web SuccessfulDelete: delete Pod web-1 in StatefulSet web successful",
    ]


@pytest.mark.parametrize(
    ("strategy", "want"),
    [
        pytest.param({}, ["app:2", "app:2", "app:2"], id="everything"),
        pytest.param({"rollingUpdate": {"partition": 2}}, ["app:1", "app:1", "app:2"], id="from the partition up"),
        pytest.param({"type": "OnDelete"}, ["app:1", "app:1", "app:1"], id="nothing that is not deleted by hand"),
    ],
)
@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_update(cluster: Cluster, strategy: dict[str, object], want: list[str], policy: str) -> None:
    """A new template replaces pods as the update strategy says."""
    cluster.create(STATEFUL_SET, stateful_set(updateStrategy=strategy, podManagementPolicy=policy))
    cluster.settle()
    cluster.patch(STATEFUL_SET, "web", {"spec": {"template": template(image="app:2", labels={"app": "web"})}})
    cluster.settle()
    assert list(images(cluster).values()) == want
    seen = status(cluster)
    assert (seen["currentRevision"] == seen["updateRevision"]) == (want.count("app:2") == 3)


def test_update_keeps_pods_available(cluster: Cluster) -> None:
    """An update that does not come up stops after maxUnavailable pods."""
    cluster.create(STATEFUL_SET, stateful_set(podManagementPolicy="Parallel", replicas=4))
    cluster.settle()
    held = template(image="app:2", labels={"app": "web"}, schedulingGates=[{"name": "example.com/hold"}])
    cluster.patch(STATEFUL_SET, "web", {"spec": {"template": held}})
    cluster.settle()
    assert list(images(cluster).values()) == ["app:1", "app:1", "app:1", "app:2"]


def test_a_deleted_pod_below_the_partition_keeps_its_template(cluster: Cluster) -> None:
    """What is made anew below the partition is of the current revision."""
    cluster.create(STATEFUL_SET, stateful_set(updateStrategy={"rollingUpdate": {"partition": 3}}))
    cluster.settle()
    cluster.patch(STATEFUL_SET, "web", {"spec": {"template": template(image="app:2", labels={"app": "web"})}})
    cluster.settle()
    cluster.delete(POD, "web-1")
    cluster.settle()
    assert set(images(cluster).values()) == {"app:1"}


def test_going_back_takes_up_the_old_revision(cluster: Cluster) -> None:
    """The same template again is the same revision with a higher number."""
    cluster.create(STATEFUL_SET, stateful_set())
    cluster.settle()
    for image in ("app:2", "app:1"):
        cluster.patch(STATEFUL_SET, "web", {"spec": {"template": template(image=image, labels={"app": "web"})}})
        cluster.settle()
    assert sorted(r["revision"] for r in cluster.list(CONTROLLER_REVISION)) == [2, 3]
    assert set(images(cluster).values()) == {"app:1"}


@pytest.mark.parametrize(
    ("phase", "reason"), [("Failed", "RecreatingFailedPod"), ("Succeeded", "RecreatingTerminatedPod")]
)
def test_ended_pods_are_replaced(cluster: Cluster, phase: str, reason: str) -> None:
    """A StatefulSet's pods never stay ended."""
    cluster.create(STATEFUL_SET, stateful_set())
    cluster.settle()
    before = uids(cluster)
    finish(cluster, "web-1", phase)
    cluster.settle()
    after = uids(cluster)
    assert set(phases(cluster).values()) == {"Running"}
    assert [name for name in after if after[name] != before[name]] == ["web-1"]
    assert cluster.notes(reason)


def test_claims(cluster: Cluster) -> None:
    """Each pod mounts a claim of its own."""
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    cluster.create(STATEFUL_SET, stateful_set(replicas=1, volumeClaimTemplates=[claim]))
    cluster.settle()
    volumes = {v["name"]: v for v in cluster.get(POD, "web-0")["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "data-web-0"
