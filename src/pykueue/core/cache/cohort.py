"""The quota tree: ClusterQueues as leaves, cohorts above, every amount an int in a flat list.

One `QuotaTree` is a root cohort with everything below it, or one ClusterQueue without a cohort. Its flavor-resources are numbered; each
node has one list per quantity, indexed by that number. What depends on quotas alone (`subtree`, `local`, `potential`, `height`) is
computed when the tree is built; `usage` is kept up to date by `add_usage` and `remove_usage`, which walk up the tree.

Trying something out is a `with tree.trial():` block: every write inside it is noted with the old value, and undone exactly at its end.
So a snapshot costs nothing, and cannot differ from what it was taken of.

This module knows nothing of Workloads or objects; `core/cache/clusterqueue.py` builds the trees.

Source: scheduling.md §7, §6.6, §9.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from pykueue.core.resources import FlavorResource, add, sub

Usage: TypeAlias = Mapping[int, int]
"""Number of a flavor-resource in its tree to an amount."""
Share: TypeAlias = tuple[int, float]
"""A comparable dominant resource share: (1, unweighted) if weight 0 makes it infinite, else (0, weighted)."""
ZERO_SHARE: Share = (0, 0.0)


@dataclass(frozen=True, slots=True)
class Quota:
    """What an object says of one flavor-resource."""

    nominal: int = 0
    borrowing_limit: int | None = None
    lending_limit: int | None = None


class QuotaNode:
    """A ClusterQueue or a cohort in its tree; see the module for the lists."""

    __slots__ = (
        "borrowing", "children", "height", "is_cohort", "lending", "local", "name", "nominal", "parent", "potential",
        "subtree", "tree", "usage", "weight",
    )  # fmt: skip

    def __init__(self, name: str, *, is_cohort: bool, weight: float = 1.0) -> None:
        self.name = name
        self.is_cohort = is_cohort
        self.weight = weight
        self.parent: QuotaNode | None = None
        self.children: list[QuotaNode] = []
        self.height = 0
        self.tree: QuotaTree
        self.nominal: list[int] = []
        self.borrowing: list[int | None] = []
        self.lending: list[int | None] = []
        self.subtree: list[int] = []
        self.local: list[int] = []
        self.potential: list[int] = []
        self.usage: list[int] = []

    def path(self) -> str:
        """`/root/.../name`."""
        return "/" + "/".join(node.name for node in reversed(list(self.lineage())))

    def lineage(self) -> Iterator[QuotaNode]:
        """This node and its ancestors, upwards."""
        node: QuotaNode | None = self
        while node is not None:
            yield node
            node = node.parent

    def leaves(self) -> Iterator[QuotaNode]:
        """The ClusterQueues below, in name order of each level."""
        if not self.is_cohort:
            yield self
        for child in self.children:
            yield from child.leaves()

    def local_available(self, i: int) -> int:
        """Quota that nobody else may use and that is free."""
        return max(0, sub(self.local[i], self.usage[i]))

    def available(self, i: int) -> int:
        """What may still be used here; negative inside a tree in debt."""
        parent, used = self.parent, self.usage[i]
        if parent is None:
            return sub(self.subtree[i], used)
        local, limit = self.local[i], self.borrowing[i]
        from_parent = parent.available(i)
        if limit is not None:
            most = add(sub(self.subtree[i], max(local, used)), limit)
            from_parent = min(from_parent, most)
        return from_parent if used >= local else add(sub(local, used), from_parent)

    def free(self, i: int) -> int:
        """`available`, never negative: what the scheduler may hand out."""
        return max(0, self.available(i))

    def borrows_with(self, i: int, amount: int) -> bool:
        """Whether using `amount` more exceeds the node's own quota."""
        return add(self.usage[i], amount) > self.subtree[i]

    def is_within_nominal(self, needed: Iterable[int]) -> bool:
        """Whether it uses no more than its own quota in all of the flavor-resources."""
        usage, subtree = self.usage, self.subtree
        for i in needed:  # noqa: SIM110 (asked of every node in every search for victims; a generator costs three times as much)
            if usage[i] > subtree[i]:
                return False
        return True

    def add_usage(self, i: int, amount: int) -> None:
        """Use more; what exceeds the local quota is used of the parent's."""
        node: QuotaNode | None = self
        journal = self.tree.journal
        while node is not None and amount:
            usage, local = node.usage, node.local[i]
            used = usage[i]
            if journal is not None:
                journal.append((usage, i, used))
            usage[i] = add(used, amount)
            if used < local:
                amount = max(0, sub(amount, sub(local, used)))
            node = node.parent

    def remove_usage(self, i: int, amount: int) -> None:
        """Use less; the inverse of `add_usage`."""
        node: QuotaNode | None = self
        journal = self.tree.journal
        while node is not None and amount:
            usage, local = node.usage, node.local[i]
            used = usage[i]
            if journal is not None:
                journal.append((usage, i, used))
            usage[i] = sub(used, amount)
            if used <= local:
                return
            amount = min(amount, sub(used, local))
            node = node.parent

    def hold(self, usage: Mapping[FlavorResource, int]) -> None:
        """Use what a Workload holds."""
        number = self.tree.number
        for item, amount in usage.items():
            self.add_usage(number(item), amount)

    def give_back(self, usage: Mapping[FlavorResource, int]) -> None:
        """Use no more what a Workload holds."""
        number = self.tree.number
        for item, amount in usage.items():
            self.remove_usage(number(item), amount)

    def borrowing_level(self, i: int, amount: int) -> tuple[int, bool]:
        """How far up the quota for `amount` more comes from (§6.6).

        Returns:
            the height of the lowest node whose quota covers it (0: its own), and whether the quota could be reclaimed.
        """
        parent = self.parent
        if parent is None or not self.borrows_with(i, amount):
            return 0, parent is not None
        rest = sub(amount, self.local_available(i))
        node: QuotaNode = self
        for node in parent.lineage():
            if not node.borrows_with(i, rest):
                return node.height, node.parent is not None
            rest = sub(rest, node.local_available(i))
        return node.height, False

    def share(self, extra: Usage | None = None) -> tuple[Share, str]:
        """Dominant resource share, and the resource that dominates (§9.1).

        Args:
            extra: usage assumed on top of what is there.
        """
        ratio, resource = self.unweighted_share(extra)
        if ratio == 0:
            return ZERO_SHARE, resource
        if self.weight == 0:
            return (1, ratio), resource
        return (0, ratio / self.weight), resource

    def unweighted_share(self, extra: Usage | None = None) -> tuple[float, str]:
        """The share before its division by the weight; 0 at the root."""
        parent = self.parent
        if parent is None:
            return 0.0, ""
        borrowed: dict[str, int] = {}
        for i, item in enumerate(self.tree.items):
            used = self.usage[i] if extra is None else add(self.usage[i], extra.get(i, 0))
            over = sub(used, self.subtree[i])
            if over > 0:
                borrowed[item.resource] = add(borrowed.get(item.resource, 0), over)
        best, dominant = 0.0, ""
        for resource in sorted(borrowed):
            lendable = parent.lendable(resource)
            if lendable > 0:
                ratio = float(borrowed[resource]) * 1000.0 / float(lendable)
                if ratio > best:
                    best, dominant = ratio, resource
        return best, dominant

    def lendable(self, resource: str) -> int:
        """What all flavors of the resource can be here at most."""
        total = 0
        for i in self.tree.by_resource.get(resource, ()):
            total = add(total, self.potential[i])
        return total


