"""Where a flavor search goes on, and when it starts anew: the table of scheduling-cases.md §1."""

from __future__ import annotations

import pytest

from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.assignment import ScanProgress
from pykueue.core.scheduler.flavor_assigner import valid_progress
from support.nodes import HOST, node
from support.world import World

ON, OFF = True, False
A, B, UNKNOWN = "same", "other", ""
CASES = {
    "FA-66 an older generation": (OFF, (0, 1, A), False),
    "FA-66 the same generation": (OFF, (1, 1, A), True),
    "FA-66 the hash does not matter": (OFF, (1, 1, B), True),
    "FA-66 the cycle before does not matter": (OFF, (0, 4, A), False),
    "FA-67 the cycle before": (ON, (0, 4, A), True),
    "FA-67 the same cycle": (ON, (0, 5, A), True),
    "FA-67 two cycles before": (ON, (0, 3, A), False),
    "FA-67 another hash": (ON, (0, 5, B), False),
    "FA-67 another hash at the same generation": (ON, (1, 5, B), False),
    "FA-67 the same hash long ago": (ON, (1, 1, A), True),
    "FA-67 an unknown hash": (ON, (0, 5, UNKNOWN), True),
}


@pytest.mark.parametrize("name", CASES)
def test_progress(name: str) -> None:
    """Recorded generation, cycle and hash, seen in cycle 5 at generation 1."""
    is_on, (generation, cycle, equivalence), is_kept = CASES[name]
    features = Features({Gate.FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS: is_on})
    world = World(features=features)
    world.queue("cq", "f:4")
    world.workload("w", "cq", "1")
    item, queue = world.engine._queues.find(world.workloads["w"].key), world.engine._cache.queue("cq")
    assert item is not None
    assert queue is not None
    queue.generation = 1
    recorded = {A: item.info.equivalence, B: "0123456789abcdef", UNKNOWN: ""}[equivalence]
    progress = ScanProgress(({"cpu": 0},), generation, cycle, recorded)
    want = progress if is_kept else None
    assert valid_progress(progress, item.info, queue, 5, features) is want


@pytest.mark.parametrize(
    ("is_on", "churns", "flavor"), [(ON, True, "f2"), (OFF, True, None), (ON, False, "f2"), (OFF, False, "f2")]
)
def test_progress_survives_churn(is_on: bool, churns: bool, flavor: str | None) -> None:
    """FA-68: a queue whose generation rises with every cycle still comes to the second flavor, if the gate is on."""
    world = World(features=Features({Gate.FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS: is_on}))
    world.topology("hosts", HOST)
    for name in ("f1", "f2"):
        world.flavor(name, nodeLabels={"pool": name}, topologyName="hosts")
    world.nodes([node(f"n-{f}", {HOST: f"n-{f}", "pool": f}, {"cpu": "2", "memory": "1Gi"}) for f in ("f1", "f2")])
    world.queue("cq", "f1:4→f2:4", WCQ="L", FF="S/S")
    world.workload("full", "cq", "2")
    world.settle()
    assert world.holds() == {"full": {"cpu": "f1"}}
    world.workload("w", "cq", "2", t=1)
    for _ in range(6):
        world.advance(1)
        for decision in world.cycle().decisions:
            world.write(decision)
        if churns:
            world.put(world.workloads["full"])
    assert world.holds().get("w", {}).get("cpu") == flavor
