"""Admission fair sharing in the engine: who is admitted and who is preempted first."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.configuration.types import AdmissionFairSharing, Configuration, Resources
from pykueue.api.objects import ObjectKey
from pykueue.core.features import Features, Gate
from pykueue.core.measures import measure
from support.world import SECOND, START, World, admits, victims

USAGE_BASED = "UsageBasedAdmissionFairSharing"


def world(mode: str = USAGE_BASED, *, gate: bool = True, is_configured: bool = True, **options: Any) -> World:
    """cq1 with 8 cores and 16 gpus, and the LocalQueues lqA and lqB that have not used anything."""
    sharing = AdmissionFairSharing(
        usage_half_life_time_us=10 * SECOND,
        usage_sampling_interval_us=SECOND,
        resource_weights=options.get("weights", {}),
    )
    config = Configuration(
        admission_fair_sharing=sharing if is_configured else None, resources=options.get("resources", Resources())
    )
    made = World(config, Features({Gate.ADMISSION_FAIR_SHARING: gate}))
    made.queue("cq1", "default:cpu8,gpu16", WCQ="L", spec={"admissionScope": {"admissionMode": mode}})
    made.local("lqA", "cq1")
    made.local("lqB", "cq1")
    return made


def order(made: World) -> list[str]:
    return [info.key.name for info in made.engine.waiting("cq1")]


def usage(made: World, local_queue: str) -> float:
    queue = made.engine._cache.queue("cq1")
    usage_of = made.engine._fair_usage.order_of(queue)
    assert usage_of is not None
    return usage_of(ObjectKey("ns", local_queue))


@pytest.mark.parametrize(
    ("weights", "a", "b", "want"),
    [
        ({}, {"used": {"cpu": "2"}}, {"used": {"cpu": "1"}}, ["b", "a"]),
        (
            {"cpu": 0.0, "example.com/gpu": 1.0},
            {"used": {"cpu": "1", "example.com/gpu": "10"}},
            {"used": {"cpu": "1000", "example.com/gpu": "1"}},
            ["b", "a"],
        ),
        ({}, {"used": {"cpu": "10"}}, {"used": {"cpu": "6"}, "weight": "2"}, ["b", "a"]),
        ({}, {"used": {"cpu": "1"}}, {"used": {"cpu": "1"}}, ["a", "b"]),
        ({}, {"weight": "0"}, {}, ["b", "a"]),
        ({}, {"used": {"cpu": "8"}}, {}, ["b", "a"]),
    ],
    ids=[
        "AF-01 the lesser usage", "AF-02 resources by their weight", "AF-03 usage by the LocalQueue's weight",
        "equal usage: priority", "AF-07 weight 0 comes last", "AF-09 who is not known has used nothing",
    ],
)  # fmt: skip
def test_order(weights: dict[str, float], a: dict[str, Any], b: dict[str, Any], want: list[str]) -> None:
    """The Workload of the LocalQueue that used less goes before an older one of higher priority."""
    made = world(weights=weights)
    made.local("lqA", "cq1", **a)
    made.local("lqB", "cq1", **b)
    made.workload("a", "lqA", "1", 2)
    made.workload("b", "lqB", "1", 1, t=1)
    assert order(made) == want


def test_priority_decides_within_a_local_queue() -> None:
    """AF-04."""
    made = world()
    made.local("lqA", "cq1", used={"cpu": "2"})
    made.workload("low", "lqA", "1", 1)
    made.workload("high", "lqA", "1", 2, t=1)
    assert order(made) == ["high", "low"]


@pytest.mark.parametrize(
    "options",
    [{"mode": "NoAdmissionFairSharing"}, {"is_configured": False}, {"gate": False}],
    ids=["another mode", "not configured", "gate off"],
)
def test_usage_orders_only_where_it_is_asked_to(options: dict[str, Any]) -> None:
    """AF-05, AF-06: priority, then age; nothing is charged, and the LocalQueue is not sampled."""
    made = world(**options)
    made.local("lqA", "cq1", used={"cpu": "8"})
    made.local("lqB", "cq1", used={"cpu": "2"})
    made.workload("a", "lqA", "8")
    made.workload("b", "lqB", "8", t=1)
    assert order(made) == ["a", "b"]
    made.settle()
    assert list(made.holds()) == ["a"]
    key = ObjectKey("ns", "lqA")
    assert made.engine.sample_local_queue(key, made.now) is None
    view = made.engine.local_queue_status(key)
    assert view is not None
    assert view.admission_fair_sharing is None


def test_who_used_less_is_admitted() -> None:
    """AF-06: the younger Workload gets the queue's whole quota."""
    made = world()
    made.local("lqA", "cq1", used={"cpu": "8"})
    made.local("lqB", "cq1", used={"cpu": "2"})
    made.workload("a", "lqA", "8")
    made.workload("b", "lqB", "8", t=1)
    made.settle()
    assert list(made.holds()) == ["b"]


