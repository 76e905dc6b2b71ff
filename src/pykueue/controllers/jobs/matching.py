"""One job, one Workload: which of the Workloads that a job controls stands for it, and what becomes of the others.

A job may name a Workload that was built for it: it is taken over, and must fit. Otherwise the first that fits is the job's; one that does
not is rewritten while nothing depends on it (the job is suspended, no quota is reserved), else it goes and another is made.

Source: jobs.md §5, §8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Create, Patch
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.instant import Instant
from pykueue.api.kinds import WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.controllers.jobs import workloads
from pykueue.controllers.jobs.equivalence import stands_for
from pykueue.controllers.jobs.suspending import emit, stop
from pykueue.core.features import Gate
from pykueue.integrations.identity import prebuilt_workload_name
from pykueue.integrations.podsets import PodSetWire
from pykueue.integrations.priority import resolve_priority
from pykueue.integrations.settings import JobSettings
from pykueue.integrations.suspended import SuspendedJob
from pykueue.integrations.validation import is_elastic
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import Result

BY_CONTROLLER = "controller"
_NONE: Mapping[str, str] = {}
_OPTIONAL_SPEC = ("queueName", "maximumExecutionTimeSeconds", "priorityClassRef")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as one pass looks at it.

    Attributes:
        integration: of its kind.
        job: the object.
        pod_sets: which it has now.
        settings: configuration and gates.
        reader: the cache.
    """

    integration: SuspendedJob
    job: Obj
    pod_sets: Sequence[PodSetWire]
    settings: JobSettings
    reader: Reader

    @property
    def is_suspended(self) -> bool:
        """Whether the job is held back."""
        return self.integration.is_suspended(self.job)

    @property
    def is_elastic(self) -> bool:
        """Whether the job grows and shrinks while it runs, by slices."""
        return is_elastic(self.job, self.settings.features)

    @property
    def prebuilt(self) -> str:
        """The Workload that the job names; empty for none."""
        return prebuilt_workload_name(self.job, self.settings.features)

    def fits(self, workload: Workload) -> bool:
        """Whether a Workload stands for the job as it is now."""
        return stands_for(workload, self.job, self.pod_sets, self.reader, self.settings, is_suspended=self.is_suspended)


def controllers(workload: Obj) -> Iterable[str]:
    """Who controls a Workload: the index `controller`."""
    ref = objects.controller_of(workload)
    return (controller_value(ref.api_version, ref.kind, objects.namespace(workload), ref.name),) if ref else ()


def controller_value(api_version: str, kind: str, namespace: str, name: str) -> str:
    """The value of the index `controller` for a job."""
    return f"{api_version}/{kind}/{namespace}/{name}"


def controlled(reader: Reader, integration: SuspendedJob, key: ObjectKey) -> list[Workload]:
    """The Workloads that a job of this name controls or controlled."""
    value = controller_value(integration.kind.api_version, integration.kind.kind, *key)
    return [reader.typed(Workload, found) for found in reader.by_index(WORKLOAD, BY_CONTROLLER, value)]


def prebuilt_workload(view: JobView, now: Instant) -> Workload | Result | None:
    """The Workload that the job names; None if it is not there or is another job's; a Result if something is due first."""
    found = view.reader.get(WORKLOAD, objects.namespace(view.job), view.prebuilt)
    if found is None:
        return None
    owner = objects.controller_of(found)
    if owner is not None and owner.uid != objects.uid(view.job):
        return None
    workload = view.reader.typed(Workload, found)
    if owner is None:
        return Result((workloads.taken_over(found, view.integration.kind, view.job),))
    if workload.is_true(WorkloadCondition.FINISHED):
        was_misfit = workload.condition(WorkloadCondition.FINISHED)
        stops = stop(view.integration, view.job, workloads.MISSING_PREBUILT, workload.spec.pod_sets)
        return Result(stops) if stops and was_misfit and was_misfit.reason == Reason.OUT_OF_SYNC else workload
    if workload.is_deleting or view.fits(workload):
        return workload
    stops = stop(view.integration, view.job, workloads.MISSING_PREBUILT)
    return Result((*stops, *workloads.out_of_sync(workload, now)))


