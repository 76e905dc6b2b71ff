"""The flavor search of one Workload alone, set up and told as the case tables write it.

Quotas, requests and usage are in the notation of `World`. What preemption could do is looked up in the row (`sim`) and otherwise asked of
the real search for victims.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pykueue.api.configuration.types import Configuration, FairSharing
from pykueue.core.cache.clusterqueue import ClusterQueueState
from pykueue.core.features import Features
from pykueue.core.scheduler.assignment import Assignment, Mode
from pykueue.core.scheduler.flavor_assigner import Oracle, assign
from pykueue.core.workload.info import Info
from support.cohorts import plant
from support.world import World, resource

SPOT = {"key": "instance", "value": "spot", "effect": "NoSchedule"}
TOLERATION = {"key": "instance", "operator": "Equal", "value": "spot", "effect": "NoSchedule"}
MODES = {"none": Mode.NO_CANDIDATES, "preempt": Mode.PREEMPT, "reclaim": Mode.RECLAIM}
SHOWN = {Mode.NO_FIT: "NoFit", Mode.FIT: "Fit"}
TEXTS = {
    "exc": (
        "insufficient quota for {} in flavor {}, previously considered podsets requests ({}) + current podset request ({}) "
        "> maximum capacity ({})"
    ),
    "more": "insufficient unused quota for {} in flavor {}, {} more needed",
    "affinity": "flavor {} doesn't match node affinity",
    "taint": "untolerated taint {{instance spot NoSchedule <nil>}} in flavor {}",
    "lacks": "flavor {} does not provide resource {}",
    "slice": "could not assign {} flavor since the original workload is assigned: {}",
}


@dataclass(frozen=True)
class Row:
    """One case.

    Attributes:
        quotas: of the ClusterQueue `cq`.
        asks: requests of the Workload.
        want: `told` of the assignment.
        told: short texts; of the flavors considered if it fits, else of the message.
        used: what holds quota in `cq`: `one 2, two mem10Mi`.
        siblings: quotas and usage of other ClusterQueues of the cohort `co`; with any, `cq` is in that cohort.
        tree: drawing of cohorts and other ClusterQueues, instead of siblings.
        cohort: of `cq`.
        sim: flavor, or flavor and resource, to what preemption could do: `preempt/1`.
        options: of `cq`.
        workload: options of the Workload.
        fair: whether fair sharing is on.
        features: gates.
    """

    quotas: str
    asks: str
    want: str
    told: str = ""
    used: str = ""
    siblings: tuple[tuple[str, str], ...] = ()
    tree: str = ""
    cohort: str = ""
    sim: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    workload: Mapping[str, Any] = field(default_factory=dict)
    fair: bool = False
    features: Features = field(default_factory=lambda: Features({}))


@dataclass(frozen=True)
class Scripted:
    """An oracle that answers from a row."""

    sim: Mapping[str, str]
    real: Oracle

    def simulate(self, info: Info, queue: ClusterQueueState, item: int, amount: int) -> tuple[Mode, int]:
        flavor, name = queue.node.tree.items[item]
        script = {
            " ".join([f, *(resource(r) for r in rest)]): text
            for key, text in self.sim.items()
            for f, *rest in [key.split()]
        }
        text = script.get(f"{flavor} {name}") or script.get(flavor)
        if text is None:
            return self.real.simulate(info, queue, item, amount)
        mode, _, level = text.partition("/")
        return MODES[mode], int(level or 0)


def world_of(row: Row) -> World:
    """The objects of a row."""
    world = World(Configuration(fair_sharing=FairSharing()) if row.fair else None, row.features)
    for name in ("one", "two"):
        world.flavor(name, nodeLabels={"type": name})
        world.flavor(f"b_{name}", nodeLabels={"b_type": name})
    world.flavor("tainted", nodeTaints=[SPOT])
    world.flavor("tt", nodeTaints=[SPOT], tolerations=[TOLERATION])
    world.flavor("xa", nodeLabels={"x": "a"})
    world.flavor("xyb", nodeLabels={"x": "b", "y": "k"})
    plant(world, row.tree)
    cohort = row.cohort or ("co" if row.siblings else "")
    for i, (quotas, used) in enumerate([(row.quotas, row.used), *row.siblings]):
        name = f"sibling{i}" if i else "cq"
        world.queue(name, quotas, cohort, **({} if i else row.options))
        for j, part in enumerate(used.split(", ") if used else ()):
            flavor, amount = part.split()
            world.workload(f"held-{name}-{j}", name, amount, at=flavor)
    return world


def search(row: Row) -> Assignment:
    """What is found for the row's Workload."""
    world = world_of(row)
    world.workload("w", "cq", row.asks, **row.workload)
    queue, waiting = world.engine._cache.queue("cq"), world.engine._queues.find(world.workloads["w"].key)
    assert queue is not None
    assert waiting is not None
    nominator = world.engine._make_cycle().nominator
    context = replace(nominator.context, oracle=Scripted(row.sim, nominator.context.oracle))
    return assign(waiting.info, queue, context, replaces=nominator._replaced_slice(waiting.info))


def told(assignment: Assignment) -> str:
    """`Preempt borrowing 1: main cpu→one 0 Preempt, memory→two -1 | worker …`, or `NoFit(ExceedsMaxQuota): …`."""
    mode = assignment.mode
    head = f"NoFit({assignment.no_fit_reason.value})" if mode is Mode.NO_FIT else SHOWN.get(mode, "Preempt")
    head += f" borrowing {assignment.borrowing}" if assignment.borrowing else ""
    pod_sets = []
    for ps in assignment.pod_sets:
        choices = [
            f"{name}→{c.flavor} {c.tried}" + ("" if c.mode is Mode.FIT else " Preempt")
            for name, c in sorted(ps.flavors.items())
        ]
        pod_sets.append(f"{ps.name} " + (", ".join(choices) or "nothing"))
    return f"{head}: " + " | ".join(pod_sets)


def reasons(assignment: Assignment) -> str:
    """What is told with it: the flavors considered if it fits, else why it does not."""
    if assignment.mode is Mode.FIT:
        return assignment.considered()
    return assignment.message().replace("couldn't assign flavors to pod set ", "")


def in_full(text: str) -> str:
    """The short messages of the tables (`exc(cpu,one,0,3,2)`) written out."""
    names = "|".join(TEXTS)

    def expand(match: re.Match[str]) -> str:
        return TEXTS[match.group(1)].format(
            *(resource(w) if w in ("mem", "gpu") else w for w in match.group(2).split(","))
        )

    return re.sub(rf"\b({names})\(([^)]*)\)", expand, text)
