"""PATCH: from a patch document to the write that it stands for.

The four formats are pure functions elsewhere (`patch/`, `apply/`); here they are chosen by media type, and their result is
checked like a body that came whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pykueue.api.errors import BadRequest, FieldError, Invalid, invalid
from pykueue.api.objects import Obj, ObjectKey, metadata, with_metadata
from pykueue.apiserver.apply.apply import Application, apply_patch
from pykueue.apiserver.backend import Backend, conflict, not_found
from pykueue.apiserver.bodies import check_kind, decode, read_any, unsupported_media_type
from pykueue.apiserver.managers import writable_part
from pykueue.apiserver.messages import HttpRequest, Target
from pykueue.apiserver.patch.json_patch import MalformedPatch, PatchFailed, apply_json_patch
from pykueue.apiserver.patch.merge import apply_merge_patch
from pykueue.apiserver.patch.strategic import apply_strategic_patch
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.writes import Written, create_object, placed, update_object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_TYPES = frozenset(("application/apply-patch+yaml",))


def patch(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> Written:
    """Change an object by a patch.

    Raises:
        ApiError: refused.
    """
    if request.content_type in APPLY_TYPES:
        return _apply(backend, request, resource, target)
    try:
        body, duplicates = read_any(request)
    except BadRequest as error:
        raise BadRequest(f"error decoding patch: {error.message}") from error
    make = patcher(resource, request.content_type, body)
    warnings: list[str] = []

    def change(old: Obj) -> Obj:
        patched = make(old)
        if not isinstance(patched, dict) or not isinstance(patched.get("metadata"), Mapping):
            said = f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
            raise BadRequest(said)
        decoded, said_too = decode(resource, check_kind(patched, resource), request, duplicates)
        warnings[:] = said_too
        return decoded

    written = update_object(backend, request, resource, target, change)
    written.warnings[:0] = warnings
    return written


def _apply(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> Written:
    """Server-side apply: changes the object, or creates it."""
    if not request.query.get("fieldManager"):
        error = FieldError("Required value", "fieldManager", None, "is required for apply patch")
        raise invalid("meta.k8s.io", "PatchOptions", "", [error])
    try:
        body, duplicates = read_any(request)
    except BadRequest as error:
        raise BadRequest(f"error decoding YAML: {error.message}") from error
    if not isinstance(body, dict):
        raise BadRequest("error decoding YAML: an applied configuration must be an object")
    applied, warnings = decode(resource, check_kind(body, resource), request, duplicates)
    whole = placed(resource, applied, target)
    applied = writable_part(resource, whole, target.subresource)
    if (name := metadata(applied).get("name", target.name)) != target.name:
        raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    applied = with_metadata(applied, name=target.name)
    how = Application(request.query["fieldManager"], request.flag("force"), backend.clock(), target.subresource)
    if backend.storage(resource).get(ObjectKey(target.namespace, target.name)) is not None:
        written = update_object(
            backend,
            request,
            resource,
            target,
            lambda old: apply_patch(old, applied, how, resource.schema),
            manages=False,
        )
    elif target.subresource:
        raise not_found(resource, target.name)
    elif uid := metadata(applied).get("uid"):
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise conflict(resource, target.name, why)
    else:
        made = apply_patch(None, applied, how, resource.schema)
        if "status" in whole:
            # Nobody comes to own it, but kinds whose creators may bring a status (Node) keep it; the others drop it.
            made = {**made, "status": whole["status"]}
        written = create_object(backend, request, resource, made, manages=False)
    written.warnings[:0] = warnings
    return written


def patcher(resource: Resource, content_type: str, body: Any) -> Callable[[Obj], Any]:
    """The function from the present object to the patched one.

    Raises:
        UnsupportedMediaType: no such patch format, or not for this resource.
        BadRequest: the body is no patch of this format.
    """
    match content_type:
        case "application/merge-patch+json":
            if not isinstance(body, Mapping):
                raise BadRequest("a merge patch must be an object")
            return lambda old: apply_merge_patch(old, body)
        case "application/json-patch+json":
            return lambda old: _json_patched(old, body)
        case "application/strategic-merge-patch+json" if not resource.custom:
            return lambda old: apply_strategic_patch(old, body, resource.schema)
        case _:
            raise unsupported_media_type(accepted_types(resource))


def _json_patched(old: Obj, body: Any) -> Any:
    try:
        return apply_json_patch(old, body)
    except MalformedPatch as error:
        raise BadRequest(str(error)) from error
    except PatchFailed as error:
        causes = [{"reason": "UnexpectedServerResponse", "message": str(error)}]
        raise Invalid(
            "the server rejected our request due to an error in our request", details={"causes": causes}
        ) from error


def accepted_types(resource: Resource) -> list[str]:
    """Media types of patches that a resource takes."""
    strategic = [] if resource.custom else [STRATEGIC_PATCH]
    return [JSON_PATCH, MERGE_PATCH, *strategic, *sorted(APPLY_TYPES)]
