"""Preemptions as writes and events: what a failed eviction says, and what is told of preemptions in vain."""

from __future__ import annotations

from typing import Any

from pykueue.api import kinds
from pykueue.api.commands import Command, Emit
from pykueue.api.errors import Conflict
from pykueue.controllers.admission import EVICTION_TRIES_MAX
from unit.controllers.test_admission import Stage, events, status_of


class Preemptions(Stage):
    """A queue of four cpu: `v1` and `v2` have them, and `p` evicts both."""

    def __init__(self) -> None:
        super().__init__()
        self.put(kinds.RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": {}})
        self.queue(cpu=4, preemption={"withinClusterQueue": "LowerPriority"})
        for name in ("v1", "v2"):
            self.put(kinds.WORKLOAD, workload(name, "2", 0, is_reserved=True))
        self.put(kinds.WORKLOAD, workload("p", "4", 1))

    def see(self, commands: tuple[Command, ...]) -> None:
        """A write succeeds, and comes back as an event."""
        (apply,) = [command for command in commands if not isinstance(command, Emit)]
        written: Any = apply
        name = written.obj["metadata"]["name"]
        old = self.reader.get(kinds.WORKLOAD, "ns", name)
        assert old is not None
        version = str(int(old["metadata"]["resourceVersion"]) + 1)
        meta = {**old["metadata"], "resourceVersion": version}
        self.put(kinds.WORKLOAD, {**old, "metadata": meta, "status": written.obj["status"]})


def workload(name: str, cpu: str, priority: int, *, is_reserved: bool = False) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    pod_set = {"name": "main", "count": 1, "template": {"spec": {"containers": [container]}}}
    status: dict[str, Any] = {}
    if is_reserved:
        given = {"name": "main", "flavors": {"cpu": "f"}, "resourceUsage": {"cpu": cpu}, "count": 1}
        told = {
            "status": "True",
            "reason": "QuotaReserved",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
            "message": "",
        }
        conditions = [{"type": kind, **told} for kind in ("QuotaReserved", "Admitted")]
        status = {"admission": {"clusterQueue": "cq", "podSetAssignments": [given]}, "conditions": conditions}
    meta = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1", "generation": 1}
    return {
        "metadata": {**meta, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"podSets": [pod_set], "queueName": "q", "priority": priority},
        "status": status,
    }


def told(effects: list[tuple[int, tuple[Command, ...]]]) -> list[tuple[str, str, str]]:
    """Object, reason and note of every event."""
    emitted = [command for _, commands in effects for command in commands if isinstance(command, Emit)]
    return [(emit.about["metadata"]["name"], emit.reason, emit.note) for emit in emitted]


def test_victims_and_preemptor_are_told() -> None:
    """Two victims: each a write with its events, on the victim and on the preemptor; then the preemptor's own."""
    stage = Preemptions()
    effects = stage.turn()
    assert [events(commands) for _, commands in effects] == [
        [("Normal", "EvictedDueToPreempted"), ("Normal", "Preempted"), ("Normal", "PreemptedWorkload")],
        [("Normal", "EvictedDueToPreempted"), ("Normal", "Preempted"), ("Normal", "PreemptedWorkload")],
        [("Warning", "WaitingForPreemptedWorkloads")],
    ]
    conditions = {c["type"]: (c["status"], c["reason"]) for c in status_of(effects[0][1])["conditions"]}
    assert conditions["Evicted"] == ("True", "Preempted")
    assert conditions["Preempted"] == ("True", "InClusterQueue")


def fail(stage: Preemptions, effects: list[tuple[int, tuple[Command, ...]]]) -> str:
    """Let the eviction of one victim fail for good; what the preemptor is told then."""
    stage.controller.finished(effects[-1][0], None, stage.now)
    token = effects[0][0]
    for _ in range(EVICTION_TRIES_MAX):
        stage.fails(token, Conflict("changed"))
        token = stage.turn()[0][0]
    stage.fails(token, Conflict("changed"))
    notes = [note for name, _, note in told(stage.turn()) if name == "p"]
    return notes[0] if notes else ""


def test_a_preemption_that_failed_altogether_is_told() -> None:
    """No victim could be evicted: the preemptor says so, and tries again."""
    stage = Preemptions()
    assert fail(stage, stage.turn()).endswith(". Preempting 2 workload(s) failed, will retry.")


def test_a_preemption_that_failed_in_part_is_not_told_as_failed() -> None:
    """One victim is evicted, the other cannot be: the preemptor goes on waiting."""
    stage = Preemptions()
    effects = stage.turn()
    stage.controller.finished(effects[1][0], None, stage.now)
    assert "failed" not in fail(stage, effects)


def test_an_eviction_that_could_not_be_written_is_decided_again() -> None:
    """The victim's admission is not there yet, so there is nothing to evict: nobody waits for it to leave."""
    stage = Preemptions()
    for token, _ in stage.turn()[:2]:
        stage.fails(token, Conflict("changed"))
    stage.reader.apply(kinds.WORKLOAD, workload("v1", "2", 0))
    evicted = [name for name, reason, _ in told(stage.turn()) if reason == "EvictedDueToPreempted"]
    assert sorted(evicted) == ["v1", "v2"]


def test_a_preemption_in_vain_is_an_event_on_the_preemptor() -> None:
    """The preemptor asks for something else before its victims have left."""
    stage = Preemptions()
    for _, commands in stage.turn()[:2]:
        stage.see(commands)
    changed = workload("p", "3", 1)
    meta = {**changed["metadata"], "resourceVersion": "5", "generation": 2}
    stage.put(kinds.WORKLOAD, {**changed, "metadata": meta})
    vain = "2 workload(s) were preempted for it in vain (ns/v1, ns/v2): its specification changed"
    assert ("p", "PreemptedInVain", vain) in told(stage.turn())
    assert not [reason for _, reason, _ in told(stage.turn()) if reason == "PreemptedInVain"]
