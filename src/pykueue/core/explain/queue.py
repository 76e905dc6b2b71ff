"""Why a queue stands where it stands: who waits in it, in which order, what it has, and why its head does not start.

Source: scheduling.md §3.2, §13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pykueue.api.instant import format_time
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.explain.amounts import flavor_facts
from pykueue.core.explain.facts import QueueExplanation, Waiting, WorkloadExplanation
from pykueue.core.queue.heads import Pending
from pykueue.core.views import QueueView


@dataclass(frozen=True, slots=True)
class QueueInQuestion:
    """A queue.

    Attributes:
        kind: `ClusterQueue` or `LocalQueue`.
        name: its name, or `namespace/name`.
        cluster_queue: name of the ClusterQueue.
        state: the ClusterQueue; None if it is not there.
        view: its status, of the queue itself.
    """

    kind: str
    name: str
    cluster_queue: str
    state: ClusterQueueState | None
    view: QueueView


def explain_queue(
    queue: QueueInQuestion,
    waiting: Sequence[tuple[int, Pending]],
    head: WorkloadExplanation | None,
    cache: Cache,
    *,
    n_told: int,
) -> QueueExplanation:
    """Tell why a queue stands where it stands.

    Args:
        queue: which.
        waiting: who waits in it, with their places in the ClusterQueue's order, from 1.
        head: of the first of these.
        cache: what holds quota.
        n_told: how many of those that wait are told.
    """
    state, view = queue.state, queue.view
    return QueueExplanation(
        kind=queue.kind,
        queue=queue.name,
        cluster_queue=queue.cluster_queue,
        path=state.node.path() if state is not None else "",
        strategy=state.spec.spec.queueing_strategy if state is not None else "",
        is_active=view.active,
        reason=view.reason,
        message=view.message,
        pending=view.pending,
        reserving=view.reserving,
        admitted=view.admitted,
        flavors=flavor_facts(state, cache) if state is not None else (),
        waiting=tuple(_line(place, item) for place, item in waiting[:n_told]),
        head=head,
    )


def _line(place: int, item: Pending) -> Waiting:
    info = item.info
    return Waiting(place, str(info.key), str(info.local_queue), info.priority, format_time(info.queued_at))
