"""The smallest changes that would admit a Workload, each proved by the scheduler."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.core.explain.facts import (
    AddQuota,
    FewerPods,
    MatchFlavor,
    QuotaChange,
    Start,
    StopWorkloads,
    WorkloadExplanation,
)
from support.world import World


def explain(world: World, name: str) -> WorkloadExplanation:
    told = world.engine.explainer(world.now).workload(world.workloads[name].key)
    assert told is not None
    return told


def added(told: WorkloadExplanation) -> list[tuple[str, str, str]]:
    """Flavor, resource and amount of all that should be added."""
    return [(q.flavor, q.resource, q.add) for r in told.remedies if isinstance(r, AddQuota) for q in r.quotas]


def test_the_least_quota() -> None:
    """No more is told than is missing, for each flavor that lacks nothing else."""
    world = World()
    world.queue("cq", "f:4→g:1")
    world.workload("a", "cq", "3", at="f")
    world.workload("b", "cq", "2")
    assert added(explain(world, "b")) == [("f", "cpu", "1"), ("g", "cpu", "1")]


def test_quota_of_a_queue_in_debt() -> None:
    """What others have borrowed beyond all quota must be covered first."""
    world = World()
    world.queue("cq", "f:2")
    world.workload("a", "cq", "5", at="f")
    world.workload("b", "cq", "1")
    assert added(explain(world, "b")) == [("f", "cpu", "4")]


def test_quota_of_several_resources_and_pod_sets() -> None:
    """Everything that is missing is in one remedy, though the search stops at the first pod set that fails."""
    world = World()
    world.queue("cq", "f:cpu1,mem1Gi ∥ h:gpu0")
    world.workload("w", "cq", "driver cpu1,mem2Gi | worker 2×cpu1,gpu1")
    (remedy,) = [r for r in explain(world, "w").remedies if isinstance(r, AddQuota)]
    assert remedy.quotas == (
        QuotaChange("f", "cpu", "2"),
        QuotaChange("f", "memory", "1Gi"),
        QuotaChange("h", "example.com/gpu", "2"),
    )


def test_those_ahead_are_served_first() -> None:
    """Quota that somebody ahead would take is no remedy for who comes after."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("a", "cq", "3", at="f")
    world.workload("b", "cq", "2", t=1)
    world.workload("c", "cq", "2", t=2)
    quota, stop = explain(world, "c").remedies
    assert quota == AddQuota("cq", (QuotaChange("f", "cpu", "3"),), goes_first=("ns/b",))
    assert stop == StopWorkloads(("ns/a",), goes_first=("ns/b",))


def test_one_that_is_too_large_is_passed_by() -> None:
    """In BestEffortFIFO, who is ahead and fits in no way costs nothing."""
    world = World()
    world.queue("cq", "f:4")
    world.workload("a", "cq", "3", at="f")
    world.workload("large", "cq", "100", t=1)
    world.workload("b", "cq", "2", t=2)
    assert explain(world, "b").remedies[0] == AddQuota("cq", (QuotaChange("f", "cpu", "1"),))


def test_one_that_blocks_a_strict_queue_needs_its_share() -> None:
    """In StrictFIFO, who is ahead must fit too."""
    world = World()
    world.queue("cq", "f:4", strict=True)
    world.workload("large", "cq", "10", t=1)
    world.workload("b", "cq", "2", t=2)
    told = explain(world, "b")
    assert told.message == "it fits, but ns/large, which is ahead in the StrictFIFO queue, does not"
    assert told.remedies[0] == AddQuota("cq", (QuotaChange("f", "cpu", "8"),), goes_first=("ns/large",))


def test_one_that_fits_but_for_those_ahead() -> None:
    """Who comes before takes what is free."""
    world = World()
    world.queue("cq", "f:3")
    world.workload("a", "cq", "2", t=1)
    world.workload("b", "cq", "2", t=2)
    told = explain(world, "b")
    assert told.message == "it fits, but those ahead are served first, as ns/a"
    assert told.remedies[0] == AddQuota("cq", (QuotaChange("f", "cpu", "1"),), goes_first=("ns/a",))


def test_too_many_ahead() -> None:
    """Where more are ahead than are asked, the remedy is told for the time when nobody is."""
    world = World()
    world.queue("cq", "f:1")
    for n in range(200):
        world.workload(f"w{n:03}", "cq", "2", t=n)
    told = explain(world, "w199")
    assert (told.position, told.waiting, len(told.ahead)) == (200, 200, 10)
    assert told.remedies == (AddQuota("cq", (QuotaChange("f", "cpu", "1"),), if_first=True),)