class QuotaTree:
    """One root with everything below it."""

    __slots__ = ("by_resource", "index", "items", "journal", "root")

    def __init__(self, root: QuotaNode, quotas: Mapping[str, Mapping[FlavorResource, Quota]]) -> None:
        """Number the flavor-resources and compute what depends on quotas.

        Args:
            root: with its children already attached; cohorts are keyed `cohort/<name>` in `quotas`, ClusterQueues `<name>`.
            quotas: of each node that has any.
        """
        self.root = root
        self.items: list[FlavorResource] = []
        self.index: dict[FlavorResource, int] = {}
        self.by_resource: dict[str, list[int]] = {}
        self.journal: list[tuple[list[int], int, int]] | None = None
        """Inside a trial: every amount that was changed, its number, and what it was."""
        for node in _walk(root):
            node.tree = self
            for item in quotas.get(_quota_key(node), ()):
                self._number(item)
        for node in _walk(root):
            own = quotas.get(_quota_key(node), {})
            for item in self.items:
                _append(node, own.get(item, _NO_QUOTA))
        self._settle(range(len(self.items)))

    def number(self, item: FlavorResource) -> int:
        """The number of a flavor-resource; one without quota anywhere gets a number too, so that its usage is counted."""
        found = self.index.get(item)
        if found is None:
            found = self._number(item)
            for node in _walk(self.root):
                _append(node, _NO_QUOTA)
            self._settle((found,))
        return found

    def write(self, values: list[int], i: int, value: int) -> None:
        """Set one amount; noted inside a trial."""
        if self.journal is not None:
            self.journal.append((values, i, values[i]))
        values[i] = value

    def raise_nominal(self, node: QuotaNode, i: int, amount: int) -> None:
        """Give a node more quota of its own; call it inside a trial. Everything that depends on it follows."""
        self.write(node.nominal, i, add(node.nominal[i], amount))
        nodes = _walk(self.root)
        for each in reversed(nodes):
            _settle_subtree(each, i)
            if each.children:
                used = 0
                for child in each.children:
                    used = add(used, max(0, sub(child.usage[i], child.local[i])))
                self.write(each.usage, i, used)
        for each in nodes:
            _settle_potential(each, i)

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Undo at the end of the block every change of usage made in it. Trials nest."""
        outer = self.journal
        notes: list[tuple[list[int], int, int]] = []
        self.journal = notes
        try:
            yield
        finally:
            for values, i, old in reversed(notes):
                values[i] = old
            self.journal = outer

    def _number(self, item: FlavorResource) -> int:
        found = self.index.get(item)
        if found is None:
            found = self.index[item] = len(self.items)
            self.items.append(item)
            self.by_resource.setdefault(item.resource, []).append(found)
        return found

    def _settle(self, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        for node in _walk_up(self.root):
            node.height = 1 + max((c.height for c in node.children), default=0) if node.is_cohort else 0
            for i in numbers:
                _settle_subtree(node, i)
        for node in _walk(self.root):
            for i in numbers:
                _settle_potential(node, i)


_NO_QUOTA = Quota()


def quota_key(name: str, *, is_cohort: bool) -> str:
    """Key of a node in the quotas of `QuotaTree`."""
    return f"cohort/{name}" if is_cohort else name


def _quota_key(node: QuotaNode) -> str:
    return quota_key(node.name, is_cohort=node.is_cohort)


def _append(node: QuotaNode, quota: Quota) -> None:
    node.nominal.append(quota.nominal)
    node.borrowing.append(quota.borrowing_limit)
    node.lending.append(quota.lending_limit)
    for values in (node.subtree, node.local, node.potential, node.usage):
        values.append(0)


def _settle_subtree(node: QuotaNode, i: int) -> None:
    total = node.nominal[i]
    for child in node.children:
        total = add(total, sub(child.subtree[i], child.local[i]))
    node.tree.write(node.subtree, i, total)
    limit = node.lending[i]
    node.tree.write(node.local, i, max(0, sub(total, limit)) if limit is not None else 0)


def _settle_potential(node: QuotaNode, i: int) -> None:
    if node.parent is None:
        node.tree.write(node.potential, i, node.subtree[i])
        return
    most = add(node.local[i], node.parent.potential[i])
    limit = node.borrowing[i]
    bounded = most if limit is None else min(most, add(node.subtree[i], limit))
    node.tree.write(node.potential, i, bounded)


def _walk(root: QuotaNode) -> list[QuotaNode]:
    """The node and all below, parents before children."""
    found = [root]
    for node in found:
        found.extend(node.children)
    return found


def _walk_up(root: QuotaNode) -> Iterator[QuotaNode]:
    """The node and all below, children before parents."""
    return reversed(_walk(root))
