"""The flat quota tree against its recursive twin, conservation of usage, and exact undo (scheduling.md §7)."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.core.cache.cohort import Quota, QuotaNode, QuotaTree, quota_key
from pykueue.core.resources import FlavorResource

ITEM = FlavorResource("f", "cpu")
amounts = st.integers(0, 20)
limits = st.none() | st.integers(0, 20)


@dataclass
class Twin:
    """The definitions of §7, word for word."""

    nominal: int
    bl: int | None
    ll: int | None
    parent: Twin | None = None
    children: list[Twin] = field(default_factory=list)
    own: int = 0

    def subtree(self) -> int:
        return self.nominal + sum(c.subtree() - c.local() for c in self.children)

    def local(self) -> int:
        return 0 if self.ll is None else max(0, self.subtree() - self.ll)

    def usage(self) -> int:
        return self.own + sum(max(0, c.usage() - c.local()) for c in self.children)

    def available(self) -> int:
        if self.parent is None:
            return self.subtree() - self.usage()
        lent = self.parent.available()
        if self.bl is not None:
            lent = min(lent, (self.subtree() - self.local()) - max(0, self.usage() - self.local()) + self.bl)
        return max(0, self.local() - self.usage()) + lent

    def potential(self) -> int:
        if self.parent is None:
            return self.subtree()
        most = self.local() + self.parent.potential()
        return most if self.bl is None else min(most, self.subtree() + self.bl)


@st.composite
def trees(draw: st.DrawFn) -> tuple[QuotaTree, list[QuotaNode], list[Twin]]:
    n_cohorts = draw(st.integers(1, 4))
    n_queues = draw(st.integers(1, 5))
    nodes: list[QuotaNode] = []
    twins: list[Twin] = []
    quotas: dict[str, dict[FlavorResource, Quota]] = {}
    for k in range(n_cohorts + n_queues):
        is_cohort = k < n_cohorts
        node = QuotaNode(f"n{k}", is_cohort=is_cohort)
        quota = Quota(draw(amounts), draw(limits) if k else None, draw(limits) if k else None)
        quotas[quota_key(node.name, is_cohort=is_cohort)] = {ITEM: quota}
        twin = Twin(quota.nominal, quota.borrowing_limit, quota.lending_limit)
        if k:
            above = draw(st.integers(0, min(k, n_cohorts) - 1))
            node.parent, twin.parent = nodes[above], twins[above]
            nodes[above].children.append(node)
            twins[above].children.append(twin)
        nodes.append(node)
        twins.append(twin)
    return QuotaTree(nodes[0], quotas), nodes, twins


@settings(max_examples=150)
@given(trees(), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=8))
def test_the_flat_tree_is_its_twin(
    tree: tuple[QuotaTree, list[QuotaNode], list[Twin]], steps: list[tuple[int, int]]
) -> None:
    """After every change, every quantity of every node equals its definition."""
    _, nodes, twins = tree
    leaves = [(n, t) for n, t in zip(nodes, twins, strict=True) if not n.is_cohort]
    for which, amount in steps:
        node, twin = leaves[which % len(leaves)]
        if amount % 3 == 0 and twin.own:
            node.remove_usage(0, min(amount, twin.own))
            twin.own -= min(amount, twin.own)
        else:
            node.add_usage(0, amount)
            twin.own += amount
        for n, t in zip(nodes, twins, strict=True):
            got = (n.subtree[0], n.local[0], n.usage[0], n.available(0), n.potential[0])
            assert got == (t.subtree(), t.local(), t.usage(), t.available(), t.potential())


@settings(max_examples=100)
@given(trees(), st.lists(st.tuples(st.integers(0, 4), st.integers(-30, 30)), max_size=8), st.integers(1, 9))
def test_a_trial_leaves_no_trace(
    tree: tuple[QuotaTree, list[QuotaNode], list[Twin]], steps: list[tuple[int, int]], more: int
) -> None:
    """Whatever is tried, also in nested trials and with other quotas, is undone exactly."""
    quota_tree, nodes, _ = tree
    leaves = [n for n in nodes if not n.is_cohort]

    def state() -> list[tuple[list[int], ...]]:
        return [(list(n.usage), list(n.subtree), list(n.local), list(n.potential), list(n.nominal)) for n in nodes]

    leaves[0].add_usage(0, 7)
    before = state()
    with quota_tree.trial():
        for which, amount in steps:
            node = leaves[which % len(leaves)]
            (node.add_usage if amount > 0 else node.remove_usage)(0, abs(amount))
            with quota_tree.trial():
                quota_tree.raise_nominal(node, 0, more)
                node.add_usage(0, 3)
    assert state() == before
