"""From a `Command` to the request that carries it out. Pure: a table, no I/O.

`Chain`, `Together` and `Emit` are not here: the first two are the shell's control flow (`runtime/effects.py`), and an event
needs a time and an identity (`runtime/recorder.py`).
"""

from __future__ import annotations

from typing import Any, assert_never

from pykueue.api.commands import Apply, Bind, Create, Delete, Patch
from pykueue.api.kinds import POD, Kind
from pykueue.api.objects import ObjectKey, key, name, namespace
from pykueue.ports.transport import ApiRequest

Write = Create | Patch | Apply | Delete | Bind
"""The commands that are one request each."""

APPLY_CONTENT_TYPE = "application/apply-patch+yaml"
_UNWARNED = {"fieldValidation": "Ignore"}
"""Nobody reads warnings about unknown fields here, and looking for them makes the API server decode a body twice."""


def write_request(command: Write, field_manager: str) -> ApiRequest:
    """The request of a write.

    Args:
        command: what to do.
        field_manager: owner of fields for writes that name none.
    """
    owner = {"fieldManager": field_manager, **_UNWARNED}
    match command:
        case Create(kind, obj):
            return ApiRequest("POST", kind.path(namespace(obj)), owner, _complete(kind, obj))
        case Patch(kind, object_key, body, type_, subresource):
            path = kind.path(object_key.namespace, object_key.name, subresource)
            query = {**owner, "fieldManager": command.field_manager or field_manager}
            return ApiRequest("PATCH", path, query, body, type_.value)
        case Apply(kind, obj, manager, subresource, force):
            query = {"fieldManager": manager, "force": "true" if force else "false", **_UNWARNED}
            path = kind.path(namespace(obj), name(obj), subresource)
            return ApiRequest("PATCH", path, query, _complete(kind, obj), APPLY_CONTENT_TYPE)
        case Delete(kind, object_key):
            return ApiRequest("DELETE", kind.path(object_key.namespace, object_key.name), body=_delete_options(command))
        case Bind(pod, node):
            body = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": pod.name, "namespace": pod.namespace},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node},
            }
            return ApiRequest("POST", POD.path(pod.namespace, pod.name, "binding"), owner, body)
        case _:
            assert_never(command)


def target(command: Write) -> tuple[Kind, ObjectKey]:
    """The kind and the object that a write is about; the name is empty for a creation with `generateName`."""
    match command:
        case Create(kind, obj) | Apply(kind, obj):
            return kind, key(obj)
        case Patch(kind, object_key) | Delete(kind, object_key):
            return kind, object_key
        case Bind(pod):
            return POD, pod
        case _:
            assert_never(command)


def verb(command: Write) -> str:
    """The Kubernetes verb, as metrics name it; applies are told apart from patches."""
    match command:
        case Create():
            return "create"
        case Patch():
            return "patch"
        case Apply():
            return "apply"
        case Delete():
            return "delete"
        case Bind():
            return "bind"
        case _:
            assert_never(command)


def _complete(kind: Kind, obj: Any) -> Any:
    """The object with the type it is written as."""
    if obj.get("apiVersion") == kind.api_version and obj.get("kind") == kind.kind:
        return obj
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def _delete_options(command: Delete) -> dict[str, Any]:
    options: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": command.propagation,
    }
    if command.uid:
        options["preconditions"] = {"uid": command.uid}
    if command.grace_period_s is not None:
        options["gracePeriodSeconds"] = command.grace_period_s
    return options
