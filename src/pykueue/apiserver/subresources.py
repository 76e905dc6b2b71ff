"""Sub-resources that are not a part of the object: scale, binding, eviction, finalize.

Each becomes an ordinary write of its object, through the same pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykueue.api.errors import BadRequest, Conflict, FieldError, NotFound, TooManyRequests, invalid
from pykueue.api.instant import format_time
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey, get_path, is_deleting, labels, matches_labels, metadata, with_metadata
from pykueue.apiserver.backend import Backend
from pykueue.apiserver.bodies import check_said_kind, read_any, read_object
from pykueue.apiserver.deletes import delete_object, read_options
from pykueue.apiserver.messages import HttpRequest, Target
from pykueue.apiserver.patching import patcher
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.writes import Written, update_object

_PDB = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")


def success(code: int = 201) -> dict[str, Any]:
    """A `metav1.Status` of success."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}


def get_scale(backend: Backend, resource: Resource, target: Target) -> dict[str, Any]:
    """The Scale of an object.

    Raises:
        NotFound: no such object.
    """
    return _scale_of(
        resource, resource.from_storage(backend.stored(resource, ObjectKey(target.namespace, target.name)))
    )


def write_scale(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> Written:
    """PUT or PATCH a Scale: only the number of replicas is taken over.

    Raises:
        ApiError: refused.
    """
    assert resource.scale is not None
    body, _ = read_any(request)
    path = resource.scale.spec_replicas.split(".")

    def change(old: Obj) -> Obj:
        scale = _scale_of(resource, old)
        wanted = body if request.method == "PUT" else patcher(resource, request.content_type, body)(scale)
        if not isinstance(wanted, Mapping):
            raise BadRequest("the body of the request is not a Scale object")
        check_said_kind(wanted, "Scale", "autoscaling/v1")
        if metadata(wanted).get("name") != target.name:
            raise BadRequest(
                f"the name of the object ({metadata(wanted).get('name', '')}) does not match the name on the URL ({target.name})"
            )
        replicas = get_path(wanted, "spec", "replicas") or 0
        if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
            error = FieldError("Invalid value", "spec.replicas", str(replicas), "must be greater than or equal to 0")
            raise invalid("autoscaling", "Scale", target.name, [error])
        version = metadata(wanted).get("resourceVersion") or metadata(old).get("resourceVersion")
        return with_metadata(_with_path(old, path, replicas), resourceVersion=version)

    written = update_object(
        backend,
        request,
        resource,
        Target(target.group, target.version, target.plural, target.namespace, target.name, "scale"),
        change,
    )
    written.obj = _scale_of(resource, written.obj)
    return written


def bind(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> dict[str, Any]:
    """POST a Binding: assign a pod to a node, once.

    Raises:
        Conflict: the pod is assigned already, is being deleted, or still has scheduling gates.
        ApiError: refused.
    """
    body, _ = read_object(request)
    check_said_kind(body, "Binding", "v1")
    name = target.name or str(metadata(body).get("name") or "")
    node = get_path(body, "target", "name")
    if not node or get_path(body, "target", "kind") not in {None, "", "Node"}:
        error = FieldError("Required value", "target.name", None, "the name of a Node is required")
        raise invalid("", "Binding", name, [error])
    now = format_time(backend.clock())

    def change(old: Obj) -> Obj:
        uid = metadata(body).get("uid")
        if uid and uid != metadata(old).get("uid"):
            raise _cannot_bind(
                name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata(old).get('uid')}"
            )
        if is_deleting(old):
            raise _cannot_bind(name, f"pod {name} is being deleted, cannot be assigned to a host")
        if assigned := get_path(old, "spec", "nodeName"):
            raise _cannot_bind(name, f'pod {name} is already assigned to node "{assigned}"')
        if get_path(old, "spec", "schedulingGates"):
            raise _cannot_bind(name, f"pod {name} has non-empty .spec.schedulingGates")
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        status = old.get("status") or {}
        others = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
        annotations = {**(metadata(old).get("annotations") or {}), **(metadata(body).get("annotations") or {})}
        bound = {
            **old,
            "spec": {**old["spec"], "nodeName": node},
            "status": {**status, "conditions": [*others, scheduled]},
        }
        return with_metadata(bound, annotations=annotations or None)

    bound_target = Target(target.group, target.version, "pods", target.namespace, name, "binding")
    update_object(backend, request, resource, bound_target, change)
    return success()


def evict(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> dict[str, Any]:
    """POST an Eviction: delete a pod unless a disruption budget forbids it.

    Raises:
        TooManyRequests: a budget that selects the pod allows no disruption now.
        ApiError: refused.
    """
    body, _ = read_object(request)
    check_said_kind(body, "Eviction", "policy/v1")
    key = ObjectKey(target.namespace, target.name)
    pod = backend.stored(resource, key)
    for budget in backend.list(_PDB, target.namespace):
        selects = matches_labels(get_path(budget, "spec", "selector"), labels(pod))
        if selects and (get_path(budget, "status", "disruptionsAllowed") or 0) < 1:
            budget_name = metadata(budget).get("name")
            causes = [
                {
                    "reason": "DisruptionBudget",
                    "message": f"The disruption budget {budget_name} needs more disruptions allowed than it has now",
                }
            ]
            raise TooManyRequests(
                "Cannot evict pod as it would violate the pod's disruption budget.", details={"causes": causes}
            )
    options = read_options(
        HttpRequest("DELETE", request.path, request.query, body.get("deleteOptions"), user=request.user)
    )
    delete_object(backend, request, resource, key, options)
    return success()


def _scale_of(resource: Resource, obj: Obj) -> dict[str, Any]:
    paths = resource.scale
    if paths is None:
        raise NotFound("the server could not find the requested resource")
    meta = {
        k: v
        for k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if (v := metadata(obj).get(k))
    }
    status: dict[str, Any] = {"replicas": get_path(obj, *paths.status_replicas.split(".")) or 0}
    selector = get_path(obj, *paths.selector.split(".")) if paths.selector else None
    if selector:
        status["selector"] = selector if isinstance(selector, str) else _selector_text(selector)
    replicas = get_path(obj, *paths.spec_replicas.split(".")) or 0
    spec = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}


def _selector_text(selector: Mapping[str, Any]) -> str:
    """A LabelSelector in its text form."""
    operators = {"In": "in", "NotIn": "notin"}
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        name, operator = expression.get("key"), expression.get("operator")
        if operator in operators:
            parts.append(f"{name} {operators[operator]} ({','.join(sorted(expression.get('values') or ()))})")
        else:
            parts.append(name if operator == "Exists" else f"!{name}")
    return ",".join(parts)


def _with_path(obj: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    if len(path) == 1:
        return {**obj, path[0]: value}
    return {**obj, path[0]: _with_path(obj.get(path[0]) or {}, path[1:], value)}


def _cannot_bind(name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}', details={"name": name, "kind": "pods/binding"}
    )
