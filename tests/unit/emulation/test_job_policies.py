"""What Jobs do when pods fail, are replaced, or there are no completions: against the documentation of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api import objects
from pykueue.api.commands import PatchType
from pykueue.api.instant import format_time
from pykueue.api.kinds import JOB, POD
from support.cluster import Cluster
from support.emulated import finish, make_cluster, phases, template

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES, IGNORED = "batch.kubernetes.io/job-index-failure-count", "batch.kubernetes.io/job-index-ignored-failure-count"


@pytest.fixture
def cluster() -> Cluster:
    return make_cluster()


def make_job(**spec: Any) -> dict[str, Any]:
    fields = {"parallelism": 2, "completions": 2, "template": template(restartPolicy="Never"), **spec}
    return {"metadata": {"name": "work"}, "spec": {k: v for k, v in fields.items() if v is not None}}


def indexed(**spec: Any) -> dict[str, Any]:
    return make_job(completionMode="Indexed", **spec)


def status(cluster: Cluster) -> dict[str, Any]:
    return dict(cluster.get(JOB, "work")["status"])


def condition(cluster: Cluster, type_: str) -> tuple[str, str, str] | None:
    found = next((c for c in status(cluster).get("conditions", ()) if c["type"] == type_), None)
    return (found["status"], found["reason"], found["message"]) if found else None


def running(cluster: Cluster) -> list[str]:
    return [name for name, phase in phases(cluster).items() if phase == "Running"]


def by_index(cluster: Cluster) -> dict[str, str]:
    """Running pods by index."""
    return {objects.annotations(cluster.get(POD, name))[INDEX]: name for name in running(cluster)}


def fail(cluster: Cluster, name: str, code: int) -> None:
    """The pod's container ends with this code."""
    state = {"terminated": {"exitCode": code, "finishedAt": format_time(cluster.now)}}
    ended = {"name": "main", "image": "app:1", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    body = {"status": {"phase": "Failed", "containerStatuses": [ended]}}
    cluster.patch(POD, name, body, subresource="status", type_=PatchType.STRATEGIC)


def test_each_index_has_its_own_limit(cluster: Cluster) -> None:
    """An index that failed too often is given up; the others go on, and at the end the Job has failed."""
    cluster.create(JOB, indexed(backoffLimitPerIndex=1))
    cluster.settle()
    finish(cluster, by_index(cluster)["1"])
    finish(cluster, by_index(cluster)["0"], "Failed")
    cluster.advance(8)
    assert by_index(cluster) == {}, "the index rests for ten seconds"
    cluster.advance(5)
    again = cluster.get(POD, by_index(cluster)["0"])
    assert objects.annotations(again)[FAILURES] == "1"
    finish(cluster, objects.name(again), "Failed")
    cluster.settle()
    assert status(cluster)["failedIndexes"] == "0"
    assert status(cluster)["completedIndexes"] == "1"
    assert condition(cluster, "Failed") == ("True", "FailedIndexes", "Job has failed indexes")


def test_an_index_rests_alone(cluster: Cluster) -> None:
    """While one index waits for its next try, others are started."""
    cluster.create(JOB, indexed(parallelism=2, completions=3, backoffLimitPerIndex=3))
    cluster.settle()
    finish(cluster, by_index(cluster)["0"], "Failed")
    cluster.settle()
    assert sorted(by_index(cluster)) == ["1", "2"]


def test_too_many_failed_indexes_end_the_job(cluster: Cluster) -> None:
    """With a limit of failed indexes the rest is stopped."""
    cluster.create(JOB, indexed(parallelism=3, completions=3, backoffLimitPerIndex=0, maxFailedIndexes=1))
    cluster.settle()
    for index in ("0", "1"):
        finish(cluster, by_index(cluster)[index], "Failed")
        cluster.settle()
    want = ("True", "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    assert condition(cluster, "Failed") == want
    assert running(cluster) == []
    assert status(cluster)["failedIndexes"] == "0,1"


def rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": list(rules)}}


def on_code(action: str, *codes: int, operator: str = "In") -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(codes)}}


def test_an_ignored_failure_does_not_count(cluster: Cluster) -> None:
    """The pod is replaced, and the limit is untouched."""
    cluster.create(JOB, make_job(parallelism=1, completions=1, backoffLimit=0, **rules(on_code("Ignore", 7))))
    cluster.settle()
    fail(cluster, running(cluster)[0], 7)
    cluster.advance(15)
    assert len(running(cluster)) == 1
    assert (status(cluster).get("failed"), condition(cluster, "Failed")) == (None, None)


def test_ignored_failures_of_an_index_are_noted(cluster: Cluster) -> None:
    """They have a count of their own, and let the index rest as others do."""
    cluster.create(JOB, indexed(backoffLimitPerIndex=0, **rules(on_code("Ignore", 7))))
    cluster.settle()
    fail(cluster, by_index(cluster)["0"], 7)
    cluster.advance(15)
    notes = objects.annotations(cluster.get(POD, by_index(cluster)["0"]))
    assert (notes[FAILURES], notes[IGNORED]) == ("0", "1")


def test_a_failure_may_give_up_its_index(cluster: Cluster) -> None:
    """FailIndex does not wait for the limit."""
    cluster.create(JOB, indexed(backoffLimitPerIndex=5, **rules(on_code("FailIndex", 3))))
    cluster.settle()
    fail(cluster, by_index(cluster)["0"], 3)
    cluster.settle()
    assert status(cluster)["failedIndexes"] == "0"
    assert sorted(by_index(cluster)) == ["1"]


