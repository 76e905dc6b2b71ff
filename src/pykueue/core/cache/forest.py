"""All quota trees: which ClusterQueue hangs where, rebuilt where something changed.

A cohort exists as soon as a ClusterQueue or a Cohort names it. A change only marks names; `refresh` rebuilds the trees that the marked
names belong to, so a burst of changes costs one rebuild. Cohorts that form a cycle have no root: the ClusterQueues below
stand alone, marked as cyclic, until the cycle is broken.

Usage is not carried over; the owner (`clusterqueue.py`) adds it to the nodes that `refresh` names.

Source: scheduling.md §1.2, §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pykueue.core.cache.cohort import Quota, QuotaNode, QuotaTree, quota_key
from pykueue.core.resources import FlavorResource

Quotas = Mapping[FlavorResource, Quota]


@dataclass(slots=True)
class _Entry:
    """A ClusterQueue or a cohort. An implicit cohort has no parent, no quota and weight 1."""

    name: str
    is_cohort: bool
    parent: str = ""
    quotas: Quotas = field(default_factory=dict)
    weight: float = 1.0
    is_explicit: bool = True
    children: dict[str, None] = field(default_factory=dict)


class Forest:
    """ClusterQueues and cohorts with the trees they form."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._dirty: dict[str, None] = {}
        self._nodes: dict[str, QuotaNode] = {}
        self._cyclic: set[str] = set()

    def cluster_queue(self, name: str) -> QuotaNode:
        """The leaf of a known ClusterQueue, as of the last `refresh`."""
        return self._nodes[name]

    def cohort(self, name: str) -> QuotaNode | None:
        """The node of a cohort, as of the last `refresh`; None if it does not exist or is in a cycle."""
        return self._nodes.get(quota_key(name, is_cohort=True))

    def is_cyclic(self, name: str) -> bool:
        """Whether a ClusterQueue hangs below a cycle of cohorts."""
        return name in self._cyclic

    def set_cluster_queue(self, name: str, cohort: str, quotas: Quotas, weight: float) -> None:
        """Add or change a ClusterQueue; `cohort` is empty for none."""
        self._set(name, name, cohort, quotas, weight, is_cohort=False)

    def delete_cluster_queue(self, name: str) -> None:
        """Remove a ClusterQueue."""
        self._detach(name)
        self._entries.pop(name, None)
        self._mark(name)

    def set_cohort(self, name: str, parent: str, quotas: Quotas, weight: float) -> None:
        """Add or change an explicit Cohort; `parent` is empty for a root."""
        self._set(quota_key(name, is_cohort=True), name, parent, quotas, weight, is_cohort=True)

    def delete_cohort(self, name: str) -> None:
        """Remove an explicit Cohort; it stays as an implicit one while it has children."""
        key = quota_key(name, is_cohort=True)
        entry = self._entries.get(key)
        if entry is None:
            return
        self._detach(key)
        entry.parent, entry.quotas, entry.weight, entry.is_explicit = "", {}, 1.0, False
        self._drop_if_unused(key)
        self._mark(key)

    def refresh(self) -> list[str]:
        """Rebuild what changed.

        Returns:
            names of the ClusterQueues with new, still empty nodes, sorted.
        """
        rebuilt: list[str] = []
        seen: set[str] = set()
        for key in sorted(self._dirty):
            if key not in self._entries:
                self._nodes.pop(key, None)
                self._cyclic.discard(key)
            elif key not in seen:
                rebuilt += self._rebuild(key, seen)
        self._dirty.clear()
        return sorted(rebuilt)

    def _set(self, key: str, name: str, parent: str, quotas: Quotas, weight: float, *, is_cohort: bool) -> None:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(name, is_cohort)
        else:
            self._detach(key)
        entry.parent, entry.quotas, entry.weight, entry.is_explicit = parent, quotas, weight, True
        if parent:
            above = quota_key(parent, is_cohort=True)
            self._entries.setdefault(above, _Entry(parent, is_cohort=True, is_explicit=False)).children[key] = None
        self._mark(key)

    def _detach(self, key: str) -> None:
        entry = self._entries.get(key)
        if entry is None or not entry.parent:
            return
        above = quota_key(entry.parent, is_cohort=True)
        self._mark(above)
        self._entries[above].children.pop(key, None)
        self._drop_if_unused(above)

    def _drop_if_unused(self, key: str) -> None:
        entry = self._entries[key]
        if entry.is_cohort and not entry.is_explicit and not entry.children:
            del self._entries[key]

    def _mark(self, key: str) -> None:
        self._dirty[key] = None

    def _rebuild(self, key: str, seen: set[str]) -> list[str]:
        path = [key]
        while (parent := self._entries[path[-1]].parent) and (above := quota_key(parent, is_cohort=True)) not in path:
            path.append(above)
        is_cyclic = bool(parent)
        members = self._below(path[-1])
        seen.update(members)
        queues = [k for k in members if not self._entries[k].is_cohort]
        if is_cyclic:
            for member in members:
                self._nodes.pop(member, None)
            for name in queues:
                self._plant([name])
            self._cyclic.update(queues)
        else:
            self._plant(members)
            self._cyclic.difference_update(queues)
        return queues

    def _below(self, key: str) -> list[str]:
        """The key and everything below, parents before children, each once (a cycle ends)."""
        found = {key: None}
        order = [key]
        for current in order:
            for child in sorted(self._entries[current].children):
                if child not in found:
                    found[child] = None
                    order.append(child)
        return order

    def _plant(self, members: list[str]) -> None:
        nodes: dict[str, QuotaNode] = {}
        for key in members:
            entry = self._entries[key]
            node = nodes[key] = QuotaNode(entry.name, is_cohort=entry.is_cohort, weight=entry.weight)
            above = nodes.get(quota_key(entry.parent, is_cohort=True)) if entry.parent else None
            if above is not None:
                node.parent = above
                above.children.append(node)
        QuotaTree(nodes[members[0]], {key: self._entries[key].quotas for key in members})
        self._nodes.update(nodes)
