"""Decisions about Workloads with quota as writes and events, and what follows if a write fails."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api import kinds
from pykueue.api.commands import Apply, Command, Emit
from pykueue.api.configuration.types import Configuration
from pykueue.api.errors import Conflict, NotFound, PykueueError
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.admission import OPEN_MAX, AdmissionController
from pykueue.controllers.core import transitions
from pykueue.core.engine import AdmissionEngine
from pykueue.core.features import Features, Gate
from pykueue.ports.reader import Indexer
from support.nodes import HOST, node
from unit.controllers.test_tas import workload

PROVISIONING = "kueue.x-k8s.io/provisioning-request"
START = Instant(1_800_000_000 * SECOND_US)


class Stage:
    """An admission controller with its objects; `turn` runs the cycle of the next second."""

    def __init__(self, features: Features | None = None) -> None:
        self.now = START
        features = features or Features({})
        self.controller = AdmissionController(AdmissionEngine(Configuration(), features), features)
        self.reader = Indexer()
        self.put(kinds.NAMESPACE, {"metadata": {"name": "ns"}})
        self.put(kinds.TOPOLOGY, {"metadata": {"name": "t"}, "spec": {"levels": [{"nodeLabel": HOST}]}})
        self.put(kinds.RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": {"topologyName": "t"}})
        active = {"conditions": [{"type": "Active", "status": "True"}]}
        self.put(
            kinds.ADMISSION_CHECK,
            {"metadata": {"name": "prov"}, "spec": {"controllerName": PROVISIONING}, "status": active},
        )

    def put(self, kind: Kind, obj: Obj) -> None:
        self.reader.apply(kind, obj)
        self.controller.apply(ObjectEvent(kind, Change.ADDED, obj), self.reader, self.now)

    def queue(self, *checks: str, cpu: int = 9, **more: Any) -> None:
        group = {
            "coveredResources": ["cpu"],
            "flavors": [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": cpu}]}],
        }
        spec: dict[str, Any] = {"resourceGroups": [group], "namespaceSelector": {}, **more}
        if checks:
            spec["admissionChecksStrategy"] = {"admissionChecks": [{"name": name} for name in checks]}
        self.put(kinds.CLUSTER_QUEUE, {"metadata": {"name": "cq"}, "spec": spec})
        self.put(kinds.LOCAL_QUEUE, {"metadata": {"name": "q", "namespace": "ns"}, "spec": {"clusterQueue": "cq"}})

    def turn(self) -> list[tuple[int, tuple[Command, ...]]]:
        self.now = Instant(self.now + SECOND_US)
        return [(effect.token, effect.commands) for effect in self.controller.cycle(self.reader, self.now)]

    def fails(self, token: int, error: PykueueError) -> None:
        self.controller.finished(token, error, self.now)


def running(*hosts: str, **status: Any) -> dict[str, Any]:
    owner = workload(*hosts, **status)
    container = {"name": "c", "resources": {"requests": {"cpu": "1"}}}
    owner["spec"]["podSets"][0]["template"] = {"spec": {"containers": [container]}}
    return owner


def events(commands: tuple[Command, ...]) -> list[tuple[str, str]]:
    return [(e.type, e.reason) for e in commands if isinstance(e, Emit)]


def status_of(commands: tuple[Command, ...]) -> dict[str, Any]:
    [apply] = [c for c in commands if isinstance(c, Apply)]
    found: dict[str, Any] = apply.obj["status"]
    return found


def test_a_second_pass_admits() -> None:
    """TS-05: the places and `Admitted` in one write; no second event about quota."""
    stage = Stage()
    stage.queue("prov")
    stage.put(kinds.NODE, node("x1", {HOST: "x1"}, {"cpu": "1"}))
    ready = {"name": "prov", "state": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z", "message": ""}
    owner = running("x1", conditions=("QuotaReserved",), admissionChecks=[ready])
    [given] = owner["status"]["admission"]["podSetAssignments"]
    del given["topologyAssignment"]
    given["delayedTopologyRequest"] = "Pending"
    stage.put(kinds.WORKLOAD, owner)
    [(_, commands)] = stage.turn()
    assert events(commands) == [("Normal", "Admitted")]
    status = status_of(commands)
    [given] = status["admission"]["podSetAssignments"]
    assert given["delayedTopologyRequest"] == "Ready"
    assert given["topologyAssignment"]["levels"] == [HOST]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"QuotaReserved": "True", "Admitted": "True"}


def test_a_lost_node_is_replaced() -> None:
    """TR-01, TS-33: another host takes its place, the list is empty, the Workload stays admitted, nothing is told."""
    stage = Stage()
    stage.queue()
    for name in ("x2", "x3"):
        stage.put(kinds.NODE, node(name, {HOST: name}, {"cpu": "1"}))
    stage.put(kinds.WORKLOAD, running("x1", "x2", unhealthyNodes=[{"name": "x1"}]))
    [(_, commands)] = stage.turn()
    assert events(commands) == []
    status = status_of(commands)
    [given] = status["admission"]["podSetAssignments"]
    [part] = given["topologyAssignment"]["slices"]
    assert part["valuesPerLevel"] == [{"individual": {"prefix": "x", "roots": ["3", "2"]}}]
    assert "unhealthyNodes" not in status
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"QuotaReserved": "True", "Admitted": "True"}


def lost() -> tuple[Stage, int, tuple[Command, ...]]:
    """A Workload whose only host is gone, and what is done."""
    stage = Stage()
    stage.queue()
    stage.put(kinds.WORKLOAD, running("x1", unhealthyNodes=[{"name": "x1"}]))
    [(token, commands)] = stage.turn()
    return stage, token, commands


def test_no_replacement_evicts() -> None:
    """TS-34: in one write with its event."""
    _, _, commands = lost()
    assert events(commands) == [("Normal", "EvictedDueToNodeFailures")]
    [evicted] = [c for c in status_of(commands)["conditions"] if c["type"] == "Evicted"]
    text = "Workload was evicted as there was no replacement for unhealthy node(s): x1"
    assert (evicted["reason"], evicted["message"]) == ("NodeFailures", text)


def test_an_eviction_that_cannot_be_written() -> None:
    """TS-35: nothing if the Workload is gone; else it is told, and tried again."""
    stage, token, _ = lost()
    stage.fails(token, NotFound("gone"))
    assert stage.turn() == []
    stage, token, _ = lost()
    stage.fails(token, Conflict("changed"))
    [(_, commands)] = stage.turn()
    assert events(commands) == [("Warning", "SecondPassFailed")]
    [(_, commands)] = stage.turn()
    assert events(commands) == [("Normal", "EvictedDueToNodeFailures")]


def test_a_second_pass_in_vain_is_told() -> None:
    """TS-34 without the gate: a Warning, and no write."""
    stage = Stage(Features({Gate.TAS_FAILED_NODE_REPLACEMENT_FAIL_FAST: False}))
    stage.queue()
    stage.put(kinds.WORKLOAD, running("x1", unhealthyNodes=[{"name": "x1"}]))
    [(_, commands)] = stage.turn()
    [told] = commands
    assert isinstance(told, Emit)
    want = "couldn't assign flavors to pod set main: no topology domains at level: kubernetes.io/hostname"
    assert (told.type, told.reason, told.note) == ("Warning", "SecondPassFailed", want)
    assert msgspec.to_builtins(told.about)["metadata"]["name"] == "wl"


def waiting(name: str, cpu: str, **status: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "generation": 1},
        "spec": {"podSets": [{"name": "main", "count": 1, "template": {"spec": spec}}], "queueName": "q"},
        "status": status,
    }


def plain() -> Stage:
    """A queue of 9 cpu without topology."""
    stage = Stage()
    stage.put(kinds.RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": {}})
    stage.queue()
    return stage


def test_what_a_cycle_told_is_written_before_the_next_one() -> None:
    """A slow API server is not flooded: the next cycle comes once the word on who waits is written, or after a second."""
    stage = plain()
    stage.put(kinds.WORKLOAD, waiting("big", "10"))
    [(token, commands)] = stage.turn()
    assert status_of(commands)["conditions"][0]["status"] == "False"
    stage.put(kinds.WORKLOAD, waiting("small", "1"))
    soon = Instant(stage.now + 1000)
    assert stage.controller.cycle(stage.reader, soon) == []
    assert stage.controller._cycle_at(soon) == stage.now + SECOND_US
    stage.controller.finished(token, None, soon)
    [effect] = stage.controller.cycle(stage.reader, soon)
    assert events(effect.commands)[0] == ("Normal", "QuotaReserved")


def test_one_word_at_a_time_on_a_workload_that_waits() -> None:
    """What is decided while the last word is still being written is told after it, as it is then."""
    stage = plain()
    stage.put(kinds.WORKLOAD, waiting("big", "10"))
    [(token, _)] = stage.turn()
    changed = waiting("big", "11")
    changed["metadata"]["generation"] = 2
    stage.put(kinds.WORKLOAD, changed)
    assert stage.turn() == []
    stage.controller.finished(token, Conflict("changed"), stage.now)
    [(_, commands)] = stage.turn()
    assert "(11) > maximum capacity (9)" in status_of(commands)["conditions"][0]["message"]


def test_a_word_that_could_not_be_written_is_said_again() -> None:
    """Nobody decides anew about a Workload that is parked, so its reason must not be lost; of one that is gone nothing is said."""
    stage = plain()
    stage.put(kinds.WORKLOAD, waiting("big", "10"))
    [(token, commands)] = stage.turn()
    stage.fails(token, Conflict("changed"))
    [(again, repeated)] = stage.turn()
    said, once_more = (status_of(c)["conditions"][0]["message"] for c in (commands, repeated))
    assert said == once_more != ""
    stage.fails(again, NotFound("gone"))
    assert stage.turn() == []


def test_cycles_wait_while_many_decisions_are_being_written() -> None:
    """A burst is admitted as fast as it is written."""
    stage = plain()
    for n in range(OPEN_MAX + 6):
        stage.put(kinds.WORKLOAD, waiting(f"w{n}", "10m"))
    tokens: list[int] = []
    while stage.controller._cycle_at(stage.now) is not None:
        tokens += [token for token, _ in stage.turn()]
    assert len(tokens) == OPEN_MAX
    stage.controller.finished(tokens[0], None, stage.now)
    assert len(stage.turn()) == 1


def test_a_victim_that_finished_meanwhile_is_left_alone() -> None:
    """An eviction that came too late is not tried again."""
    stage = plain()
    preempts = {"withinClusterQueue": "LowerPriority"}
    group = {
        "coveredResources": ["cpu"],
        "flavors": [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": 9}]}],
    }
    spec = {"resourceGroups": [group], "namespaceSelector": {}, "preemption": preempts}
    stage.put(kinds.CLUSTER_QUEUE, {"metadata": {"name": "cq"}, "spec": spec})
    given = {"name": "main", "flavors": {"cpu": "f"}, "resourceUsage": {"cpu": "9"}, "count": 1}
    conditions = [{"type": type_, "status": "True", "reason": type_} for type_ in ("QuotaReserved", "Admitted")]
    admission = {"clusterQueue": "cq", "podSetAssignments": [given]}
    stage.put(kinds.WORKLOAD, waiting("victim", "9", conditions=conditions, admission=admission))
    preemptor = waiting("urgent", "9")
    preemptor["spec"]["priority"] = 5
    stage.put(kinds.WORKLOAD, preemptor)
    effects = stage.turn()
    [token] = [token for token, commands in effects if ("Normal", "EvictedDueToPreempted") in events(commands)]
    ended = [*conditions, {"type": "Finished", "status": "True", "reason": "Succeeded"}]
    stage.put(kinds.WORKLOAD, waiting("victim", "9", conditions=ended, admission=admission))
    stage.fails(token, Conflict("changed"))
    written = [c for _, commands in stage.turn() for c in commands if isinstance(c, Apply)]
    assert "victim" not in {apply.obj["metadata"]["name"] for apply in written}


def test_a_slice_ends_the_one_that_it_replaces() -> None:
    """An elastic job grows: the admission of the new slice, then the end of the old one, each with its event."""
    stage = Stage()
    stage.queue()
    stage.put(kinds.RESOURCE_FLAVOR, {"metadata": {"name": "f"}})
    old = running("x1")
    del old["status"]["admission"]["podSetAssignments"][0]["topologyAssignment"]
    stage.put(kinds.WORKLOAD, old)
    stage.turn()
    new = running("x1", "x2")
    new["metadata"] |= {"name": "new", "uid": "new-uid", "labels": {"kueue.x-k8s.io/job-uid": "job-uid"}}
    new["metadata"]["annotations"] = {
        "kueue.x-k8s.io/elastic-job": "true",
        "kueue.x-k8s.io/workload-slice-replacement-for": "ns/wl",
    }
    del new["status"]
    stage.put(kinds.WORKLOAD, new)
    [(_, commands)] = stage.turn()
    admitted, ended = [c.obj for c in commands if isinstance(c, Apply)]
    assert [obj["metadata"]["name"] for obj in (admitted, ended)] == ["new", "wl"]
    [finished] = [c for c in ended["status"]["conditions"] if c["type"] == "Finished"]
    text = "Replaced to accommodate a workload (UID: new-uid, JobUID: job-uid) due to workload slice aggregation"
    assert (finished["status"], finished["reason"], finished["message"]) == ("True", "WorkloadSliceReplaced", text)
    assert [(e.reason, e.note) for e in commands if isinstance(e, Emit)][-1] == ("WorkloadSliceReplaced", text)


def test_an_act_on_which_our_code_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up and told; what was assumed of it is free for others."""
    stage = plain()
    stage.put(kinds.WORKLOAD, waiting("bad", "9"))
    reserve = transitions.reserve_quota

    def failing(found: Workload, *rest: Any) -> Workload:
        if found.name == "bad":
            raise KeyError("gone")
        return reserve(found, *rest)

    monkeypatch.setattr(transitions, "reserve_quota", failing)
    assert stage.turn() == []
    [fault] = stage.controller.take_faults()
    assert (fault.what, repr(fault.error)) == ("Admit of Workload ns/bad", "KeyError('gone')")
    assert stage.controller.take_faults() == []
    stage.put(kinds.WORKLOAD, waiting("good", "9"))
    [(_, (admission, *_))] = stage.turn()
    assert isinstance(admission, Apply)
    assert admission.obj["metadata"]["name"] == "good"
