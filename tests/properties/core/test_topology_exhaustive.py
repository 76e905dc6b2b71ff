"""Placement against every placement there is, on trees small enough to try them all.

For each constraint and each order that it may be placed in:

* Complete and sound: a placement is found exactly when a valid one exists, and it is one of the valid ones. There is no exception: the
  search is greedy, but what it takes on one level always has room on the next, with leaders, slices and layers of slices too.
* The level: a request that prefers stays within one domain of the lowest level, from the preferred one up, where that can be done.
* The fewest domains, where fits are to be best: on the level where the search ends, and on each level from there down to that of the
  slices, among the domains chosen above. Not over all levels at once: a block is chosen before its racks are looked at. Not below the slices'
  level, where domains with little room come first (tas.md §6.3). And with a leader, among placements that seat it in the same domain: who
  hosts it is settled before the rest is counted (§6.1), which can cost a domain.
* The tightest domain: where one domain holds everything, none that also could is smaller; and least free capacity leaves no domain
  untouched that is smaller than one it took.

Balanced placement gives up the last three for equal shares, so it is asked for the first only.

Source: tas.md §6.1 to §6.3, §6.6.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.v1beta2 import SliceConstraint, TopologyRequest
from pykueue.core.resources import PODS
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import PodDemand
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.place import Placement, place
from pykueue.core.tas.request import Layout, resolve
from pykueue.core.tas.topology import NodeBook
from support.exhaustive import Path, Problem, Spread
from support.nodes import BLOCK, HOST, RACK, node

LEVELS = (BLOCK, RACK, HOST)
LOWEST = 2
PROFILES: dict[str, dict[str, bool]] = {
    "BestFit": {"is_mixed": False},
    "Mixed": {"is_mixed": True},
    "Balanced": {"is_mixed": True, "is_balanced": True},
}
MIXED_MATTERS = ("unconstrained", "implied", "slices")
PLAIN = [("required", "BestFit"), ("preferred", "Mixed")] + [
    (constraint, profile) for constraint in MIXED_MATTERS for profile in ("BestFit", "Mixed")
]
"""Constraint and profile; who names a level is placed by best fit under either."""
EVERY = [*PLAIN, ("required", "Mixed"), ("preferred", "BestFit"), ("preferred", "Balanced")]


@dataclass(frozen=True)
class Case:
    """A problem with the request that says the same."""

    problem: Problem
    request: TopologyRequest | None

    def place(self, profile: str) -> Spread | None:
        """What the product finds."""
        problem, book = self.problem, NodeBook()
        for path, free in problem.hosts.items():
            allocatable = {name: f"{n}m" if name == "cpu" else n for name, n in free.items()}
            book.set_node(path[-1], node(path[-1], dict(zip(LEVELS, path, strict=True)), allocatable))
        layout = resolve(LEVELS, self.request)
        assert isinstance(layout, Layout)
        workers = PodDemand("workers", problem.count, problem.worker, {})
        leader = PodDemand("leader", 1, problem.leader, {}) if problem.leader is not None else None
        room = room_of(book.tree(LEVELS, {}), Ledger(), "flavor")
        found = place("topology", room, layout, workers, leader, **PROFILES[profile])
        if not isinstance(found, Placement):
            return None
        pods = {domain.values[-1]: domain.n_pods for domain in found.workers}
        names = [path[-1] for path in problem.hosts]
        assert pods.keys() <= set(names)
        host = names.index(found.leader.values[-1]) if found.leader is not None else None
        return Spread(tuple(pods.get(name, 0) for name in names), host)


# Each drawn at once, for drawing is what takes the time here.
RACKS = [
    tuple(zip(blocks, ("r0", "r1", "r2"), strict=True)) for blocks in itertools.product(("b0",), *[("b1", "b0")] * 2)
]
FREE = list(itertools.product((3, 2, 4, 1, 5, 0), (3, 2, 4, 1, 5, 0), (3, 2, 1)))
NEEDS = [(1, 1), (1, 0), (0, 1), (2, 1), (0, 0)]
"""Cpu and memory of a worker."""
LEADERS = [*[None] * 6, *itertools.product((1, 0, 3), (2, 4))]


@st.composite
def cases(draw: st.DrawFn, constraint: str) -> Case:
    """Up to 6 hosts in 3 racks in 2 blocks, with room for up to 3 pods each; up to 6 workers, perhaps in slices, perhaps led."""
    racks, hosts = draw(st.sampled_from(RACKS)), {}
    for i in range(draw(st.sampled_from((5, 6, 4, 3, 2, 1)))):
        cpu, memory, pods = draw(st.sampled_from(FREE))
        hosts[*draw(st.sampled_from(racks)), f"h{i}"] = {"cpu": cpu, "memory": memory, PODS: pods}
    names_level = constraint in ("required", "preferred")
    main = draw(st.integers(0, LOWEST)) if names_level else 0 if constraint == "slices" else LOWEST
    fields: dict[str, Any] = {constraint: LEVELS[main]} if names_level else {}
    if constraint == "unconstrained":
        fields["unconstrained"] = True
    layers = [(LOWEST, 1)]
    if constraint == "slices" or (names_level and draw(st.booleans())):
        layers = draw(slices(main))
        fields["podset_slice_required_topology_constraints"] = tuple(
            SliceConstraint(topology=LEVELS[level], size=size) for level, size in layers
        )
    worker, leader = amounts(*draw(st.sampled_from(NEEDS))), draw(st.sampled_from(LEADERS))
    # Near the number that a domain takes, or all together, for there the choices matter.
    together = constraint == "required" or (constraint == "preferred" and draw(st.booleans()))
    rooms: dict[Path, int] = {}
    for path, free in hosts.items():
        region = path[: main + 1] if together else ()
        rooms[region] = rooms.get(region, 0) + min(free[name] // n for name, n in worker.items() if n)
    count = max(layers[0][1], min(6, max(rooms.values()) - draw(st.sampled_from((0, 1, 2, 4, -1)))))
    led = amounts(*leader) if leader is not None else None
    request = TopologyRequest(**fields) if fields else None
    return Case(Problem(hosts, constraint == "required", main, layers, count, worker, led), request)


def amounts(cpu: int, memory: int) -> dict[str, int]:
    return {"cpu": cpu, "memory": memory, PODS: 1}


@st.composite
def slices(draw: st.DrawFn, main: int) -> list[tuple[int, int]]:
    """Level and size of slices, perhaps with a layer inside."""
    level, (size, inner) = (
        draw(st.integers(main, LOWEST)),
        draw(st.sampled_from([(2, 1), (2, 2), (4, 2), (3, 1), (1, 1)])),
    )
    if level < LOWEST and draw(st.booleans()):
        return [(level, size), (draw(st.integers(level + 1, LOWEST)), inner)]
    return [(level, size)]


def ending_level(case: Case, constraint: str, spreads: list[Spread]) -> int:
    """The level where the search ends: of those it looks at, from the main one up, the first where one domain can hold it all."""
    problem = case.problem
    if constraint != "preferred":
        return problem.main
    together = (k for k in range(problem.main, -1, -1) if any(len(problem.used(s, k)) == 1 for s in spreads))
    return next(together, 0)


@pytest.mark.parametrize(("constraint", "profile"), EVERY)
@settings(max_examples=50)
@given(st.data())
def test_finds_a_valid_placement_exactly_when_there_is_one(constraint: str, profile: str, data: st.DataObject) -> None:
    """What is found is one of all valid placements; nothing is found only where there is none."""
    check_valid(data.draw(cases(constraint)), profile)


@pytest.mark.parametrize("constraint", ["required", "preferred", *MIXED_MATTERS])
@settings(max_examples=35)
@given(st.data())
def test_best_fit_takes_the_fewest_domains(constraint: str, data: st.DataObject) -> None:
    """Level by level: no placement within the domains chosen above does with fewer."""
    check_fewest(data.draw(cases(constraint)), constraint)


@pytest.mark.parametrize(("constraint", "profile"), PLAIN)
@settings(max_examples=35)
@given(st.data())
def test_takes_one_domain_if_it_can_and_the_tightest(constraint: str, profile: str, data: st.DataObject) -> None:
    """Where the search ends one domain has it all, if one can, and large domains stay whole while smaller ones do."""
    check_tightest(data.draw(cases(constraint)), constraint, profile)


@pytest.mark.parametrize(
    ("main", "rooms", "layers"),
    [
        pytest.param(1, {"b0 r0": [3], "b1 r1": [2], "b1 r2": [2]}, [], id="one block before the largest racks"),
        pytest.param(2, {"b0 r0": [2], "b0 r1": [2], "b1 r2": [3, 2]}, [], id="one rack before the tightest block"),
        pytest.param(0, {"b0 r0": [1, 3, 3]}, [(1, 4), (2, 2)], id="whole pairs in hosts"),
    ],
)
def test_trees_that_tell(main: int, rooms: dict[str, list[int]], layers: list[tuple[int, int]]) -> None:
    """Four pods on trees where an order slightly wrong would choose otherwise, which random ones seldom are."""
    hosts = {
        (*above.split(), f"{above} {i}"): {"cpu": 9, "memory": 9, PODS: n}
        for above, numbers in rooms.items()
        for i, n in enumerate(numbers)
    }
    constraints = tuple(SliceConstraint(topology=LEVELS[level], size=size) for level, size in layers)
    request = TopologyRequest(preferred=LEVELS[main], podset_slice_required_topology_constraints=constraints)
    case = Case(Problem(hosts, False, main, layers or [(LOWEST, 1)], 4, amounts(1, 1), None), request)
    assert any(case.problem.spreads())
    check_valid(case, "Mixed")
    check_fewest(case, "preferred")
    check_tightest(case, "preferred", "Mixed")


def test_a_leader_can_cost_a_domain() -> None:
    """It sits in the first host that takes as many workers beside it as any, though that one was the largest without it."""
    rooms = {"h0": (4, 9), "h1": (4, 2), "h2": (1, 9)}
    hosts = {("b", "r", name): {"cpu": cpu, PODS: pods} for name, (cpu, pods) in rooms.items()}
    problem = Problem(hosts, False, LOWEST, [(LOWEST, 1)], 4, {"cpu": 1, PODS: 1}, {"cpu": 3, PODS: 1})
    found = Case(problem, None).place("BestFit")
    assert found == Spread((1, 2, 1), 0)
    assert Spread((3, 1, 0), 1) in set(problem.spreads())


def check_valid(case: Case, profile: str) -> None:
    """A placement is found if there is a valid one, and is valid."""
    valid, found = set(case.problem.spreads()), case.place(profile)
    assert found in valid if valid else found is None


def check_fewest(case: Case, constraint: str) -> None:
    """By best fit: on each level the fewest domains, with the leader where it is."""
    problem = case.problem
    found, rivals = case.place("BestFit"), list(problem.spreads())
    if found is None:
        return
    for level in range(ending_level(case, constraint, rivals), problem.layers[0][0] + 1):
        chosen, seat = problem.used(found, level), problem.seat(found, level)
        rivals = [spread for spread in rivals if problem.seat(spread, level) == seat]
        assert len(chosen) == min(len(problem.used(spread, level)) for spread in rivals), LEVELS[level]
        rivals = [spread for spread in rivals if problem.used(spread, level) <= chosen]


def check_tightest(case: Case, constraint: str, profile: str) -> None:
    """Where the search ends: one domain if one can, and the smallest of those; or by least free capacity, the smallest ones."""
    problem = case.problem
    found = case.place(profile)
    if found is None:
        return
    level = ending_level(case, constraint, list(problem.spreads()))
    room = {path[: level + 1]: problem.most_slices(path[: level + 1]) for path in problem.hosts}
    chosen = problem.used(found, level)
    able = [n for n in room.values() if n >= problem.n_slices]
    if able:
        assert [room[d] for d in chosen] == [min(able)]
        return
    assert len(chosen) > 1
    if profile == "Mixed" and constraint in MIXED_MATTERS and problem.leader is None:
        untouched = [n for d, n in room.items() if d not in chosen and n]
        assert max(room[d] for d in chosen) <= min(untouched, default=problem.count)
