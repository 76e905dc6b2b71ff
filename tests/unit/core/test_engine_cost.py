"""How much the engine does for an event, counted in cycles and judgements: not more where more wait."""

import pytest

from pykueue.core.workload.info import InfoMaker
from support.world import World, admits


def crowd(n_queues: int, n_pending: int) -> World:
    """Queues in one cohort that are full, and in each the same number of Workloads that wait, of three shapes."""
    world = World()
    for q in range(n_queues):
        world.queue(f"q{q}", "default:20", cohort="all", RWC="A", WCQ="L")
        world.workload(f"holder-{q}", f"q{q}", "18", 100, at="default")
        world.workload(f"little-{q}", f"q{q}", "2", 100, at="default")
    for n in range(n_pending):
        for q in range(n_queues):
            world.workload(f"waits-{q}-{n}", f"q{q}", str(3 + n % 3), 50, t=n)
    world.settle()
    return world


def test_one_wake_admits_a_whole_deep_queue():
    """536 different Workloads of one ClusterQueue get their quota at the instant of one wake, each judged once."""
    world = World()
    world.queue("deep", "default:4000")
    world.workload("holder", "deep", "4000", 200, at="default")
    for n in range(536):
        world.workload(f"w{n}", "deep", f"{1 + n % 3}×{1 + n % 4}", n % 7, t=n)
    world.settle(cycles_max=600)
    world.delete("holder")
    began = world.now
    results = world.settle(cycles_max=600)
    assert sum(len(admits(result)) for result in results) == 536
    assert sum(len(result.decisions) for result in results) == 536
    assert world.now - began == 1_000_000, "the wake is batched for a second, and nothing waits after it"


@pytest.mark.parametrize("n_pending", [3, 60])
def test_an_arrival_that_must_wait_is_judged_at_most_once(n_pending):
    """One like those that wait is parked with them unseen; another one is judged alone, however many wait."""
    world = crowd(4, n_pending)
    world.workload("like", "q1", "3", 50, t=1000)
    assert world.settle() == []
    assert world.is_parked("like")
    world.workload("unlike", "q1", "7", 50, t=1000)
    assert [len(result.decisions) for result in world.settle()] == [1]


def test_a_completion_is_judged_by_shapes_and_not_by_workloads():
    """What is given back wakes every shape of every queue, and one of each is judged: 6 or 60 that wait cost the same."""
    for n_pending in (6, 60):
        world = crowd(4, n_pending)
        world.delete("little-0")
        results = world.settle()
        assert [len(result.decisions) for result in results] == [4, 4, 4], "three shapes in four queues"
        assert not any(admits(result) for result in results)


def test_equal_workloads_share_what_was_computed_of_them():
    """The requests of a pod template are computed once for all Workloads that have it."""
    world = World()
    world.queue("q", "default:1")
    for n in range(3):
        world.workload(f"w{n}", "q", "2", t=n)
    found = [world.engine._queues.find(world.workloads[f"w{n}"].key).info for n in range(3)]
    assert found[0].pod_sets is found[1].pod_sets is found[2].pod_sets


def test_what_equal_workloads_share_follows_the_limit_ranges():
    """A LimitRange that comes later counts for every Workload that waits, as if it had been there before."""
    world = World()
    world.queue("q", "default:1")
    limits = [{"type": "Container", "default": {"cpu": "5"}}]
    world.workload("early", "q", "mem1")
    world.engine.set_limit_ranges(
        "ns", [{"metadata": {"name": "l", "namespace": "ns"}, "spec": {"limits": limits}}], world.now
    )
    world.workload("late", "q", "mem1")
    requests = [
        world.engine._queues.find(world.workloads[name].key).info.pod_sets[0].requests for name in ("early", "late")
    ]
    assert [r["cpu"] for r in requests] == [5000, 5000]


def test_what_is_remembered_is_bounded(monkeypatch):
    """Ever new Workloads do not fill the memory."""
    monkeypatch.setattr("pykueue.core.workload.info._JUDGED_MAX", 4)
    world = World()
    world.queue("q", "default:1")
    for n in range(20):
        world.workload(f"w{n}", "q", str(2 + n), t=n)
    maker: InfoMaker = world.engine._maker
    assert len(maker._judged) <= 4
