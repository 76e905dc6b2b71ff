"""delete and deletecollection.

Deleting an object has up to three stages. The writer's propagation policy becomes a finalizer (`orphan`,
`foregroundDeletion`) that the garbage collector answers. Kinds that know graceful deletion (pods) get time, marked by
`deletionTimestamp` and `deletionGracePeriodSeconds`. What finalizers hold back stays until the last one is taken off
(`writes.py`). Whatever is held back by neither is gone at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykueue.api.errors import BadRequest, Conflict, FieldError, invalid
from pykueue.api.instant import SECOND_US, Instant, format_time, parse_time
from pykueue.api.objects import Obj, ObjectKey, finalizers, generation, is_deleting, key, metadata, with_metadata
from pykueue.apiserver.backend import Backend
from pykueue.apiserver.bodies import read_any
from pykueue.apiserver.messages import HttpRequest, Target
from pykueue.apiserver.reads import selection
from pykueue.apiserver.resources import Resource
from pykueue.ports.admission import AdmissionRequest, Operation

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
_POLICIES = ("Orphan", "Background", "Foreground")


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """`metav1.DeleteOptions`, from the body or else the query.

    Attributes:
        grace_period_s: seconds asked for; None for the kind's default.
        propagation: `Orphan`, `Background`, `Foreground`, or empty for the default.
        uid: precondition, or empty.
        resource_version: precondition, or empty.
        dry_run: nothing is deleted.
    """

    grace_period_s: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def delete(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> dict[str, Any] | Obj:
    """Delete one object.

    Returns:
        The object where it stays for a while (and always for pods), else a Status that says Success.

    Raises:
        ApiError: refused.
    """
    options = read_options(request)
    obj, gone = delete_object(backend, request, resource, ObjectKey(target.namespace, target.name), options)
    if not gone or resource.kind.plural == "pods":
        return obj
    said: dict[str, Any] = {"name": target.name}
    if resource.kind.group:
        said["group"] = resource.kind.group
    said |= {"kind": resource.kind.plural, "uid": metadata(obj).get("uid")}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": said}


def delete_collection(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> dict[str, Any]:
    """Delete all objects that the selectors match.

    Returns:
        A list object of them.

    Raises:
        ApiError: refused; what came before the refused one is deleted.
    """
    options = read_options(request)
    predicate = selection(request, resource, target)
    chosen = [
        obj
        for obj in backend.storage(resource).list(target.namespace)
        if predicate is None or predicate(resource.from_storage(obj))
    ]
    deleted = [delete_object(backend, request, resource, key(obj), options)[0] for obj in chosen]
    kind = resource.kind
    meta = {"resourceVersion": str(backend.store.revision)}
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": deleted}


def delete_object(
    backend: Backend, request: HttpRequest, resource: Resource, key: ObjectKey, options: DeleteOptions
) -> tuple[Obj, bool]:
    """Delete one object by its key.

    Returns:
        Its last or present state in the request's version, and whether it is gone.

    Raises:
        ApiError: refused.
    """
    stored = backend.stored(resource, key)
    old = resource.from_storage(stored)
    _check_preconditions(resource, old, options)
    admission = AdmissionRequest(
        Operation.DELETE, resource.kind, key.namespace, key.name, old, old, "", request.user.name, options.dry_run
    )
    backend.check_deletable(resource, key.name)
    backend.admission.validate(admission)
    strategy, now = resource.strategy, backend.clock()
    held = finalizers(old)
    wanted_finalizers = _with_propagation(
        held, options.propagation or ("" if _decided(held) else strategy.default_propagation)
    )
    grace_s = strategy.grace_period_s(old, options.grace_period_s)
    new = old if tuple(wanted_finalizers) == tuple(held) else with_metadata(old, finalizers=wanted_finalizers or None)
    waits = bool(grace_s) or not strategy.is_finalized(new)
    if not waits:
        if options.dry_run:
            return old, True
        return resource.from_storage(backend.store.remove(resource.storage_name, key, stored)), True
    new = _marked(new, grace_s, now)
    if not is_deleting(old):
        new = strategy.begin_delete(new, backend.context(request))
    if options.dry_run or new == old:
        return new, False
    return resource.from_storage(backend.store.put(resource.storage_name, key, resource.to_storage(new), stored)), False


def read_options(request: HttpRequest) -> DeleteOptions:
    """Read the options of a deletion.

    Raises:
        BadRequest: the body is not DeleteOptions.
        Invalid: a value is not supported.
    """
    body, _ = read_any(request)
    if body is None:
        body = {}
    if not isinstance(body, Mapping):
        raise BadRequest("the body of a deletion must be empty or a DeleteOptions object")
    if body.get("kind", "DeleteOptions") != "DeleteOptions":
        raise BadRequest(f"the body of a deletion must be a DeleteOptions object, but is a {body['kind']}")
    grace_s = body.get("gracePeriodSeconds", request.number("gracePeriodSeconds"))
    policy = body.get("propagationPolicy") or request.query.get("propagationPolicy") or ""
    if body.get("orphanDependents") is not None:
        if policy:
            raise _bad_option(
                "Invalid value",
                "propagationPolicy",
                f'"{policy}"',
                "orphanDependents and deletionPropagation cannot be both set",
            )
        policy = "Orphan" if body["orphanDependents"] else "Background"
    if policy and policy not in _POLICIES:
        raise _bad_option(
            "Unsupported value",
            "propagationPolicy",
            f'"{policy}"',
            'supported values: "Foreground", "Background", "Orphan", "nil"',
        )
    if grace_s is not None and (not isinstance(grace_s, int) or isinstance(grace_s, bool)):
        raise BadRequest("gracePeriodSeconds of DeleteOptions must be a whole number of seconds")
    preconditions = body.get("preconditions") or {}
    dry_run = bool(body.get("dryRun") or request.query.get("dryRun"))
    return DeleteOptions(
        None if grace_s is None else max(0, grace_s) if grace_s >= 0 else 1,
        policy,
        preconditions.get("uid") or "",
        preconditions.get("resourceVersion") or "",
        dry_run,
    )


def _bad_option(type_: str, path: str, value: str, detail: str) -> Exception:
    return invalid("meta.k8s.io", "DeleteOptions", "", [FieldError(type_, path, value, detail)])


def _check_preconditions(resource: Resource, obj: Obj, options: DeleteOptions) -> None:
    meta = metadata(obj)
    uid, version = meta.get("uid"), meta.get("resourceVersion")
    if options.uid and options.uid != uid:
        known = f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid})"
        raise _unmet(resource, obj, f"{known}. The object might have been deleted and then recreated")
    if options.resource_version and options.resource_version != version:
        asked = f"the ResourceVersion in the precondition ({options.resource_version})"
        raise _unmet(
            resource,
            obj,
            f"{asked} does not match the ResourceVersion in record ({version}). The object might have been modified",
        )


def _unmet(resource: Resource, obj: Obj, why: str) -> Conflict:
    """Kubernetes names the kind here, not the resource."""
    kind, name = resource.kind, metadata(obj).get("name")
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    said = {"name": name, "group": kind.group, "kind": kind.kind}
    return Conflict(
        f'Operation cannot be fulfilled on {qualified} "{name}": {why}', details={k: v for k, v in said.items() if v}
    )


def _decided(held: Any) -> bool:
    return ORPHAN in held or FOREGROUND in held


def _with_propagation(held: Any, policy: str) -> list[str]:
    """The finalizers after a deletion under this policy; an empty policy keeps what was decided before."""
    if not policy:
        return list(held)
    kept = [name for name in held if name not in {ORPHAN, FOREGROUND}]
    wanted = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND]}.get(policy, [])
    if wanted and wanted[0] in held:
        return [name for name in held if name in {*kept, *wanted}]
    return kept + wanted


def _marked(obj: Obj, grace_s: int | None, now: Instant) -> Obj:
    """The object with its deletion marked; a second deletion may shorten the grace, never lengthen it."""
    meta = metadata(obj)
    seconds = grace_s or 0
    if not is_deleting(obj):
        return with_metadata(
            obj,
            deletionTimestamp=format_time(Instant(now + seconds * SECOND_US)),
            deletionGracePeriodSeconds=seconds,
            generation=generation(obj) + 1 if generation(obj) else None,
        )
    present = meta.get("deletionGracePeriodSeconds")
    if grace_s is None or present is None or grace_s >= present:
        return obj
    asked_at = parse_time(meta["deletionTimestamp"]) - present * SECOND_US
    return with_metadata(
        obj, deletionTimestamp=format_time(Instant(asked_at + seconds * SECOND_US)), deletionGracePeriodSeconds=seconds
    )
