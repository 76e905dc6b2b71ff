"""The time limits of `waitForPodsReady`.

Source: scheduling.md §10.6.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pykueue.api.configuration.types import WaitForPodsReady
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.v1beta2 import Workload

_JITTER = 0.0001


@dataclass(frozen=True, slots=True)
class Timeout:
    """A limit that runs.

    Attributes:
        left_us: time left; 0 or less when it is over.
        cause: `WaitForStart` or `WaitForRecovery`.
        count: number of evictions with the one that is due.
        exhausted: that number is beyond the backoff limit: deactivate instead of requeueing.
        requeue_at: when the Workload may be queued again.
    """

    left_us: int
    cause: str
    count: int
    exhausted: bool
    requeue_at: Instant


def pods_ready_timeout(workload: Workload, settings: WaitForPodsReady, now: Instant) -> Timeout | None:
    """The limit that applies to an admitted Workload whose pods are not ready; None if none does."""
    admitted = workload.condition(WorkloadCondition.ADMITTED)
    if admitted is None or admitted.status != "True":
        return None
    ready = workload.condition(WorkloadCondition.PODS_READY)
    if ready is not None and ready.status == "True":
        return None
    if ready is not None and ready.reason == Reason.WAIT_FOR_RECOVERY:
        if settings.recovery_timeout_us == 0:
            return None
        cause, deadline = Reason.WAIT_FOR_RECOVERY, ready.transitioned_at + settings.recovery_timeout_us
    else:
        cause, deadline = Reason.WAIT_FOR_START, admitted.transitioned_at + settings.timeout_us
    strategy = settings.requeuing_strategy
    state = workload.status.requeue_state
    count = ((state.count if state else None) or 0) + 1
    limit = strategy.backoff_limit_count
    seconds = min(strategy.backoff_base_seconds * 2 ** min(count - 1, 62), strategy.backoff_max_seconds)
    delay = int(seconds * SECOND_US * (1 + _JITTER * _fraction(workload, count)))
    return Timeout(deadline - now, str(cause), count, limit is not None and count > limit, Instant(now + delay))


def _fraction(workload: Workload, count: int) -> float:
    """A number in [0, 1) that differs between Workloads and attempts and is the same at every replay."""
    digest = hashlib.sha256(f"{workload.uid}/{count}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32
