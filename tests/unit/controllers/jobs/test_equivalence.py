"""Which Workloads stand for a job (jobs.md §9)."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.kinds import JOB, WORKLOAD
from pykueue.controllers.jobs.equivalence import stands_for
from pykueue.integrations.job import Job
from support.jobs import UID, JobWorld, make_template

WL = "job-job-8d0ac"
CONTAINER = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}

SAME: dict[str, dict[str, Any]] = {
    "nothing": {},
    "another way to write an amount": {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "1000m"}}}]},
    "empty lists": {"containers": [{**CONTAINER, "env": [], "command": None}], "initContainers": []},
    "a node selector": {"nodeSelector": {"a": "b"}},
    "a priority class": {"priorityClassName": "x"},
    "tolerations, since it is admitted": {"tolerations": [{"key": "x"}]},
}
OTHER: dict[str, dict[str, Any]] = {
    "another image": {"containers": [{**CONTAINER, "image": "j"}]},
    "another amount": {"containers": [{**CONTAINER, "resources": {"requests": {"cpu": "2"}}}]},
    "one more container": {"containers": [CONTAINER, {**CONTAINER, "name": "d"}]},
    "an init container": {"initContainers": [CONTAINER]},
}


def fits(spec: dict[str, Any], *, is_suspended: bool = False, admitted: bool = True, **changes: Any) -> bool:
    """Whether the Workload of a Job stands for it after its template, or its spec, has changed."""
    world = JobWorld()
    meta = {"name": "job", "uid": UID, "labels": {"kueue.x-k8s.io/queue-name": "lq"}}
    job = {"metadata": meta, "spec": {"parallelism": 2, "template": make_template("1")}}
    world.admit_object(JOB, job)
    world.settle()
    if admitted:
        world.admit(WL)
        world.settle()
    now = world.get(JOB, "job")
    template = now["spec"]["template"]
    changed = {
        **now,
        "spec": {**now["spec"], "template": {**template, "spec": {**template["spec"], **spec}}, **changes},
    }
    pod_sets = Job().pod_sets(changed, world.settings.features)
    workload = world.workload(WL)
    assert world.get(WORKLOAD, WL)["spec"]["podSets"][0]["count"] == 2
    return stands_for(workload, changed, pod_sets, world.reader, world.settings, is_suspended=is_suspended)


@pytest.mark.parametrize("name", SAME)
def test_what_makes_no_difference(name: str) -> None:
    """Values that mean the same, and fields that admission does not depend on."""
    assert fits(SAME[name])


@pytest.mark.parametrize("name", OTHER)
def test_what_makes_a_difference(name: str) -> None:
    """The containers decide how much is needed and what runs."""
    assert not fits(OTHER[name])


def test_counts_and_tolerations_before_admission() -> None:
    """Both are part of what waits."""
    assert not fits({}, parallelism=3)
    assert not fits({"tolerations": [{"key": "x"}]}, admitted=False)
    assert fits({}, admitted=False)
