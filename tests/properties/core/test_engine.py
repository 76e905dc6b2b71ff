"""The engine under random events: order does not matter, usage is conserved, nothing exceeds what is possible."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from support.world import World

QUEUES = (("a", "default:3", "co"), ("b", "default:2 BL2", "co"), ("c", "default:2", ""))
workloads = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.integers(0, 2)), min_size=1, max_size=8)


def check_usage(world: World) -> None:
    """Recompute all usage from what holds quota, and compare with the trees."""
    for queue in world.engine._cache.queues():
        tree = queue.node.tree
        for i, item in enumerate(tree.items):
            assert queue.node.usage[i] == sum(info.usage.get(item, 0) for info in queue.workloads.values())
            assert tree.root.usage[i] <= tree.root.subtree[i], "more is admitted than there is"


@settings(max_examples=40)
@given(workloads, st.data())
def test_usage_is_conserved(items: list[tuple[str, int, int]], data: st.DataObject) -> None:
    """After every step usage is the sum of what holds quota, and no tree gives more than it has."""
    world = World()
    for name, quotas, cohort in QUEUES:
        world.queue(name, quotas, cohort, WCQ="L", RWC="L")
    for n, (queue, cpu, priority) in enumerate(items):
        world.workload(f"w{n}", queue, str(cpu), priority, t=n)
        if data.draw(st.booleans()):
            world.settle()
            check_usage(world)
        if data.draw(st.integers(0, 3)) == 0 and world.workloads:
            world.delete(data.draw(st.sampled_from(sorted(world.workloads))))
    world.settle()
    check_usage(world)


@settings(max_examples=40)
@given(workloads, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(items: list[tuple[str, int, int]], random: object) -> None:
    """Objects that arrive in any order before the first cycle are decided about alike."""
    outcomes = []
    for is_shuffled in (False, True):
        world = World()
        steps = [lambda q=q, world=world: world.queue(q[0], q[1], q[2], WCQ="L") for q in QUEUES]
        steps += [
            lambda n=n, i=i, world=world: world.workload(f"w{n}", i[0], str(i[1]), i[2], t=n)  # type: ignore[misc]
            for n, i in enumerate(items)
        ]
        if is_shuffled:
            random.shuffle(steps)  # type: ignore[attr-defined]
        for step in steps:
            step()
        results = world.settle()
        outcomes.append((world.holds(), [str(d) for r in results for d in r.decisions]))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), min_size=1, max_size=12), st.booleans())
def test_one_by_one_is_as_all_at_once(items: list[tuple[int, int]], is_strict: bool) -> None:
    """A queue that is drained in one go admits whom it would admit if they came one at a time, in its order."""
    arrivals = [(f"w{n:02}", cpu, priority) for n, (cpu, priority) in enumerate(items)]
    in_order = sorted(arrivals, key=lambda each: (-each[2], each[0]))
    holds = []
    for is_batched, names in ((True, arrivals), (False, in_order)):
        world = World()
        world.queue("a", "default:7", strict=is_strict)
        for name, cpu, priority in names:
            world.workload(name, "a", str(cpu), priority)
            if not is_batched:
                world.settle()
        world.settle()
        holds.append(world.holds())
    assert holds[0] == holds[1]
