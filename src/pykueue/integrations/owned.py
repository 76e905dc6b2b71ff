"""Which Workloads stand for an object: those that it owns, those of its units, and those of the pods that it made.

Source: jobs.md §1, §3, §18, §20.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pykueue.api import objects
from pykueue.api.constants import Annotation
from pykueue.api.kinds import POD, REPLICA_SET, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.integrations.base import GatedPods, JobIntegration
from pykueue.integrations.identity import pod_group_name, prebuilt_workload_name
from pykueue.integrations.settings import JobSettings
from pykueue.ports.reader import Reader


def workloads_of_job(
    integration: JobIntegration, obj: Obj, reader: Reader, settings: JobSettings
) -> Sequence[ObjectKey]:
    """The Workloads of a job, by name.

    Args:
        integration: of its kind.
        obj: the job.
        reader: knows the Workloads of its namespace; of a kind whose pods are units of their own, its pods and what made them too.
        settings: how Workloads are named.
    """
    uids, names = {objects.uid(obj)}, {prebuilt_workload_name(obj, settings.features)}
    hold = integration.hold
    if isinstance(hold, GatedPods) and not hold.grouped:
        for pod in _pods_of(obj, reader):
            uids.add(objects.uid(pod))
    else:
        names.update(unit.workload for unit in integration.units(obj, settings))
    return _find(objects.namespace(obj), uids, names, reader)


def workloads_of_pod(pod: Obj, reader: Reader, settings: JobSettings) -> Sequence[ObjectKey]:
    """The Workloads that a pod belongs to: its own, its group's, or that of the job that made it."""
    uids = {objects.uid(pod), *(ref.uid for ref in objects.owner_references(pod) if ref.controller)}
    names = {
        objects.annotations(pod).get(Annotation.WORKLOAD, ""),
        pod_group_name(pod, settings.features),
        prebuilt_workload_name(pod, settings.features),
    }
    return _find(objects.namespace(pod), uids, names, reader)


def _pods_of(obj: Obj, reader: Reader) -> Iterator[Obj]:
    """Pods that the object made, by itself or through ReplicaSets."""
    namespace = objects.namespace(obj)
    makers = {objects.uid(obj)} | {
        objects.uid(each) for each in reader.list(REPLICA_SET, namespace) if _is_made_by(each, {objects.uid(obj)})
    }
    return (pod for pod in reader.list(POD, namespace) if _is_made_by(pod, makers))


def _is_made_by(obj: Obj, makers: set[str]) -> bool:
    ref = objects.controller_of(obj)
    return ref is not None and ref.uid in makers


def _find(namespace: str, uids: set[str], names: set[str], reader: Reader) -> list[ObjectKey]:
    return [
        objects.key(workload)
        for workload in reader.list(WORKLOAD, namespace)
        if objects.name(workload) in names or any(ref.uid in uids for ref in objects.owner_references(workload))
    ]
