"""Arrays that are kept up to date against a twin that reads everything anew: the same domains, counts, order and numbers in messages.

Nodes come, change, go and return; other pods come and go; Workloads hold and release; trials are undone. In between pods are placed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pykueue.api.conversion.topology import Domain
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import SliceConstraint, TopologyRequest
from pykueue.core.tas import counts as counting
from pykueue.core.tas import place as placing
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import PodDemand, demand_of_pod
from pykueue.core.tas.ledger import Ledger, Places
from pykueue.core.tas.outlook import Outlook
from pykueue.core.tas.place import Placement, make_placer
from pykueue.core.tas.request import Layout, resolve
from pykueue.core.tas.topology import NodeBook
from pykueue.core.tas.tree import Tree
from support.nodes import BLOCK, HOST, RACK, node
from support.slow_placement import place_slowly

TREES = ((BLOCK, RACK, HOST), (BLOCK, RACK), (HOST,))
N_HOSTS = 7
Event = tuple[str, Any]

hosts = st.integers(0, N_HOSTS - 1)
rack = st.tuples(st.integers(0, 1), st.integers(0, 1))
node_events = st.tuples(
    hosts, st.integers(0, 5), st.integers(1, 6), st.booleans(), st.sampled_from(["a", "a", "b"]), st.none() | rack
)
pod_events = st.tuples(st.integers(0, 3), st.none() | st.tuples(hosts, st.integers(0, 3)))
hold_events = st.tuples(st.integers(0, 3), st.dictionaries(hosts, st.integers(1, 3), max_size=3), st.integers(0, 2))


@st.composite
def requests(draw: st.DrawFn) -> tuple[TopologyRequest | None, int]:
    """A request and its pods: any strictness; no slices, slices, or slices in slices."""
    fields: dict[str, Any] = {}
    main = draw(st.integers(0, 2))
    strictness = draw(st.sampled_from(["required", "preferred", "unconstrained", "implied"]))
    if strictness in ("required", "preferred"):
        fields[strictness] = TREES[0][main]
    elif strictness == "unconstrained":
        fields["unconstrained"] = True
    size = 1
    n_layers = draw(st.integers(0, 2)) if strictness != "implied" else 0
    if n_layers:
        level = draw(st.integers(main if strictness != "unconstrained" else 0, 2))
        inner = draw(st.integers(1, 3))
        size = inner * draw(st.integers(1, 2))
        layers = [SliceConstraint(topology=TREES[0][level], size=size)]
        if n_layers == 2 and level < 2:
            layers.append(SliceConstraint(topology=TREES[0][draw(st.integers(level + 1, 2))], size=inner))
        fields["podset_slice_required_topology_constraints"] = tuple(layers)
    return TopologyRequest(**fields) if fields else None, draw(st.integers(1, 5)) * size


asks = st.lists(
    st.tuples(requests(), st.integers(0, 3), st.none() | st.integers(0, 3), st.booleans()), min_size=1, max_size=3
)
# The same few requests come again and again, so that what is kept of them is used.
ask_events = st.tuples(st.integers(0, 2), st.booleans(), st.none() | hold_events)
events = st.lists(
    st.one_of(
        st.tuples(st.just("node"), node_events),
        st.tuples(st.just("gone"), hosts),
        st.tuples(st.just("pod"), pod_events),
        st.tuples(st.just("hold"), hold_events),
        st.tuples(st.just("ask"), ask_events),
        st.tuples(st.just("ask"), ask_events),
    ),
    max_size=30,
)


def demand(count: int, cpu: int, *, only_a: bool) -> PodDemand:
    spec = {"nodeSelector": {"zone": "a"}} if only_a else {}
    return PodDemand("main", count, demand_of_pod({"cpu": cpu * 1000} if cpu else {}), spec)


class Life:
    """The book and the ledger under test, and what was told to them."""

    def __init__(self, asks: list[Any]) -> None:
        self.asks = asks
        self.book, self.ledger = NodeBook(), Ledger()
        self.nodes: dict[str, dict[str, Any]] = {}
        self.pods: dict[int, tuple[str, int]] = {}
        self.held: dict[int, Places] = {}
        for i in range(N_HOSTS):
            self.node((i, 3, 5, True, "a", (i % 2, i // 4)))

    def node(self, event: tuple[int, int, int, bool, str, tuple[int, int] | None]) -> None:
        i, cpu, pods, is_ready, zone, where = event
        name = f"h{i}"
        labels = dict(self.nodes[name]["metadata"]["labels"]) if name in self.nodes else {BLOCK: "b0", RACK: "r0"}
        if where is not None:
            labels |= {BLOCK: f"b{where[0]}", RACK: f"r{where[1]}"}
        labels |= {HOST: name, "zone": zone}
        amounts = {"cpu": cpu, "pods": pods}
        self.nodes[name] = node(name, labels, amounts, ready="True" if is_ready else "False")
        self.book.set_node(name, self.nodes[name])

    def gone(self, i: int) -> None:
        self.nodes.pop(f"h{i}", None)
        self.book.set_node(f"h{i}", None)

    def pod(self, event: tuple[int, tuple[int, int] | None]) -> None:
        i, bound = event
        key = ObjectKey("ns", f"p{i}")
        if bound is None:
            self.pods.pop(i, None)
            self.book.set_pod(key, None)
            return
        self.pods[i] = (f"h{bound[0]}", bound[1])
        containers = [{"resources": {"requests": {"cpu": str(bound[1])}}}]
        self.book.set_pod(key, {"metadata": {}, "spec": {"nodeName": f"h{bound[0]}", "containers": containers}})

    def places(self, spread: dict[int, int], cpu: int) -> Places:
        domains = tuple(Domain((f"h{i}",), n) for i, n in sorted(spread.items()))
        return Places("f", (HOST,), domains, demand_of_pod({"cpu": cpu * 1000} if cpu else {}))

    def hold(self, event: tuple[int, dict[int, int], int]) -> None:
        i, spread, cpu = event
        self.held.pop(i, None)
        if spread:
            self.held[i] = self.places(spread, cpu)
        self.ledger.hold(ObjectKey("ns", f"w{i}"), [self.held[i]] if i in self.held else [])

    def left(self, levels: tuple[str, ...], more: list[Places], *, only_a: bool) -> dict[tuple[str, ...], Any]:
        """What is left by path, from all that was told; nothing where the pods may not go."""
        found: dict[tuple[str, ...], dict[str, int]] = {}
        for name, obj in sorted(self.nodes.items()):
            if obj["status"]["conditions"][0]["status"] != "True":
                continue
            labels, amounts = obj["metadata"]["labels"], obj["status"]["allocatable"]
            leaf = found.setdefault(tuple(labels[level] for level in levels), {"cpu": 0, "pods": 0})
            pods = [cpu for bound, cpu in self.pods.values() if bound == name]
            leaf["cpu"] += 1000 * (amounts["cpu"] - sum(pods))
            leaf["pods"] += amounts["pods"] - len(pods)
            if levels[-1] != HOST:
                continue
            for places in [*self.held.values(), *more]:
                n = sum(d.n_pods for d in places.domains if d.values == (name,))
                for resource, amount in places.per_pod.items():
                    leaf[resource] -= n * amount
            if only_a and labels["zone"] != "a":
                leaf.clear()
        return found

    def ask(self, event: Any) -> None:
        i, is_mixed, tried = event
        (request, count), cpu, leader_cpu, only_a = self.asks[i % len(self.asks)]
        more = [self.places(tried[1], tried[2])] if tried is not None and tried[1] else []
        for levels in TREES:
            layout = resolve(levels, request)
            if isinstance(layout, str):
                continue
            workers = demand(count, cpu, only_a=only_a)
            leader = demand(1, leader_cpu, only_a=False) if leader_cpu is not None else None
            with self.ledger.trial() if more else nullcontext():
                self.ledger.add(more)
                tree = self.book.tree(levels, {})
                room = room_of(tree, self.ledger, "f")
                placer = make_placer("t", room, layout, workers, leader, is_mixed=is_mixed)
                found = placer if isinstance(placer, str) else placer.run()
                fits = not isinstance(placer, str) and placer.fits()
            assert fits == isinstance(found, Placement)
            left = self.left(levels, more, only_a=only_a)
            assert tree.n_live == len(left)
            if not left:
                assert found == f"no topology domains at level: {levels[layout.main]}"
                continue
            head = leader.per_pod if leader is not None else None
            want = place_slowly(left, layout, count, workers.per_pod, head, is_mixed=is_mixed)
            check(tree, layout, found, want)


def check(tree: Tree, layout: Layout, found: Placement | str, want: Any) -> None:
    if isinstance(want, int):
        assert isinstance(found, str)
        if not layout.inner:
            assert (f"only {want} out of" if want else "doesn't allow to fit any of") in found
        return
    assert isinstance(found, Placement), found
    paths = [tree.paths[-1][tree.leaf_of[d.values]] for d in found.workers]
    leader = tree.paths[-1][tree.leaf_of[found.leader.values]] if found.leader is not None else None
    assert (list(zip(paths, [d.n_pods for d in found.workers], strict=True)), leader) == want


def live(requested: list[Any], steps: list[Event]) -> None:
    life = Life(requested)
    for verb, event in steps:
        getattr(life, verb)(event)


@settings(max_examples=200, deadline=None)
@given(asks, events)
def test_the_same_as_read_anew(requested: list[Any], steps: list[Event]) -> None:
    """After any events, every request gets what the twin finds."""
    live(requested, steps)


@pytest.fixture
def as_if_large() -> Iterator[None]:
    """Small trees are treated as large ones: every level is wide, and single leaves are counted again rather than all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing, "_WIDE", 0)
        patch.setattr(counting, "_PART", 1)
        yield


