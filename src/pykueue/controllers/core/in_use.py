"""Objects that must not vanish while a ClusterQueue needs them: ResourceFlavor, AdmissionCheck, Topology.

Each carries the finalizer `kueue.x-k8s.io/resource-in-use` while it lives; when it is being deleted, the finalizer is taken off
once nothing refers to it any more. Whether something does is told by the engine; a change of a referrer wakes what it names.

Source: scheduling.md §13.4, webhooks.md §3.1, api.md §0.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pykueue.api import objects
from pykueue.api.commands import Patch
from pykueue.api.constants import RESOURCE_IN_USE_FINALIZER
from pykueue.api.events import Change, ObjectEvent
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
        referrer: the kind that refers to it.
        referred: the names that one referrer refers to.
    """

    name: str
    kind: Kind
    in_use: Callable[[str], bool]
    referrer: Kind
    referred: Callable[[Obj], Iterable[str]]

    def watches(self) -> Sequence[Watch]:
        return (Watch(self.kind, lambda event, _: (objects.key(event.new),)), Watch(self.referrer, self._named))

    def _named(self, event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
        """What a referrer names now or named before; what it names in both states did not change."""
        del reader
        old = set(self.referred(event.old)) if event.old is not None else set()
        new = set(self.referred(event.new)) if event.change is not Change.DELETED else set()
        return [ObjectKey("", name) for name in sorted(old ^ new)]

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


def flavors_of(cluster_queue: Obj) -> Iterable[str]:
    """ResourceFlavors that a ClusterQueue names."""
    groups = objects.get_path(cluster_queue, "spec", "resourceGroups") or ()
    return [str(flavor.get("name")) for group in groups for flavor in group.get("flavors") or ()]


def checks_of(cluster_queue: Obj) -> Iterable[str]:
    """AdmissionChecks that a ClusterQueue names."""
    rules = objects.get_path(cluster_queue, "spec", "admissionChecksStrategy", "admissionChecks") or ()
    return [str(rule.get("name")) for rule in rules]


def topology_of(flavor: Obj) -> Iterable[str]:
    """The Topology that a ResourceFlavor names, if it does."""
    name = objects.get_path(flavor, "spec", "topologyName")
    return (str(name),) if name else ()


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
