"""Preemption one can trust: seats kept, victims spared, promises with an end (gate PyKueueSafePreemption), beside what Kueue does."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, FairSharing, WaitForPodsReady
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.controllers.core import transitions
from pykueue.core.explain.facts import StopWorkloads
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.cycle import FITS_LATER, WAITING_FOR_PODS_READY
from pykueue.core.scheduler.decisions import Admit, CycleResult, Pending, Preempt
from support.cohorts import plant
from support.nodes import HOST
from support.world import World, pendings
from unit.core.scheduler.test_topology_cases import hosts, pod_set, standing, submit

SAFE = Features({Gate.PYKUEUE_SAFE_PREEMPTION: True})
KUEUES = Features({})
GRACE_AND_SLACK_S = 30 + 300


class Stage(World):
    """A world in which victims leave when they are told to."""

    def __init__(self, features: Features, config: Configuration | None = None) -> None:
        super().__init__(config, features)
        self.notices: dict[str, list[str]] = {}
        self.counted: list[tuple[str, ...]] = []

    def write(self, decision: object) -> None:
        """See `World.write`; victims stay until they `leave`."""
        match decision:
            case Admit():
                given = transitions.reserve_quota(decision.workload, decision.admission, self.now)
                self.put(transitions.sync_admitted(given, self.now))
            case Preempt():
                for victim in decision.victims:
                    if not victim.is_evicted:
                        old = self.workloads[victim.key.name]
                        self.put(transitions.preempt(old, victim.reason, victim.message, self.now))

    def settle(self, cycles_max: int = 50) -> list[CycleResult]:
        """See `World.settle`; time does not pass beyond a second, and what is told is kept."""
        results, until = [], self.now + 1_000_000
        while (at := self.engine.next_cycle_at(self.now)) is not None and at <= until:
            self.now = max(self.now, at)
            results.append(self.cycle())
            assert len(results) < cycles_max, "the engine does not settle"
            for decision in results[-1].decisions:
                self.write(decision)
        for notice in self.engine.take_notices():
            self.notices.setdefault(f"{notice.reason} {notice.workload.name}", []).append(notice.note)
        self.counted += [(sample.name, *sample.labels) for sample in self.engine.take_samples()]
        return results

    def leave(self, *names: str) -> None:
        """Victims have ended: they give their quota up, and wait again."""
        for name in names:
            old = self.workloads[name]
            requeued = transitions.with_condition(old, WorkloadCondition.REQUEUED, True, Reason.PREEMPTED, "", self.now)
            self.put(transitions.release_quota(requeued, Reason.PENDING_EVALUATION, "", self.now))

    def is_evicted(self, name: str) -> bool:
        return self.workloads[name].is_true(WorkloadCondition.EVICTED)


def borrowers(features: Features, **options: Any) -> Stage:
    """Everybody borrows the cohort's four cpu: `v1` and `v2` have them, `p` evicts both."""
    stage = Stage(features)
    plant(stage, "root 4{a, b, c}", RWC="A", BWC="L", **options)
    for n in (1, 2):
        stage.workload(f"v{n}", "b", "2", 0, at="default")
    stage.workload("p", "a", "4", 1)
    stage.settle()
    assert stage.is_evicted("v1")
    assert stage.is_evicted("v2")
    return stage


@pytest.mark.parametrize(("features", "holds"), [(KUEUES, {"w"}), (SAFE, {"p"})], ids=["Kueue's", "safe"])
def test_seats_wait_for_the_last_victim(features: Features, holds: set[str]) -> None:
    """Victims leave one after the other; who comes meanwhile takes the first one's room, or waits."""
    stage = borrowers(features)
    stage.leave("v1")
    stage.workload("w", "c", "2", 2)
    stage.settle()
    stage.leave("v2")
    stage.delete("v1")
    stage.delete("v2")
    stage.settle()
    assert set(stage.holds()) == holds
    outcome = "admitted" if features is SAFE else "unplaceable"
    assert ("preemption_outcomes_total", "a", outcome) in stage.counted