@pytest.mark.usefixtures("as_if_large")
@settings(max_examples=400, deadline=None)
@given(asks, events)
def test_shortcuts_of_large_trees_change_nothing(requested: list[Any], steps: list[Event]) -> None:
    """Sorting only what can be taken, and counting only what changed."""
    live(requested, steps)


holds = st.lists(
    st.tuples(st.dictionaries(hosts, st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 2)), max_size=8
)


@settings(max_examples=300)
@given(requests(), st.integers(0, 3), st.booleans(), holds, st.lists(st.integers(0, 7), max_size=24))
def test_bounds_answer_like_counting(
    asked: tuple[TopologyRequest | None, int], cpu: int, only_a: bool, held: list[Any], toggled: list[int]
) -> None:
    """Workloads are thought away and put back in any order; each time the answer is that of the twin."""
    request, count = asked
    layout = resolve(TREES[0], request)
    assume(isinstance(layout, Layout) and not layout.inner and held)
    assert isinstance(layout, Layout)
    life = Life([])
    for i, (spread, amount) in enumerate(held):
        life.hold((i, spread, amount))
    workers = demand(count, cpu, only_a=only_a)
    tree = life.book.tree(TREES[0], {})
    room, blank = room_of(tree, life.ledger, "f"), room_of(tree, life.ledger.blank, "f")
    placer = make_placer("t", room, layout, workers, None, is_mixed=True)
    assert not isinstance(placer, str)
    outlook = Outlook(placer, room, blank.counts(layout, workers, None))
    whole = dict(life.held)
    with life.ledger.trial():
        for i in (n % len(held) for n in toggled):
            key = ObjectKey("ns", f"w{i}")
            if i in life.held:
                del life.held[i]
                life.ledger.lift(key)
            else:
                life.held[i] = whole[i]
                life.ledger.put_back(key)
            left = life.left(TREES[0], [], only_a=only_a)
            want = place_slowly(left, layout, count, workers.per_pod, None, is_mixed=True)
            assert outlook.fits() == (not isinstance(want, int))
