"""What a batch Job says of itself (jobs.md §17)."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.constants import Annotation
from pykueue.api.v1beta2 import PodSet
from pykueue.core.features import Features
from pykueue.integrations.job import Job, pod_count
from pykueue.integrations.podset_info import PodSetConflict, PodSetInfo
from pykueue.integrations.suspended import Ended
from support.jobs import make_template

JOB = Job()


def make_job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "job"}, "spec": {"template": make_template("1"), **spec}, "status": status or {}}


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        ({}, 1),
        ({"parallelism": 3}, 3),
        ({"parallelism": 3, "completions": 2}, 2),
        ({"parallelism": 3, "completions": 9}, 3),
        ({"parallelism": 0}, 0),
    ],
)
def test_how_many_pods_run_side_by_side(spec: dict[str, int], want: int) -> None:
    """As many as are allowed and needed."""
    assert pod_count(make_job(**spec)) == want


RECLAIMABLE: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "one of three is done": ({"parallelism": 3, "completions": 3}, {"succeeded": 1}, 1),
    "seven of ten, five at once": ({"parallelism": 5, "completions": 10}, {"succeeded": 7}, 2),
    "four of ten, five at once": ({"parallelism": 5, "completions": 10}, {"succeeded": 4}, 0),
    "indexes that have ended either way": (
        {"parallelism": 5, "completions": 5, "completionMode": "Indexed"},
        {"completedIndexes": "0-1", "failedIndexes": "3"},
        3,
    ),
    "an index that is in both lists": (
        {"parallelism": 5, "completions": 5, "completionMode": "Indexed"},
        {"completedIndexes": "0-2", "failedIndexes": "2,3"},
        4,
    ),
    "indexes beyond the completions, and nonsense": (
        {"parallelism": 5, "completions": 5, "completionMode": "Indexed"},
        {"completedIndexes": "1,x,4-99999999999"},
        2,
    ),
    "one at a time": ({"parallelism": 1, "completions": 9}, {"succeeded": 8}, 0),
    "no completions": ({"parallelism": 3}, {"succeeded": 1}, 1),
}


@pytest.mark.parametrize("name", RECLAIMABLE)
def test_what_can_be_reclaimed(name: str) -> None:
    """G13: the pods that have no successor."""
    spec, status, want = RECLAIMABLE[name]
    assert JOB.progress(make_job(status, **spec)).reclaimable == ({"main": want} if want else {})


def test_progress_is_in_the_status() -> None:
    """Active, ready and ended."""
    progress = JOB.progress(make_job({"active": 2, "ready": 1, "succeeded": 1}, parallelism=3))
    assert (progress.is_active, progress.has_pods_ready, progress.ended) == (True, False, None)
    failed = {
        "conditions": [{"type": "Complete", "status": "False"}, {"type": "Failed", "status": "True", "message": "m"}]
    }
    assert JOB.progress(make_job(failed)).ended == Ended(is_success=False, message="m")


def test_a_job_on_its_way_to_a_stop_is_not_suspended() -> None:
    """The annotation counts more than the field."""
    job = make_job(suspend=True)
    assert JOB.is_suspended(job)
    assert not JOB.is_suspended(JOB.halted(job))


def test_start_and_restore_are_inverse() -> None:
    """What admission puts into a template, a stop takes out again; what the user wrote stays."""
    job = make_job(suspend=True, parallelism=2)
    job["spec"]["template"]["spec"]["tolerations"] = [{"key": "mine"}]
    pod_sets = JOB.pod_sets(job, Features({}))
    info = PodSetInfo("main", 2, {"a": "b"}, {"c": "d"}, {"e": "f"}, [{"key": "theirs"}], ["gate"])
    running = JOB.started(job, [info])
    template = running["spec"]["template"]
    assert running["spec"]["suspend"] is False
    assert template["spec"]["tolerations"] == [{"key": "mine"}, {"key": "theirs"}]
    assert template["spec"]["schedulingGates"] == [{"name": "gate"}]
    stored = PodSet(name="main", count=2, template=pod_sets[0]["template"])
    restored = JOB.restored(JOB.halted(running), [stored])
    assert restored["spec"]["template"]["spec"] == job["spec"]["template"]["spec"]
    assert restored["spec"]["suspend"] is True
    assert Annotation.STOPPING not in restored["metadata"].get("annotations", {})


def test_pod_sets_must_match_in_number() -> None:
    """An admission for another number of pod sets can never start."""
    with pytest.raises(PodSetConflict, match="invalid podset infos: expecting 1 podset, got 2"):
        JOB.started(make_job(), [PodSetInfo("a", 1), PodSetInfo("b", 1)])
    assert JOB.restored(make_job(suspend=False), [])["spec"]["suspend"] is True


def test_a_value_of_the_users_is_not_overwritten() -> None:
    """Two values for one key contradict each other."""
    job = make_job()
    job["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "mine"}
    with pytest.raises(PodSetConflict, match="conflict for nodeSelector: conflict for key=pool"):
        JOB.started(job, [PodSetInfo("main", 1, node_selector={"pool": "theirs"})])
