"""An admission that is decided but not yet observed.

Source: scheduling.md §5.6 n.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from pykueue.api.constants import WorkloadCondition
from pykueue.api.instant import Instant, format_time
from pykueue.api.v1beta2 import Condition, Workload
from pykueue.core.scheduler.assignment import Assignment
from pykueue.core.scheduler.decisions import Admit
from pykueue.core.workload.info import PodSetInfo

_WITHOUT_ADMISSION: tuple[WorkloadCondition, ...] = (WorkloadCondition.QUOTA_RESERVED,)
_WITH_ADMISSION = (WorkloadCondition.QUOTA_RESERVED, WorkloadCondition.ADMITTED)
_CHANGED = frozenset((*_WITH_ADMISSION, WorkloadCondition.EVICTED))
_TIMES_MAX = 64
"""Times of which conditions are remembered: all admissions of a cycle share them."""


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
    kept = [c for c in decision.workload.status.conditions if c.type not in changed]
    status = msgspec.structs.replace(
        decision.workload.status,
        conditions=(*kept, *_true_since(types, stamp)),
        admission=decision.admission,
        unhealthy_nodes=(),
    )
    return msgspec.structs.replace(decision.workload, status=status)


def held_pod_sets(workload: Workload, assignment: Assignment) -> tuple[PodSetInfo, ...]:
    """The pod sets of a first reservation: what `InfoMaker.reserving` reads from the admission is known from its assignment.

    Args:
        workload: with the admission, as `as_admitted` makes it.
        assignment: that the admission tells.
    """
    admission = workload.status.admission
    assert admission is not None
    pod_sets = []
    for pod_set, found, given in zip(
        workload.spec.pod_sets, assignment.pod_sets, admission.pod_set_assignments, strict=True
    ):
        usage = {name: found.requests[name] for name in found.flavors}
        spec = pod_set.template.get("spec") or {}
        held = PodSetInfo(pod_set.name, found.count, None, {}, usage, spec, given.flavors, pod_set.topology_request)
        pod_sets.append(held)
    return tuple(pod_sets)


@lru_cache(_TIMES_MAX)
def _true_since(types: tuple[WorkloadCondition, ...], stamp: str) -> tuple[Condition, ...]:
    return tuple(Condition(type=t, status="True", reason=t, last_transition_time=stamp) for t in types)
