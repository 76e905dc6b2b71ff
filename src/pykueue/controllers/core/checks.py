"""Admission checks of a Workload: the list, and the texts when one fails.

Source: scheduling.md §12, §10.3, §10.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api.instant import Instant, format_time
from pykueue.api.v1beta2 import AdmissionCheckState, Workload


def sync_checks(workload: Workload, required: Iterable[str], now: Instant) -> tuple[AdmissionCheckState, ...]:
    """The states of exactly the required checks, by name; a new one is Pending."""
    known = {check.name: check for check in workload.status.admission_checks}
    return tuple(
        known.get(name)
        or AdmissionCheckState(name=name, state="Pending", last_transition_time=format_time(now), message="")
        for name in sorted(set(required))
    )


def retry_message(checks: Sequence[AdmissionCheckState]) -> str:
    """`Evicted due to AdmissionCheck in Retry state: "a" (message)`."""
    return "Evicted due to " + _in_state(checks, "Retry")


def failed_check_event(checks: Sequence[AdmissionCheckState]) -> tuple[str, tuple[str, str, str]]:
    """Message of the deactivation target, and the event, for rejected checks."""
    text = _in_state(checks, "Rejected")
    return text, ("Warning", "AdmissionCheckRejected", "Deactivated due to " + text)


def _in_state(checks: Sequence[AdmissionCheckState], state: str) -> str:
    noun = "AdmissionCheck" if len(checks) == 1 else "AdmissionChecks"
    parts = [
        f'"{c.name}"' + (f" ({c.message})" if c.message else "") for c in sorted(checks, key=lambda check: check.name)
    ]
    return f"{noun} in {state} state: " + "; ".join(parts)
