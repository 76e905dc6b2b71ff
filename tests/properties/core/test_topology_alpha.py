"""Balanced placement and preferred affinity against twins that read the rules word by word: the same domains, counts and order."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pykueue.api.conversion.topology import Domain
from pykueue.api.v1beta2 import SliceConstraint, TopologyRequest
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import PodDemand, demand_of_pod
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.place import place
from pykueue.core.tas.request import Layout, resolve
from pykueue.core.tas.topology import NodeBook
from support.nodes import BLOCK, HOST, RACK, node
from support.slow_balanced import place_balanced_slowly
from support.slow_placement import place_slowly

LEVELS = (BLOCK, RACK, HOST)
hosts = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=7
)
"""Block, rack, cpu, and how much the host is liked."""


@st.composite
def requests(draw: st.DrawFn, *, prefers: bool) -> tuple[TopologyRequest, int]:
    """A request with its number of pods, perhaps in slices, perhaps in slices of slices."""
    main = draw(st.integers(0, 2))
    kind = "preferred" if prefers else draw(st.sampled_from(["required", "preferred", "unconstrained"]))
    fields: dict[str, Any] = {kind: True if kind == "unconstrained" else LEVELS[main]}
    size = 1
    if draw(st.booleans()):
        level = draw(st.integers(main if kind != "unconstrained" else 0, 2))
        inner = draw(st.integers(1, 2))
        size = inner * draw(st.integers(1, 2))
        layers = [SliceConstraint(topology=LEVELS[level], size=size)]
        if level < 2 and draw(st.booleans()):
            layers.append(SliceConstraint(topology=LEVELS[draw(st.integers(level + 1, 2))], size=inner))
        fields["podset_slice_required_topology_constraints"] = tuple(layers)
    return TopologyRequest(**fields), draw(st.integers(1, 14)) * size


class Small:
    """A few hosts, and what both twins are told of them."""

    def __init__(self, drawn: list[tuple[int, int, int, int]]) -> None:
        self.book = NodeBook()
        self.left: dict[tuple[str, ...], dict[str, int]] = {}
        self.liked: dict[tuple[str, ...], int] = {}
        for i, (block, rack, cpu, score) in enumerate(drawn):
            path = (f"b{block}", f"r{rack}", f"h{i}")
            labels = dict(zip(LEVELS, path, strict=True)) | {"liked": str(score)}
            self.book.set_node(path[-1], node(path[-1], labels, {"cpu": cpu, "pods": 99}))
            self.left[path] = {"cpu": 1000 * cpu, "pods": 99}
            self.liked[path] = 5 * score

    def place(self, request: TopologyRequest, count: int, leader_cpu: int | None, **how: Any) -> Any:
        """The placement in the form of the twins; a text if there is none."""
        layout = resolve(LEVELS, request)
        assert isinstance(layout, Layout)
        workers = PodDemand("w", count, demand_of_pod({"cpu": 1000}), {}, (), how.pop("preferences", ()))
        leader = PodDemand("l", 1, demand_of_pod({"cpu": 1000 * leader_cpu}), {}) if leader_cpu is not None else None
        tree = self.book.tree(LEVELS, {})
        found = place("t", room_of(tree, Ledger(), "f"), layout, workers, leader, **how)
        if isinstance(found, str):
            return found
        paths = {path[-1]: path for path in self.left}

        def told(domain: Domain) -> tuple[tuple[str, ...], int]:
            return paths[domain.values[-1]], domain.n_pods

        return [told(d) for d in found.workers], paths[found.leader.values[-1]] if found.leader is not None else None


def slow(
    small: Small, request: TopologyRequest, count: int, leader_cpu: int | None, *, is_balanced: bool, **how: Any
) -> Any:
    layout = resolve(LEVELS, request)
    assert isinstance(layout, Layout)
    head = demand_of_pod({"cpu": 1000 * leader_cpu}) if leader_cpu is not None else None
    if is_balanced:
        return place_balanced_slowly(small.left, layout, count, demand_of_pod({"cpu": 1000}), head, **how)
    return place_slowly(small.left, layout, count, demand_of_pod({"cpu": 1000}), head, is_mixed=True, **how)


def agree(found: Any, want: Any) -> None:
    if isinstance(want, int):
        assert isinstance(found, str)
    else:
        assert found == want


PREFERENCES = [
    {
        "weight": 5 * score,
        "preference": {"matchExpressions": [{"key": "liked", "operator": "In", "values": [str(score)]}]},
    }
    for score in (1, 2)
]


@settings(max_examples=400)
@given(hosts, requests(prefers=True), st.none() | st.integers(0, 4))
def test_balances_like_its_twin(
    drawn: list[tuple[int, int, int, int]], asked: tuple[TopologyRequest, int], leader_cpu: int | None
) -> None:
    """Threshold, members and extras, or no balance at all."""
    small, (request, count) = Small(drawn), asked
    found = small.place(request, count, leader_cpu, is_mixed=True, is_balanced=True)
    agree(found, slow(small, request, count, leader_cpu, is_balanced=True))


@settings(max_examples=400)
@given(hosts, requests(prefers=False), st.none() | st.integers(0, 4))
def test_likes_like_its_twin(
    drawn: list[tuple[int, int, int, int]], asked: tuple[TopologyRequest, int], leader_cpu: int | None
) -> None:
    """Scores come first in every order, and bound the best fit."""
    small, (request, count) = Small(drawn), asked
    found = small.place(request, count, leader_cpu, is_mixed=True, preferences=PREFERENCES)
    agree(found, slow(small, request, count, leader_cpu, is_balanced=False, liked=small.liked))


@settings(max_examples=150)
@given(hosts, requests(prefers=True), st.none() | st.integers(0, 4))
@example([(0, 0, 2, 0), (0, 1, 0, 1), (0, 1, 0, 1), (0, 2, 2, 1)], (TopologyRequest(preferred=RACK), 1), None)
def test_both_at_once(
    drawn: list[tuple[int, int, int, int]], asked: tuple[TopologyRequest, int], leader_cpu: int | None
) -> None:
    """Balanced placement looks at what is liked, too."""
    small, (request, count) = Small(drawn), asked
    found = small.place(request, count, leader_cpu, is_mixed=True, is_balanced=True, preferences=PREFERENCES)
    agree(found, slow(small, request, count, leader_cpu, is_balanced=True, liked=small.liked))


@settings(max_examples=150)
@given(hosts, requests(prefers=True))
def test_a_balance_needs_no_more_room(
    drawn: list[tuple[int, int, int, int]], asked: tuple[TopologyRequest, int]
) -> None:
    """It finds places exactly where the ordinary search does, as many pods, and overfills nothing."""
    small, (request, count) = Small(drawn), asked
    plain = small.place(request, count, None, is_mixed=True)
    found = small.place(request, count, None, is_mixed=True, is_balanced=True)
    assert isinstance(found, str) == isinstance(plain, str)
    if not isinstance(found, str):
        assert sum(n for _, n in found[0]) == sum(n for _, n in plain[0])
        assert all(1000 * n <= small.left[path]["cpu"] for path, n in found[0])


def test_a_placement_is_one() -> None:
    """The twins are compared with what is really returned."""
    small = Small([(0, 0, 5, 0), (0, 1, 5, 0)])
    request = TopologyRequest(preferred=RACK)
    assert small.place(request, 6, None, is_mixed=True, is_balanced=True)[0] == [
        (("b0", "r0", "h0"), 3),
        (("b0", "r1", "h1"), 3),
    ]
