"""The Workload of a plain pod group: made from the pods, kept in line with them, and refused where it is not theirs.

Source: jobs.md §18.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Emit, Patch
from pykueue.api.constants import Annotation, Reason, WorkloadCondition
from pykueue.api.kinds import POD, WORKLOAD
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Condition, Workload
from pykueue.controllers.jobs import groups, pod_commands, workloads
from pykueue.controllers.jobs.pod_commands import REPORTER, together
from pykueue.core.features import Features, Gate
from pykueue.integrations import pod as pods
from pykueue.integrations.priority import PriorityClassMissing, resolve_priority
from pykueue.integrations.settings import JobSettings
from pykueue.integrations.validation import max_exec_time
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import Result


def construct(reader: Reader, members: Sequence[Obj], group: str, settings: JobSettings) -> Result:
    """Make the Workload of a group that is complete; pods that cannot be part of it are let go, those beyond it deleted."""
    if (total := pods.group_total(members[0])) is not None and groups.finish_message(members, total) is not None:
        return Result(together(c for pod in members for c in pod_commands.finalize(pod)))
    freed = [c for pod in members if not pods.is_runnable(pod) for c in pod_commands.finalize(pod)]
    try:
        excess, pod_sets = groups.compose(members, settings)
        labels = groups.copied_group_labels(members, settings)
        priority = resolve_priority(members[0], [p["template"] for p in pod_sets], reader)
    except groups.GroupError as fault:
        return Result((*together(freed), Emit(POD, members[0], "Warning", "ErrWorkloadCompose", str(fault), REPORTER)))
    except PriorityClassMissing as missing:
        event = Emit(POD, members[0], "Warning", "WorkloadPriorityClassNotFound", str(missing), REPORTER)
        return Result((*together(freed), event), error=str(missing))
    gone = {objects.uid(pod) for pod in excess}
    owners = [
        objects.make_owner_reference(POD, pod, controller=False) for pod in members if objects.uid(pod) not in gone
    ]
    workload = workloads.make_workload(
        group,
        members[0],
        pod_sets,
        priority,
        settings,
        labels=labels,
        annotations={Annotation.IS_GROUP_WORKLOAD.value: "true"},
        owners=owners,
    )
    removed = [pod_commands.remove_excess(pod) for pod in excess]
    return Result((*together([*freed, *removed]), workloads.created(workload, POD, members[0], REPORTER)))


def belongs_to_group(workload: Workload, features: Features) -> bool:
    """Whether a Workload of the group's name is one of a group, and nobody else's."""
    if not features[Gate.POD_INTEGRATION_VALIDATE_GROUP_OWNER]:
        return True
    return Annotation.IS_GROUP_WORKLOAD in workload.metadata.annotations


def name_conflict(members: Sequence[Obj], group: str) -> Result:
    """The name is taken: the pods wait until it is free; those that are over are let go."""
    freed = [c for pod in members if not pods.is_runnable(pod) for c in pod_commands.finalize(pod)]
    note = (
        f'A Workload named "{group}" already exists but is not a pod group workload; this pod group cannot be admitted'
    )
    return Result((*together(freed), Emit(POD, members[0], "Warning", "WorkloadNameConflict", note, REPORTER)))


def is_stale(kept: Sequence[Obj], workload: Workload) -> bool:
    """Whether the Workload no longer stands for these pods, and must be made anew."""
    if not kept:
        return False
    if max_exec_time(kept[0]) != workload.spec.maximum_execution_time_seconds:
        return True
    return not groups.is_equivalent(kept, workload)


def waiting_condition(workload: Workload, n_absent: int) -> Condition | None:
    """`WaitingForReplacementPods` as it should be; None where it was never needed and is not now."""
    type_ = WorkloadCondition.WAITING_FOR_REPLACEMENT_PODS
    generation = workload.metadata.generation
    present = workload.condition(type_)
    if n_absent > 0:
        evicted = workload.condition(WorkloadCondition.EVICTED)
        if evicted is not None and evicted.status == "True":
            reason, message = evicted.reason, evicted.message
        elif present is not None and present.status == "True":
            return None
        else:
            reason, message = Reason.PODS_FAILED, "Some Failed pods need replacement"
        return Condition(
            type=type_.value, status="True", reason=str(reason), message=message, observed_generation=generation
        )
    if present is None or present.status != "True":
        return None
    return Condition(
        type=type_.value,
        status="False",
        reason=Reason.PODS_READY.value,
        message="No pods need replacement",
        observed_generation=generation,
    )


def synced(reader: Reader, members: Sequence[Obj], workload: Workload, settings: JobSettings) -> Sequence[Command]:
    """Queue, admission gates and priority class of the pods, in the Workload."""
    job = members[0]
    is_waiting = not workload.is_true(WorkloadCondition.QUOTA_RESERVED) and all(pods.is_suspended(p) for p in members)
    may_move = is_waiting and not pods.is_serving(job)
    update = workloads.make_update(job, workload, reader, settings.features, may_move=may_move)
    missing: tuple[Command, ...] = ()
    if update.missing:
        missing = (Emit(POD, job, "Warning", "WorkloadPriorityClassNotFound", update.missing, REPORTER),)
    if not update.body:
        return missing
    events = [Emit(POD, job, "Normal", "UpdatedWorkload", note, REPORTER) for note in update.notes]
    return (Chain((Patch(WORKLOAD, workload.key, update.body), *events)), *missing)


def check_events(members: Iterable[Obj], workload: Workload) -> Sequence[Command]:
    """While quota is reserved: what the pending checks say, told to each pod."""
    note = workloads.pending_checks_note(workload)
    return [Emit(POD, pod, "Normal", "UpdatedAdmissionCheck", note, REPORTER) for pod in members] if note else ()
