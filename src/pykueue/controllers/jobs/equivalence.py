"""Whether a Workload still stands for its job.

Compared is what admission depends on: the number of pods, what their containers are, the tolerations, the execution time. Metadata, node
selectors and affinity are not: they may change under a Workload's feet. Values that mean the same are the same: an absent list and an
empty one, `1` and `1000m`.

Source: jobs.md §9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.constants import WorkloadCondition
from pykueue.api.objects import Obj
from pykueue.api.quantity import parse_quantity
from pykueue.api.v1beta2 import PodSet, Workload
from pykueue.core.features import Gate
from pykueue.integrations.podset_info import FlavorMissing, PodSetConflict, PodSetInfo, pod_set_infos, with_new
from pykueue.integrations.podsets import PodSetWire
from pykueue.integrations.settings import JobSettings
from pykueue.integrations.validation import max_exec_time
from pykueue.ports.reader import Reader

_CONTAINERS = ("initContainers", "containers")


def stands_for(
    workload: Workload,
    job: Obj,
    pod_sets: Sequence[PodSetWire],
    reader: Reader,
    settings: JobSettings,
    *,
    is_suspended: bool,
) -> bool:
    """Whether a Workload is that of this job as it is now.

    Args:
        workload: controlled by an object of the job's kind and name.
        job: the job.
        pod_sets: which the job has now.
        reader: for the flavors of a reservation.
        settings: whether the owner's UID counts.
        is_suspended: whether the job is held back: then it may look as it was before admission.
    """
    owners = workload.metadata.owner_references
    if settings.features[Gate.FINISH_ORPHANED_WORKLOADS] and all(ref.uid != objects.uid(job) for ref in owners):
        return False
    if max_exec_time(job) != workload.spec.maximum_execution_time_seconds:
        return False
    with_tolerations = not workload.is_true(WorkloadCondition.ADMITTED)
    plain = [(pod_set, None) for pod_set in workload.spec.pod_sets]
    if workload.is_true(WorkloadCondition.QUOTA_RESERVED):
        running = _as_granted(workload, reader, settings)
        if running is not None:
            if _are_equal(pod_sets, running, settings, with_tolerations=with_tolerations):
                return True
            if not is_suspended:
                return False
    return _are_equal(pod_sets, plain, settings, with_tolerations=with_tolerations)


def _as_granted(
    workload: Workload, reader: Reader, settings: JobSettings
) -> Sequence[tuple[PodSet, PodSetInfo | None]] | None:
    """The pod sets with what admission adds to them; None where that cannot be told."""
    try:
        infos = {info.name: info for info in pod_set_infos(workload, reader, settings.features)}
    except (FlavorMissing, PodSetConflict):
        return None
    return [(pod_set, infos.get(pod_set.name)) for pod_set in workload.spec.pod_sets]


def _are_equal(
    ours: Sequence[PodSetWire],
    theirs: Sequence[tuple[PodSet, PodSetInfo | None]],
    settings: JobSettings,
    *,
    with_tolerations: bool,
) -> bool:
    if len(ours) != len(theirs):
        return False
    for wire, (pod_set, info) in zip(ours, theirs, strict=True):
        partial = settings.features[Gate.PARTIAL_ADMISSION]
        # A grant may also be smaller because pods are done; the job's size is then still its own.
        count = info.count if info is not None and partial and pod_set.min_count is not None else pod_set.count
        minimum = wire.get("minCount") if partial else None
        if wire["count"] != count or minimum != pod_set.min_count:
            return False
        our_spec, their_spec = wire["template"].get("spec") or {}, pod_set.template.get("spec") or {}
        if any(not _same(our_spec.get(key), their_spec.get(key)) for key in _CONTAINERS):
            return False
        tolerations = with_new(their_spec.get("tolerations") or (), info.tolerations if info is not None else ())
        if with_tolerations and not _same(our_spec.get("tolerations"), tolerations):
            return False
    return True


def _same(ours: Any, theirs: Any) -> bool:
    """Whether two lists say the same; an absent one is empty."""
    ours, theirs = ours or [], theirs or []
    return bool(ours == theirs) or bool(_canonical(ours) == _canonical(theirs))


def _canonical(value: Any, key: str = "") -> Any:
    """A form in which values that mean the same are equal."""
    if isinstance(value, Mapping):
        if key in ("requests", "limits"):
            return {name: parse_quantity(value[name]).nanos for name in value}
        shown = {name: _canonical(held, name) for name, held in value.items()}
        return {name: held for name, held in shown.items() if held not in (None, "", [], {})}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    return value
