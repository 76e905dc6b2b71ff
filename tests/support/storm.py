"""Storms: random things happen to an admission engine, and what it decides is written late, in any order, or not at all.

A `Storm` plays the users, the shell and the cluster around one engine: Workloads arrive, end, change their priority; quota and cohorts change;
evicted Workloads leave when they please. Every step checks what must always hold: usage is the sum of what holds quota, a cycle leaves no
trace but its decisions, nobody is admitted beyond what is free. What every eviction led to is kept, to be judged at the end.

    storm = Storm(seed=7, features={Gate.PYKUEUE_SAFE_PREEMPTION: True})
    storm.rage(1000)
    storm.rest()
    assert storm.faults == storm.in_vain == []
"""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pykueue.api.configuration.types import Configuration, FairSharing
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.core import transitions
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.decisions import Admit, Preempt, Victim
from pykueue.core.scheduler.preemption.loops import WINDOW_US
from pykueue.core.tas.ledger import Ledger
from pykueue.core.workload.lifecycle import has_quota
from support.nodes import HOST, node
from support.world import SECOND, START, World, pod_set

HOSTS, HOST_CPU = ("h1", "h2", "h3", "h4"), 4
STUCK_S = 1000.0
"""How long a victim takes that does not end in time."""
CYCLES_MAX = 60
"""Cycles within one instant, after which the engine runs in circles."""
REST_STEPS_MAX = 2000
"""Of five seconds: longer than all who are stuck, and than a loop is remembered."""


@dataclass
class Kill:
    """One preemptor and those who were evicted for it, until something came of it."""

    victims: list[str] = field(default_factory=list)
    since: Instant = START
    outcome: str = ""


