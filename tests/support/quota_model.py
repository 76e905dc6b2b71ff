"""Quota trees in the words of scheduling.md §7 and §9.1, for twins: every quantity is computed from its definition, each time it is asked for.

A `Model` stands beside a `World` with the same objects; amounts are the engine's (cpu in thousandths).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from support.world import World

CPU, MEMORY = "cpu", "memory"
POLICIES = {"N": "Never", "L": "LowerPriority", "LN": "LowerOrNewerEqualPriority", "A": "Any"}


@dataclass(eq=False)
class Held:
    """A Workload with quota, or one that wants some."""

    name: str
    queue: str
    amounts: dict[str, int]
    priority: int = 0
    created: int = 0
    reserved: int = 0
    is_evicted: bool = False


@dataclass(eq=False)
class Node:
    """A ClusterQueue or a cohort."""

    name: str
    is_cohort: bool
    nominal: dict[str, int]
    borrowing: dict[str, int | None]
    lending: dict[str, int | None]
    weight: float = 1.0
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    within: str = "Never"
    reclaim: str = "Never"
    borrow_below: int | None = None
    """`maxPriorityThreshold` of `borrowWithinCohort: LowerPriority`; None for Never."""

    def lineage(self) -> Iterator[Node]:
        yield self
        if self.parent is not None:
            yield from self.parent.lineage()

    def leaves(self) -> Iterator[Node]:
        if not self.is_cohort:
            yield self
        for child in self.children:
            yield from child.leaves()


@dataclass
class Model:
    """Nodes, and what is held."""

    nodes: dict[str, Node] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    extra: dict[tuple[str, str], int] = field(default_factory=dict)
    """Usage on top, by queue and resource."""

    def subtree(self, n: Node, r: str) -> int:
        return n.nominal[r] + sum(self.subtree(c, r) - self.local(c, r) for c in n.children)

    def local(self, n: Node, r: str) -> int:
        limit = n.lending[r]
        return 0 if limit is None else max(0, self.subtree(n, r) - limit)

    def usage(self, n: Node, r: str) -> int:
        own = sum(w.amounts.get(r, 0) for w in self.held if w.queue == n.name) + self.extra.get((n.name, r), 0)
        return own + sum(max(0, self.usage(c, r) - self.local(c, r)) for c in n.children)

    def local_available(self, n: Node, r: str) -> int:
        return max(0, self.local(n, r) - self.usage(n, r))

    def available(self, n: Node, r: str) -> int:
        if n.parent is None:
            return self.subtree(n, r) - self.usage(n, r)
        lent, limit = self.available(n.parent, r), n.borrowing[r]
        if limit is not None:
            stored = self.subtree(n, r) - self.local(n, r)
            lent = min(lent, stored - max(0, self.usage(n, r) - self.local(n, r)) + limit)
        return self.local_available(n, r) + lent

    def potential(self, n: Node, r: str) -> int:
        if n.parent is None:
            return self.subtree(n, r)
        most, limit = self.local(n, r) + self.potential(n.parent, r), n.borrowing[r]
        return most if limit is None else min(most, self.subtree(n, r) + limit)

    def is_within(self, n: Node, resources: Iterable[str]) -> bool:
        """Whether usage does not exceed the node's own quota in any of the resources."""
        return all(self.usage(n, r) <= self.subtree(n, r) for r in resources)

    def ratio(self, n: Node) -> float:
        """The share before the division by the weight."""
        if n.parent is None:
            return 0.0
        best = 0.0
        for r in n.nominal:
            lendable = self.potential(n.parent, r)
            if lendable > 0:
                best = max(best, max(0, self.usage(n, r) - self.subtree(n, r)) * 1000.0 / lendable)
        return best

    def share(self, n: Node) -> tuple[int, float]:
        """A share to compare: infinite ones last, and among themselves by what they are without the weight."""
        ratio = self.ratio(n)
        if ratio == 0:
            return 0, 0.0
        return (1, ratio) if n.weight == 0 else (0, ratio / n.weight)

    def fits(self, n: Node, asked: dict[str, int], *, may_borrow: bool) -> bool:
        """Whether there is room for a request."""
        return all(
            amount <= self.available(n, r) and (may_borrow or self.usage(n, r) + amount <= self.subtree(n, r))
            for r, amount in asked.items()
        )


def plant(model: Model, world: World, *, is_fair: bool) -> None:
    """Give a world the cohorts, queues and Workloads of a model."""
    for node in model.nodes.values():
        quotas = "default:" + ",".join(_quota(node, r) for r in node.nominal)
        parent = node.parent.name if node.parent is not None else ""
        weight = {"weight": str(node.weight)} if is_fair else {}
        if node.is_cohort:
            world.cohort(node.name, quotas, parent, weight.get("weight"))
            continue
        short = {text: letter for letter, text in POLICIES.items()}
        options = {"WCQ": short[node.within], "RWC": short[node.reclaim], **weight}
        if node.borrow_below is not None:
            options |= {"BWC": "L", "threshold": node.borrow_below}  # type: ignore[dict-item]
        world.queue(node.name, quotas, parent, **options)


def _quota(node: Node, r: str) -> str:
    limits = "".join(
        f" {name}{_amount(r, limit)}"
        for name, limit in (("BL", node.borrowing[r]), ("LL", node.lending[r]))
        if limit is not None
    )
    return f"{'mem' if r == MEMORY else 'cpu'}{_amount(r, node.nominal[r])}{limits}"


def _amount(r: str, amount: int) -> int:
    return amount // 1000 if r == CPU else amount
