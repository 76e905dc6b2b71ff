"""The time limits of waitForPodsReady."""

from __future__ import annotations

from pykueue.api.configuration.types import RequeuingStrategy, WaitForPodsReady
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.v1beta2 import Condition, ObjectMeta, RequeueState, Workload, WorkloadStatus
from pykueue.controllers.core.pods_ready import pods_ready_timeout

T0 = 1_800_000_000 * SECOND_US
SETTINGS = WaitForPodsReady(
    timeout_us=60 * SECOND_US,
    recovery_timeout_us=10 * SECOND_US,
    requeuing_strategy=RequeuingStrategy(backoff_limit_count=2, backoff_base_seconds=5, backoff_max_seconds=8),
)


def at(seconds: int) -> Instant:
    return Instant(T0 + seconds * SECOND_US)


def make_workload(
    *, ready: tuple[str, str, int] | None = None, count: int | None = None, admitted: bool = True
) -> Workload:
    conditions = [
        Condition(type="Admitted", status="True" if admitted else "False", last_transition_time=format_time(at(0)))
    ]
    if ready:
        status, reason, since = ready
        conditions.append(
            Condition(type="PodsReady", status=status, reason=reason, last_transition_time=format_time(at(since)))
        )
    state = RequeueState(count=count) if count is not None else None
    return Workload(
        metadata=ObjectMeta(name="w", namespace="ns", uid="u"),
        status=WorkloadStatus(conditions=tuple(conditions), requeue_state=state),
    )


def test_the_start_is_limited_from_admission() -> None:
    """Never ready: the limit runs from Admitted."""
    found = pods_ready_timeout(make_workload(ready=("False", "WaitForStart", 0)), SETTINGS, at(20))
    assert found is not None
    assert (found.left_us, found.cause, found.count, found.exhausted) == (40 * SECOND_US, "WaitForStart", 1, False)


def test_recovery_is_limited_from_the_failure() -> None:
    """Was ready, a pod failed: the other limit, from then."""
    found = pods_ready_timeout(make_workload(ready=("False", "WaitForRecovery", 100)), SETTINGS, at(115))
    assert found is not None
    assert (found.left_us, found.cause) == (-5 * SECOND_US, "WaitForRecovery")


def test_no_limit_runs_without_need() -> None:
    """Not admitted, or ready: nothing to wait for."""
    assert pods_ready_timeout(make_workload(admitted=False), SETTINGS, at(99)) is None
    assert pods_ready_timeout(make_workload(ready=("True", "Started", 3)), SETTINGS, at(99)) is None


def test_backoff_doubles_to_its_maximum_and_ends_at_the_limit() -> None:
    """5 s, then the 8 s cap; beyond two evictions the Workload is given up."""
    delays = []
    for count in (0, 1, 2):
        found = pods_ready_timeout(make_workload(count=count), SETTINGS, at(60))
        assert found is not None
        delays.append(((found.requeue_at - at(60)) // SECOND_US, found.exhausted))
    assert delays == [(5, False), (8, False), (8, True)]
