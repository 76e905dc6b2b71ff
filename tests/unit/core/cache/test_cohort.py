"""Quota of a cohort tree: the table of scheduling-cases.md §2."""

from __future__ import annotations

import re

import pytest

from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.assignment import Assignment, FlavorChoice, Mode, PodSetResult, ScanProgress
from pykueue.core.scheduler.cycle import reserved_amounts
from support.cohorts import plant
from support.world import World, resource

TREES = {
    "QM-01 no cohort": (
        "cq1 red:0 used red:1, cq2 red:5→blue:10 used red:2.5 used blue:1",
        "cq1.red 0/0, cq2.red 2.5/5, cq2.blue 9/10",
    ),
    "QM-02 a lender keeps a part": ("co 10{cq1 10 used 1, cq2 10 LL9 used 0.5}", "cq1 28/29, cq2 28.5/30"),
    "QM-03 more used than its own": ("co 10{cq1 10 used 11}", "cq1 9/20"),
    "QM-04 debt of one is everybody's": ("co 10{cq1 10 used 31, cq2 10 BL0 LL0}", "cq1 0/20, cq2 0/10"),
    "QM-05 limits of borrowing and lending": (
        "co 10{cq1 10 used 20, cq2 10 BL2 used 10, cq3 10 LL5 used 6}", "cq1 4/35, cq2 2/12, cq3 4/40",
    ),
    "QM-06 two cohorts below a root": (
        "root{left 10{cq1 10 used 10}, right 10{cq2 10 LL0 used 5}}", "cq1 20/30, cq2 25/40",
    ),
    "QM-07 a cohort that borrows little": (
        "root{left 10 BL5{cq1 10, cq2 10 BL5}, right 10{cq3 10}}", "cq1 35/35, cq2 15/15, cq3 50/50",
    ),
    "QM-08 a cohort that lends little": (
        "root{rootcq 0, left 0 LL5{cq1 10 LL5, cq2 10}, right 0{rcq 0}}", "cq1 20/20, cq2 15/15, rcq 5/5, rootcq 5/5",
    ),
}  # fmt: skip


def node_of(world: World, name: str) -> QuotaNode:
    queue = world.engine._cache.queue(name)
    assert queue is not None
    return queue.node


def quotas(world: World, which: str) -> tuple[float, float]:
    """Available and at most available cores of `queue` or `queue.flavor`."""
    name, _, flavor = which.partition(".")
    node = node_of(world, name)
    i = node.tree.number(FlavorResource(flavor or "default", "cpu"))
    return node.free(i) / 1000, node.potential[i] / 1000


@pytest.mark.parametrize("name", TREES)
def test_available(name: str) -> None:
    """What may still be used, and what could be at most; without usage (QM-09) the two are the same."""
    drawing, text = TREES[name]
    world = World()
    plant(world, drawing)
    wants = {which: (float(free), float(most)) for which, free, most in re.findall(r"([\w.]+) ([\d.]+)/([\d.]+)", text)}
    assert {which: quotas(world, which) for which in wants} == wants
    for held in list(world.workloads):
        world.delete(held)
    assert {which: quotas(world, which) for which in wants} == {
        which: (most, most) for which, (_, most) in wants.items()
    }


SHORT = {"od": ("on-demand", "mem"), "spot": ("spot", "mem"), "a": ("model-a", "gpu"), "b": ("model-b", "gpu")}
BOUNDED = "on-demand:mem100→spot:mem0 BL100 ∥ model-a:gpu10 BL0→model-b:gpu10 BL5"
RESERVED = {
    "QM-10 no more than its own that is left": (
        (Mode.PREEMPT, 0), "od 60, spot 50, a 6, b 2", "od 50, a 6", "od 40, a 4",
    ),
    "QM-11 all of it where there is room": (
        (Mode.PREEMPT, 0), "od 60, spot 50, a 2, b 2", "od 30, a 2", "od 30, a 2",
    ),
    "QM-12 nothing where its own is used up": ((Mode.PREEMPT, 0), "spot 60, b 10", "spot 50, b 2", "spot 0, b 0"),
    "QM-13 a borrower within its limit": ((Mode.PREEMPT, 1), "spot 60, b 10", "spot 50, b 2", "spot 40, b 2"),
    "QM-14 a borrower without a limit": ((Mode.PREEMPT, 1), "od 60, b 10", "od 50, b 2", "od 50, b 2"),
    "QM-15 who fits": ((Mode.FIT, 0), "od 60, a 2", "od 50, a 2", "od 50, a 2"),
}  # fmt: skip


def amounts(text: str) -> dict[FlavorResource, int]:
    parts = (part.split() for part in text.split(", "))
    return {FlavorResource(SHORT[name][0], resource(SHORT[name][1])): int(amount) for name, amount in parts}


@pytest.mark.parametrize("name", RESERVED)
def test_reserved(name: str) -> None:
    """What is kept for an entry that nobody can be preempted for."""
    (mode, level), used, wanted, want = RESERVED[name]
    world = World()
    world.queue("cq", BOUNDED, "eng")
    for item, amount in amounts(used).items():
        kind = "gpu" if item.resource.endswith("gpu") else "mem"
        world.workload(f"held-{item.flavor}", "cq", f"{kind}{amount}", at=item.flavor)
    node = node_of(world, "cq")
    asked = amounts(wanted)
    choices = {item.resource: FlavorChoice(item.flavor, mode, level, -1) for item in asked}
    result = PodSetResult("main", 1, {item.resource: amount for item, amount in asked.items()}, choices)
    usage = {node.tree.number(item): amount for item, amount in asked.items()}
    found = reserved_amounts(node, Assignment([result], usage, level, ScanProgress((), 1, 1, "")))
    assert {node.tree.items[i]: amount for i, amount in found.items()} == amounts(want)
