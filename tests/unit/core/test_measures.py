"""Gauges: what the engine shows of itself."""

from __future__ import annotations

import math
from typing import Any

from pykueue.api.configuration.types import Configuration, FairSharing, LocalQueueMetrics, Metrics
from pykueue.api.series import SERIES
from pykueue.core.features import Features, Gate
from pykueue.core.measures import measure
from support.world import World

ALL = Configuration(metrics=Metrics(enable_cluster_queue_resources=True), fair_sharing=FairSharing())


def read(world: World) -> dict[str, dict[tuple[str, ...], float]]:
    """Gauges by name and labels; every one fits its series, and none is told twice."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for sample in measure(world.engine.measured()):
        assert len(sample.labels) == len(SERIES[sample.name].labels), sample
        assert sample.labels not in found.setdefault(sample.name, {}), sample
        found[sample.name][sample.labels] = sample.value
    return found


def busy(config: Configuration | None = None, **gates: Any) -> World:
    """Two queues of one cohort; one Workload is admitted, two alike do not fit, one waits in the other queue."""
    world = World(config, Features({Gate(name): value for name, value in gates.items()}))
    world.cohort("all", parent="root")
    world.queue("a", "f:2", "all")
    world.queue("b", "f:1500m BL3 LL1", "all")
    world.workload("runs", "a", "2", at="f")
    world.workload("big", "a", "50")
    world.workload("big-too", "a", "50", t=1)
    world.settle()
    world.workload("small", "b", "1")
    return world


def test_pending_workloads_are_active_or_parked() -> None:
    """What the scheduler may try is active; what waits for a change is inadmissible, and one hash if it is alike."""
    found = read(busy())
    assert found["pending_workloads"] == {
        ("a", "active"): 0, ("a", "inadmissible"): 2, ("b", "active"): 1, ("b", "inadmissible"): 0,
    }  # fmt: skip
    assert found["pending_scheduling_hashes"][("a", "inadmissible")] == 1
    assert found["local_queue_pending_workloads"][("b", "ns", "active")] == 1


def test_an_inactive_queue_has_no_active_workloads() -> None:
    """All that waits for a stopped ClusterQueue is inadmissible, and its status says pending."""
    world = busy()
    world.queue("b", "f:1500m", "all", spec={"stopPolicy": "Hold"})
    found = read(world)
    assert found["pending_workloads"][("b", "active")] == 0
    assert found["pending_workloads"][("b", "inadmissible")] == 1
    status = {labels[1]: value for labels, value in found["cluster_queue_status"].items() if labels[0] == "b"}
    assert status == {"pending": 1, "active": 0, "terminating": 0}
    assert found["local_queue_status"][("b", "ns", "False")] == 1


def test_workloads_with_quota_are_counted_up_the_tree() -> None:
    """A queue counts its own; every cohort above counts all below it."""
    found = read(busy())
    assert found["reserving_active_workloads"] == {("a",): 1, ("b",): 0}
    assert found["local_queue_admitted_active_workloads"] == {("a", "ns"): 1, ("b", "ns"): 0}
    assert found["cohort_subtree_admitted_active_workloads"] == {("all",): 1, ("root",): 1}
    assert found["cohort_info"] == {("all", "root", "root"): 1, ("root", "", "root"): 1}
    assert found["cluster_queue_info"][("a", "all", "root")] == 1


def test_the_unadmitted_are_counted_by_reason() -> None:
    """The reason is of Admitted, the cause of QuotaReserved; without conditions both have a word of their own."""
    world = World()
    world.queue("a", "f:1")
    world.workload("new", "a", "5")
    held = [{"type": "QuotaReserved", "status": "False", "reason": "ExceedsMaxQuota"}]
    world.workload("told", "a", "5", status={"conditions": held})
    world.workload("over", "a", "5", status={"conditions": [{"type": "Finished", "status": "True", "reason": "x"}]})
    found = read(world)
    want = {("a", "NoReservation", "ExceedsMaxQuota"): 1, ("a", "NoReservation", "PendingEvaluation"): 1}
    assert found["unadmitted_workloads"] == want
    assert found["local_queue_unadmitted_workloads"] == {("a", "ns", *labels): 1 for labels in want}
    assert found["finished_workloads"] == {("a",): 1}


def test_resources_are_told_in_base_units_where_asked_for() -> None:
    """Cores, not milli-cores; no limit is infinite; what is not wanted is not there."""
    assert "cluster_queue_nominal_quota" not in read(busy())
    found = read(busy(ALL))
    assert found["cluster_queue_nominal_quota"] == {("all", "a", "f", "cpu"): 2, ("all", "b", "f", "cpu"): 1.5}
    assert found["cluster_queue_borrowing_limit"] == {("all", "a", "f", "cpu"): math.inf, ("all", "b", "f", "cpu"): 3}
    assert found["cluster_queue_lending_limit"][("all", "b", "f", "cpu")] == 1
    assert found["cluster_queue_resource_usage"][("all", "a", "f", "cpu")] == 2
    assert found["cluster_queue_resource_pending"] == {("a", "cpu"): 100, ("b", "cpu"): 1}
    assert found["cohort_subtree_quota"][("root", "f", "cpu")] == 3
    assert found["cohort_subtree_resource_reservations"] == {("all", "f", "cpu"): 2, ("root", "f", "cpu"): 2}
    assert found["local_queue_resource_usage"][("a", "ns", "f", "cpu")] == 2


def test_a_share_without_weight_is_not_a_number() -> None:
    """Weight 0 that borrows has no finite share."""
    world = World(ALL)
    world.queue("greedy", "f:0", "all", weight="0")
    world.queue("giver", "f:4", "all")
    world.workload("w", "greedy", "2", at="f")
    found = read(world)["cluster_queue_weighted_share"]
    assert math.isnan(found[("greedy", "all")])
    assert found[("giver", "all")] == 0


def test_local_queues_are_measured_where_they_are_selected() -> None:
    """The gate, the option and the selector each can leave them out."""
    nothing = Configuration(metrics=Metrics(local_queue_metrics=LocalQueueMetrics(enable=False)))
    selector = {"matchLabels": {"team": "x"}}
    none_matches = LocalQueueMetrics(enable=True, local_queue_selector=selector)
    for world in (
        busy(nothing),
        busy(Configuration(metrics=Metrics(local_queue_metrics=none_matches))),
        busy(LocalQueueMetrics=False),
    ):
        found = read(world)
        assert not [name for name in found if name.startswith("local_queue")]
        assert found["pending_workloads"][("a", "inadmissible")] == 2


def test_a_queue_that_is_gone_leaves_nothing() -> None:
    """Gauges are views: no queue, no series."""
    world = busy(ALL)
    world.engine.set_cluster_queue("b", None, world.now)
    assert not [
        labels for rows in read(world).values() for labels in rows if labels[0] == "b" and labels[1:2] != ("ns",)
    ]
    assert read(world)["local_queue_pending_workloads"][("b", "ns", "inadmissible")] == 1
