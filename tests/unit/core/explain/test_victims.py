"""Who was considered for preemption, and why each was or was not taken."""

from __future__ import annotations

from pykueue.core.explain.facts import VictimFacts, WorkloadExplanation
from support.world import World
from unit.core.scheduler.test_safe_preemption import SAFE, circle, latecomer, play


def explain(world: World, name: str) -> WorkloadExplanation:
    told = world.engine.explainer(world.now).workload(world.workloads[name].key)
    assert told is not None
    return told


def verdicts(told: WorkloadExplanation) -> dict[str, str]:
    return {v.workload.removeprefix("ns/"): v.why for v in told.victims}


def test_the_victim_and_the_spared() -> None:
    """Who would be preempted comes first; candidates that are not needed, and those that may not be taken, follow."""
    world = World()
    world.queue("cq", "f:6", WCQ="L")
    world.workload("low", "cq", "2", -1, at="f")
    world.workload("mid", "cq", "2", 0, at="f")
    world.workload("high", "cq", "2", 9, at="f")
    world.workload("w", "cq", "2", 1)
    told = explain(world, "w")
    assert told.reason == "WaitingForPreemptedWorkloads"
    assert told.victims == (
        VictimFacts("ns/low", "cq", -1, True, "prioritization in the ClusterQueue"),
        VictimFacts("ns/mid", "cq", 0, False, "not needed: those that are taken suffice"),
        VictimFacts("ns/high", "cq", 9, False, "withinClusterQueue is LowerPriority: its priority 9 is not below 1"),
    )
    assert world.holds().keys() == {"low", "mid", "high"}


def test_candidates_that_do_not_suffice() -> None:
    """All that may be taken is too little."""
    world = World()
    world.queue("cq", "f:6", WCQ="LN")
    world.workload("low", "cq", "1", -1, at="f")
    world.workload("equal", "cq", "5", 1, at="f")
    world.workload("w", "cq", "3", 1)
    assert verdicts(explain(world, "w")) == {
        "low": "all candidates together do not free enough",
        "equal": "withinClusterQueue is LowerOrNewerEqualPriority: its priority is equal, and it is not newer",
    }


def test_queues_within_their_quota() -> None:
    """Nobody takes from a queue, or from a cohort, that uses no more than its own."""
    world = World()
    world.cohort("left", "f:0", "root")
    world.cohort("right", "f:0", "root")
    world.queue("mine", "f:2", "left", RWC="A")
    world.queue("modest", "f:3", "right")
    world.queue("greedy", "f:0", "right")
    world.queue("lender", "f:1", "right")
    world.workload("a", "modest", "3", at="f")
    world.workload("b", "greedy", "1", at="f")
    world.workload("c", "mine", "1", at="f")
    world.workload("w", "mine", "2")
    assert verdicts(explain(world, "w")) == {
        "a": "ClusterQueue modest uses no more than its own quota",
        "b": "cohort right uses no more than its own quota",
        "c": "withinClusterQueue is Never",
    }


def test_nobody_is_preempted_for_what_would_be_borrowed() -> None:
    """Where no search is made, the reason is told."""
    world = World()
    world.queue("mine", "f:0", "co", WCQ="L")
    world.queue("theirs", "f:4", "co")
    world.workload("a", "theirs", "4", at="f")
    world.workload("w", "mine", "1", 9)
    told = explain(world, "w")
    assert told.victims == ()
    assert told.victims_note == "nobody is preempted for quota that would be borrowed, as borrowWithinCohort is Never"


def test_those_who_leave_and_those_who_would_come_back() -> None:
    """With safe preemption: who leaves already is nobody else's victim, and who would take its place back is spared."""
    assert verdicts(explain(latecomer(SAFE), "w"))["leaves"] == "it leaves already, for another Workload"
    mutual = circle(SAFE)
    play(mutual, 3)
    told = verdicts(explain(mutual, "x"))
    assert told["v1"] == told["v2"] == "it would preempt it in turn, and is spared"
