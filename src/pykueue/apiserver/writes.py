"""create, update, patch and apply: the one pipeline that every write of an object goes through.

The pipeline is synchronous from reading the present object to storing the next, so writes of one server never race each
other; should admission ever wait (webhooks over the network), the store's `expected` check catches what changed meanwhile.
The order of steps is Kubernetes' (see `strategy.py`). A write that changes nothing stores nothing and keeps the
resource version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pykueue.api.errors import AlreadyExists, BadRequest, FieldError, invalid
from pykueue.api.fields import IMMUTABLE
from pykueue.api.instant import format_time
from pykueue.api.objects import Obj, ObjectKey, is_deleting, metadata, with_metadata
from pykueue.api.objects import key as key_of
from pykueue.apiserver.backend import MODIFIED_MEANWHILE, Backend, conflict, details, not_found
from pykueue.apiserver.bodies import check_kind, decode, read_object
from pykueue.apiserver.managers import note_manager
from pykueue.apiserver.messages import HttpRequest, Target
from pykueue.apiserver.resources import Resource
from pykueue.ports.admission import AdmissionRequest, Operation

_NAME_ATTEMPTS = 8
_KEPT_ON_UPDATE = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "namespace",
    "name",
    "generation",
)

Change: TypeAlias = Callable[[Obj], Obj]
"""From the present object, in the request's version, to the wanted one; raises `ApiError` to refuse."""


@dataclass(slots=True)
class Written:
    """What a write came to.

    Attributes:
        obj: the object as stored (or as it would be, for a dry run), in the request's version.
        created: whether it is new.
        warnings: what to tell the writer.
    """

    obj: Obj
    created: bool = False
    warnings: list[str] = field(default_factory=list)