def test_a_preemption_in_vain_is_told() -> None:
    """Where seats are not kept, an event says who was evicted for nothing, and why."""
    stage = borrowers(KUEUES)
    stage.leave("v1")
    stage.workload("w", "c", "2", 2)
    stage.settle()
    (note,) = stage.notices["PreemptedInVain p"]
    assert note.startswith("2 workload(s) were preempted for it in vain (ns/v1, ns/v2): couldn't assign flavors")


def test_seats_are_kept_until_victims_are_overdue() -> None:
    """A victim that does not end blocks nobody for ever: its preemptor steps back, and is admitted when there is room at last."""
    stage = borrowers(SAFE)
    stage.leave("v1")
    stage.delete("v1")
    stage.workload("w", "a", "2", 0)
    stage.settle()
    assert set(stage.holds()) == {"v2"}
    stage.advance(GRACE_AND_SLACK_S + 1)
    results = stage.settle()
    assert set(stage.holds()) == {"v2", "w"}
    assert stage.notices["PreemptedInVain p"] == [
        "2 workload(s) were preempted for it in vain (ns/v1, ns/v2): not all have left in time: ns/v2"
    ]
    messages = [told["p"].message for result in results if "p" in (told := pendings(result))]
    assert messages[0].endswith("Preempted workloads have not left in time, and no quota is kept until they do: ns/v2")
    stage.leave("v2")
    stage.delete("v2")
    stage.delete("w")
    stage.settle()
    assert set(stage.holds()) == {"p"}


def test_the_time_of_a_claim_is_that_of_the_pods() -> None:
    """Pods with a long termination grace have it before they are overdue."""
    stage = Stage(SAFE)
    stage.queue("a", "default:2", WCQ="L")
    stage.workload("v", "a", "2", 0, at="default", pod={"terminationGracePeriodSeconds": 3600})
    stage.workload("p", "a", "2", 1)
    stage.settle()
    stage.advance(GRACE_AND_SLACK_S + 1)
    stage.settle()
    assert not stage.notices
    stage.advance(3600)
    stage.settle()
    assert list(stage.notices) == ["PreemptedInVain p"]


@pytest.mark.parametrize(("features", "holds"), [(KUEUES, {"w"}), (SAFE, {"p"})], ids=["Kueue's", "safe"])
def test_a_strict_queue_keeps_its_preemptor_first(features: Features, holds: set[str]) -> None:
    """With StrictFIFO as well, whoever evicted others goes before a higher priority that came later."""
    stage = Stage(features)
    stage.queue("a", "default:2", WCQ="L", strict=True)
    stage.workload("v", "a", "2", 0, at="default")
    stage.workload("p", "a", "2", 1)
    stage.settle()
    stage.workload("w", "a", "2", 2)
    stage.settle()
    stage.leave("v")
    stage.settle()
    assert set(stage.holds()) == holds


def test_nobody_counts_on_a_victim_twice() -> None:
    """Another preemptor looks for victims of its own; the eviction of one that leaves already is not written again."""
    stage = borrowers(SAFE)
    stage.workload("q", "c", "4", 1, t=1)
    stage.settle()
    assert "q" not in stage.engine._preemptions.claims
    stage.leave("v1", "v2")
    stage.settle()
    assert set(stage.holds()) == {"p"}


def test_an_eviction_that_is_being_written_is_not_decided_again() -> None:
    """Between the decision and the day its write is seen, a victim counts as evicted."""
    stage = Stage(KUEUES)
    stage.queue("a", "default:2", WCQ="L")
    stage.workload("v", "a", "2", 0, at="default")
    stage.workload("p", "a", "2", 1)
    first = stage.cycle()
    stage.queue("b", "default:1")
    second = stage.cycle()
    evicted = [
        [victim.is_evicted for d in result.decisions if isinstance(d, Preempt) for victim in d.victims]
        for result in (first, second)
    ]
    assert evicted == [[False], [True]]