def test_the_fewest_others() -> None:
    """One that suffices, the least important first; else as few as do."""
    world = World()
    world.queue("cq", "f:9")
    for name, cpu, priority in (("a", 3, 5), ("b", 2, 1), ("c", 4, 9)):
        world.workload(name, "cq", str(cpu), priority, at="f")
    world.workload("small", "cq", "3", 10)
    world.workload("large", "cq", "7", 10, t=1)
    assert explain(world, "small").remedies[1] == StopWorkloads(("ns/a",))
    world.delete("small")
    (stop,) = [r for r in explain(world, "large").remedies if isinstance(r, StopWorkloads)]
    assert stop.workloads == ("ns/a", "ns/c")


def test_others_of_another_queue_in_the_cohort() -> None:
    """Who borrowed may be the one to stop."""
    world = World()
    world.queue("mine", "f:2", "co")
    world.queue("theirs", "f:2", "co")
    world.workload("own", "theirs", "1", at="f")
    world.workload("borrower", "theirs", "2", at="f")
    world.workload("w", "mine", "2")
    told = explain(world, "w")
    assert told.remedies[1] == StopWorkloads(("ns/borrower",))
    (facts,) = told.attempts[0].resources
    assert (facts.nominal, facts.used, facts.free, facts.borrowable, facts.lent, facts.at_most) == (
        "2", "0", "1", "0", "1", "4",
    )  # fmt: skip
    assert [(h.workload, h.cluster_queue, h.amount) for h in facts.holders] == [
        ("ns/borrower", "theirs", "2"),
        ("ns/own", "theirs", "1"),
    ]


@pytest.mark.parametrize(
    ("flavor", "pod", "changes"),
    [
        (
            {"nodeTaints": [{"key": "spot", "value": "true", "effect": "NoSchedule"}]},
            {},
            ("pod set main tolerates the taint spot=true:NoSchedule",),
        ),
        (
            {"nodeLabels": {"zone": "b"}},
            {"nodeSelector": {"zone": "a"}},
            ("pod set main selects zone=b, not zone=a",),
        ),
        (
            {"nodeLabels": {"gen": "2"}, "nodeTaints": [{"key": "x", "effect": "NoExecute"}]},
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "gen", "operator": "In", "values": ["1"]}]}
                            ]
                        }
                    }
                }
            },
            ("pod set main tolerates the taint x:NoExecute", "the node affinity of pod set main allows gen=2"),
        ),
    ],
)
def test_pods_that_match_a_flavor(flavor: dict[str, Any], pod: dict[str, Any], changes: tuple[str, ...]) -> None:
    """A taint, a label or both keep the pods off a flavor that has room."""
    world = World()
    world.flavor("f", **flavor)
    world.queue("cq", "f:4")
    world.workload("w", "cq", "2", pod=pod)
    told = explain(world, "w")
    assert told.reason == "NoMatchingFlavor"
    assert told.remedies == (MatchFlavor("f", changes),)


def test_a_flavor_without_room_is_no_remedy() -> None:
    """To match a flavor does not help where it is full."""
    world = World()
    world.flavor("f", nodeTaints=[{"key": "x", "effect": "NoSchedule"}])
    world.queue("cq", "f:1")
    world.workload("w", "cq", "2")
    assert not explain(world, "w").remedies


def test_fewer_pods() -> None:
    """The most pods that fit, in the pod set that has most of them."""
    world = World()
    world.queue("cq", "f:6")
    world.workload("w", "cq", "leader 1 | worker 8×2")
    assert FewerPods("worker", 8, 2) in explain(world, "w").remedies


def test_one_that_may_start_with_fewer_pods() -> None:
    """It needs no more than lets it start, and is told with how many pods it does."""
    world = World()
    world.queue("cq", "f:6")
    world.workload("a", "cq", "5", at="f")
    world.workload("w", "cq", "6[3]×1")
    told = explain(world, "w")
    starts = (Start("main", 6, 3),)
    assert told.remedies[:2] == (
        AddQuota("cq", (QuotaChange("f", "cpu", "2"),), reduced=starts),
        StopWorkloads(("ns/a",)),
    )


def test_nothing_is_missing() -> None:
    """What fits needs no remedy, and what waits for its backoff has none."""
    world = World()
    world.queue("cq", "f:2")
    world.workload("w", "cq", "2")
    told = explain(world, "w")
    assert (told.reason, told.message) == ("", "it fits now, and waits for its turn")
    assert told.remedies == ()
    world.workload("late", "cq", "3", status={"requeueState": {"count": 1, "requeueAt": "2023-11-14T23:00:00Z"}})
    told = explain(world, "late")
    assert told.remedies == ()
    assert told.wakes_on == ("the end of its backoff, at 2023-11-14T23:00:00Z",)