def own_workload(view: JobView, now: Instant, *, has_ended: bool) -> Workload | Result | None:
    """The Workload that stands for the job; None if there is none; a Result if something is due first.

    Args:
        view: the job.
        now: Instant (µs).
        has_ended: whether the job is over, so that nothing has to be stopped.
    """
    key = objects.key(view.job)
    owned = controlled(view.reader, view.integration, key)
    if view.settings.features[Gate.FINISH_ORPHANED_WORKLOADS]:
        uid = objects.uid(view.job)
        strangers = [w for w in owned if all(ref.uid != uid for ref in w.metadata.owner_references)]
        if strangers:
            commands = [c for w in strangers for c in workloads.orphaned(w, view.settings, now)]
            owned = [w for w in owned if w not in strangers]
            if commands:
                return Result(tuple(commands))
    match = next((workload for workload in owned if view.fits(workload)), None)
    extra = [workload for workload in owned if workload is not match]
    if match is not None:
        return Result(_deleted(view, extra)) if extra else match
    stops: tuple[Command, ...] = ()
    if not view.is_suspended and not has_ended:
        pod_sets, message = (
            (extra[0].spec.pod_sets, workloads.NOT_MATCHING) if len(extra) == 1 else ((), workloads.MISSING)
        )
        stops = stop(view.integration, view.job, message, pod_sets)
    if extra and view.is_suspended and _is_free(extra[0]):
        return Result((_rewritten(view, extra[0]),))
    commands = [*stops, *_deleted(view, extra)]
    return Result(tuple(commands)) if commands else None


def constructed(view: JobView, name: str = "", annotations: Mapping[str, str] | None = None) -> tuple[Command, ...]:
    """Make the job's Workload, and tell so.

    Args:
        view: the job.
        name: of the Workload; empty for the one that the job's own name gives.
        annotations: besides those that are copied from the job.

    Raises:
        PriorityClassMissing: the job names a class that does not exist.
    """
    workload = _built(view, name, annotations or {})
    note = f"Created Workload: {objects.key(workload)}"
    return (Create(WORKLOAD, workload), emit(view.integration, view.job, "CreatedWorkload", note))


def _built(view: JobView, name: str = "", annotations: Mapping[str, str] = _NONE) -> Obj:
    integration, job = view.integration, view.job
    priority = resolve_priority(job, [pod_set["template"] for pod_set in view.pod_sets], view.reader)
    return workloads.make_workload(
        name or integration.workload_name(objects.name(job), job, view.settings),
        job,
        view.pod_sets,
        priority,
        view.settings,
        labels=workloads.job_uid_label(job),
        annotations=annotations,
        owners=[objects.make_owner_reference(integration.kind, job, controller=True)],
    )


def _rewritten(view: JobView, workload: Workload) -> Command:
    """The spec as it would be made today; whether it is active stays."""
    spec = dict.fromkeys(_OPTIONAL_SPEC) | dict(_built(view)["spec"])
    body = {"metadata": {"uid": workload.uid}, "spec": spec}
    note = f"Updated not matching Workload for suspended job: {workload.key}"
    event = emit(view.integration, view.job, "UpdatedWorkload", note)
    return Chain((Patch(WORKLOAD, workload.key, body), event))


def _is_free(workload: Workload) -> bool:
    """Whether nothing depends on what the Workload says."""
    is_bound = workload.is_true(WorkloadCondition.QUOTA_RESERVED) or workload.is_true(WorkloadCondition.FINISHED)
    return not is_bound and not workload.is_deleting


def _deleted(view: JobView, extra: Iterable[Workload]) -> tuple[Command, ...]:
    commands: list[Command] = []
    for workload in extra:
        if steps := workloads.deleted(workload):
            note = f"Deleted not matching Workload: {workload.key}"
            commands += [*steps, emit(view.integration, view.job, "DeletedWorkload", note)]
    return tuple(commands)
