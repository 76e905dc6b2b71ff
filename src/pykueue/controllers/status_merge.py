"""Status of Workloads as merge patches, for clusters that rather have them than server-side apply (gate `WorkloadRequestUseMergePatch`).

An apply says what its manager wants there to be, and the API server takes away what that manager owned and leaves out. A merge patch says what changes,
so here the difference is taken, between what is applied and the Workload as it is read. What a manager owns is known by its name:
`kueue-admission` the whole admission part (`workload_status.py`), every other one what its apply names. The resource version of the apply
is kept as it is, so a patch that was made of another version than the decision is refused like the apply.

Source: api.md §13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.commands import Apply, Patch
from pykueue.api.constants import ADMISSION_FIELD_MANAGER
from pykueue.api.kinds import WORKLOAD
from pykueue.api.objects import Obj, key, merge_difference
from pykueue.controllers.workload_status import ADMISSION_CONDITIONS

_ADMISSION_FIELDS = (
    "admission", "resourceRequests", "requeueState", "admissionChecks", "accumulatedPastExecutionTimeSeconds", "schedulingStats",
    "clusterName", "nominatedClusterNames", "unhealthyNodes", "preemptionGates",
)  # fmt: skip


def is_status_apply(command: object) -> bool:
    """Whether a command applies the status of a Workload."""
    return isinstance(command, Apply) and command.kind == WORKLOAD and command.subresource == "status"


def as_merge_patch(command: Apply, current: Obj) -> Patch:
    """What an apply of a Workload's status changes.

    Args:
        command: for which `is_status_apply` holds.
        current: the Workload as it was read last.
    """
    applied: Mapping[str, Any] = command.obj["status"]
    present: Mapping[str, Any] = current.get("status") or {}
    is_admission = command.field_manager == ADMISSION_FIELD_MANAGER
    owned = _ADMISSION_FIELDS if is_admission else [name for name in applied if name != "conditions"]
    status = merge_difference(
        {name: present[name] for name in owned if name in present}, {k: applied[k] for k in owned if k in applied}
    )
    conditions = _conditions(
        present.get("conditions") or (), applied.get("conditions") or (), is_admission=is_admission
    )
    if conditions != list(present.get("conditions") or ()):
        status["conditions"] = conditions
    guards = {
        name: command.obj["metadata"][name] for name in ("uid", "resourceVersion") if name in command.obj["metadata"]
    }
    body = {"metadata": guards, "status": status}
    return Patch(
        WORKLOAD,
        key(command.obj),
        body,
        subresource="status",
        missing_ok=command.missing_ok,
        field_manager=command.field_manager,
    )


def _conditions(
    present: Sequence[Mapping[str, Any]], applied: Sequence[Mapping[str, Any]], *, is_admission: bool
) -> list[Mapping[str, Any]]:
    """The whole list, for a merge patch replaces lists: what stays keeps its place, what is new comes last."""
    wanted = {condition["type"]: condition for condition in applied}
    kept = [
        wanted.pop(condition["type"], condition)
        for condition in present
        if condition["type"] in wanted or not (is_admission and condition["type"] in ADMISSION_CONDITIONS)
    ]
    return [*kept, *wanted.values()]
