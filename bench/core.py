#!/usr/bin/env python3
"""The admission engine alone, in virtual time: what a decision costs, and how that grows with what waits.

    core.py [--only baseline,large,pending,deep] [--json FILE] [--plots FOLDER]

*baseline* and *large* play Kueue's own scalability scenarios: ClusterQueues of 20 cpu in cohorts that lend everything, and three classes of
Workloads that arrive at fixed intervals, run for a fixed time once admitted, and preempt each other by priority. There is no API server and
no waiting: the time between two events costs nothing, so the figures are CPU seconds of the engine alone (with the few objects that a
shell would hand it). Every write comes back at once, as an API server would send it. What is there at the start is frozen to the garbage
collector, as the manager does once it has read the cluster (`pykueue/runtime/heap.py`).

*pending* fills queues with Workloads that do not fit, and then measures single events: one arrival, one completion with the second
of batching and all cycles that follow. It does so for growing numbers of pending Workloads and of ClusterQueues.

One line of JSON at the end:

    <scenario>_cpu_s               CPU seconds from the first event to the last
    <scenario>_virtual_s           time that passed in the scenario
    <scenario>_cycles, _decisions  what the engine did
    <scenario>_usage               part of the quota that was reserved, over the virtual time
    <scenario>_<class>_admission_s mean virtual time from creation to first admission
    <scenario>_kueue_...           the same as Kueue's CI measures it, in real time and with an API server
    decisions_per_s                decisions per CPU second of the large scenario
    arrival_us_<n>[_<queues>q]     one arrival that cannot be admitted, with its cycle; in 1,000 ClusterQueues if it does not say
    completion_ms_<n>[_<queues>q]  one completion, the admission that follows, and all it wakes
    deep_<n>_...                   one queue of different Workloads that all fit at once: CPU, cycles, and virtual time until all are admitted
"""

from __future__ import annotations

import argparse
import gc
import heapq
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from report import report
from shapes import BASELINE, LARGE, Scenario, cluster_queue_spec, workload_spec

from pykueue.api.configuration.types import Configuration
from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import ClusterQueue, Condition, LocalQueue, ResourceFlavor, Workload
from pykueue.core.engine import AdmissionEngine
from pykueue.core.features import Features
from pykueue.core.scheduler.assumed import as_admitted
from pykueue.core.scheduler.decisions import Admit, Decision, Pending, Preempt
from pykueue.runtime import heap

MS = 1000
START = Instant(1_700_000_000 * 1_000_000)
NAMESPACE = "bench"
PENDING = ((10_000, 100), (50_000, 100), (10_000, 1000), (50_000, 1000), (100_000, 1000))
TRUE_ONLY_WITH_QUOTA = {"QuotaReserved", "Admitted", "Evicted"}


def new_engine(cohorts: int, queues: int, cpu: str = "20") -> AdmissionEngine:
    """An engine with `cohorts` × `queues` ClusterQueues, each with a LocalQueue of its name."""
    engine = AdmissionEngine(Configuration(), Features({}))
    engine.set_namespace(NAMESPACE, {}, START)
    engine.set_resource_flavor("default", _convert(ResourceFlavor, "default"), START)
    for cohort in range(cohorts):
        for n in range(queues):
            name = f"cq-{cohort}-{n}"
            spec = cluster_queue_spec(f"cohort-{cohort}", cpu)
            engine.set_cluster_queue(name, _convert(ClusterQueue, name, spec), START)
            local = _convert(LocalQueue, name, {"clusterQueue": name})
            engine.set_local_queue(ObjectKey(NAMESPACE, name), local, START)
    return engine


def new_workload(name: str, queue: str, cpu: int, priority: int, now: Instant) -> Workload:
    """A Workload of one pod."""
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": name,
                "generation": 1,
                "creationTimestamp": format_time(now),
            },
            "spec": workload_spec(queue, cpu, priority),
        },
        Workload,
    )


