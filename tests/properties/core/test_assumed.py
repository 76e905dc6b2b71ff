"""What is assumed of an admission is what will be read from it once it is written."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.configuration.types import Configuration
from pykueue.core.features import Features, Gate
from pykueue.core.workload.info import Info
from support.world import World, admits

AMOUNTS = ("0", "1", "100m", "1500m", "2", "9223372036854775")
MEMORY = ("1Gi", "1500M", "7", "3Ki")
pod_sets = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from(AMOUNTS), st.sampled_from(MEMORY), st.booleans()),
    min_size=1,
    max_size=3,
)
workloads = st.lists(st.tuples(pod_sets, st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5)


def text_of(sets: list[tuple[int, str, str, bool]]) -> str:
    """In the notation of `World.workload`."""
    parts = [f"p{i} {n}{'[1]' if some else ''}×cpu{cpu},mem{mem}" for i, (n, cpu, mem, some) in enumerate(sets)]
    return " | ".join(parts)


@settings(max_examples=60)
@given(workloads, st.booleans(), st.booleans())
def test_an_assumed_workload_holds_what_its_admission_will_say(
    items: list[tuple[list[tuple[int, str, str, bool]], int, int]], is_deep: bool, reclaims: bool
) -> None:
    """Amounts, counts, flavors and times are those that `InfoMaker.reserving` reads from the written admission."""
    world = World(Configuration(), Features({Gate.PARTIAL_ADMISSION: True}))
    limits = "cpu9223372036854775,mem1Ti" if is_deep else "cpu4,mem4Gi"
    world.queue("q", f"a:cpu3,mem2Gi→b:{limits}")
    for n, (sets, priority, freed) in enumerate(items):
        free = [{"name": f"p{i}", "count": freed} for i in range(len(sets))] if reclaims else []
        evicted = {"type": "Evicted", "status": "True", "reason": "PodsReadyTimeout", "message": ""}
        evicted["lastTransitionTime"] = "2030-01-01T00:00:00Z"
        status = {"reclaimablePods": free, "conditions": [evicted] if freed else []}
        world.workload(f"w{n}", "q", text_of(sets), priority, t=n, status=status)
    for _ in range(2 * len(items)):
        for decision in admits(world.cycle()).values():
            assumed = world.engine._cache.workloads[decision.key]
            assert facts(assumed) == facts(world.engine._maker.reserving(assumed.workload))
            world.write(decision)


def facts(info: Info) -> dict[str, object]:
    """All fields."""
    return {field.name: getattr(info, field.name) for field in msgspec.structs.fields(Info)}
