"""Who manages an object: itself, an ancestor, or nobody.

The controller references are followed upwards. The topmost owner of an enabled kind that has a queue name (or any, where all jobs are
managed) is the manager; what it owns is admitted with it and never by itself.

Source: jobs.md §2.2, §2.3.
"""

from __future__ import annotations

from pykueue.api import objects
from pykueue.api.errors import Forbidden
from pykueue.api.objects import Obj
from pykueue.core.features import Gate
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.ports.reader import Reader

_OBJECTS_MAX = 10


class OwnerNotFound(Forbidden):
    """An owner that a reference names is not there (any more, or not yet)."""


class OwnersChainTooLong(Forbidden):
    """More owners above each other than are looked at."""


def find_ancestor(obj: Obj, reader: Reader, settings: JobSettings) -> Obj | None:
    """The topmost managed owner of an object; None if there is none.

    Raises:
        OwnerNotFound: an owner of a known kind does not exist.
        OwnersChainTooLong: the chain has more than ten objects.
    """
    best: Obj | None = None
    current = obj
    seen = {objects.uid(obj)}
    for _ in range(_OBJECTS_MAX):
        ref = objects.controller_of(current)
        if ref is None:
            return best
        kind = settings.owner_kind(ref)
        if kind is None:
            return best
        owner = reader.get(kind, objects.namespace(obj), ref.name)
        if owner is None:
            raise OwnerNotFound(f"workload owner not found: {ref.kind} {objects.namespace(obj)}/{ref.name}")
        if objects.uid(owner) != ref.uid:
            return best
        if ref.uid in seen:
            raise OwnersChainTooLong(f"cyclic owner references at {ref.kind} {objects.namespace(obj)}/{ref.name}")
        seen.add(ref.uid)
        if settings.is_managing_kind(ref) and (settings.config.manage_jobs_without_queue_name or queue_name(owner)):
            best = owner
        current = owner
    raise OwnersChainTooLong(f"managed owners chain limit reached, stopped after {_OBJECTS_MAX} objects")


def is_managed(obj: Obj, reader: Reader, settings: JobSettings, *, tolerate_deleting: bool) -> bool:
    """Whether Kueue manages this object itself.

    Args:
        obj: the job.
        reader: for owners and the namespace.
        settings: which jobs are managed.
        tolerate_deleting: as webhooks do: an object on its way out is let go without a look at its owners.

    Raises:
        OwnerNotFound, OwnersChainTooLong: see `find_ancestor`.
    """
    gate = settings.features[Gate.SKIP_ANCESTOR_CHECK_FOR_DELETED_WORKLOADS]
    if tolerate_deleting and gate and objects.is_deleting(obj):
        return False
    if find_ancestor(obj, reader, settings) is not None:
        return False
    if queue_name(obj):
        return True
    manages_all = settings.config.manage_jobs_without_queue_name
    return manages_all and settings.selects_namespace(reader, objects.namespace(obj))


def has_managed_owner_kind(obj: Obj, settings: JobSettings) -> bool:
    """Whether the direct controller is of a kind that Kueue handles: then no defaults are given to this object."""
    ref = objects.controller_of(obj)
    return ref is not None and settings.is_managing_kind(ref)