def test_the_penalty_lets_others_go_next() -> None:
    """AF-08: from equal usage each LocalQueue gets one, for the first admission counts at once."""
    made = world()
    for name in ("lqA", "lqB"):
        made.local(name, "cq1", used={"cpu": "4"})
    for n, (name, queue) in enumerate((("a1", "lqA"), ("a2", "lqA"), ("b1", "lqB"), ("b2", "lqB"))):
        made.workload(name, queue, "4", t=n)
    made.settle()
    assert list(made.holds()) == ["a1", "b1"]


def test_a_change_of_mode_or_weight_sorts_anew() -> None:
    """Without the Workloads leaving the queue."""
    made = world("NoAdmissionFairSharing")
    made.local("lqA", "cq1", used={"cpu": "8"})
    made.local("lqB", "cq1", used={"cpu": "2"})
    made.workload("a", "lqA", "1")
    made.workload("b", "lqB", "1", t=1)
    assert order(made) == ["a", "b"]
    made.queue("cq1", "default:cpu8,gpu16", spec={"admissionScope": {"admissionMode": USAGE_BASED}})
    assert order(made) == ["b", "a"]
    made.local("lqA", "cq1", weight="8")
    assert order(made) == ["a", "b"]
    head = made.engine._queues.queue("cq1").head()  # type: ignore[union-attr]
    assert head is not None
    assert head.info.key.name == "a"


def test_sampling_moves_the_order() -> None:
    """Usage fades while nothing runs, and a sampling is due once an interval."""
    made = world()
    made.local("lqA", "cq1", used={"cpu": "8"})
    made.local("lqB", "cq1", used={"cpu": "6"}, sampled=10)
    made.advance(10)
    key = ObjectKey("ns", "lqA")
    assert made.engine.sample_local_queue(key, made.now) == made.now + SECOND
    assert usage(made, "lqA") == 4.0
    assert made.engine.sample_local_queue(key, made.now + SECOND - 1) == made.now + SECOND
    assert usage(made, "lqA") == 4.0
    made.workload("b", "lqB", "1")
    made.workload("a", "lqA", "1", t=1)
    assert order(made) == ["a", "b"]


def test_an_inactive_cluster_queue_is_not_sampled() -> None:
    """Its history waits until it can admit again."""
    made = world()
    spec = {"admissionScope": {"admissionMode": USAGE_BASED}, "stopPolicy": "Hold"}
    made.queue("cq1", "default:cpu8", spec=spec)
    assert made.engine.sample_local_queue(ObjectKey("ns", "lqA"), made.now) is None


def test_the_greater_usage_is_preempted_first() -> None:
    """Within the queue, before priority: the victim is of the LocalQueue that used more."""
    made = world()
    made.local("lqA", "cq1", used={"cpu": "8"})
    made.local("lqB", "cq1", used={"cpu": "2"})
    made.workload("a", "lqA", "4", 2, at="default", cq="cq1")
    made.workload("b", "lqB", "4", 1, at="default", cq="cq1")
    made.workload("urgent", "lqB", "4", 9)
    assert victims(made.cycle()) == {"a": "InClusterQueue"}


def test_a_failed_admission_is_not_charged() -> None:
    """Neither one that was not written, nor that of a deleted or deactivated Workload."""
    made = world()
    workload = made.workload("a", "lqA", "8")
    assert "a" in admits(made.cycle())
    assert usage(made, "lqA") > 0
    made.engine.forget(workload.key, made.now, requeue=False)
    assert usage(made, "lqA") == 0
    for ending in (None, msgspec.structs.replace(workload, spec=msgspec.structs.replace(workload.spec, active=False))):
        made.put(workload)
        made.cycle()
        assert usage(made, "lqA") > 0
        made.engine.set_workload(workload.key, ending, made.now)
        assert usage(made, "lqA") == 0


def test_undeclared_resources_are_charged_unless_they_are_ignored() -> None:
    """Under IgnoreUndeclared only what the ClusterQueue covers counts."""
    made = world(resources=Resources(quota_check_strategy="IgnoreUndeclared"))
    made.workload("a", "lqA", "cpu1,mem1Gi")
    made.cycle()
    assert 0 < usage(made, "lqA") < 1


def test_a_workload_outlives_its_local_queue() -> None:
    """AF-10: what its lost LocalQueue is charged with still orders victims, with weight 1; nothing fails."""
    made = world()
    made.local("lqA", "cq1", weight="0")
    made.workload("a", "lqA", "8")
    made.cycle()
    made.engine.set_local_queue(ObjectKey("ns", "lqA"), None, made.now)
    assert 0 < usage(made, "lqA") < 8
    made.workload("urgent", "lqB", "8", 9)
    assert victims(made.cycle()) == {"a": "InClusterQueue"}


def test_the_usage_is_measured() -> None:
    """As a gauge, of LocalQueues whose ClusterQueue is ordered by it."""
    made = world()
    made.local("lqA", "cq1", used={"cpu": "8"}, weight="2")
    made.queue("plain", "default:1")
    found = {s.labels: s.value for s in measure(made.engine.measured()) if s.name.endswith("fair_sharing_usage")}
    assert found[("lqA", "ns", "cq1")] == 4.0
    assert {labels[2] for labels in found} == {"cq1"}
    assert made.now == START
