"""Would a victim take its place back? Asked before anybody is evicted, with the gate PyKueueSafePreemption.

Two Workloads that may preempt each other do so for ever, each time one of them is admitted. It happens: fair sharing compares shares of all
resources, and each of the two may look like the one that has less. So the victims are nominated as they will wait, in the world as it will be:
they gone, the preemptor in its place. Whoever would evict the preemptor is not evicted for it.

Longer circles are found when they happened (`loops.py`).

Source: docs/decisions/0009-safe-preemption.md.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.core.queue.heads import Pending
from pykueue.core.scheduler.entry import Entry
from pykueue.core.scheduler.nominate import Nominator
from pykueue.core.scheduler.preemption.candidates import Demand
from pykueue.core.workload.info import Info

_LAST = Instant(1 << 62)
"""It will have reserved its quota later than everybody else, and so is the first that others of its priority choose."""


def returning_victims(entry: Entry, nominator: Nominator, as_pending: Callable[[Info], Info]) -> list[ObjectKey]:
    """The victims of a preemptor that would evict it in turn, as things are.

    Args:
        entry: the preemptor with its assignment and victims.
        nominator: judges in the world in which the preemptor was judged.
        as_pending: a Workload that holds quota as it would wait.
    """
    queue, assignment, cache = entry.queue, entry.assignment, nominator.cache
    assert queue is not None
    assert assignment is not None
    items = queue.node.tree.items
    key, usage = entry.info.key, {items[i]: amount for i, amount in assignment.usage.items()}
    judge = nominator.without(frozenset(target.info.key for target in entry.targets))
    demand = Demand(entry.info, queue, {}, (), cache)
    # Who only lacks places has its quota, and is counted with it.
    held = queue.workloads.get(key)
    seated = held if held is not None else msgspec.structs.replace(entry.info, usage=usage, reserved_at=_LAST)
    found = []
    with cache.trial(queue.node.tree):
        for target in entry.targets:
            demand.remove(target.info)
        if held is None:
            demand.restore(seated)
        queue.workloads[key] = seated
        try:
            with cache.ledger.seated(key, assignment.places):
                for target in entry.targets:
                    if target.info.is_evicted:
                        continue
                    waiting = as_pending(target.info)
                    again = Entry(waiting, Pending(waiting), cache.queue(waiting.cluster_queue))
                    judge.nominate(again)
                    if any(victim.info.key == key for victim in again.targets):
                        found.append(target.info.key)
        finally:
            if held is None:
                del queue.workloads[key]
    return found
