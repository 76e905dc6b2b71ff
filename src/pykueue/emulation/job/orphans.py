"""Pods that lost their Job: the tracking finalizer is taken off, for nobody will count them any more.

A Job that is deleted, or that lets its pods go (`--cascade=orphan`), leaves pods which still carry the finalizer; without this
they could never be deleted. Counting is `controller.py`'s; removing the pods is the garbage collector's. Source: Kubernetes
documentation, "Job tracking with finalizers".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api import objects
from pykueue.api.commands import Patch
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import JOB, POD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.emulation import parts
from pykueue.emulation.job import pods as p
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch


class OrphanedJobPods:
    """Reconciles pods with the tracking finalizer."""

    name = "job-orphaned-pods"

    def watches(self) -> Sequence[Watch]:
        """Tracked pods, and Jobs that go."""
        return (Watch(POD, _tracked), Watch(JOB, _left_behind))

    def indexes(self) -> Sequence[Index]:
        """Pods by owner."""
        return (parts.owned_index(POD),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        del now
        pod = reader.get(POD, *key)
        if pod is None or not p.is_tracked(pod) or _has_job(pod, reader):
            return DONE
        return Result((without_finalizer(pod),))


def without_finalizer(pod: Obj) -> Patch:
    """Let a pod go: its end is counted, or will never be."""
    kept = [f for f in objects.finalizers(pod) if f != p.TRACKING_FINALIZER]
    meta = {"uid": objects.uid(pod), "resourceVersion": objects.resource_version(pod), "finalizers": kept or None}
    return Patch(POD, objects.key(pod), {"metadata": meta}, missing_ok=True)


def _has_job(pod: Obj, reader: Reader) -> bool:
    owner = objects.controller_of(pod)
    if owner is None or (owner.api_version, owner.kind) != (JOB.api_version, JOB.kind):
        return False
    job = reader.get(JOB, objects.namespace(pod), owner.name)
    return job is not None and objects.uid(job) == owner.uid


def _tracked(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    del reader
    is_there = event.change is not Change.DELETED and p.is_tracked(event.new)
    return (objects.key(event.new),) if is_there else ()


def _left_behind(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    if event.change is not Change.DELETED:
        return ()
    return [objects.key(pod) for pod in reader.by_index(POD, parts.OWNER_UID, objects.uid(event.new))]
