#!/usr/bin/env python3
"""Topology Aware Scheduling in the engine alone: a placement, a search for victims on full nodes, and Kueue's scenario for topologies.

    tas.py [--only place,preempt,shape] [--json FILE] [--plots FOLDER]

*place* finds places for 8, 64 and 512 pods of one GPU on nodes that are partly used, in trees of 4 levels with 4 resources, again and again
while each placement is held: nothing but usage changes. Asked are a block that must hold all and a rack that is preferred, of whose medians
the slower one counts, and any hosts, which take up remains all over the tree. Noted too are a placement after a node changed, and how long
a tree takes to build.

*preempt* fills 2,000 nodes with 700 Workloads of low priority that lie anywhere, and lets one of high priority ask for all nodes of a rack. Hardly
a rack is free of pods before nearly everybody is gone, so the one cycle that is measured thinks most candidates away one by one, looks for places
after each, and puts nearly all back in the same way. Once with victims by priority, once with fair sharing among ten queues.

*shape* plays Kueue's performance scenario for topologies in virtual time (see `core.py`): 10 racks of 64 nodes of 96 cpu and 256Gi, and the queues
and Workloads of its baseline as pods in racks: required, preferred, and preferred in balance.

One line of JSON at the end:

    place_<pods>_on_<nodes>_ms     one placement, CPU; _anywhere if it is unconstrained
    place_8_on_<nodes>_node_ms     one placement after a node's labels or amounts changed
    tree_<nodes>_ms                building the tree and counting once
    preempt_700_on_2000_ms         the cycle, CPU; _fair with fair sharing
    tas_shape_cpu_s                CPU seconds from the first event to the last
    tas_shape_virtual_s            time that passed in the scenario
    tas_shape_usage_percent        share of the quota in use, over that time
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from core import BASELINE, MS, NAMESPACE, START, Play, _convert, _cpu
from report import report

from pykueue.api.configuration.types import Configuration, FairSharing
from pykueue.api.conversion.topology import Domain
from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import ClusterQueue, LocalQueue, ResourceFlavor, Topology, Workload
from pykueue.core.engine import AdmissionEngine
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.decisions import Preempt
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import PodDemand, demand_of_pod
from pykueue.core.tas.ledger import Ledger, Places
from pykueue.core.tas.place import place
from pykueue.core.tas.request import Layout, Strictness
from pykueue.core.tas.topology import NodeBook

ZONE, BLOCK, RACK, HOST = "topology.kubernetes.io/zone", "cloud.com/block", "cloud.com/rack", "kubernetes.io/hostname"
GPU = "nvidia.com/gpu"
SIZES = (1_000, 5_000, 40_000)
COUNTS = (8, 64, 512)
REQUESTS = {
    "required": Layout(Strictness.REQUIRED, 1, 3, 1, {}),
    "preferred": Layout(Strictness.PREFERRED, 2, 3, 1, {}),
    "unconstrained": Layout(Strictness.UNCONSTRAINED, 3, 3, 1, {}),
}


def make_node(i: int, amounts: dict[str, str], per_rack: int = 40, **labels: str) -> dict[str, Any]:
    name = f"n{i:06}"
    places = {ZONE: f"z{i // 10_000}", BLOCK: f"b{i // 1_000:03}", RACK: f"r{i // per_rack:05}", HOST: name}
    return {
        "metadata": {"name": name, "labels": {**places, **labels}},
        "status": {"allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]},
    }


# --- one placement -----------------------------------------------------------------------------------------------------


def placements(n_nodes: int, n_times: int = 100) -> dict[str, float]:
    """Median CPU times of placements on so many nodes, six tenths of which hold one to seven pods already."""
    amounts = {"cpu": "96", "memory": "768Gi", GPU: "8", "pods": "110"}
    per_pod = demand_of_pod({"cpu": 8_000, "memory": 32 << 30, GPU: 1})
    levels, chance = (ZONE, BLOCK, RACK, HOST), random.Random(1)
    book, ledger = NodeBook(), Ledger()
    for i in range(n_nodes):
        book.set_node(f"n{i:06}", make_node(i, amounts))
    for i in range(n_nodes * 6 // 10):
        domain = Domain((f"n{chance.randrange(n_nodes):06}",), chance.randrange(1, 8))
        ledger.hold(ObjectKey(NAMESPACE, f"w{i}"), [Places("f", (HOST,), (domain,), per_pod)])
    worker = PodDemand("main", 8, per_pod, {})
    built = time.process_time()
    room_of(book.tree(levels, {}), ledger, "f").counts(REQUESTS["required"], worker, None)
    found = {f"tree_{n_nodes}_ms": round((time.process_time() - built) * 1e3)}

    def once(layout: Layout, count: int) -> Places:
        room = room_of(book.tree(levels, {}), ledger, "f")
        placed = place("t", room, layout, PodDemand("main", count, per_pod, {}), None, is_mixed=True)
        assert not isinstance(placed, str), placed
        return Places("f", placed.levels, placed.workers, per_pod)

    def median(layout: Layout, count: int) -> float:
        """Of placements, each of which is held before the next."""
        times = []
        with ledger.trial():
            for _ in range(1 + min(n_times, n_nodes // (2 * count))):
                start = time.process_time()
                placed = once(layout, count)
                times.append(time.process_time() - start)
                ledger.add([placed])
        return round(_median(times) * 1e3, 3)

    for count in COUNTS:
        near = max(median(REQUESTS[name], count) for name in ("required", "preferred"))
        found[f"place_{count}_on_{n_nodes}_ms"] = near
        found[f"place_{count}_on_{n_nodes}_anywhere_ms"] = median(REQUESTS["unconstrained"], count)
    after = []
    for i in range(n_times):
        book.set_node(f"n{i:06}", make_node(i, amounts | {"cpu": "95"}))
        after.append(_timed(lambda: once(REQUESTS["preferred"], 8)))
    found[f"place_8_on_{n_nodes}_node_ms"] = round(_median(after) * 1e3, 3)
    return found


# --- victims -------------------------------------------------------------------------------------------------------------


def preemption(n_nodes: int, n_candidates: int, *, is_fair: bool = False) -> float:
    """Seconds of CPU of the cycle in which one Workload asks for a rack of nodes that hold so many others."""
    queues = [f"cq-{i}" for i in range(10)] if is_fair else ["cq-0"]
    # With fair sharing nearly everything belongs to the queue that asks, and is lent to the nine others.
    quotas = [n_nodes - 10 * len(queues[1:]), *(10 for _ in queues[1:])]
    engine = new_engine((BLOCK, RACK, HOST), Features({}), dict(zip(queues, quotas, strict=True)), is_fair=is_fair)
    for i in range(n_nodes):
        engine.set_node(f"n{i:06}", make_node(i, {"cpu": "1", "memory": "4Gi", "pods": "9"}), START)
    play, chance = Play(engine), random.Random(2)
    cuts = sorted(chance.sample(range(1, n_nodes), n_candidates - 1))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, n_nodes], strict=True)]
    hosts = [f"n{i:06}" for i in range(n_nodes)]
    chance.shuffle(hosts)
    for i, size in enumerate(sizes):
        when = Instant(START + i * MS)
        workload = make_workload(
            f"low-{i}", queues[-1 - i % min(9, len(queues))], 0, size, "1", when, unconstrained=True
        )
        play.arrive(
            admitted_on(workload, queues[-1 - i % min(9, len(queues))], [hosts.pop() for _ in range(size)], when)
        )
    # What a manager has once it runs: the tree, and what is left in it.
    play.now = Instant(START + 60_000 * MS)
    play.arrive(make_workload("warm", queues[0], 100, 41, "1", play.now, required=RACK))
    engine.cycle(play.now)
    asks = make_workload("high", queues[0], 100, 40, "1", play.now, required=RACK)
    play.arrive(asks)
    found: list[Any] = []
    cpu = _cpu(lambda: found.append(engine.cycle(play.now)))
    [preempt] = [d for d in found[0].decisions if isinstance(d, Preempt)]
    print(f"  {len(preempt.victims)} victims of {n_candidates}, is_fair={is_fair}", file=sys.stderr)
    return cpu


def admitted_on(workload: Workload, queue: str, hosts: list[str], now: Instant) -> Workload:
    """The Workload as it is with quota, one pod on each host."""
    places = Places("default", (HOST,), tuple(Domain((host,), 1) for host in sorted(hosts)), {})
    stamp = format_time(now)
    given = {
        "name": "main",
        "count": len(hosts),
        "flavors": {"cpu": "default"},
        "resourceUsage": {"cpu": str(len(hosts))},
        "topologyAssignment": msgspec.to_builtins(places.assignment(by_hostname_prefix=True)),
    }
    conditions = [
        {"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": stamp}
        for kind in ("QuotaReserved", "Admitted")
    ]
    raw = msgspec.to_builtins(workload)
    raw["status"] = {"admission": {"clusterQueue": queue, "podSetAssignments": [given]}, "conditions": conditions}
    return msgspec.convert(raw, Workload)


# --- Kueue's scenario ----------------------------------------------------------------------------------------------------

PODS = {
    "small": (2, "500m", (120, 120, 110)),
    "medium": (4, "1250m", (34, 33, 33)),
    "large": (8, "2500m", (17, 17, 16)),
}


class Measured(Play):
    """Adds up how much of the quota is in use."""

    def __init__(self, engine: AdmissionEngine) -> None:
        super().__init__(engine)
        self.cpu_of: dict[ObjectKey, int] = {}
        self.used_cpu_us = 0
        self._in_use: dict[ObjectKey, Instant] = {}

    def _put(self, workload: Workload) -> None:
        self._note(workload.key, workload.status.admission is not None)
        super()._put(workload)

    def complete(self, key: ObjectKey) -> None:
        self._note(key, False)
        super().complete(key)

    def _note(self, key: ObjectKey, has_quota: bool) -> None:
        if has_quota:
            self._in_use.setdefault(key, self.now)
        elif key in self._in_use:
            self.used_cpu_us += self.cpu_of[key] * (self.now - self._in_use.pop(key))


def shape(cohorts: int = 5, queues: int = 6) -> dict[str, float]:
    """Play the baseline with its Workloads as pods in racks."""
    names = [f"cq-{c}-{q}" for c in range(cohorts) for q in range(queues)]
    gate = Gate.TAS_BALANCED_PLACEMENT
    engine = new_engine((BLOCK, RACK, HOST), Features({gate: True}), dict.fromkeys(names, 20), per_cohort=queues)
    for i in range(640):
        engine.set_node(f"n{i:06}", make_node(i, {"cpu": "96", "memory": "256Gi", "pods": "110"}, 64), START)
    play = Measured(engine)
    for name in names:
        for kind in BASELINE:
            n_pods, cpu, split = PODS[kind.name]
            requests = [*({"required": RACK},) * split[0], *({"preferred": RACK},) * (split[1] + split[2])]
            random.Random(3).shuffle(requests)
            assert len(requests) == kind.n_workloads
            for n, request in enumerate(requests):
                when = Instant(START + n * kind.every_ms * MS)
                workload = make_workload(f"{name}-{kind.name}-{n}", name, kind.priority, n_pods, cpu, when, **request)
                play.runs_us[workload.key] = kind.runs_ms * MS
                play.cpu_of[workload.key] = kind.cpu
                play.at(when, workload.key, workload)
    cpu_s = _cpu(play.run)
    assert not play.workloads, f"{len(play.workloads)} Workloads did not finish"
    virtual_us = play.now - START
    return {
        "tas_shape_cpu_s": round(cpu_s, 2),
        "tas_shape_virtual_s": round(virtual_us / 1e6, 1),
        "tas_shape_usage_percent": round(100 * play.used_cpu_us / (virtual_us * 20 * len(names)), 1),
        "tas_shape_cycles": play.n_cycles,
        "tas_shape_decisions": play.n_decisions,
        "tas_shape_preemptions": play.n_preempted,
    }


# --- objects -------------------------------------------------------------------------------------------------------------


def new_engine(
    levels: tuple[str, ...], features: Features, queues: dict[str, int], *, per_cohort: int = 0, is_fair: bool = False
) -> AdmissionEngine:
    """An engine with a flavor on all nodes, and ClusterQueues with their cpu; in cohorts of so many, or in one."""
    config = Configuration(fair_sharing=FairSharing()) if is_fair else Configuration()
    engine = AdmissionEngine(config, features)
    engine.set_namespace(NAMESPACE, {}, START)
    topology = _convert(Topology, "default", {"levels": [{"nodeLabel": level} for level in levels]})
    engine.set_topology("default", topology, START)
    flavor = _convert(ResourceFlavor, "default", {"nodeLabels": {}, "topologyName": "default"})
    engine.set_resource_flavor("default", flavor, START)
    for i, (name, cpu) in enumerate(queues.items()):
        quota = {"name": "cpu", "nominalQuota": str(cpu), "borrowingLimit": "1000"}
        spec = {
            "cohortName": f"cohort-{i // per_cohort if per_cohort else 0}",
            "namespaceSelector": {},
            "preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "LowerPriority"},
            "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [{"name": "default", "resources": [quota]}]}],
        }
        engine.set_cluster_queue(name, _convert(ClusterQueue, name, spec), START)
        engine.set_local_queue(ObjectKey(NAMESPACE, name), _convert(LocalQueue, name, {"clusterQueue": name}), START)
    return engine


def make_workload(name: str, queue: str, priority: int, count: int, cpu: str, now: Instant, **request: Any) -> Workload:
    """A Workload of equal pods with a topology request."""
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    template = {"spec": {"containers": [container]}}
    pod_set = {"name": "main", "count": count, "template": template, "topologyRequest": request}
    meta = {"name": name, "namespace": NAMESPACE, "uid": name, "generation": 1, "creationTimestamp": format_time(now)}
    spec = {"podSets": [pod_set], "queueName": queue, "priority": priority}
    return msgspec.convert({"metadata": meta, "spec": spec}, Workload)


# --- the command ---------------------------------------------------------------------------------------------------------


def _timed(act: Any) -> float:
    start = time.process_time()
    act()
    return time.process_time() - start


def _median(times: list[float]) -> float:
    return sorted(times)[len(times) // 2]


def measure(only: set[str], plots: Path | None) -> Iterator[dict[str, float]]:
    """All figures, a part at a time."""
    if "place" in only:
        found: dict[str, float] = {}
        for n_nodes in SIZES:
            part = placements(n_nodes)
            found |= part
            yield part
        if plots is not None:
            from plots import curves

            lines = {f"{c} pods": [(n, found[f"place_{c}_on_{n}_ms"]) for n in SIZES] for c in COUNTS}
            curves(
                plots / "tas-place.png",
                "One placement after a change of usage",
                lines,
                x="nodes",
                y="ms of CPU",
                is_log=True,
            )
    if "preempt" in only:
        sizes = (100, 200, 400, 700) if plots is not None else (700,)
        lines = {}
        for name, is_fair in (("", False), ("_fair", True)):
            for n in sizes:
                ms = round(preemption(2_000, n, is_fair=is_fair) * 1e3, 1)
                lines.setdefault("fair sharing" if is_fair else "by priority", []).append((n, ms))
                yield {f"preempt_{n}_on_2000{name}_ms": ms}
        if plots is not None:
            from plots import curves

            curves(
                plots / "tas-preempt.png",
                "One cycle with a search for victims on 2,000 full nodes",
                lines,
                x="candidates",
                y="ms of CPU",
            )
    if "shape" in only:
        yield shape()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="place,preempt,shape", help="parts, separated by commas")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--plots", type=Path, help="draw growth curves into this folder")
    options = parser.parse_args()
    report(measure(set(options.only.split(",")), options.plots), options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
