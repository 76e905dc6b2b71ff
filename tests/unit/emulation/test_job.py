"""Jobs: suspension, completion, failure, indexes."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api import objects
from pykueue.api.kinds import JOB, POD
from support.cluster import Cluster
from support.emulated import finish, make_cluster, phases, template


@pytest.fixture
def cluster() -> Cluster:
    return make_cluster()


def make_job(*, parallelism: int = 2, completions: int | None = 2, **spec: Any) -> dict[str, Any]:
    fields = {"parallelism": parallelism, "completions": completions, "template": template(restartPolicy="Never")}
    return {"metadata": {"name": "work"}, "spec": {k: v for k, v in {**fields, **spec}.items() if v is not None}}


def status(cluster: Cluster) -> dict[str, Any]:
    return dict(cluster.get(JOB, "work")["status"])


def conditions(cluster: Cluster) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status(cluster).get("conditions", ())}


def running(cluster: Cluster) -> list[str]:
    return [name for name, phase in phases(cluster).items() if phase == "Running"]


def index(cluster: Cluster, name: str) -> str:
    return objects.annotations(cluster.get(POD, name))["batch.kubernetes.io/job-completion-index"]


def test_suspend_and_resume(cluster: Cluster) -> None:
    """A suspended Job has no pods; pods that go with a suspension are no failures."""
    cluster.create(JOB, make_job(suspend=True))
    cluster.settle()
    assert phases(cluster) == {}
    assert conditions(cluster) == {"Suspended": ("True", "JobSuspended", "Job suspended")}
    cluster.patch(JOB, "work", {"spec": {"suspend": False}})
    cluster.settle()
    assert (status(cluster)["active"], status(cluster)["ready"]) == (2, 2)
    assert conditions(cluster) == {"Suspended": ("False", "JobResumed", "Job resumed")}
    cluster.patch(JOB, "work", {"spec": {"suspend": True}})
    cluster.settle()
    assert phases(cluster) == {}
    assert "failed" not in status(cluster)
    assert "active" not in status(cluster)


def test_completion(cluster: Cluster) -> None:
    """Enough succeeded pods complete the Job, each of them counted once, and no pod is held by a finalizer."""
    cluster.create(JOB, make_job(completions=3))
    cluster.settle()
    for _ in range(3):
        finish(cluster, running(cluster)[0])
        cluster.settle()
    reached = ("True", "CompletionsReached", "Reached expected number of succeeded pods")
    assert conditions(cluster) == {"SuccessCriteriaMet": reached, "Complete": reached}
    seen = status(cluster)
    assert (seen["succeeded"], seen["uncountedTerminatedPods"], "completionTime" in seen) == (3, {}, True)
    assert list(phases(cluster).values()) == ["Succeeded"] * 3
    assert not any(objects.finalizers(pod) for pod in cluster.list(POD))


def test_backoff_limit(cluster: Cluster) -> None:
    """More failures than the limit fail the Job."""
    cluster.create(JOB, make_job(parallelism=1, completions=1, backoffLimit=0))
    cluster.settle()
    finish(cluster, running(cluster)[0], "Failed")
    cluster.settle()
    reached = ("True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    assert conditions(cluster) == {"FailureTarget": reached, "Failed": reached}
    assert status(cluster)["failed"] == 1


def test_a_failed_pod_is_replaced_after_a_while(cluster: Cluster) -> None:
    """A failure below the limit is retried after ten seconds, the next after twenty."""
    cluster.create(JOB, make_job(parallelism=1, completions=1))
    cluster.settle()
    for wait_s in (10, 20):
        finish(cluster, running(cluster)[0], "Failed")
        cluster.advance(wait_s - 5)
        assert running(cluster) == []
        cluster.advance(10)
        assert len(running(cluster)) == 1
    assert status(cluster)["failed"] == 2


def test_a_deleted_pod_counts_as_failed_and_is_replaced(cluster: Cluster) -> None:
    """Deleting a pod of a running Job is a failure of the pod."""
    cluster.create(JOB, make_job())
    cluster.settle()
    cluster.delete(POD, running(cluster)[0])
    cluster.settle(until_idle_s=15)
    assert len(running(cluster)) == 2
    assert status(cluster)["failed"] == 1


def test_deadline(cluster: Cluster) -> None:
    """A Job that runs too long fails, and its pods end."""
    cluster.create(JOB, make_job(activeDeadlineSeconds=30))
    cluster.advance(29)
    assert len(running(cluster)) == 2
    cluster.advance(5)
    assert conditions(cluster)["Failed"] == (
        "True",
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
    )
    assert phases(cluster) == {}


def test_parallelism_changes(cluster: Cluster) -> None:
    """Pods come and go with the parallelism, and never outnumber what is left to do."""
    cluster.create(JOB, make_job(parallelism=3, completions=4))
    cluster.settle()
    cluster.patch(JOB, "work", {"spec": {"parallelism": 1}})
    cluster.settle()
    assert len(running(cluster)) == 1
    cluster.patch(JOB, "work", {"spec": {"parallelism": 9}})
    cluster.settle()
    assert len(running(cluster)) == 4
    assert "failed" not in status(cluster)


def test_indexes(cluster: Cluster) -> None:
    """Each index runs until it has succeeded once."""
    cluster.create(JOB, make_job(parallelism=3, completions=4, completionMode="Indexed"))
    cluster.settle()
    by_index = {index(cluster, name): name for name in running(cluster)}
    assert sorted(by_index) == ["0", "1", "2"]
    for one in ("0", "2"):
        finish(cluster, by_index[one])
    cluster.settle()
    assert status(cluster)["completedIndexes"] == "0,2"
    assert sorted(index(cluster, name) for name in running(cluster)) == ["1", "3"]
    assert cluster.get(POD, by_index["1"])["spec"]["hostname"] == "work-1"


def test_success_policy(cluster: Cluster) -> None:
    """A chosen index is enough where the policy says so; the others are stopped."""
    policy = {"rules": [{"succeededIndexes": "0"}]}
    cluster.create(JOB, make_job(completionMode="Indexed", successPolicy=policy))
    cluster.settle()
    finish(cluster, next(name for name in running(cluster) if index(cluster, name) == "0"))
    cluster.settle()
    matched = ("True", "SuccessPolicy", "Matched rules at index 0")
    assert conditions(cluster) == {"SuccessCriteriaMet": matched, "Complete": matched}
    assert running(cluster) == []


def test_failure_policy(cluster: Cluster) -> None:
    """An exit code that the policy names fails the Job at once, another one does not."""
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    cluster.create(JOB, make_job(parallelism=1, completions=1, podFailurePolicy={"rules": [rule]}))
    cluster.settle()
    name = running(cluster)[0]
    terminated = [
        {
            "name": "main",
            "image": "app:1",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {"exitCode": 42}},
        }
    ]
    cluster.patch(POD, name, {"status": {"phase": "Failed", "containerStatuses": terminated}}, subresource="status")
    cluster.settle()
    told = f"Container main for pod default/{name} failed with exit code 42 matching FailJob rule at index 0"
    assert conditions(cluster)["Failed"] == ("True", "PodFailurePolicy", told)


def test_ttl(cluster: Cluster) -> None:
    """A finished Job with a time to live goes, with its pods."""
    cluster.create(JOB, make_job(parallelism=1, completions=1, ttlSecondsAfterFinished=60))
    cluster.settle()
    finish(cluster, running(cluster)[0])
    cluster.advance(50)
    assert cluster.names(JOB) == ["work"]
    cluster.advance(20)
    assert (cluster.names(JOB), cluster.names(POD)) == ([], [])


def test_jobs_of_others_are_left_alone(cluster: Cluster) -> None:
    """`managedBy` somebody else means no pods and no status."""
    cluster.create(JOB, make_job(managedBy="example.com/other"))
    cluster.settle()
    assert phases(cluster) == {}
    assert "conditions" not in (cluster.get(JOB, "work").get("status") or {})


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_pods_go_with_their_job(cluster: Cluster, propagation: str) -> None:
    """Nobody counts pods of a deleted Job: the tracking finalizer does not hold them."""
    cluster.create(JOB, make_job())
    cluster.settle()
    assert len(running(cluster)) == 2
    cluster.delete(JOB, "work", propagation=propagation)
    cluster.settle(until_idle_s=5)
    assert (cluster.names(JOB), cluster.names(POD)) == ([], [])


def test_orphaned_pods_lose_their_finalizer(cluster: Cluster) -> None:
    """Pods that their Job leaves behind go on, and can be deleted like any other."""
    cluster.create(JOB, make_job())
    cluster.settle()
    cluster.delete(JOB, "work", propagation="Orphan")
    cluster.settle(until_idle_s=5)
    assert len(running(cluster)) == 2
    assert not any(objects.finalizers(pod) for pod in cluster.list(POD))
