"""Why a Workload has no quota, as far as the scheduler has not said it.

Source: scheduling.md §10.5 (first match), §3.6 (Workloads parked with an equivalent one).
"""

from __future__ import annotations

from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.core.transitions import pending_evaluation
from pykueue.core.engine import Admissibility
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.nominate import NAMESPACE_MISMATCH

_OVERRIDABLE = {"", Reason.PENDING_EVALUATION, Reason.PENDING, Reason.DEACTIVATED, Reason.SUSPENDED}
_SET_HERE = {
    Reason.DEACTIVATED, Reason.SUSPENDED, Reason.MISCONFIGURED, Reason.INADMISSIBLE, Reason.PENDING,
}  # fmt: skip
"""The last two are what the others are without the gate UnadmittedWorkloadsObservability."""
_PENDING_MESSAGE = "Workload is pending evaluation in the scheduling queue"


def unreserved_reason(workload: Workload, facts: Admissibility, features: Features) -> tuple[str, str] | None:
    """Reason and message for `QuotaReserved=False`; None to leave the condition as it is."""
    current = workload.condition(WorkloadCondition.QUOTA_RESERVED)
    reason = current.reason if current is not None else ""
    fine = features[Gate.UNADMITTED_WORKLOADS_OBSERVABILITY]
    if not workload.spec.active:
        return (Reason.DEACTIVATED if fine else Reason.PENDING), "The workload is deactivated"
    if reason in (Reason.ON_HOLD, Reason.ADMISSION_GATED):
        return None
    if facts.blocked is not None:
        _, blocked_reason, message = facts.blocked
        return (blocked_reason if fine else Reason.INADMISSIBLE), message
    if facts.equivalent is not None and reason in _OVERRIDABLE:
        return facts.equivalent
    if current is None:
        explicit = features[Gate.UNADMITTED_WORKLOADS_EXPLICIT_STATUS]
        return (Reason.PENDING_EVALUATION, _PENDING_MESSAGE) if explicit else None
    if reason in _SET_HERE and _was_set_here(current.message):
        return pending_evaluation(features), _PENDING_MESSAGE
    return None


def _was_set_here(message: str) -> bool:
    """Whether the present message is one that this module knows, so that it is stale once its cause is gone."""
    return message in ("The workload is deactivated", NAMESPACE_MISMATCH) or (
        message.startswith(("LocalQueue ", "ClusterQueue "))
        and message.endswith((" doesn't exist", " is inactive", " is stopped", " is terminating or missing"))
    )
