"""The order of Workloads that wait in one ClusterQueue.

Source: scheduling.md §3.2.
"""

from __future__ import annotations

from typing import TypeAlias

from pykueue.core.workload.info import Info

OrderKey: TypeAlias = tuple[float, bool, int, int, str, str, str]
"""Ascending; ends in the uid, then in the key, so that no two Workloads are equal."""


def order_key(info: Info, *, is_sticky: bool, usage: float) -> OrderKey:
    """Sort key of a waiting Workload.

    Args:
        info: the Workload.
        is_sticky: whether it is the queue's sticky preemptor (§3.4).
        usage: fair-sharing usage of its LocalQueue; 0 where that does not order.
    """
    return (usage, not is_sticky, -info.priority, info.queued_at, info.uid, info.key.namespace, info.key.name)
