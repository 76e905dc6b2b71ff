"""Quota of a cohort tree: the table of scheduling-cases.md §2."""

from __future__ import annotations

import re

import pytest

from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.assignment import Assignment, FlavorChoice, Mode, PodSetResult, ScanProgress
from pykueue.core.scheduler.cycle import reserved_amounts
from pykueue.core.views import weighted_share
from support.cohorts import plant
from support.stage import enter, set_stage
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
    choices = {item.resource: FlavorChoice(item.flavor, mode, level, -1, i) for i, item in enumerate(asked)}
    result = PodSetResult("main", 1, {item.resource: amount for item, amount in asked.items()}, choices)
    usage = {node.tree.number(item): amount for item, amount in asked.items()}
    found = reserved_amounts(node, Assignment([result], usage, level, ScanProgress((), 1, 1, "")))
    assert {node.tree.items[i]: amount for i, amount in found.items()} == amounts(want)


MOST = 9223372036854775807
TWO = "cq[co] default:cpu2,gpu5{}\nlender[co] default:cpu8,gpu5"

SHARES: dict[str, tuple[str, str, dict[str, int], str]] = {
    "FS-01 alone": ("cq default:2", "w@cq 9", {"cq": 0}, ""),
    "FS-02 within its own": (TWO.format(""), "w@cq cpu1,gpu2", {"cq": 0}, ""),
    "FS-03 the resource of which it borrows most": (TWO.format(""), "w@cq cpu3,gpu7", {"cq": 200}, "example.com/gpu"),
    "FS-04 rounded up": (
        "cq[co] default:gpu500\nlender[co] default:gpu1000", "w@cq gpu501", {"cq": 1}, "example.com/gpu",
    ),
    "FS-05 rounded up after the weight": (
        "cq[co] default:gpu500 | weight=300\nlender[co] default:gpu1000", "w@cq gpu800", {"cq": 1}, "example.com/gpu",
    ),
    "FS-08 all flavors together": (
        "cq[co] on-demand:20→spot:80\nlender[co] default:100", "a@cq 25 on-demand; b@cq 5 spot", {"cq": 25}, "cpu",
    ),
    "FS-09 weight 2": (TWO.format(" | weight=2"), "w@cq cpu1,gpu7", {"cq": 100}, "example.com/gpu"),
    "FS-09 weight a half": (TWO.format(" | weight=0.5"), "w@cq cpu1,gpu7", {"cq": 400}, "example.com/gpu"),
    "FS-09 no weight": (TWO.format(" | weight=0"), "w@cq cpu1,gpu7", {"cq": MOST}, "example.com/gpu"),
    "FS-09 no weight, nothing borrowed": (TWO.format(" | weight=0"), "w@cq cpu1,gpu5", {"cq": 0}, ""),
    "FS-10 each level by its own": (
        "root 45{child w2{cq 5}}", "w@cq 10", {"cq": 100, "child": 50, "root": 0}, "cpu",
    ),
    "FS-11 nothing of its own": (
        "root 50{child w2{cq 0}}", "w@cq 10", {"cq": 200, "child": 100, "root": 0}, "cpu",
    ),
    "FS-12 a cohort that may borrow little": (
        "root 50{child 0 BL10{cq 0}}", "w@cq 10", {"cq": 1000, "child": 200}, "cpu",
    ),
    "FS-14 more than can be counted": (
        "cq[co] default:0\nlender[co] default:1E", "w@cq 1", {"cq": 1}, "cpu",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_share(name: str) -> None:
    """The weighted share as a status shows it, and the resource that dominates."""
    queues, held, want, dominant = SHARES[name]
    world = World()
    set_stage(world, queues)
    enter(world, held, holding=True)
    nodes = {"cq": node_of(world, "cq")} | {
        node.name: node for node in node_of(world, "cq").lineage() if node.name in want and node.name != "cq"
    }
    assert {node: weighted_share(nodes[node]) for node in want} == want
    assert nodes["cq"].share()[1] == dominant


@pytest.mark.parametrize(
    ("gpu", "dominant"), [("default:cpu2,gpu5\nlender[co] default:cpu8,gpu5", "cpu"), ("default:cpu2,gpu2 LL0\nlender[co] default:cpu8,gpu64 LL0", "cpu")],
    ids=["FS-06", "FS-07 what nobody lends does not count"],
)  # fmt: skip
def test_share_with_what_is_assumed(gpu: str, dominant: str) -> None:
    """Usage that is assumed counts as if it were there."""
    world = World()
    set_stage(world, f"cq[co] {gpu}")
    enter(world, "w@cq cpu1,gpu1", holding=True)
    node = node_of(world, "cq")
    cores = node.tree.number(FlavorResource("default", "cpu"))
    gpus = node.tree.number(FlavorResource("default", "example.com/gpu"))
    (_, ratio), found = node.share({cores: 4000, gpus: 4})
    assert (ratio, found) == (300.0, dominant)


@pytest.mark.parametrize(
    ("held", "asked", "want"),
    [
        ("cpu3,gpu1", ("cpu",), True),
        ("cpu1,gpu7", ("cpu",), False),
        ("cpu3,gpu7", ("example.com/gpu",), True),
        ("cpu3,gpu7", (), False),
    ],
    ids=["it borrows that", "it borrows another", "it borrows both", "nothing is asked for"],
)
def test_who_borrows_what_is_asked_for(held: str, asked: tuple[str, ...], want: bool) -> None:
    """FS-13: only the resources that somebody needs count."""
    world = World()
    set_stage(world, TWO.format(""))
    enter(world, f"w@cq {held}", holding=True)
    node = node_of(world, "cq")
    needed = [node.tree.number(FlavorResource("default", resource_)) for resource_ in asked]
    assert node.is_within_nominal(needed) is not want