@pytest.mark.parametrize(
    ("rule", "code", "reason"),
    [
        (on_code("FailJob", 42), 42, "PodFailurePolicy"),
        (on_code("FailJob", 42), 1, "BackoffLimitExceeded"),
        (on_code("FailJob", 42, operator="NotIn"), 1, "PodFailurePolicy"),
        (on_code("Count", 1), 1, "BackoffLimitExceeded"),
    ],
    ids=["named", "another", "all but", "counted"],
)
def test_exit_codes(cluster: Cluster, rule: dict[str, Any], code: int, reason: str) -> None:
    """The first rule that matches decides; without one the failure counts."""
    cluster.create(JOB, make_job(parallelism=1, completions=1, backoffLimit=0, **rules(rule)))
    cluster.settle()
    fail(cluster, running(cluster)[0], code)
    cluster.settle()
    failed = condition(cluster, "Failed")
    assert failed is not None
    assert failed[1] == reason


def test_conditions_of_pods(cluster: Cluster) -> None:
    """A disruption that the policy ignores costs no retry."""
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    cluster.create(JOB, make_job(parallelism=1, completions=1, backoffLimit=0, **rules(rule)))
    cluster.settle()
    told = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    body = {"status": {"phase": "Failed", "conditions": [told | {"lastTransitionTime": format_time(cluster.now)}]}}
    cluster.patch(POD, running(cluster)[0], body, subresource="status", type_=PatchType.STRATEGIC)
    cluster.advance(15)
    assert len(running(cluster)) == 1
    assert condition(cluster, "Failed") is None


@pytest.mark.parametrize(("policy", "meanwhile"), [("TerminatingOrFailed", 2), ("Failed", 1)])
def test_when_a_pod_is_replaced(cluster: Cluster, policy: str, meanwhile: int) -> None:
    """At once, or when the old one has ended; the terminating one is counted meanwhile."""
    slow = template(restartPolicy="Never", terminationGracePeriodSeconds=60)
    cluster.create(JOB, make_job(template=slow, podReplacementPolicy=policy))
    cluster.settle()
    name = running(cluster)[0]
    cluster.patch(POD, name, {"metadata": {"finalizers": ["test/keep", "batch.kubernetes.io/job-tracking"]}})
    cluster.delete(POD, name)
    cluster.advance(12)
    alive = [n for n in cluster.names(POD) if not objects.is_deleting(cluster.get(POD, n))]
    assert len(alive) == meanwhile
    assert status(cluster)["terminating"] == (1 if phases(cluster)[name] == "Running" else 0)


def test_a_queue_of_work(cluster: Cluster) -> None:
    """Without completions no pod is added after the first success, and the last one ends the Job."""
    cluster.create(JOB, make_job(parallelism=3, completions=None))
    cluster.settle()
    names = running(cluster)
    assert len(names) == 3
    finish(cluster, names[0])
    cluster.settle()
    assert (len(running(cluster)), condition(cluster, "Complete")) == (2, None)
    for name in names[1:]:
        finish(cluster, name)
    cluster.settle()
    want = ("True", "CompletionsReached", "Reached expected number of succeeded pods")
    assert condition(cluster, "Complete") == want


def test_enough_of_the_chosen_indexes(cluster: Cluster) -> None:
    """A success policy may ask for a number out of some indexes."""
    policy = {"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]}
    cluster.create(JOB, indexed(parallelism=4, completions=4, successPolicy=policy))
    cluster.settle()
    for index, done in (("3", False), ("0", False), ("2", True)):
        finish(cluster, by_index(cluster)[index])
        cluster.settle()
        want = ("True", "SuccessPolicy", "Matched rules at index 0") if done else None
        assert condition(cluster, "Complete") == want
    assert running(cluster) == []


def test_a_deadline_runs_anew_after_a_suspension(cluster: Cluster) -> None:
    """Suspended time does not count, and the start time is that of the resumption."""
    cluster.create(JOB, make_job(activeDeadlineSeconds=30))
    cluster.advance(20)
    started = status(cluster)["startTime"]
    cluster.patch(JOB, "work", {"spec": {"suspend": True}})
    cluster.advance(60)
    assert condition(cluster, "Failed") is None
    cluster.patch(JOB, "work", {"spec": {"suspend": False}})
    cluster.advance(20)
    assert status(cluster)["startTime"] > started
    assert condition(cluster, "Failed") is None
    assert cluster.notes("Resumed") == ["Job/work Resumed: Job resumed"]
    cluster.advance(15)
    failed = condition(cluster, "Failed")
    assert failed is not None
    assert failed[1] == "DeadlineExceeded"


def test_an_elastic_indexed_job(cluster: Cluster) -> None:
    """Completions and parallelism of an indexed Job change together; indexes beyond them go."""
    cluster.create(JOB, indexed(parallelism=3, completions=3))
    cluster.settle()
    cluster.patch(JOB, "work", {"spec": {"parallelism": 1, "completions": 1}})
    cluster.settle()
    assert list(by_index(cluster)) == ["0"]
    cluster.patch(JOB, "work", {"spec": {"parallelism": 2, "completions": 2}})
    cluster.settle()
    assert sorted(by_index(cluster)) == ["0", "1"]


def test_what_a_job_tells(cluster: Cluster) -> None:
    """Each pod that is made or taken away, and the end."""
    cluster.create(JOB, make_job(parallelism=1, completions=1))
    cluster.settle()
    (name,) = running(cluster)
    finish(cluster, name)
    cluster.settle()
    assert [note.replace(name, "POD") for note in cluster.notes() if note.startswith("Job/")] == [
        "Job/work SuccessfulCreate: Created pod: POD",
        "Job/work Completed: Job completed",
    ]
    assert cluster.notes("Scheduled") == [
        f"Pod/{name} Scheduled: Successfully assigned default/{name} to {cluster.get(POD, name)['spec']['nodeName']}"
    ]
