"""Flavor assignment for one Workload: the table of scheduling-cases.md §1."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.core.resources import fnv1a
from pykueue.core.scheduler.assignment import Mode
from pykueue.core.scheduler.flavor_assigner import is_preferred
from support.world import World, admits, pendings

SPOT = {"key": "instance", "value": "spot", "effect": "NoSchedule"}
TOLERATION = {"key": "instance", "operator": "Equal", "value": "spot", "effect": "NoSchedule"}


def world_of(quotas: str, **options: Any) -> World:
    world = World()
    world.flavor("one", nodeLabels={"type": "one"})
    world.flavor("two", nodeLabels={"type": "two"})
    world.flavor("default")
    world.flavor("tainted", nodeTaints=[SPOT])
    world.flavor("tt", nodeTaints=[SPOT], tolerations=[TOLERATION])
    world.flavor("xa", nodeLabels={"x": "a"})
    world.flavor("xyb", nodeLabels={"x": "b", "y": "k"})
    world.queue("cq", quotas, **options)
    return world


def term(*expressions: tuple[str, str]) -> dict[str, Any]:
    return {"matchExpressions": [{"key": k, "operator": "In", "values": [v]} for k, v in expressions]}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": required}}


FITS = {
    "FA-01 single flavor": ("default:cpu1,mem2Mi", "cpu1,mem1Mi", {}, {"cpu": "default", "memory": "default"}),
    "FA-02 pod tolerates": ("tainted:4", "1", {"tolerations": [TOLERATION]}, {"cpu": "tainted"}),
    "FA-03 flavor tolerates itself": ("tt:4", "1", {}, {"cpu": "tt"}),
    "FA-05 two resource groups": (
        "one:2→two:4 ∥ b_one:mem1Gi→b_two:mem5Gi", "cpu3,mem10Mi", {}, {"cpu": "two", "memory": "b_one"},
    ),
    "FA-10 three resources": (
        "one:cpu2,mem1Gi→two:cpu4,mem15Mi ∥ b_one:gpu4→b_two:gpu2", "cpu3,mem10Mi,gpu3", {},
        {"cpu": "two", "memory": "two", "example.com/gpu": "b_one"},
    ),
    "FA-13 skip an untolerated taint": ("tainted:4→two:4", "3", {}, {"cpu": "two"}),
    "FA-14 selector, foreign keys ignored": (
        "one:4→two:4", "3", {"nodeSelector": {"type": "two", "ignored1": "foo"}, **affinity(term(("ignored2", "bar")))},
        {"cpu": "two"},
    ),
    "FA-15 required affinity": ("one:4→two:4", "3", affinity(term(("type", "two"))), {"cpu": "two"}),
    "FA-16 a term about other keys only": (
        "one:4→two:4", "3", affinity(term(("ignored2", "bar")), term(("type", "two"))), {"cpu": "one"},
    ),
    "FA-17 only this flavor's keys": ("xa:4→xyb:4", "1", {"nodeSelector": {"x": "a", "y": "g"}}, {"cpu": "xa"}),
    "FA-18 a flavor without labels": ("default:4→two:4", "1", {"nodeSelector": {"type": "two"}}, {"cpu": "default"}),
    "FA-28 zero of an uncovered resource": ("default:4", "cpu1,gpu0", {}, {"cpu": "default"}),
    "FA-29 zero of a covered resource": (
        "default:cpu4,gpu1", "cpu1,gpu0", {}, {"cpu": "default", "example.com/gpu": "default"},
    ),
    "FA-30 implicit pods": ("default:pods3,cpu10", "3×1", {}, {"cpu": "default", "pods": "default"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_fits(name: str) -> None:
    """These flavors are assigned."""
    quotas, requests, pod, want = FITS[name]
    world = world_of(quotas)
    world.workload("w", "cq", requests, pod=pod)
    [assignment] = admits(world.cycle())["w"].admission.pod_set_assignments
    assert dict(assignment.flavors) == want


EXCEEDS = (
    "insufficient quota for {} in flavor {}, previously considered podsets requests ({}) + current podset request ({}) "
    "> maximum capacity ({})"
)
REFUSED = {
    "FA-12 the worst resource decides": (
        "one:cpu2,mem1Gi→two:cpu4,mem5Mi", "cpu3,mem10Mi", {}, "ExceedsMaxQuota",
        f"{EXCEEDS.format('cpu', 'one', 0, 3, 2)}, {EXCEEDS.format('memory', 'two', 0, '10Mi', '5Mi')}",
    ),
    "FA-19 nothing matches": (
        "one:4→two:4", "1", affinity(term(("type", "three"))), "NoMatchingFlavor",
        "flavor one doesn't match node affinity, flavor two doesn't match node affinity",
    ),
    "FA-27 an uncovered resource": (
        "one:4", "gpu2", {}, "NoMatchingFlavor", "resource example.com/gpu unavailable in ClusterQueue",
    ),
    "FA-31 too many pods": (
        "default:pods2,cpu10", "3×1", {}, "ExceedsMaxQuota", EXCEEDS.format("pods", "default", 0, 3, 2),
    ),
    "FA-62 the best alternative tells the reason": (
        "one:2→tainted:9", "3", {}, "ExceedsMaxQuota",
        f"{EXCEEDS.format('cpu', 'one', 0, 3, 2)}, untolerated taint {{instance spot NoSchedule <nil>}} in flavor tainted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """Nothing is assigned, with this reason and text."""
    quotas, requests, pod, reason, text = REFUSED[name]
    world = world_of(quotas)
    world.workload("w", "cq", requests, pod=pod)
    waiting = pendings(world.cycle())["w"]
    assert waiting.reason == reason
    assert waiting.message == "couldn't assign flavors to pod set main: " + text


def test_what_is_preferred() -> None:
    """FA-58 to FA-61: modes and borrowing levels under both preferences."""
    over = "PreemptionOverBorrowing"
    assert is_preferred((Mode.FIT, 0), (Mode.PREEMPT, 0), None)
    assert not is_preferred((Mode.PREEMPT, 1), (Mode.FIT, 2), None)
    table = [
        ((Mode.PREEMPT, 1), (Mode.FIT, 2), True), ((Mode.PREEMPT, 1), (Mode.FIT, 1), False),
        ((Mode.NO_CANDIDATES, 1), (Mode.FIT, 2), False), ((Mode.FIT, 2), (Mode.NO_CANDIDATES, 1), True),
        ((Mode.NO_CANDIDATES, 1), (Mode.NO_CANDIDATES, 2), True), ((Mode.NO_CANDIDATES, 2), (Mode.NO_CANDIDATES, 1), False),
    ]  # fmt: skip
    for a, b, want in table:
        assert is_preferred(a, b, over) is want, (a, b)
    for preference in (None, over):
        assert is_preferred((Mode.NO_CANDIDATES, 1), (Mode.NO_FIT, 0), preference)
        assert not is_preferred((Mode.NO_FIT, 0), (Mode.NO_CANDIDATES, 1), preference)


def test_resources_are_looked_at_in_hash_order() -> None:
    """64-bit FNV-1a, by its published test vector."""
    assert fnv1a("a") == 0xAF63DC4C8601EC8C
