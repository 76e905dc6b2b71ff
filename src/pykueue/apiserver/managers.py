"""Who owns which field: where the write pipeline meets server-side apply (`apply/`)."""

from __future__ import annotations

from pykueue.api.instant import Instant
from pykueue.api.objects import Obj
from pykueue.apiserver.apply.managers import UPDATE, Manager, update_managed_fields
from pykueue.apiserver.resources import Resource

_IDENTITY = frozenset(("apiVersion", "kind", "metadata"))
_NAMED_BY = ("name", "namespace", "uid", "resourceVersion", "generateName")


def note_manager(resource: Resource, new: Obj, old: Obj | None, *, manager: str, now: Instant, subresource: str) -> Obj:
    """The object with `metadata.managedFields` brought up to date after a write by `manager`.

    Args:
        resource: the version that the writer speaks.
        new: the object as it will be stored.
        old: the stored object; None on create.
        manager: name of the writer.
        now: the server's time.
        subresource: through which it writes.
    """
    if subresource == "binding":
        # Kubernetes parity: a binding passes the field managers by; nobody owns spec.nodeName.
        return new
    who = Manager(manager, UPDATE, resource.kind.api_version, subresource)
    ignores_status = resource.strategy.has_status and not subresource
    return update_managed_fields(old, new, who, resource.schema, now, ignore_status=ignores_status)


def writable_part(resource: Resource, applied: Obj, subresource: str) -> Obj:
    """What an apply may say through a sub-resource: through `status` the status alone, through the object all the rest."""
    if subresource == "status":
        meta = applied.get("metadata") or {}
        named = {name: meta[name] for name in _NAMED_BY if name in meta}
        return {**{k: v for k, v in applied.items() if k in _IDENTITY or k == "status"}, "metadata": named}
    if resource.strategy.has_status and "status" in applied:
        return {k: v for k, v in applied.items() if k != "status"}
    return applied
