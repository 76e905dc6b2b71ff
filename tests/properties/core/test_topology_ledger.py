"""Random lives of Workloads with topology: what is held is what the admissions say, and no host is overfilled."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.core.tas.ledger import Ledger, places_of
from support.nodes import BLOCK, HOST, RACK, node
from support.world import World

LEVELS = (BLOCK, RACK, HOST)
CPU = {f"h{i}": 2 + i % 3 for i in range(6)}
actions = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "delete"]),
        st.integers(0, 7),
        st.integers(1, 6),
        st.integers(1, 3),
        st.sampled_from([{"required": RACK}, {"preferred": HOST}, {"unconstrained": True}, {"required": BLOCK}, {}]),
    ),
    max_size=14,
)


def make_world() -> World:
    world = World()
    world.topology("t", *LEVELS)
    for name in ("f", "g"):
        world.flavor(name, topologyName="t")
    world.nodes(
        node(name, {BLOCK: f"b{i // 4}", RACK: f"r{i // 2}", HOST: name}, {"cpu": cpu})
        for i, (name, cpu) in enumerate(CPU.items())
    )
    world.queue("a", "f:9", "all", WCQ="L", RWC="A")
    world.queue("b", "g:9", "all", WCQ="L", RWC="A")
    world.queue("c", "f:9", WCQ="L")
    return world


def check(world: World) -> None:
    """Recompute everything from the admissions."""
    cache = world.engine._cache
    fresh = Ledger()
    for info in cache.workloads.values():
        fresh.hold(info.key, places_of(info.workload, cache.has_topology))
    assert cache.ledger._held == fresh._held
    for spot, held in fresh._held.items():
        assert held["cpu"] <= CPU[spot.values[-1]] * 1000, spot


@settings(max_examples=60)
@given(actions)
def test_what_is_held_is_what_admissions_say(steps: list[tuple[str, int, int, int, dict[str, Any]]]) -> None:
    """Across two flavors on the same hosts, cohorts, preemption and deletion."""
    world = make_world()
    for verb, i, count, cpu, request in steps:
        name = f"w{i}"
        if verb == "delete" and name in world.workloads:
            world.delete(name)
        elif verb == "submit" and name not in world.workloads:
            template = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": str(cpu)}}}]}}
            pod_set = {"name": "main", "count": count, "template": template, "topologyRequest": request}
            world.workload(name, "abc"[i % 3], "1", priority=i % 4, pod_sets=[pod_set])
        world.advance(2)
        world.settle()
        check(world)
    for name in list(world.workloads):
        world.delete(name)
    assert world.engine._cache.ledger._held == {}
