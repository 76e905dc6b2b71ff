"""A head of a queue on its way through one cycle.

Source: scheduling.md §5.3.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from pykueue.api.constants import Reason
from pykueue.api.objects import ObjectKey
from pykueue.core.cache.clusterqueue import ClusterQueueState
from pykueue.core.queue.heads import Pending, RequeueReason
from pykueue.core.scheduler.assignment import Assignment
from pykueue.core.scheduler.preemption.candidates import Target
from pykueue.core.workload.info import Info


class Status(enum.Enum):
    """How far an entry came."""

    NOT_NOMINATED = enum.auto()
    NOMINATED = enum.auto()
    SKIPPED = enum.auto()
    PREEMPTING = enum.auto()
    GATED = enum.auto()
    EVICTED = enum.auto()
    ASSUMED = enum.auto()
    BLOCKED = enum.auto()
    """The cycle stopped before it, until all pods are ready."""


@dataclass(slots=True, eq=False)
class Entry:
    """One head.

    Attributes:
        info: the Workload.
        pending: its place in the queue.
        queue: its ClusterQueue; None if unknown.
        assignment: what was found; None if it could not be nominated.
        targets: victims that the assignment needs.
        status: how far it came.
        reason: of the condition.
        message: why it is not admitted.
        requeue: why it goes back.
        replaces: the older slice of an elastic job.
        is_deferred: it fits once victims that are chosen already have left.
        is_second_pass: it has quota already, and only lacks places.
        has_claim: others were evicted for it before, and it was not admitted since.
        spared: Workloads that would take their places back if they were evicted for it.
        overdue: evicted Workloads that it would wait for, but that should have left by now.
        fault: an error in our own code that kept it from being judged.
    """

    info: Info
    pending: Pending
    queue: ClusterQueueState | None
    assignment: Assignment | None = None
    targets: list[Target] = field(default_factory=list)
    status: Status = Status.NOT_NOMINATED
    reason: Reason = Reason.PENDING_EVALUATION
    message: str = ""
    requeue: RequeueReason = RequeueReason.GENERIC
    replaces: Info | None = None
    is_deferred: bool = False
    is_second_pass: bool = False
    has_claim: bool = False
    spared: Sequence[ObjectKey] = ()
    overdue: list[Info] = field(default_factory=list)
    fault: Exception | None = None

    def refuse(self, reason: Reason, message: str, requeue: RequeueReason = RequeueReason.GENERIC) -> None:
        """Note why it is not admitted."""
        self.reason, self.message, self.requeue = reason, message, requeue

    def fail(self, fault: Exception) -> None:
        """It cannot be judged: no fault of its own, and no reason to stop the others."""
        self.fault, self.status, self.targets = fault, Status.NOT_NOMINATED, []
        self.refuse(Reason.PENDING_EVALUATION, f"couldn't be evaluated because of an internal error: {fault!r}")