class Storm:
    """See the module."""

    def __init__(self, seed: int, features: Mapping[Gate, bool] | None = None) -> None:
        self.dice = random.Random(seed)
        self.is_fair = self.dice.random() < 0.4
        self.has_topology = seed % 4 == 1
        self.has_two_flavors = seed % 3 == 0 and not self.has_topology
        config = Configuration()
        if self.is_fair:
            config = msgspec.structs.replace(config, fair_sharing=FairSharing())
        self.features = Features(features or {})
        self.world = World(config, self.features)
        self.queues: dict[str, dict[str, Any]] = {}
        self.disturbed: dict[str, Instant] = {}
        """What happened to make promises void, and until when."""
        self.kills: dict[str, Kill] = {}
        self.told: list[str] = []
        self.faults: list[str] = []
        """What must never be, whatever the engine's configuration."""
        self.in_vain: list[str] = []
        """Evictions that led to nothing, without a reason."""
        self.outcomes: Counter[str] = Counter()
        self.evictions: Counter[tuple[str, str]] = Counter()
        """Of a victim by a preemptor, since that one was admitted, or one of them changed."""
        self.most = 0
        self.loops: list[str] = []
        self.loops_on: list[str] = []
        """Evictions in a loop that was told already."""
        self.cut: dict[tuple[str, str], tuple[Instant, Sequence[str]]] = {}
        """Preemptor and victim of each loop that lasts, when it was told, and who is in it."""
        self._later: list[tuple[Instant, int, Callable[[], None]]] = []
        self._n = 0
        self._plant()

    # --- the play -----------------------------------------------------------------------------------------------------

    def rage(self, n_events: int) -> None:
        """Let that many things happen."""
        events: list[tuple[int, Callable[[], None]]] = [
            (34, self._arrive), (24, self._finish), (5, self._delete), (5, self._reprioritize), (4, self._requota),
            (2, self._move), (2, self._deactivate), (2 if self.has_topology else 0, self._lose_node),
            (24, lambda: None),
        ]  # fmt: skip
        weights = [weight for weight, _ in events]
        for _ in range(n_events):
            self.dice.choices([event for _, event in events], weights)[0]()
            self._pass(self.dice.choice((0.0, 0.02, 0.3, 1.1, 4.0)))
            if self.faults:
                return

    def rest(self) -> None:
        """Wait until nothing is under way any more."""
        for _ in range(REST_STEPS_MAX):
            is_due = self.world.engine.next_cycle_at(self.world.now) is not None
            if self.faults or not (is_due or self._later or self.kills):
                return
            self._pass(5.0)
        self.faults.append(f"something is under way for ever: {self.kills}")

    def _pass(self, seconds: float) -> None:
        """Let time pass: writes are done and cycles run when they are due."""
        until = Instant(self.world.now + int(seconds * SECOND))
        for _ in range(10 * CYCLES_MAX):
            due = self.world.engine.next_cycle_at(self.world.now)
            write = self._later[0][0] if self._later else None
            at = min((each for each in (due, write) if each is not None), default=None)
            if at is None or at > until or self.faults:
                self.world.now = until
                return
            self.world.now = max(self.world.now, at)
            if write is not None and write <= self.world.now:
                heapq.heappop(self._later)[2]()
                self._look()
            else:
                self._cycle()
        self.faults.append(f"the engine does not come to rest at {self.world.now}")

    def _cycle(self) -> None:
        engine = self.world.engine
        before = _quotas(self.world)
        result = engine.cycle(self.world.now)
        for decision in result.decisions:
            if isinstance(decision, Admit):
                self._check_room(decision)
                self._soon(lambda d=decision: self._write_admission(d))  # type: ignore[misc]
            elif isinstance(decision, Preempt):
                self._note(decision)
        if before != _quotas(self.world):
            self.faults.append("a cycle changed quotas")
        self._look()

    def _soon(self, write: Callable[[], None], least: float = 0.0) -> None:
        self._n += 1
        delay = least + self.dice.choice((0.0, 0.01, 0.2, 1.5))
        heapq.heappush(self._later, (Instant(self.world.now + int(delay * SECOND)), self._n, write))

    # --- what is written ----------------------------------------------------------------------------------------------

    def _write_admission(self, decision: Admit) -> None:
        name = decision.key.name
        is_current = self.world.workloads.get(name) is decision.workload
        if not is_current or self.dice.random() < 0.05:
            self._disturb("write", name)
            self.world.engine.forget(decision.key, self.world.now, requeue=name in self.world.workloads)
            return
        given = transitions.reserve_quota(decision.workload, decision.admission, self.world.now)
        self.world.put(transitions.sync_admitted(given, self.world.now))
        self._close(name, "admitted")
        self._forget_evictions(lambda pair: pair[0] == name)

    def _forget_evictions(self, is_forgotten: Callable[[tuple[str, str]], bool]) -> None:
        self.evictions = Counter({pair: n for pair, n in self.evictions.items() if not is_forgotten(pair)})

    def _note(self, decision: Preempt) -> None:
        fresh = [victim for victim in decision.victims if not victim.is_evicted]
        if not fresh:
            return
        kill = self.kills.setdefault(decision.key.name, Kill(since=self.world.now))
        for victim in fresh:
            kill.victims.append(victim.key.name)
            self._soon(lambda v=victim: self._write_eviction(v, decision.key.name))  # type: ignore[misc]

    def _write_eviction(self, victim: Victim, preemptor: str) -> None:
        name = victim.key.name
        present = self.world.workloads.get(name)
        if present is None or present.uid != victim.workload.uid:
            return
        if not has_quota(present) or self.dice.random() < 0.05:
            self._disturb("write", name)
            self.world.engine.preemption_failed(victim.key, self.world.now)
            return
        if not present.is_true(WorkloadCondition.EVICTED):
            self.evictions[preemptor, name] += 1
            self.most = max(self.most, self.evictions[preemptor, name])
            cut = self.cut.get((preemptor, name))
            if cut is not None and self.world.now < cut[0] + WINDOW_US:
                self.loops_on.append(f"{preemptor} evicted {name} once more, in a loop that was told")
            self.world.put(transitions.preempt(present, victim.reason, victim.message, self.world.now))
            seconds = self.dice.choice((0.1, 3.0, 20.0))
            if self.dice.random() < 0.02:
                seconds = STUCK_S
                self._disturb("stuck", name)
                self.disturbed["stuck"] = Instant(self.world.now + int(2 * STUCK_S * SECOND))
            self._soon(lambda: self._leave(name, victim.workload.uid), seconds)

    def _leave(self, name: str, uid: str) -> None:
        present = self.world.workloads.get(name)
        if present is None or present.uid != uid or not has_quota(present):
            return
        now = self.world.now
        requeued = transitions.with_condition(
            present, WorkloadCondition.REQUEUED, True, Reason.PREEMPTED, "Preempted", now
        )
        self.world.put(transitions.release_quota(requeued, Reason.PENDING_EVALUATION, "Preempted", now))

    # --- what happens -------------------------------------------------------------------------------------------------

    def _plant(self) -> None:
        dice, world = self.dice, self.world
        if self.has_topology:
            world.topology("hosts", HOST)
            world.flavor("default", topologyName="hosts", nodeLabels={"in": "storm"})
            for name in HOSTS:
                self._put_node(name)
        parents = {"root": "", "left": "root", "right": "root"} if dice.random() < 0.6 else {"root": ""}
        for name, parent in parents.items():
            quota = f"default:{dice.choice((0, 0, 4))}" + ("→other:0" if self.has_two_flavors else "")
            world.cohort(name, quota if dice.random() < 0.5 else "", parent)
        for name in "abcd"[: dice.randint(2, 4)]:
            reclaim = dice.choice(("N", "L", "A", "A"))
            options: dict[str, Any] = {"WCQ": dice.choice(("N", "L", "LN")), "RWC": reclaim}
            if reclaim != "N" and dice.random() < 0.5 and not self.is_fair:
                options |= {"BWC": "L", "threshold": dice.choice((0, 1, 3))}
            if dice.random() < 0.3:
                options["strict"] = True
            if self.is_fair:
                options["weight"] = dice.choice(("1", "2", "0.5"))
            if self.has_two_flavors and dice.random() < 0.5:
                options["FF"] = dice.choice(("S/S", "S/T", "T/T", "T/S"))
            self.queues[name] = {
                "cohort": dice.choice((*parents, *parents, "")), "nominal": dice.randint(1, 8),
                "limit": dice.choice(("", "", "BL3", "LL1")), "options": options,
            }  # fmt: skip
            self._put_queue(name)

    def _put_queue(self, name: str) -> None:
        queue = self.queues[name]
        limit = queue["limit"] if queue["cohort"] and (queue["limit"] != "LL1" or queue["nominal"]) else ""
        quota = f"default:{queue['nominal']} {limit}".rstrip()
        if self.has_two_flavors:
            quota += "→other:2"
        self.world.queue(name, quota, queue["cohort"], **queue["options"])

    def _arrive(self) -> None:
        self._n += 1
        created = (self.world.now - START) // SECOND
        n = self.dice.choice((1, 1, 2, 3, 5))
        options: dict[str, Any] = {}
        if self.has_topology:
            asked = {"unconstrained": True} if n > HOST_CPU or self.dice.random() < 0.5 else {"required": HOST}
            options["pod_sets"] = [{**pod_set(f"{n}×1", {}), "topologyRequest": asked}]
        queue, priority = self.dice.choice(list(self.queues)), self.dice.randint(0, 3)
        self.world.workload(f"w{self._n}", queue, str(n), priority, t=created, **options)

    def _some(self, wanted: Callable[[Workload], bool]) -> str | None:
        names = [name for name, workload in self.world.workloads.items() if wanted(workload)]
        return self.dice.choice(names) if names else None

    def _finish(self) -> None:
        name = self._some(lambda w: w.is_true(WorkloadCondition.ADMITTED))
        if name is not None:
            present = self.world.workloads.pop(name)
            over = transitions.with_condition(
                present, WorkloadCondition.FINISHED, True, "Succeeded", "done", self.world.now
            )
            self.world.engine.set_workload(present.key, over, self.world.now)
            self._close(name, "gone")
            self._end_loops(name)

    def _delete(self) -> None:
        name = self._some(lambda _: True)
        if name is not None:
            self.world.delete(name)
            self._close(name, "gone")
            self._end_loops(name)

    def _reprioritize(self) -> None:
        self._respecify(lambda spec: msgspec.structs.replace(spec, priority=self.dice.randint(0, 3)))

    def _deactivate(self) -> None:
        name = self._some(lambda w: not has_quota(w))
        if name is not None:
            self._respecify(lambda spec: msgspec.structs.replace(spec, active=not spec.active), name)

    def _respecify(self, change: Callable[[Any], Any], name: str | None = None) -> None:
        name = name or self._some(lambda _: True)
        if name is None:
            return
        present = self.world.workloads[name]
        meta = msgspec.structs.replace(present.metadata, generation=present.metadata.generation + 1)
        self._disturb("spec", name)
        spec = change(present.spec)
        if spec != present.spec:
            self._close(name, "changed")
            self._forget_evictions(lambda pair: name in pair)
            self._end_loops(name)
        self.world.put(msgspec.structs.replace(present, metadata=meta, spec=spec))

    def _requota(self) -> None:
        name = self.dice.choice(list(self.queues))
        self.queues[name]["nominal"] = self.dice.randint(0, 8)
        self._disturb("quota", name)
        self._put_queue(name)

    def _move(self) -> None:
        name = self.dice.choice(list(self.queues))
        self.queues[name]["cohort"] = self.dice.choice(("root", "root", ""))
        self._disturb("cohort", name)
        self._put_queue(name)

    def _put_node(self, name: str) -> None:
        labels = {HOST: name, "in": "storm"}
        self.world.nodes([node(name, labels, {"cpu": str(HOST_CPU), "pods": "110"})])

    def _lose_node(self) -> None:
        """A host goes for a while; whoever has pods there is evicted."""
        name = self.dice.choice(HOSTS)
        self._disturb("node", name)
        self.world.engine.set_node(name, None, self.world.now)
        ledger = self.world.engine._cache.ledger
        for workload in list(self.world.workloads.values()):
            hosts = [d.values[-1] for places in ledger.of(workload.key) for d in places.domains]
            if name in hosts:
                self._soon(lambda w=workload: self._fail(w.name, w.uid))  # type: ignore[misc]
        self._soon(lambda: self._put_node(name), 30.0)

    def _fail(self, name: str, uid: str) -> None:
        present = self.world.workloads.get(name)
        is_running = present is not None and present.uid == uid and present.is_true(WorkloadCondition.ADMITTED)
        if present is not None and is_running and not present.is_true(WorkloadCondition.EVICTED):
            self.world.put(transitions.evict(present, Reason.NODE_FAILURES, "lost", self.world.now))
            self._soon(lambda: self._leave(name, uid), 3.0)

    def _end_loops(self, name: str) -> None:
        """A Workload ended, or asks for something else: it is in no loop any more."""
        self.cut = {pair: loop for pair, loop in self.cut.items() if name not in loop[1]}

    # --- what must hold -----------------------------------------------------------------------------------------------

    def _disturb(self, what: str, name: str) -> None:
        self.told.append(f"{(self.world.now - START) / SECOND:.2f} {what} {name}")
        self.disturbed[what] = self.world.now

    def _close(self, preemptor: str, outcome: str) -> None:
        kill = self.kills.pop(preemptor, None)
        if kill is not None:
            kill.outcome = outcome
            self.outcomes[outcome] += 1

    def _look(self) -> None:
        """Usage is what holds quota; what the engine tells has its reason."""
        self._check_usage()
        for notice in self.world.engine.take_notices():
            name = notice.workload.name
            if notice.reason == "PreemptionLoop":
                self.loops.append(notice.note)
                victim, preemptor, *members = re.findall(r"ns/(\w+)", notice.note)
                self.cut.setdefault((preemptor, victim), (self.world.now, (victim, preemptor, *members)))
            elif name in self.kills:
                kill = self.kills[name]
                if not any(at >= kill.since for at in self.disturbed.values()):
                    self.in_vain.append(f"{name}: {notice.note}, and nothing happened to explain it")
                self._close(name, "in vain")
        for sample in self.world.engine.take_samples():
            self.outcomes[f"told {sample.labels[-1]}" if "outcomes" in sample.name else "loop"] += 1

    def _check_usage(self) -> None:
        engine = self.world.engine
        holding = {w.key for w in self.world.workloads.values() if has_quota(w)} | set(engine._assumed)
        if set(engine._cache.workloads) != holding:
            self.faults.append(f"not what holds quota: {set(engine._cache.workloads) ^ holding}")
        for queue in engine._cache.queues():
            tree = queue.node.tree
            for i, item in enumerate(tree.items):
                if queue.node.usage[i] != sum(info.usage.get(item, 0) for info in queue.workloads.values()):
                    self.faults.append(f"usage of {queue.name}: {queue.node.usage[i]} {item}")
                for each in queue.node.lineage():
                    above = sum(max(0, child.usage[i] - child.local[i]) for child in each.children)
                    if each.is_cohort and each.usage[i] != above:
                        self.faults.append(f"usage of {each.name}: {each.usage[i]}, of those below {above}")

        ledger, fresh = engine._cache.ledger, Ledger()
        for key in holding:
            fresh.hold(key, ledger.of(key))
        if fresh._held != ledger._held:
            self.faults.append("what is held of the hosts is not what Workloads hold")

    def _check_room(self, decision: Admit) -> None:
        queue = self.world.engine._cache.queue(decision.admission.cluster_queue)
        assert queue is not None
        for item, amount in self.world.engine._cache.workloads[decision.key].usage.items():
            if amount and queue.node.available(queue.node.tree.number(item)) < 0:
                self.faults.append(f"{decision.key.name} was admitted beyond what is free")
        ledger = self.world.engine._cache.ledger
        for places in ledger.of(decision.key):
            for domain in places.domains:
                held = ledger.held(ledger.spot(places.flavor, places.levels, domain.values))
                if held.get("cpu", 0) > HOST_CPU * 1000:
                    self.faults.append(f"{decision.key.name} was admitted to a full host: {held}")


def _quotas(world: World) -> list[Sequence[int]]:
    nodes = {id(n): n for queue in world.engine._cache.queues() for n in queue.node.lineage()}
    return [(*n.nominal, *n.subtree, *n.local, *n.potential) for n in nodes.values()]
