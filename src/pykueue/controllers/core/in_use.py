"""Objects that must not vanish while a ClusterQueue needs them: ResourceFlavor, AdmissionCheck, Topology.

Each carries the finalizer `kueue.x-k8s.io/resource-in-use` while it lives; when it is being deleted, the finalizer is taken off
once nothing refers to it any more. Who refers to it is told by the engine, which also wakes the key when that changes.

Source: scheduling.md §13.4, webhooks.md §3.1, api.md §0.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pykueue.api import objects
from pykueue.api.commands import Patch
from pykueue.api.constants import RESOURCE_IN_USE_FINALIZER
from pykueue.api.instant import Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch


@dataclass(frozen=True, slots=True)
class InUseFinalizer:
    """Keeps the finalizer on the objects of one kind.

    Attributes:
        name: of the reconciler.
        kind: the guarded kind.
        in_use: tells whether an object of that name is still referred to.
    """

    name: str
    kind: Kind
    in_use: Callable[[str], bool]

    def watches(self) -> Sequence[Watch]:
        return (Watch(self.kind, lambda event, _: (objects.key(event.new),)),)

    def indexes(self) -> Sequence[Index]:
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        del now
        obj = reader.get(self.kind, key.namespace, key.name)
        if obj is None:
            return DONE
        held = RESOURCE_IN_USE_FINALIZER in objects.finalizers(obj)
        if objects.is_deleting(obj):
            return Result((drop_finalizer(self.kind, obj),)) if held and not self.in_use(key.name) else DONE
        return DONE if held else Result((add_finalizer(self.kind, obj),))


def add_finalizer(kind: Kind, obj: Obj) -> Patch:
    """Put the finalizer on; refused by the server if the object changed meanwhile."""
    return _set_finalizers(kind, obj, [*objects.finalizers(obj), RESOURCE_IN_USE_FINALIZER])


def drop_finalizer(kind: Kind, obj: Obj) -> Patch:
    """Take the finalizer off; refused by the server if the object changed meanwhile (gate RemoveFinalizersWithStrictPatch)."""
    return _set_finalizers(kind, obj, [f for f in objects.finalizers(obj) if f != RESOURCE_IN_USE_FINALIZER])


def _set_finalizers(kind: Kind, obj: Obj, finalizers: list[str]) -> Patch:
    version = objects.resource_version(obj)
    body = {"metadata": {"finalizers": finalizers or None, "resourceVersion": version}}
    return Patch(kind, objects.key(obj), body, missing_ok=True)
