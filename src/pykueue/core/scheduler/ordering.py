"""Step four of a cycle: in which order nominated heads are processed.

Without fair sharing the order is one sort. With it, every cohort picks the best of its children's winners, and the order depends on what was
processed before; so it is an iterator that looks at the tree anew each time.

Source: scheduling.md §5.4, §5.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from pykueue.core.cache.cohort import QuotaNode, Share
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.entry import Entry
from pykueue.core.workload.lifecycle import has_quota

_Key: TypeAlias = tuple[bool, bool, Share, int, int, str, str, str]


def classical_order(entries: Sequence[Entry], features: Features) -> list[Entry]:
    """Entries sorted by borrowing, priority and time; equal ones keep their order."""
    by_priority = features[Gate.PRIORITY_SORTING_WITHIN_COHORT]
    preemptors_first = features[Gate.PRIORITIZE_PREEMPTOR_WORKLOADS]

    def key(entry: Entry) -> tuple[bool, bool, int, int, int]:
        borrowing = entry.assignment.borrowing if entry.assignment is not None else 0
        return (
            not has_quota(entry.info.workload),
            preemptors_first and not is_preemptor(entry),
            borrowing,
            -entry.info.priority if by_priority else 0,
            entry.info.queued_at,
        )

    return sorted(entries, key=key)


def is_preemptor(entry: Entry) -> bool:
    """Whether the entry waits for its victims to leave, or has some."""
    return entry.has_claim or bool(entry.targets)


def fair_order(entries: Sequence[Entry], features: Features) -> Iterator[Entry]:
    """Entries by tournament; usage added by the caller between two of them counts."""
    by_root: dict[int, list[Entry]] = {}
    for entry in entries:
        assert entry.queue is not None
        by_root.setdefault(id(entry.queue.node.tree.root), []).append(entry)
    for members in by_root.values():
        left = list(members)
        while left:
            winner = left[0] if len(left) == 1 else _tournament(left, features)
            left.remove(winner)
            yield winner


def _tournament(entries: Sequence[Entry], features: Features) -> Entry:
    """The winner at the root: on the way up, the best of what each child of a cohort sends."""
    keys = {id(entry): _keys_by_node(entry, features) for entry in entries}
    at: dict[int, Entry] = {}
    level: list[QuotaNode] = []
    for entry in entries:
        assert entry.queue is not None
        node = entry.queue.node
        known = at.get(id(node))
        if known is None:
            level.append(node)
        if known is None or keys[id(entry)][id(node)] < keys[id(known)][id(node)]:
            at[id(node)] = entry
    level.sort(key=_depth, reverse=True)
    # Deepest first, so that a cohort has all its children's winners before it is asked for its own.
    pending = {id(node): node for node in level}
    while True:
        deepest = max(pending.values(), key=_depth)
        if deepest.parent is None:
            return at[id(deepest)]
        del pending[id(deepest)]
        parent, challenger = deepest.parent, at[id(deepest)]
        champion = at.get(id(parent))
        pending[id(parent)] = parent
        if champion is None:
            at[id(parent)] = challenger
            continue
        child = _child_towards(parent, champion)
        if keys[id(challenger)][id(deepest)] < keys[id(champion)][id(child)]:
            at[id(parent)] = challenger


def _depth(node: QuotaNode) -> int:
    return sum(1 for _ in node.lineage())


def _child_towards(parent: QuotaNode, entry: Entry) -> QuotaNode:
    assert entry.queue is not None
    below = entry.queue.node
    for node in entry.queue.node.lineage():
        if node is parent:
            return below
        below = node
    return below


def _keys_by_node(entry: Entry, features: Features) -> dict[int, _Key]:
    """The entry's sort key at every node on its way up, with its usage added."""
    assert entry.queue is not None
    assert entry.assignment is not None
    usage = entry.assignment.usage
    node = entry.queue.node
    info = entry.info
    non_borrowing_first = features[Gate.FAIR_SHARING_PRIORITIZE_NON_BORROWING]
    preemptors_first = features[Gate.PRIORITIZE_PREEMPTOR_WORKLOADS]
    keys: dict[int, _Key] = {}
    with node.tree.trial():
        for i, amount in usage.items():
            node.add_usage(i, amount)
        for ancestor in node.lineage():
            keys[id(ancestor)] = (
                preemptors_first and not is_preemptor(entry),
                non_borrowing_first and not ancestor.is_within_nominal(usage),
                ancestor.share()[0],
                -info.priority,
                info.queued_at,
                info.uid,
                info.key.namespace,
                info.key.name,
            )
    return keys
