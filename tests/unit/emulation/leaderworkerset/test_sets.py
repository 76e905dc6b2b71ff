"""LeaderWorkerSets in a cluster: creation, scaling, rolling updates, restarts, deletion."""

from __future__ import annotations

import pytest

from pykueue.api import objects
from pykueue.api.errors import Forbidden
from pykueue.api.kinds import CONTROLLER_REVISION, LEADER_WORKER_SET, POD, SERVICE, STATEFUL_SET
from pykueue.emulation.leaderworkerset import names
from support.cluster import Cluster
from support.emulated import images, lws, make_cluster, phases, template, uids


@pytest.fixture
def cluster() -> Cluster:
    return make_cluster()


def conditions(cluster: Cluster) -> dict[str, str]:
    return {c["type"]: c["status"] for c in cluster.get(LEADER_WORKER_SET, "llama")["status"]["conditions"]}


def test_groups_run(cluster: Cluster) -> None:
    """Each group has a leader and its workers, all of them run, and the set says so."""
    cluster.create(LEADER_WORKER_SET, lws())
    cluster.settle()
    assert phases(cluster) == dict.fromkeys(
        ["llama-0", "llama-0-1", "llama-0-2", "llama-1", "llama-1-1", "llama-1-2"], "Running"
    )
    status = cluster.get(LEADER_WORKER_SET, "llama")["status"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert conditions(cluster) == {"Progressing": "False", "Available": "True"}
    assert cluster.names(STATEFUL_SET) == ["llama", "llama-0", "llama-1"]
    assert cluster.names(SERVICE) == ["llama"]
    progress = cluster.notes("GroupsProgressing")
    assert progress[0] == "LeaderWorkerSet/llama GroupsProgressing: Created leader statefulset llama"
    for leader in ("llama-0", "llama-1"):
        assert (
            f"LeaderWorkerSet/llama GroupsProgressing: Created worker statefulset for leader pod {leader}" in progress
        )
    (revised,) = cluster.notes()[:1]
    assert revised.startswith("LeaderWorkerSet/llama CreatingRevision: Creating revision with key ")
    assert revised.endswith("for a newly created LeaderWorkerSet")
    assert not cluster.errors


def test_quantities_become_text(cluster: Cluster) -> None:
    """A set's numbers are stored as LeaderWorkerSet's own webhook leaves them: canonical text, in every template."""
    made = lws()
    group = made["spec"]["leaderWorkerTemplate"]
    group["workerTemplate"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": 1, "memory": "1024Mi"}}
    group["workerTemplate"]["metadata"] = {"labels": {"requests": "1024Mi"}}
    stored = cluster.create(LEADER_WORKER_SET, made)["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    assert stored["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}}
    assert stored["metadata"]["labels"] == {"requests": "1024Mi"}


def test_workers_that_the_server_refuses(cluster: Cluster) -> None:
    """GPUs are asked for with a limit; without one the leader runs, its workers are never made, and it is said why."""
    made = lws(replicas=1)
    group = made["spec"]["leaderWorkerTemplate"]
    group["workerTemplate"]["spec"]["containers"][0]["resources"] = {"requests": {"nvidia.com/gpu": "1"}}
    cluster.create(LEADER_WORKER_SET, made)
    cluster.advance(10)
    assert list(phases(cluster)) == ["llama-0"]
    assert cluster.errors
    assert all("Limit must be set for non overcommitable resources" in error for error in cluster.errors)


def test_zero_is_an_absent_count(cluster: Cluster) -> None:
    """A count of zero is not in the status, not even after there was one."""
    cluster.create(LEADER_WORKER_SET, lws())
    cluster.settle()
    cluster.patch(LEADER_WORKER_SET, "llama", {"spec": {"replicas": 0}})
    cluster.settle()
    status = cluster.get(LEADER_WORKER_SET, "llama")["status"]
    assert not {"replicas", "readyReplicas", "updatedReplicas"} & status.keys()


def test_a_pass_over_a_settled_set_does_nothing(cluster: Cluster) -> None:
    """Controllers are level-based: waking everything again changes nothing."""
    cluster.create(LEADER_WORKER_SET, lws())
    cluster.settle()
    revision = cluster.server.store.revision
    for name, reconciler in cluster._reconcilers.items():
        for kind in (LEADER_WORKER_SET, STATEFUL_SET, POD):
            for obj in cluster.list(kind):
                if name in {"leaderworkerset", "leaderworkerset-pods", "statefulset-controller", "kubelet"}:
                    assert not reconciler.reconcile(cluster.reader, objects.key(obj), cluster.now).commands
    assert cluster.server.store.revision == revision


def test_members_know_their_group(cluster: Cluster) -> None:
    """Labels, environment and addresses tell each pod its place."""
    cluster.create(LEADER_WORKER_SET, lws())
    cluster.settle()
    worker = cluster.get(POD, "llama-1-2")
    labels = objects.labels(worker)
    assert (labels[names.GROUP_INDEX], labels[names.WORKER_INDEX]) == ("1", "2")
    assert labels[names.GROUP_KEY] == names.sha1("default/llama-1")
    environment = {e["name"]: e["value"] for e in worker["spec"]["containers"][0]["env"]}
    assert environment == {
        "LWS_LEADER_ADDRESS": "llama-1.llama.default",
        "LWS_GROUP_SIZE": "3",
        "LWS_WORKER_INDEX": "2",
    }


def test_scaling(cluster: Cluster) -> None:
    """Scaling adds and removes whole groups, the last ones first."""
    cluster.create(LEADER_WORKER_SET, lws())
    cluster.settle()
    before = uids(cluster)
    cluster.patch(LEADER_WORKER_SET, "llama", {"spec": {"replicas": 3}}, subresource="scale")
    cluster.settle()
    assert "llama-2-2" in phases(cluster)
    cluster.patch(LEADER_WORKER_SET, "llama", {"spec": {"replicas": 1}}, subresource="scale")
    cluster.settle()
    assert uids(cluster) == {n: before[n] for n in ("llama-0", "llama-0-1", "llama-0-2")}
    assert cluster.names(STATEFUL_SET) == ["llama", "llama-0"]


def test_a_group_of_one_has_no_workers(cluster: Cluster) -> None:
    """Size 1 is a leader alone, made of the worker template if it has none of its own."""
    cluster.create(LEADER_WORKER_SET, lws(size=1, group={"leaderTemplate": None}))
    cluster.settle()
    assert sorted(phases(cluster)) == ["llama-0", "llama-1"]
    assert conditions(cluster)["Available"] == "True"


def test_rolling_update(cluster: Cluster) -> None:
    """A changed template replaces all groups, and the old revision is forgotten."""
    cluster.create(LEADER_WORKER_SET, lws(replicas=3))
    cluster.settle()
    cluster.patch(LEADER_WORKER_SET, "llama", {"spec": lws(image="app:2")["spec"] | {"replicas": 3}})
    cluster.settle()
    assert set(images(cluster).values()) == {"app:2"}
    assert len(images(cluster)) == 9
    assert conditions(cluster) == {"Progressing": "False", "Available": "True", "UpdateInProgress": "False"}
    assert [note.partition(": ")[2] for note in cluster.notes("GroupsUpdating") if "replica " in note] == [
        "Updating replica 2",
        "Updating replica 1",
        "Updating replica 0",
    ]
    owners = [objects.controller_of(revision) for revision in cluster.list(CONTROLLER_REVISION)]
    assert [owner.kind for owner in owners if owner is not None].count("LeaderWorkerSet") == 1


@pytest.mark.parametrize(
    ("policy", "renewed"),
    [
        ("RecreateGroupOnPodRestart", ["llama-0", "llama-0-1", "llama-0-2"]),
        ("RecreateGroupAfterStart", ["llama-0", "llama-0-1", "llama-0-2"]),
        ("None", ["llama-0-1"]),
    ],
)
def test_a_lost_worker(cluster: Cluster, policy: str, renewed: list[str]) -> None:
    """Losing a worker renews its group, or the worker alone, as the restart policy says; other groups stay."""
    cluster.create(LEADER_WORKER_SET, lws(group={"restartPolicy": policy}))
    cluster.settle()
    before = uids(cluster)
    cluster.delete(POD, "llama-0-1")
    cluster.settle()
    after = uids(cluster)
    assert sorted(after) == sorted(before)
    assert [name for name in after if after[name] != before[name]] == renewed
    want = "LeaderWorkerSet/llama RecreateGroup: Worker pod llama-0-1 failed, deleted leader pod llama-0 to recreate group 0"
    assert (want in cluster.notes()) == (policy != "None")
    assert not cluster.errors


def test_a_restarted_container_renews_the_group(cluster: Cluster) -> None:
    """A restart count is as good as a deletion."""
    cluster.create(LEADER_WORKER_SET, lws(replicas=1))
    cluster.settle()
    before = uids(cluster)
    statuses = [dict(s, restartCount=1) for s in cluster.get(POD, "llama-0-2")["status"]["containerStatuses"]]
    cluster.patch(POD, "llama-0-2", {"status": {"containerStatuses": statuses}}, subresource="status")
    cluster.settle()
    assert not set(before.values()) & set(uids(cluster).values())
    assert set(phases(cluster).values()) == {"Running"}


def test_leader_ready_start(cluster: Cluster) -> None:
    """Workers wait for a leader that is ready where the set says so."""
    leader = template(schedulingGates=[{"name": "example.com/hold"}])
    cluster.create(LEADER_WORKER_SET, lws(replicas=1, startupPolicy="LeaderReady", group={"leaderTemplate": leader}))
    cluster.settle()
    assert list(phases(cluster)) == ["llama-0"]
    cluster.patch(POD, "llama-0", {"spec": {"schedulingGates": None}})
    cluster.settle()
    assert list(phases(cluster)) == ["llama-0", "llama-0-1", "llama-0-2"]


def test_exclusive_placement(cluster: Cluster) -> None:
    """Each group has a rack of its own."""
    key = "cloud.provider.com/topology-rack"
    manifest = lws(replicas=4)
    manifest["metadata"]["annotations"] = {names.EXCLUSIVE_TOPOLOGY: key}
    cluster.create(LEADER_WORKER_SET, manifest)
    cluster.settle()
    racks: dict[str, set[str]] = {}
    for pod in cluster.list(POD):
        rack = pod["spec"]["nodeName"].rpartition("-")[0]
        racks.setdefault(objects.labels(pod)[names.GROUP_INDEX], set()).add(rack)
    assert len(cluster.list(POD)) == 12
    assert all(len(found) == 1 for found in racks.values())
    assert len(set.union(*racks.values())) == 4


def test_unique_subdomains(cluster: Cluster) -> None:
    """With one sub-domain per group each leader has its own Service."""
    cluster.create(LEADER_WORKER_SET, lws(networkConfig={"subdomainPolicy": "UniquePerReplica"}))
    cluster.settle()
    assert cluster.names(SERVICE) == ["llama-0", "llama-1"]
    assert cluster.get(POD, "llama-1-1")["spec"]["subdomain"] == "llama-1"


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_deletion_takes_everything(cluster: Cluster, propagation: str) -> None:
    """Nothing is left of a deleted set."""
    cluster.create(LEADER_WORKER_SET, lws())
    cluster.settle()
    cluster.delete(LEADER_WORKER_SET, "llama", propagation=propagation)
    cluster.settle()
    for kind in (LEADER_WORKER_SET, STATEFUL_SET, POD, SERVICE, CONTROLLER_REVISION):
        assert cluster.names(kind) == []


def test_faults_are_told() -> None:
    """What the set's validation refuses names the field."""
    cluster = make_cluster(nodes="none")
    with pytest.raises(Forbidden, match=r"must not be 0 when `maxSurge` is 0"):
        cluster.create(
            LEADER_WORKER_SET,
            lws(
                rolloutStrategy={
                    "type": "RollingUpdate",
                    "rollingUpdateConfiguration": {"maxUnavailable": 0, "maxSurge": 0},
                }
            ),
        )
    with pytest.raises(Forbidden, match="size or size - 1 must be divisible by subGroupSize"):
        cluster.create(LEADER_WORKER_SET, lws(size=6, group={"subGroupPolicy": {"subGroupSize": 4}}))
