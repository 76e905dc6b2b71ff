"""Namespaces that are being deleted: first their contents go, then they do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api import objects
from pykueue.api.commands import Delete, Patch
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import NAMESPACE, Kind
from pykueue.api.objects import ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

_BATCH_US = 20_000


class NamespaceController:
    """Empties terminating namespaces of the given kinds."""

    name = "namespace-controller"

    def __init__(self, kinds: Sequence[Kind]) -> None:
        """Empty namespaces of these; cluster-scoped ones are passed over."""
        self._kinds = tuple(kind for kind in kinds if kind.namespaced)

    def watches(self) -> Sequence[Watch]:
        """Namespaces, and the ends of what was in them."""
        return (
            parts.own_watch(NAMESPACE),
            *(Watch(kind, _leaving, _BATCH_US) for kind in self._kinds),
        )

    def indexes(self) -> Sequence[Index]:
        """None."""
        return ()

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        del now
        namespace = reader.get(NAMESPACE, "", key.name)
        if namespace is None or not objects.is_deleting(namespace):
            return DONE
        held = get_path(namespace, "spec", "finalizers") or ()
        left = [(kind, obj) for kind in self._kinds for obj in reader.list(kind, key.name)]
        if left:
            ends = [Delete(kind, objects.key(obj)) for kind, obj in left if not objects.is_deleting(obj)]
            return Result(parts.together(ends))
        if "kubernetes" not in held:
            return DONE
        kept = [finalizer for finalizer in held if finalizer != "kubernetes"]
        body = {"metadata": {"uid": objects.uid(namespace)}, "spec": {"finalizers": kept}}
        return Result((Patch(NAMESPACE, ObjectKey("", key.name), body, subresource="finalize", missing_ok=True),))


def _leaving(event: ObjectEvent, reader: Reader) -> Iterable[ObjectKey]:
    """An object that ends, or that is made too late, in a namespace that is being deleted."""
    if event.change is Change.MODIFIED:
        return ()
    name = objects.namespace(event.new)
    namespace = reader.get(NAMESPACE, "", name)
    return (ObjectKey("", name),) if namespace is not None and objects.is_deleting(namespace) else ()