def create(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> Written:
    """Create the object in the body.

    Raises:
        ApiError: refused.
    """
    body, duplicates = read_object(request, resource.kind.kind, custom=resource.custom)
    body = check_kind(body, resource)
    obj, warnings = decode(resource, body, request, duplicates)
    if metadata(obj).get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    obj = placed(resource, obj, target)
    written = create_object(backend, request, resource, obj)
    return Written(written.obj, created=True, warnings=[*warnings, *written.warnings])


def create_object(
    backend: Backend, request: HttpRequest, resource: Resource, obj: Obj, *, manages: bool = True
) -> Written:
    """Create a decoded object whose namespace is set; `generateName` is tried anew while the names are taken.

    Args:
        backend: the server's state.
        request: who asks, and how (`dryRun`, `fieldManager`).
        resource: the version that the object is in.
        obj: what is wanted.
        manages: whether `metadata.managedFields` is derived from the object; apply brings its own.

    Raises:
        ApiError: refused.
    """
    meta = metadata(obj)
    if meta.get("name"):
        return _create_named(backend, request, resource, obj, manages=manages)
    base = meta.get("generateName")
    if not base:
        error = FieldError("Required value", "metadata.name", None, "name or generateName is required")
        raise invalid(resource.kind.group, resource.kind.kind, "", [error])
    taken: AlreadyExists | None = None
    for _ in range(_NAME_ATTEMPTS):
        name = str(base)[: resource.strategy.generated_name_max] + backend.random_suffix()
        try:
            return _create_named(backend, request, resource, with_metadata(obj, name=name), manages=manages)
        except AlreadyExists as error:
            taken = error
    raise AlreadyExists(
        f"{taken}, the server was not able to generate a unique name for the object",
        details=taken.details if taken else None,
    )


def update(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> Written:
    """Replace an object or its sub-resource by the body.

    Raises:
        ApiError: refused.
    """
    body, duplicates = read_object(request, resource.kind.kind, custom=resource.custom)
    body = check_kind(body, resource)
    obj, warnings = decode(resource, body, request, duplicates)
    obj = placed(resource, obj, target)
    if metadata(obj).get("name") != target.name:
        raise BadRequest(
            f"the name of the object ({metadata(obj).get('name', '')}) does not match the name on the URL ({target.name})"
        )
    if backend.storage(resource).get(ObjectKey(target.namespace, target.name)) is None:
        if target.subresource or not resource.strategy.create_on_update:
            raise not_found(resource, target.name)
        return create_object(backend, request, resource, with_metadata(obj, resourceVersion=None))
    needs_version = resource.custom or not resource.strategy.unconditional_update
    if needs_version and not metadata(obj).get("resourceVersion"):
        error = FieldError("Invalid value", "metadata.resourceVersion", "0", "must be specified for an update")
        raise invalid(resource.kind.group, resource.kind.plural, target.name, [error])
    written = update_object(backend, request, resource, target, lambda _: obj)
    written.warnings[:0] = warnings
    return written


def update_object(
    backend: Backend, request: HttpRequest, resource: Resource, target: Target, change: Change, *, manages: bool = True
) -> Written:
    """Change a stored object.

    Args:
        backend: the server's state.
        request: who asks, and how (`dryRun`, `fieldManager`).
        resource: the version in which `change` thinks.
        target: which object, and through which sub-resource.
        change: makes the wanted object; a `metadata.resourceVersion` that differs from the present one is a conflict.
        manages: whether `metadata.managedFields` is derived from the difference; apply brings its own.

    Raises:
        ApiError: refused.
    """
    name, subresource, strategy = target.name, target.subresource, resource.strategy
    stored = backend.stored(resource, ObjectKey(target.namespace, name))
    old = resource.from_storage(stored)
    wanted, told = _without_duplicate_owners(change(old))
    if wanted is old:
        return Written(old)
    _check_preconditions(request, resource, wanted, old)
    new = _with_identity(wanted, old)
    context = backend.context(request)
    new = strategy.prepare_update(strategy.default(new), old, subresource, context)
    if manages:
        new = note_manager(resource, new, old, manager=request.field_manager, now=context.now, subresource=subresource)
    new = strategy.admit(new, old, subresource, context)
    admission = _admission(request, resource, target, new, old)
    mutated = backend.admission.mutate(admission)
    if mutated is not admission.obj:
        new = strategy.default(_from_webhooks(resource, mutated))
        new = strategy.prepare_update(_with_identity(new, old), old, subresource, context)
        admission = _admission(request, resource, target, new, old)
    _refuse_faults(resource, name, strategy.validate(new, old, subresource, context))
    backend.admission.validate(admission)
    warnings = [*told, *strategy.warnings(new, old)]
    if _same(new, old):
        return Written(old, warnings=warnings)
    new = with_metadata(new, resourceVersion=metadata(old).get("resourceVersion"))
    if context.dry_run:
        return Written(new, warnings=warnings)
    return Written(_stored_next(backend, resource, new, stored), warnings=warnings)


def _create_named(
    backend: Backend, request: HttpRequest, resource: Resource, obj: Obj, *, manages: bool = True
) -> Written:
    strategy, context = resource.strategy, backend.context(request)
    obj, told = _without_duplicate_owners(obj)
    obj = with_metadata(
        obj,
        uid=backend.new_uid(),
        creationTimestamp=format_time(context.now),
        deletionTimestamp=None,
        deletionGracePeriodSeconds=None,
        resourceVersion=None,
        selfLink=None,
    )
    key = key_of(obj)
    backend.check_namespace(resource, key)
    obj = strategy.default(obj)
    if manages:
        # Before the strategy and admission add what the writer did not ask for: nobody owns that.
        obj = note_manager(resource, obj, None, manager=request.field_manager, now=context.now, subresource="")
    obj = strategy.admit(obj, None, "", context)
    target = Target(resource.kind.group, resource.kind.version, resource.kind.plural, key.namespace, key.name)
    admission = _admission(request, resource, target, obj, None)
    mutated = backend.admission.mutate(admission)
    if mutated is not admission.obj:
        identity = metadata(obj)
        obj = strategy.default(_from_webhooks(resource, mutated))
        obj = with_metadata(obj, uid=identity["uid"], name=key.name, namespace=key.namespace or None)
    obj = strategy.prepare_create(obj, context)
    admission = _admission(request, resource, target, obj, None)
    _refuse_faults(resource, key.name, strategy.validate(obj, None, "", context))
    backend.admission.validate(admission)
    warnings = [*told, *strategy.warnings(obj, None)]
    if backend.storage(resource).get(key) is not None:
        raise _already_exists(backend, resource, key)
    if context.dry_run:
        return Written(obj, created=True, warnings=warnings)
    stored = backend.store.put(resource.storage_name, key, resource.to_storage(obj), None)
    return Written(resource.from_storage(stored), created=True, warnings=warnings)


def placed(resource: Resource, obj: Obj, target: Target) -> Obj:
    """The object with its URL's namespace.

    Raises:
        BadRequest: metadata is no object, or it names another namespace.
    """
    meta = obj.get("metadata")
    if meta is None:
        obj, meta = {**obj, "metadata": {}}, {}
    if not isinstance(meta, Mapping):
        raise BadRequest(f"metadata of the object must be an object, but is {type(meta).__name__}")
    said = meta.get("namespace") or ""
    if not resource.kind.namespaced:
        return with_metadata(obj, namespace=None) if "namespace" in meta else obj
    if said and said != target.namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    return obj if said else with_metadata(obj, namespace=target.namespace)


def _without_duplicate_owners(obj: Obj) -> tuple[Obj, Sequence[str]]:
    """The object with each owner once, and a warning if one was there twice.

    Kubernetes parity: entries are compared whole. It happens to patches that append, when their answer was lost and they are sent again.
    """
    owners = metadata(obj).get("ownerReferences")
    if not isinstance(owners, Sequence) or len(owners) < 2:
        return obj, ()
    kept: list[Any] = []
    twice: list[str] = []
    for owner in owners:
        if owner not in kept:
            kept.append(owner)
        elif isinstance(owner, Mapping):
            twice.append(str(owner.get("uid")))
    if len(kept) == len(owners):
        return obj, ()
    warning = (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such "
        f"requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {', '.join(dict.fromkeys(twice))}"
    )
    return with_metadata(obj, ownerReferences=kept), (warning,)


def _check_preconditions(request: HttpRequest, resource: Resource, wanted: Obj, old: Obj) -> None:
    """A writer that names a resource version or UID means that very state or object."""
    asked, present = metadata(wanted), metadata(old)
    if (uid := asked.get("uid")) and uid != present.get("uid"):
        if request.method == "PATCH":
            error = FieldError("Invalid value", "metadata.uid", f'"{uid}"', IMMUTABLE)
            raise invalid(resource.kind.group, resource.kind.kind, str(present.get("name")), [error])
        why = (
            f"StorageError: invalid object, Code: 4, Key: {_registry_key(resource, old)}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {present.get('uid')}"
        )
        raise conflict(resource, str(present.get("name")), why)
    if (version := asked.get("resourceVersion")) and version != present.get("resourceVersion"):
        raise conflict(resource, str(present.get("name")), MODIFIED_MEANWHILE)
    if asked.get("name") != present.get("name"):
        raise BadRequest(
            f"the name of the object ({asked.get('name', '')}) does not match the name on the URL ({present.get('name')})"
        )
    if (asked.get("namespace") or "") != (present.get("namespace") or ""):
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def _with_identity(new: Obj, old: Obj) -> Obj:
    """The new object under the old one's identity, which no writer changes."""
    present, asked = metadata(old), metadata(new)
    kept = {name: present[name] for name in _KEPT_ON_UPDATE if name in present}
    dropped = frozenset((*_KEPT_ON_UPDATE, "resourceVersion", "selfLink"))
    return {
        **new,
        "apiVersion": old["apiVersion"],
        "kind": old["kind"],
        "metadata": {**kept, **{k: v for k, v in asked.items() if k not in dropped}},
    }


def _from_webhooks(resource: Resource, obj: Obj) -> Obj:
    """What mutating webhooks made, in the request's version, without fields that the kind does not have."""
    obj = resource.from_storage(obj)
    return resource.decode(obj)[0] if resource.decode is not None else obj


def _admission(
    request: HttpRequest,
    resource: Resource,
    target: Target,
    obj: Obj,
    old: Obj | None,
) -> AdmissionRequest:
    """What webhooks are asked: in the version that they know, whatever version the request is in (`matchPolicy: Equivalent`)."""
    return AdmissionRequest(
        operation=Operation.CREATE if old is None else Operation.UPDATE,
        kind=resource.stored_as,
        namespace=target.namespace,
        name=target.name,
        obj=resource.to_storage(obj),
        old=resource.to_storage(old) if old is not None else None,
        subresource=target.subresource,
        username=request.user.name,
        dry_run=bool(request.query.get("dryRun")),
    )


def _refuse_faults(resource: Resource, name: str, faults: Sequence[FieldError]) -> None:
    if faults:
        raise invalid(resource.kind.group, resource.kind.kind, name, faults)


def _already_exists(backend: Backend, resource: Resource, key: ObjectKey) -> AlreadyExists:
    said = f'{resource.qualified} "{key.name}" already exists'
    if is_deleting(backend.stored(resource, key)):
        said = f"object is being deleted: {said}"
    return AlreadyExists(said, details=details(resource, key.name))


def _registry_key(resource: Resource, obj: Obj) -> str:
    """Where Kubernetes would keep the object; a part of its conflict message."""
    group = f"{resource.kind.group}/" if resource.custom else ""
    return f"/registry/{group}{resource.kind.plural}/{key_of(obj)}"


def _same(new: Obj, old: Obj) -> bool:
    """Whether nothing changed but, perhaps, when and in which order managers wrote."""
    if any(new.get(k) != old.get(k) for k in {**new, **old} if k != "metadata"):
        return False
    ours, theirs = metadata(new), metadata(old)
    ignored = frozenset(("managedFields", "resourceVersion"))
    if any(ours.get(k) != theirs.get(k) for k in {**ours, **theirs} if k not in ignored):
        return False
    return _untimed(ours.get("managedFields")) == _untimed(theirs.get("managedFields"))


def _untimed(managed: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if k != "time"} for entry in managed or ()]


def _stored_next(backend: Backend, resource: Resource, new: Obj, stored: Obj) -> Obj:
    """Store the next state; a deleted object that nothing holds back any more is removed."""
    key = key_of(new)
    gone = (
        is_deleting(new) and not metadata(new).get("deletionGracePeriodSeconds") and resource.strategy.is_finalized(new)
    )
    kept = resource.to_storage(new)
    if gone:
        return resource.from_storage(backend.store.remove(resource.storage_name, key, stored, kept))
    return resource.from_storage(backend.store.put(resource.storage_name, key, kept, stored))
