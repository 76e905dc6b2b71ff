"""Which ClusterQueues have a head that could be judged differently than the last time.

A cycle takes one head of each. What stays at the head of its queue after a cycle (a preemptor that waits for its victims, the head of a
strict queue, one that lost its place to another) is *stuck*: the same heads, judged at the same state of their quota tree, end the same.
So its queue rests until something happens in that tree. Then all heads of the tree are judged together, for what one gets depends on
what the others ask for; other trees are left alone. Where topologies are used all trees share the nodes, and count as one.

Marks may be too many, never too few: a marked queue without a head, or one that is inactive, is passed over. What makes a
ClusterQueue active marks all.

Source: scheduling.md §3.3, §5.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.cache.cohort import QuotaTree
from pykueue.core.queue.heads import PendingQueue
from pykueue.core.queue.manager import QueueManager

_Group: TypeAlias = QuotaTree | None
_Due: TypeAlias = tuple[ClusterQueueState, PendingQueue]


class Readiness:
    """Marks of the queues to judge."""

    def __init__(self, cache: Cache, queues: QueueManager) -> None:
        self._cache = cache
        self._queues = queues
        self._marked: dict[str, None] = {}
        self._stuck: dict[_Group, dict[str, None]] = {}

    def mark(self, name: str) -> None:
        """Something changed in a queue."""
        self._marked[name] = None

    def mark_tree(self, name: str) -> None:
        """The usage of a ClusterQueue changed: whatever is stuck in its tree may not be any more."""
        if self._stuck:
            queue = self._cache.queue(name)
            if queue is not None:
                self._marked.update(self._stuck.pop(self._group(queue), ()))

    def mark_all(self) -> None:
        """Something changed that may matter to everybody."""
        self._marked = {name: None for name, _ in self._queues.named()}
        self._stuck.clear()

    def is_due(self) -> bool:
        """Whether there is anything to judge."""
        while self._marked:
            name, _ = self._marked.popitem()
            if self._find(name) is not None:
                self._marked[name] = None
                return True
        return False

    def take(self) -> list[_Due]:
        """The queues to judge, by name, with all of their trees. They are not marked any more; `settle` says how it ended."""
        found = self._due(self._marked)
        for group in {self._group(queue): None for queue, _ in found.values()}:
            found |= self._due(self._stuck.pop(group, {}))
        self._marked.clear()
        return [found[name] for name in sorted(found)]

    def settle(self, judged: Iterable[tuple[ClusterQueueState, bool]]) -> None:
        """Note how a cycle ended.

        Args:
            judged: the queues whose heads were judged, and whether the head is still the same and would be judged the same.
        """
        groups: dict[_Group, list[tuple[str, bool]]] = {}
        for queue, is_same in judged:
            groups.setdefault(self._group(queue), []).append((queue.name, is_same))
        for group, members in groups.items():
            names = dict.fromkeys(name for name, _ in members)
            if all(is_same for _, is_same in members):
                self._stuck.setdefault(group, {}).update(names)
            else:
                self._marked.update(names)

    def _due(self, names: Iterable[str]) -> dict[str, _Due]:
        found = ((name, self._find(name)) for name in names)
        return {name: due for name, due in found if due is not None}

    def _find(self, name: str) -> _Due | None:
        """The queue, if it has a head to judge."""
        waiting, queue = self._queues.queue(name), self._cache.queue(name)
        if waiting is not None and waiting.has_heads and queue is not None and queue.is_active:
            return queue, waiting
        return None

    def _group(self, queue: ClusterQueueState) -> _Group:
        return None if self._cache.topologies else queue.node.tree