class Play:
    """An engine with the rest of the world: time, writes that come back, Workloads that finish."""

    def __init__(self, engine: AdmissionEngine) -> None:
        self.engine = engine
        self.now = START
        self.workloads: dict[ObjectKey, Workload] = {}
        self.runs_us: dict[ObjectKey, int] = {}
        self.events: list[tuple[Instant, int, ObjectKey, Workload | None]] = []
        self.admissions: dict[ObjectKey, int] = {}
        self.holding: dict[ObjectKey, Instant] = {}
        """Since when each Workload holds its quota."""
        self.held_us = 0
        """Time of quota, weighed with cpu, as far as it was given back."""
        self.arrived: dict[ObjectKey, Instant] = {}
        self.waited_us: dict[ObjectKey, int] = {}
        """From creation to first admission."""
        self.n_cycles = self.n_decisions = self.n_admitted = self.n_preempted = 0
        self._serial = 0

    def at(self, when: Instant, key: ObjectKey, workload: Workload | None) -> int:
        """Note an arrival, or a completion (None)."""
        self._serial += 1
        heapq.heappush(self.events, (when, self._serial, key, workload))
        return self._serial

    def run(self) -> None:
        """Play all events and the cycles between them, until nothing is left to do."""
        while True:
            due = self.engine.next_cycle_at(self.now)
            if self.events and (due is None or self.events[0][0] <= max(due, self.now)):
                self._event()
            elif due is not None:
                self.now = Instant(max(self.now, due))
                self.cycle()
            else:
                return

    def cycle(self) -> None:
        """One cycle and the writes it asks for."""
        result = self.engine.cycle(self.now)
        self.n_cycles += 1
        self.n_decisions += len(result.decisions)
        for decision in result.decisions:
            self._write(decision)
        self.engine.take_changed()

    def arrive(self, workload: Workload) -> None:
        """A new Workload."""
        key = workload.key
        self.arrived[key] = self.now
        self._put(key, workload)

    def complete(self, key: ObjectKey) -> None:
        """A Workload is over and deleted."""
        self._give_back(key)
        del self.workloads[key]
        self.engine.set_workload(key, None, self.now)

    def _event(self) -> None:
        when, serial, key, workload = heapq.heappop(self.events)
        self.now = Instant(max(self.now, when))
        if workload is not None:
            self.arrive(workload)
        elif self.admissions.get(key) == serial:
            self.complete(key)

    def _write(self, decision: Decision) -> None:
        match decision:
            case Admit():
                self.n_admitted += 1
                self.holding[decision.key] = self.now
                self.waited_us.setdefault(decision.key, self.now - self.arrived[decision.key])
                self._put(decision.key, as_admitted(decision, self.now))
                runs = self.runs_us.get(decision.key)
                if runs is not None:
                    self.admissions[decision.key] = self.at(Instant(self.now + runs), decision.key, None)
            case Preempt():
                for victim in decision.victims:
                    self.n_preempted += 1
                    self._give_back(victim.key)
                    self.admissions.pop(victim.key, None)
                    left = self._without_quota(victim.key, victim.reason, victim.message, is_evicted=True)
                    self._put(victim.key, left)
                self._pending(decision.pending)
            case Pending():
                self._pending(decision)

    def _pending(self, decision: Pending) -> None:
        known = decision.workload.condition("QuotaReserved")
        if known is None or (known.reason, known.message) != (decision.reason, decision.message):
            told = self._without_quota(decision.key, decision.reason, decision.message, is_evicted=False)
            self._put(decision.key, told)

    def _without_quota(self, key: ObjectKey, reason: str, message: str, *, is_evicted: bool) -> Workload:
        old = self.workloads[key]
        stamp = format_time(self.now)
        kept = tuple(c for c in old.status.conditions if c.type not in TRUE_ONLY_WITH_QUOTA)
        conditions = [Condition("QuotaReserved", "False", reason, message, stamp)]
        if is_evicted:
            conditions.append(Condition("Evicted", "True", "Preempted", message, stamp))
        status = msgspec.structs.replace(old.status, conditions=(*kept, *conditions), admission=None)
        return msgspec.structs.replace(old, status=status)

    def _give_back(self, key: ObjectKey) -> None:
        since = self.holding.pop(key, None)
        if since is not None:
            container = self.workloads[key].spec.pod_sets[0].template["spec"]["containers"][0]
            self.held_us += (self.now - since) * int(container["resources"]["requests"]["cpu"])

    def _put(self, key: ObjectKey, workload: Workload) -> None:
        self.workloads[key] = workload
        self.engine.set_workload(key, workload, self.now)


def scenario(played: Scenario) -> dict[str, float]:
    """Play a scenario of Kueue's performance tests."""
    name = played.name
    play = Play(new_engine(played.cohorts, played.queues))
    class_of: dict[ObjectKey, str] = {}
    for queue in played.queue_names():
        for kind in played.classes:
            for n in range(kind.n_workloads):
                when = Instant(START + n * kind.every_ms * MS)
                workload = new_workload(f"{queue}-{kind.name}-{n}", queue, kind.cpu, kind.priority, when)
                play.runs_us[workload.key] = kind.runs_ms * MS
                class_of[workload.key] = kind.name
                play.at(when, workload.key, workload)
    n_workloads = len(play.events)
    cpu = _cpu(play.run)
    assert not play.workloads, f"{len(play.workloads)} of {n_workloads} Workloads did not finish"
    waits: dict[str, list[int]] = {}
    for key, waited_us in play.waited_us.items():
        waits.setdefault(class_of[key], []).append(waited_us)
    quota_us = 20 * len(played.queue_names()) * (play.now - START)
    return {
        f"{name}_cpu_s": round(cpu, 2),
        f"{name}_virtual_s": round((play.now - START) / 1e6, 1),
        f"{name}_cycles": play.n_cycles,
        f"{name}_decisions": play.n_decisions,
        f"{name}_preemptions": play.n_preempted,
        f"{name}_workloads": n_workloads,
        f"{name}_usage": round(play.held_us / quota_us, 3),
        **{f"{name}_{kind}_admission_s": round(sum(w) / len(w) / 1e6, 1) for kind, w in sorted(waits.items())},
        **{f"{name}_kueue_{what}": value for what, value in played.kueue.items()},
    }