def test_explain_tells_by_whom_it_was_preempted() -> None:
    """How often, and what the victim was told the last time."""
    stage = borrowers(KUEUES)
    told = stage.engine.explainer(stage.now).workload(stage.workloads["v1"].key)
    assert told is not None
    assert told.preempted == 1
    assert told.preempted_by.startswith(
        "Preempted to accommodate a workload (UID: p, JobUID: UNKNOWN) due to reclamation"
    )


def test_what_victims_leave_over_is_had_when_they_have_left() -> None:
    """A victim may free more than its preemptor takes; nobody is admitted to that before it is free."""
    stage = Stage(SAFE)
    plant(stage, "root{a 4 used 4, b 1}", WCQ="L")
    stage.workload("p", "a", "2", 1)
    stage.settle()
    stage.workload("w", "b", "3", 0)
    results = stage.settle()
    assert pendings(results[-1])["w"].message == FITS_LATER
    stage.leave("held-a")
    stage.delete("held-a")
    stage.settle()
    assert set(stage.holds()) == {"p", "w"}


def latecomer(features: Features) -> Stage:
    """Of two borrowers `leaves` is evicted for `p`, and `stays` is not; `w` comes later, and would need the same quota."""
    stage = Stage(features)
    plant(stage, "root 4{a, b, c}", RWC="A", BWC="L")
    stage.workload("leaves", "b", "2", 0, at="default")
    stage.workload("stays", "b", "2", 9, at="default")
    stage.workload("p", "a", "2", 1)
    stage.settle()
    assert stage.is_evicted("leaves")
    stage.workload("w", "c", "2", 0, t=1)
    stage.settle()
    return stage


def circle(features: Features) -> Stage:
    """Fair sharing, two flavors: `v1` reclaims blue that is its queue's own, `x` takes it back because that queue borrows red."""
    stage = Stage(features, msgspec.structs.replace(Configuration(), fair_sharing=FairSharing()))
    for flavor in ("red", "blue"):
        stage.flavor(flavor, nodeLabels={"color": flavor})
    for name in "ad":
        stage.queue(name, "red:6→blue:2", "co", RWC="A")
    only_blue = {"nodeSelector": {"color": "blue"}}
    stage.workload("d-red", "d", "10", at="red")
    stage.workload("z", "a", "1", at="blue")
    stage.workload("x", "a", "2", at="blue", pod=only_blue)
    stage.workload("y", "d", "1", at="blue")
    stage.workload("v1", "d", "1", t=1, pod=only_blue)
    stage.workload("v2", "d", "1", t=2, pod=only_blue)
    return stage


def circle_of_places(features: Features) -> Stage:
    """The same with blue quota in plenty: a fourth node's worth is missing, so `x` and `v1` evict each other for places."""
    stage = Stage(features, msgspec.structs.replace(Configuration(), fair_sharing=FairSharing()))
    stage.topology("t", HOST)
    stage.flavor("red")
    stage.flavor("blue", topologyName="t")
    stage.nodes(hosts(node="4"))
    for name in "ad":
        stage.queue(name, "red:6→blue:2", "co", RWC="A")
    stage.queue("idle", "blue:4", "co")
    stage.workload("d-red", "d", "10", at="red")
    one, two = pod_set("one", 1, required=HOST), pod_set("one", 1, "2", required=HOST)
    standing(stage, "z", "a", one, {"node": 1}, "blue")
    standing(stage, "x", "a", two, {"node": 1}, "blue")
    standing(stage, "y", "d", one, {"node": 1}, "blue")
    submit(stage, "v1", one, queue="d", t=1)
    submit(stage, "v2", one, queue="d", t=2)
    return stage


def play(stage: Stage, rounds: int) -> int:
    """Let victims leave as soon as they are evicted; the number of evictions."""
    n = 0
    for _ in range(rounds):
        stage.settle()
        stage.advance(1)
        victims = [name for name in sorted(stage.workloads) if stage.is_evicted(name) and name in stage.holds()]
        stage.leave(*victims)
        n += len(victims)
    return n


