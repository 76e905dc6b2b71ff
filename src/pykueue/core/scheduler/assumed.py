"""An admission that is decided but not yet observed.

Source: scheduling.md §5.6 n.
"""

from __future__ import annotations

import msgspec

from pykueue.api.constants import WorkloadCondition
from pykueue.api.instant import Instant, format_time
from pykueue.api.v1beta2 import Condition, Workload
from pykueue.core.scheduler.decisions import Admit

_WITHOUT_ADMISSION: tuple[WorkloadCondition, ...] = (WorkloadCondition.QUOTA_RESERVED,)
_WITH_ADMISSION = (WorkloadCondition.QUOTA_RESERVED, WorkloadCondition.ADMITTED)
_CHANGED = frozenset((*_WITH_ADMISSION, WorkloadCondition.EVICTED))


def was_released(assumed: Workload, seen: Workload) -> bool:
    """Whether a version without quota is from after the assumed reservation: evicted or deactivated meanwhile."""
    before, after = assumed.condition(WorkloadCondition.EVICTED), seen.condition(WorkloadCondition.EVICTED)
    if after is None or after.status != "True":
        return not seen.spec.active
    return before is None or before.status != "True" or before.last_transition_time != after.last_transition_time


def as_admitted(decision: Admit, now: Instant) -> Workload:
    """The Workload as the write of the decision will leave it, as far as the engine looks."""
    stamp = format_time(now)
    types = _WITH_ADMISSION if decision.is_admitted else _WITHOUT_ADMISSION
    changed = _CHANGED
    if decision.is_second_pass:
        # What is true already has been since before.
        types = tuple(t for t in types if not decision.workload.is_true(t))
        changed = frozenset((*types, WorkloadCondition.EVICTED))
    conditions = [c for c in decision.workload.status.conditions if c.type not in changed]
    conditions += [Condition(type=t, status="True", reason=t, last_transition_time=stamp) for t in types]
    status = msgspec.structs.replace(
        decision.workload.status, conditions=tuple(conditions), admission=decision.admission, unhealthy_nodes=()
    )
    return msgspec.structs.replace(decision.workload, status=status)
