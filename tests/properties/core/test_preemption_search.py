"""The searches for victims and the fair order against their twins: scheduling.md §5.5, §8 and §9, word for word, on random trees."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.v1beta2 import Condition
from pykueue.core.features import Features
from pykueue.core.queue.heads import Pending
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.assignment import Assignment, ScanProgress
from pykueue.core.scheduler.entry import Entry
from pykueue.core.scheduler.ordering import fair_order
from pykueue.core.scheduler.preemption.candidates import Demand
from pykueue.core.scheduler.preemption.classical import classical_targets
from pykueue.core.scheduler.preemption.fair_sharing import FINAL_SHARE, INITIAL_SHARE, fair_targets
from support.quota_model import CPU, MEMORY, Held, Model, Node, plant
from support.world import World

FEATURES = Features({})
PREEMPTOR = "preemptor"
STRATEGIES = ((FINAL_SHARE,), (INITIAL_SHARE,), (FINAL_SHARE, INITIAL_SHARE))
Found = list[tuple[str, Reason]]
randoms = st.randoms(use_true_random=False)


# --- random trees -----------------------------------------------------------------------------------------------------


def model_of(dice: random.Random) -> Model:
    """A few cohorts below one root, queues in them, and Workloads that fill them, mostly within what there is."""
    model = Model()
    n_cohorts, n_queues = dice.randint(1, 3), dice.randint(2, 4)
    for k in range(n_cohorts + n_queues):
        is_cohort = k < n_cohorts
        nominal = {CPU: 1000 * dice.randint(0, 4), MEMORY: dice.randint(2, 6)}
        has_parent = k > 0 and (is_cohort or dice.random() < 0.9)
        parent = list(model.nodes.values())[dice.randrange(min(k, n_cohorts))] if has_parent else None
        node = Node(f"n{k}", is_cohort, nominal, dict.fromkeys(nominal), dict.fromkeys(nominal), parent=parent)
        if parent is not None:
            parent.children.append(node)
            for r, unit in ((CPU, 1000), (MEMORY, 1)):
                node.borrowing[r] = dice.choice((None, None, None, unit, 3 * unit))
                node.lending[r] = min(dice.choice((0, unit, 2 * unit)), nominal[r]) if dice.random() < 0.2 else None
        node.weight = dice.choice((0.0, 1.0, 1.0, 1.0, 2.0, 0.5))
        if not is_cohort:
            node.within = dice.choice(("Never", "LowerPriority", "LowerOrNewerEqualPriority"))
            node.reclaim = dice.choice(("Never", "LowerPriority", "Any", "Any", "Any"))
            if node.reclaim != "Never":
                node.borrow_below = dice.choice((None, None, 0, 1, 2))
        model.nodes[node.name] = node
    for k in range(dice.randint(3, 12)):
        held = workload_of(dice, f"w{k}", model)
        if dice.random() < 0.1 or model.fits(model.nodes[held.queue], held.amounts, may_borrow=True):
            model.held.append(held)
    return model


def workload_of(dice: random.Random, name: str, model: Model) -> Held:
    """A Workload for one of the queues."""
    queue = dice.choice([node.name for node in model.nodes.values() if not node.is_cohort])
    amounts = {CPU: 1000 * dice.randint(1, 3), MEMORY: dice.randint(0, 3)}
    priority, created, reserved = dice.randint(0, 2), dice.randint(0, 2), dice.randint(0, 2)
    return Held(name, queue, amounts, priority, created, reserved, dice.random() < 0.1)


def world_of(model: Model, preemptor: Held, *, is_fair: bool) -> World:
    world = World()
    plant(model, world, is_fair=is_fair)
    for held in [*model.held, preemptor]:
        requests = f"cpu{held.amounts[CPU] // 1000},mem{held.amounts[MEMORY]}"
        at = {} if held is preemptor else {"at": "default", "reserved": held.reserved}
        made = world.workload(held.name, held.queue, requests, held.priority, t=held.created, **at)
        if held.is_evicted and held is not preemptor:
            evicted = Condition(
                type=WorkloadCondition.EVICTED,
                status="True",
                reason="Preempted",
                last_transition_time="2024-01-01T00:00:00Z",
            )
            status = msgspec.structs.replace(made.status, conditions=(*made.status.conditions, evicted))
            world.put(msgspec.structs.replace(made, status=status))
    return world


def demand_of(world: World, preemptor: Held, needed: list[str]) -> Demand:
    engine = world.engine
    queue = engine._cache.queue(preemptor.queue)
    assert queue is not None
    workload = world.workloads[preemptor.name]
    number = {r: queue.node.tree.number(FlavorResource("default", r)) for r in preemptor.amounts}
    requests = {number[r]: amount for r, amount in preemptor.amounts.items() if amount}
    return Demand(
        engine._maker.pending(workload, preemptor.queue), queue, requests, [number[r] for r in needed], engine._cache
    )


# --- the twins --------------------------------------------------------------------------------------------------------


class Search:
    """What both searches share: §8.1, §8.2, §8.5."""

    def __init__(self, model: Model, preemptor: Held, needed: list[str]) -> None:
        self.model, self.preemptor, self.needed = model, preemptor, needed
        self.home = model.nodes[preemptor.queue]
        self.asked = {r: amount for r, amount in preemptor.amounts.items() if amount}

    def candidates(self, queue: Node, policy: str) -> list[Held]:
        mine = self.preemptor
        allowed = {
            "Never": lambda _: False,
            "Any": lambda _: True,
            "LowerPriority": lambda w: mine.priority > w.priority,
            "LowerOrNewerEqualPriority": lambda w: (
                mine.priority > w.priority or (mine.priority == w.priority and mine.created < w.created)
            ),
        }[policy]
        return [
            w
            for w in self.model.held
            if w.queue == queue.name and any(w.amounts.get(r, 0) for r in self.needed) and allowed(w)
        ]

    def order(self, w: Held) -> tuple[object, ...]:
        return (not w.is_evicted, w.queue == self.home.name, w.priority, -w.reserved, w.name)

    def fill_back(self, found: Found, removed: list[Held], *, may_borrow: bool) -> Found:
        kept = list(found)
        for w in reversed(removed[:-1]):
            self.model.held.append(w)
            if self.model.fits(self.home, self.asked, may_borrow=may_borrow):
                kept = [each for each in kept if each[0] != w.name]
            else:
                self.model.held.remove(w)
        return kept


def classical_twin(search: Search) -> Found:
    """§8.3 and §8.4."""
    model, home, needed = search.model, search.home, search.needed
    own = search.candidates(home, home.within)
    hierarchical: list[Held] = []
    priority: list[Held] = []
    node, rest, has_advantage = home, dict(search.asked), False
    while node.parent is not None:
        covered = all(model.usage(node, r) + amount <= model.subtree(node, r) for r, amount in rest.items() if amount)
        has_advantage = has_advantage or covered
        rest = {r: max(0, amount - model.local_available(node, r)) for r, amount in rest.items()}
        others = [
            w
            for leaf in over_quota_leaves([c for c in node.parent.children if c is not node], model, needed)
            for w in search.candidates(leaf, home.reclaim)
        ]
        (hierarchical if has_advantage else priority).extend(others)
        node = node.parent
    may_borrow_for = {
        w.name: home.borrow_below is not None
        and w.priority < search.preemptor.priority
        and w.priority <= home.borrow_below
        for w in priority
    }
    lists = [
        (sorted(part, key=search.order), kind) for part, kind in ((hierarchical, "h"), (priority, "p"), (own, "o"))
    ]
    ordered = [
        (w, kind) for is_evicted in (True, False) for part, kind in lists for w in part if w.is_evicted is is_evicted
    ]
    is_full = home.borrow_below is None and any(model.usage(home, r) >= home.nominal[r] for r in needed)
    if is_full or not (hierarchical or priority):
        attempts = [True]
    elif home.borrow_below is None and not hierarchical:
        attempts = [False, True]
    else:
        attempts = [True, False]
    for may_borrow in attempts:
        before = list(model.held)
        found, removed = [], []
        for w, kind in ordered:
            if kind == "p" and may_borrow and not may_borrow_for[w.name]:
                continue
            if kind != "o" and any(model.is_within(n, needed) for n in below_common(model.nodes[w.queue], home)):
                continue
            model.held.remove(w)
            removed.append(w)
            reason = {"h": Reason.IN_COHORT_RECLAMATION, "o": Reason.IN_CLUSTER_QUEUE}.get(kind)
            if reason is None:
                while_borrowing = may_borrow_for[w.name]
                reason = Reason.IN_COHORT_RECLAIM_WHILE_BORROWING if while_borrowing else Reason.IN_COHORT_RECLAMATION
            found.append((w.name, reason))
            if model.fits(home, search.asked, may_borrow=may_borrow):
                found = search.fill_back(found, removed, may_borrow=may_borrow)
                model.held[:] = before
                return found
        model.held[:] = before
    return []


def over_quota_leaves(nodes: list[Node], model: Model, needed: list[str]) -> Iterator[Node]:
    for node in nodes:
        if not model.is_within(node, needed):
            if node.is_cohort:
                yield from over_quota_leaves(node.children, model, needed)
            else:
                yield node


def below_common(node: Node, other: Node) -> Iterator[Node]:
    """The node and its ancestors, without those it shares with the other."""
    shared = list(other.lineage())
    return (each for each in node.lineage() if each not in shared)


def fair_twin(search: Search, strategies: tuple[str, ...]) -> Found:
    """§9.2 to §9.4."""
    model, home, needed = search.model, search.home, search.needed
    root = list(home.lineage())[-1]
    left = search.candidates(home, home.within)
    if home.parent is not None and home.reclaim != "Never":
        for leaf in root.leaves():
            if leaf is not home and not model.is_within(leaf, needed):
                left += search.candidates(leaf, home.reclaim)
    before, found, removed, refused = list(model.held), Found(), [], list[Held]()

    def take(w: Held, reason: Reason) -> bool:
        model.held.remove(w)
        removed.append(w)
        found.append((w.name, reason))
        seated, model.extra = model.extra, {}
        fits = model.fits(home, search.asked, may_borrow=True)
        model.extra = seated
        return fits

    def done() -> Found:
        model.extra = {}
        kept = search.fill_back(found, removed, may_borrow=True)
        model.held[:] = before
        return kept

    def of(queue: Node) -> list[Held]:
        return sorted((w for w in left if w.queue == queue.name), key=search.order)

    model.extra = {(home.name, r): amount for r, amount in search.asked.items()}
    is_within = model.is_within(home, needed)
    while (queue := next_queue(root, home, model, left, search)) is not None:
        first = of(queue)[0]
        if queue is home or is_within:
            left.remove(first)
            if take(first, Reason.IN_CLUSTER_QUEUE if queue is home else Reason.IN_COHORT_RECLAMATION):
                return done()
            continue
        for w in of(queue):
            left.remove(w)
            if accepts(strategies[0], w, home, model):
                if take(w, Reason.IN_COHORT_FAIR_SHARING):
                    return done()
                break
            refused.append(w)
    if len(strategies) > 1:
        left[:] = refused
        while (queue := next_queue(root, home, model, left, search)) is not None:
            w = of(queue)[0]
            left.remove(w)
            if not accepts(strategies[1], w, home, model):
                left[:] = [each for each in left if each.queue != queue.name]
            elif take(w, Reason.IN_COHORT_FAIR_SHARING):
                return done()
    model.extra = {}
    model.held[:] = before
    return []


def next_queue(root: Node, home: Node, model: Model, left: list[Held], search: Search) -> Node | None:
    """The queue to take from: the highest share on every level, as far as there is somebody to take."""
    if not root.is_cohort:
        return root if left else None
    path = list(home.lineage())

    def first_of(queue: Node) -> Held:
        return min((w for w in left if w.queue == queue.name), key=search.order)

    def comes_before(one: Node, other: Node) -> bool:
        """A higher share; else a cohort before queues, and queues by their first candidates."""
        if model.share(one) != model.share(other):
            return model.share(one) > model.share(other)
        if one.is_cohort or other.is_cohort:
            return one.is_cohort and not other.is_cohort
        return search.order(first_of(one)) < search.order(first_of(other))

    def descend(cohort: Node) -> Node | None:
        dropped: list[Node] = []
        while True:
            best: Node | None = None
            for child in cohort.children:
                is_idle = model.ratio(child) == 0 and child not in path
                has_some = any(w.queue == leaf.name for leaf in child.leaves() for w in left)
                if child in dropped or is_idle or not has_some:
                    continue
                if best is None or comes_before(child, best):
                    best = child
            if best is None or not best.is_cohort:
                return best
            queue = descend(best)
            if queue is not None:
                return queue
            dropped.append(best)

    return descend(root)


def accepts(strategy: str, w: Held, home: Node, model: Model) -> bool:
    theirs_path, ours_path = list(model.nodes[w.queue].lineage()), list(home.lineage())
    common = next(n for n in ours_path if n in theirs_path)
    ours, theirs = ours_path[ours_path.index(common) - 1], theirs_path[theirs_path.index(common) - 1]
    mine, initial = model.share(ours), model.share(theirs)
    model.held.remove(w)
    final = model.share(theirs)
    model.held.append(w)
    return mine < initial if strategy == INITIAL_SHARE else mine <= final


# --- the comparison ---------------------------------------------------------------------------------------------------


def case_of(dice: random.Random) -> tuple[Model, Held, list[str]]:
    """A model, a preemptor, and the resources that it is short of."""
    model = model_of(dice)
    preemptor = workload_of(dice, PREEMPTOR, model)
    preemptor.priority += dice.randint(0, 1)
    home = model.nodes[preemptor.queue]
    asked = [r for r, amount in preemptor.amounts.items() if amount]
    short = [r for r in asked if preemptor.amounts[r] > model.available(home, r)]
    return model, preemptor, sorted(short or dice.sample(asked, dice.randint(1, len(asked))))


@settings(max_examples=200)
@given(randoms)
def test_classical_victims_are_those_of_the_twin(dice: random.Random) -> None:
    """The same victims for the same reasons, in the same order; nobody could be spared; and the trees are as they were."""
    model, preemptor, needed = case_of(dice)
    demand = demand_of(world_of(model, preemptor, is_fair=False), preemptor, needed)
    before = usage_of(demand)
    found = classical_targets(demand)
    assert [(t.info.key.name, t.reason) for t in found] == classical_twin(Search(model, preemptor, needed))
    assert usage_of(demand) == before
    model.held = [w for w in model.held if w.name not in {t.info.key.name for t in found}]
    assert not found or model.fits(
        model.nodes[preemptor.queue], Search(model, preemptor, needed).asked, may_borrow=True
    )


@settings(max_examples=200)
@given(randoms, st.sampled_from(STRATEGIES))
def test_fair_victims_are_those_of_the_twin(dice: random.Random, strategies: tuple[str, ...]) -> None:
    """The same victims for the same reasons, in the same order, by either strategy and by both; and the trees are as they were."""
    model, preemptor, needed = case_of(dice)
    demand = demand_of(world_of(model, preemptor, is_fair=True), preemptor, needed)
    before = usage_of(demand)
    found = [(t.info.key.name, t.reason) for t in fair_targets(demand, strategies, FEATURES)]
    assert found == fair_twin(Search(model, preemptor, needed), strategies)
    assert usage_of(demand) == before


def usage_of(demand: Demand) -> list[list[int]]:
    return [list(queue.node.usage) for queue in demand.cache.queues()]


@settings(max_examples=150)
@given(randoms)
def test_the_fair_order_is_that_of_the_twin(dice: random.Random) -> None:
    """Each time somebody is taken, the next is who wins the tournament anew; what the ones before use counts."""
    model = model_of(dice)
    heads = [workload_of(dice, f"h{k}", model) for k in range(4)]
    heads = list({h.queue: h for h in heads if model.nodes[h.queue].parent is not None}.values())
    if not heads:
        return
    world = world_of(model, heads[0], is_fair=True)
    entries = [entry_of(world, head) for head in heads]
    waiting = list(heads)
    for entry in fair_order(entries, FEATURES):
        assert entry.info.key.name == winner(waiting, model).name
        head = next(h for h in waiting if h.name == entry.info.key.name)
        waiting.remove(head)
        if dice.random() < 0.5:
            assert entry.queue is not None
            assert entry.assignment is not None
            for i, amount in entry.assignment.usage.items():
                entry.queue.node.add_usage(i, amount)
            model.held.append(head)
    assert waiting == []


def entry_of(world: World, head: Held) -> Entry:
    queue = world.engine._cache.queue(head.queue)
    assert queue is not None
    requests = f"cpu{head.amounts[CPU] // 1000},mem{head.amounts[MEMORY]}"
    info = world.engine._maker.pending(
        world.workload(head.name, head.queue, requests, head.priority, t=head.created), head.queue
    )
    number = {r: queue.node.tree.number(FlavorResource("default", r)) for r in head.amounts}
    usage = {number[r]: amount for r, amount in head.amounts.items() if amount}
    return Entry(info, Pending(info), queue, Assignment([], usage, 0, ScanProgress((), 0, 0, "")))


def winner(heads: list[Held], model: Model) -> Held:
    """§5.5: every cohort picks among the winners of its children."""

    def key(child: Node, head: Held) -> tuple[object, ...]:
        asked = [r for r, amount in head.amounts.items() if amount]
        model.held.append(head)
        found = (
            not model.is_within(child, asked), model.share(child), -head.priority, head.created, head.name,
        )  # fmt: skip
        model.held.remove(head)
        return found

    def best(node: Node) -> Held | None:
        if not node.is_cohort:
            return next((h for h in heads if h.queue == node.name), None)
        found = [(key(child, head), head) for child in node.children if (head := best(child)) is not None]
        return min(found, key=lambda each: each[0], default=(None, None))[1]

    (root,) = [node for node in model.nodes.values() if node.is_cohort and node.parent is None]
    found = best(root)
    assert found is not None
    return found
