"""The order of Workloads that wait in one ClusterQueue.

Source: scheduling.md §3.2.
"""

from __future__ import annotations

from typing import TypeAlias

from pykueue.core.workload.info import Info

OrderKey: TypeAlias = tuple[bool, int, int, str, str, str]
"""Ascending; ends in the uid, then in the key, so that no two Workloads are equal."""
QueueKey: TypeAlias = tuple[float, OrderKey]
"""Order in the whole queue: the fair-sharing usage of the LocalQueue comes before everything else."""


def order_key(info: Info, *, is_sticky: bool) -> OrderKey:
    """Sort key of a waiting Workload among those of its LocalQueue.

    Args:
        info: the Workload.
        is_sticky: whether it is the queue's sticky preemptor (§3.4).
    """
    return (not is_sticky, -info.priority, info.queued_at, info.tie or info.uid, info.key.namespace, info.key.name)
