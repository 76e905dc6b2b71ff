"""What the engine shows of queues: read-only values for statuses.

Source: scheduling.md §13.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pykueue.api.constants import QueueReason, Reason
from pykueue.api.v1beta2 import AdmissionFairSharingStatus, FlavorUsage, LocalQueue, ResourceUsage
from pykueue.core.cache.clusterqueue import ClusterQueueState, Tally
from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.resources import UNLIMITED, FlavorResource, format_amount


@dataclass(frozen=True, slots=True)
class QueueView:
    """Status of a ClusterQueue or LocalQueue.

    Attributes:
        active: status of the `Active` condition, with `reason` and `message`.
        pending: Workloads that wait.
        reserving: Workloads with quota.
        admitted: of those, admitted.
        flavors_reservation: usage of the reserving ones, in spec order.
        flavors_usage: usage of the admitted ones.
        weighted_share: of fair sharing; None if it is off, or for LocalQueues.
        admission_fair_sharing: what a LocalQueue used; None if that does not matter, or is not known yet.
    """

    active: bool
    reason: str
    message: str
    pending: int
    reserving: int
    admitted: int
    flavors_reservation: tuple[FlavorUsage, ...]
    flavors_usage: tuple[FlavorUsage, ...]
    weighted_share: int | None = None
    admission_fair_sharing: AdmissionFairSharingStatus | None = None


@dataclass(frozen=True, slots=True)
class CohortView:
    """Status of a Cohort."""

    weighted_share: int | None


class Blocker(enum.Enum):
    """What keeps a Workload from waiting or being tried, in the order in which it is told."""

    LOCAL_QUEUE_MISSING = enum.auto()
    LOCAL_QUEUE_STOPPED = enum.auto()
    CLUSTER_QUEUE_MISSING = enum.auto()
    CLUSTER_QUEUE_INACTIVE = enum.auto()
    NAMESPACE = enum.auto()
    POD_SETS = enum.auto()
    """Its pods ask for what they may not have, by a LimitRange for instance."""


class Blocked(NamedTuple):
    """A thing that keeps a Workload from waiting or being tried, and how its condition tells it."""

    by: Blocker
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Admissibility:
    """What keeps a Workload from waiting or being tried (§10.5).

    Attributes:
        blocked: the first thing that does, or None.
        equivalent: reason and message recorded when an equivalent Workload failed, or None.
    """

    blocked: Blocked | None
    equivalent: tuple[str, str] | None


def cluster_queue_view(queue: ClusterQueueState, pending: int, *, is_fair: bool) -> QueueView:
    """Status of a ClusterQueue (§13.1, §13.2)."""
    if queue.spec.is_deleting:
        active, reason, message = (
            False,
            QueueReason.TERMINATING,
            "Can't admit new workloads; clusterQueue is terminating",
        )
    elif queue.problems:
        texts = ", ".join(text for _, text in queue.problems)
        active, reason, message = False, queue.problems[0][0], f"Can't admit new workloads: {texts}."
    else:
        active, reason, message = True, QueueReason.READY, "Can admit new workloads"
    has_cohort = bool(queue.spec.spec.cohort_name)
    tally = queue.tally
    return QueueView(
        active, reason, message, pending, tally.reserving, tally.admitted,
        _usage(queue, tally.reservation, is_borrowed_shown=True, has_cohort=has_cohort),
        _usage(queue, tally.usage, is_borrowed_shown=True, has_cohort=has_cohort),
        weighted_share(queue.node) if is_fair else None,
    )  # fmt: skip


def local_queue_view(spec: LocalQueue, queue: ClusterQueueState | None, tally: Tally | None, pending: int) -> QueueView:
    """Status of a LocalQueue (§13.3)."""
    if spec.spec.stop_policy != "None":
        active, reason, message = False, QueueReason.STOPPED, "LocalQueue is stopped"
    elif queue is None or not queue.is_active:
        reason = QueueReason.CLUSTER_QUEUE_DOES_NOT_EXIST if queue is None else QueueReason.CLUSTER_QUEUE_IS_INACTIVE
        active, message = False, "Can't submit new workloads to clusterQueue"
    else:
        active, reason, message = True, QueueReason.READY, "Can submit new workloads to localQueue"
    counted = tally or Tally()
    reservation = _usage(queue, counted.reservation) if queue is not None else ()
    usage = _usage(queue, counted.usage) if queue is not None else ()
    return QueueView(active, reason, message, pending, counted.reserving, counted.admitted, reservation, usage)


def weighted_share(node: QuotaNode) -> int:
    """`status.fairSharing.weightedShare`: rounded up, the largest integer for an infinite share (§9.1)."""
    (is_infinite, value), _ = node.share()
    return UNLIMITED if is_infinite else math.ceil(value)


def _usage(
    queue: ClusterQueueState,
    used: Mapping[FlavorResource, int],
    *,
    is_borrowed_shown: bool = False,
    has_cohort: bool = False,
) -> tuple[FlavorUsage, ...]:
    def row(flavor: str, resource: str) -> ResourceUsage:
        item = FlavorResource(flavor, resource)
        total = used.get(item, 0)
        borrowed = None
        if is_borrowed_shown:
            tree = queue.node.tree
            nominal = queue.node.nominal[tree.number(item)]
            borrowed = format_amount(resource, max(0, total - nominal) if has_cohort else 0)
        return ResourceUsage(name=resource, total=format_amount(resource, total), borrowed=borrowed)

    return tuple(
        FlavorUsage(name=flavor.name, resources=tuple(row(flavor.name, r) for r in sorted(group.covered_resources)))
        for group in queue.groups
        for flavor in group.flavors
    )