def test_a_loop_is_told() -> None:
    """As Kueue does it, victims come back before their preemptor, for ever; events say so on both sides, and a metric counts."""
    stage = circle(KUEUES)
    assert play(stage, 24) > 40
    assert stage.counted.count(("preemption_loops_total", "a", "d")) > 40
    for name in ("x", "v1"):
        notes = stage.notices[f"PreemptionLoop {name}"]
        assert notes[0].startswith("Workload ns/v1 of ClusterQueue d was preempted 2 times since ")
        how = "in a circle: ns/x, which preempts ns/v1, which preempts ns/x"
        assert notes[0].endswith(f"Z by ns/x of ClusterQueue a, {how}")
    assert len(stage.notices["PreemptionLoop v1"]) == 4


def test_nobody_is_evicted_who_would_take_its_place_back() -> None:
    """With safe preemption the loop does not begin, and the preemptor says who is spared."""
    stage = circle(SAFE)
    assert play(stage, 24) == 1
    assert set(stage.holds()) == {"d-red", "v1", "v2", "y", "z"}
    stage.queue("unrelated", "red:0→blue:0", "co")
    told = [found["x"].message for result in stage.settle() if "x" in (found := pendings(result))]
    assert told[-1].endswith("Workloads that would preempt it in turn are spared: ns/v1, ns/v2")


def test_places_are_not_taken_back_either() -> None:
    """Where quota suffices and nodes do not, victims that would take their places back are spared just as well."""
    assert play(circle_of_places(KUEUES), 24) > 40
    stage = circle_of_places(SAFE)
    assert play(stage, 24) == 1
    assert not any(notice.startswith("PreemptionLoop") for notice in stage.notices)
    assert set(stage.holds()) == {"d-red", "v1", "v2", "y", "z"}


def test_nobody_is_evicted_while_admission_is_blocked() -> None:
    """A preemptor that would have to wait for others' pods anyway evicts nobody yet."""
    config = msgspec.structs.replace(Configuration(), wait_for_pods_ready=WaitForPodsReady(block_admission=True))
    evicted = []
    for features in (KUEUES, SAFE):
        stage = Stage(features, config)
        stage.queue("a", "default:2", WCQ="L")
        stage.workload("v", "a", "2", 0, at="default")
        stage.workload("p", "a", "2", 1)
        result = stage.cycle()
        for decision in result.decisions:
            stage.write(decision)
        evicted.append(stage.is_evicted("v"))
        told = [d.message for d in result.decisions if isinstance(d, Pending)]
    assert evicted == [True, False]
    assert told == [WAITING_FOR_PODS_READY]


def test_a_failed_eviction_is_promised_no_more() -> None:
    """A victim that cannot be evicted does not count as leaving; it is chosen anew."""
    stage = Stage(SAFE)
    stage.queue("a", "default:2", WCQ="L")
    stage.workload("v", "a", "2", 0, at="default")
    stage.workload("p", "a", "2", 1)
    stage.cycle()
    stage.engine.preemption_failed(stage.workloads["v"].key, stage.now)
    stage.settle()
    assert stage.is_evicted("v")


def test_a_failed_admission_leaves_the_seats() -> None:
    """The write of the preemptor's admission fails: nobody else gets what it was promised."""
    stage = borrowers(SAFE)
    stage.leave("v1", "v2")
    stage.delete("v1")
    stage.delete("v2")
    assert any(isinstance(d, Admit) for d in stage.cycle().decisions)
    stage.engine.forget(stage.workloads["p"].key, stage.now, requeue=True)
    stage.workload("w", "c", "2", 2)
    stage.settle()
    assert set(stage.holds()) == {"p"}


def test_explain_promises_no_seat_that_is_kept_for_another() -> None:
    """The end of a victim that leaves already is no help to others: its preemptor has its place."""
    stage = latecomer(SAFE)
    told = stage.engine.explainer(stage.now).workload(stage.workloads["w"].key)
    assert told is not None
    assert [remedy.workloads for remedy in told.remedies if isinstance(remedy, StopWorkloads)] == [("ns/stays",)]