def pending(n_pending: int, queues: int, n_events: int = 200) -> dict[str, float]:
    """Cost of single events beside many Workloads that wait."""
    cohorts = max(1, queues // 100)
    per_cohort = queues // cohorts
    play = Play(new_engine(cohorts, per_cohort))
    names = [f"cq-{c}-{q}" for c in range(cohorts) for q in range(per_cohort)]
    for n, queue in enumerate(names):
        play.arrive(new_workload(f"holder-{n}", queue, 20, 100, START))
    play.run()
    for n in range(n_pending):
        workload = new_workload(f"waits-{n}", names[n % queues], 1 + n // queues % 3 * 2, 50, Instant(START + n * MS))
        play.arrive(workload)
    play.run()
    step = max(1, queues // n_events)
    chosen = [names[n * step % queues] for n in range(n_events)]
    late = iter([new_workload(f"late-{n}", q, 1 + n % 3 * 2, 50, play.now) for n, q in enumerate(chosen)])

    def arrivals() -> None:
        for workload in late:
            play.arrive(workload)
            play.run()

    holders = iter([ObjectKey(NAMESPACE, f"holder-{n * step % queues}") for n in range(n_events // 10)])

    def completions() -> None:
        for key in holders:
            if key in play.workloads:
                play.complete(key)
                play.run()

    label = f"{n_pending}" if queues == 1000 else f"{n_pending}_{queues}q"
    return {
        f"arrival_us_{label}": round(_cpu(arrivals) / n_events * 1e6, 1),
        f"completion_ms_{label}": round(_cpu(completions) / (n_events // 10) * 1e3, 1),
    }


def deep(n_pending: int) -> dict[str, float]:
    """One ClusterQueue with many different Workloads, all of which fit once the one that holds the quota is done."""
    play = Play(new_engine(1, 1, cpu=str(5 * n_pending)))
    play.arrive(new_workload("holder", "cq-0-0", 5 * n_pending, 200, START))
    play.run()
    for n in range(n_pending):
        play.arrive(new_workload(f"waits-{n}", "cq-0-0", 1 + n % 9, n % 7, Instant(START + n * MS)))
    play.run()
    play.complete(ObjectKey(NAMESPACE, "holder"))
    began, n_cycles = play.now, play.n_cycles
    cpu = _cpu(play.run)
    assert play.n_admitted == n_pending + 1, f"{play.n_admitted - 1} of {n_pending} Workloads were admitted"
    return {
        f"deep_{n_pending}_cpu_ms": round(cpu * 1e3, 1),
        f"deep_{n_pending}_cycles": play.n_cycles - n_cycles,
        f"deep_{n_pending}_virtual_s": round((play.now - began) / 1e6, 3),
    }


def _cpu(act: Any) -> float:
    gc.collect()
    heap.settle()
    start = time.process_time()
    act()
    return time.process_time() - start


def _convert(type_: type[Any], name: str, spec: dict[str, Any] | None = None) -> Any:
    return msgspec.convert({"metadata": {"name": name, "uid": name}, "spec": spec or {}}, type_)


def measure(only: set[str]) -> Iterator[dict[str, float]]:
    """All figures, a part at a time."""
    if "baseline" in only:
        yield scenario(BASELINE)
    if "large" in only:
        found = scenario(LARGE)
        yield found | {"decisions_per_s": round(found["large_decisions"] / found["large_cpu_s"])}
    if "pending" in only:
        for n_pending, queues in PENDING:
            yield pending(n_pending, queues)
    if "deep" in only:
        yield deep(536)


def draw(folder: Path, figures: dict[str, float]) -> None:
    """The figures of all parts as PNGs."""
    from plots import bars, curves

    groups = {
        kind: {
            "pykueue's engine, virtual time": figures[f"baseline_{kind}_admission_s"],
            "Kueue's CI, real time with an API server": figures[f"baseline_kueue_{kind}_s"],
        }
        for kind in ("large", "medium", "small")
    }
    bars(folder / "core-baseline.png", "baseline: mean time to admission by class", groups, y="seconds")
    for what, unit in (("arrival_us", "µs"), ("completion_ms", "ms")):
        lines = {
            f"{queues} ClusterQueues": [
                (n, figures[f"{what}_{n}" if queues == 1000 else f"{what}_{n}_{queues}q"])
                for n, q in PENDING
                if q == queues
            ]
            for queues in (100, 1000)
        }
        event = what.partition("_")[0]
        title = f"CPU time of one {event} beside Workloads that wait"
        curves(folder / f"core-{event}.png", title, lines, x="Workloads that wait", y=unit, is_log=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="baseline,large,pending,deep", help="parts, separated by commas")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--plots", type=Path, help="draw the figures into PNGs of this folder")
    options = parser.parse_args()
    figures = report(measure(set(options.only.split(","))), options.json)
    if options.plots is not None:
        draw(options.plots, figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
