"""LimitRanges: defaults of the kind, and their effect on pods (admission plugin LimitRanger).

Containers without requests or limits get the namespace's defaults; whatever is outside of a minimum, maximum or ratio is refused.

Source: Kubernetes documentation, "Limit Ranges".
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pykueue.api.errors import Forbidden
from pykueue.api.objects import Obj, annotations, metadata, with_metadata
from pykueue.api.quantity import parse_quantity
from pykueue.apiserver.builtins.filling import Json, at, each

ANNOTATION = "kubernetes.io/limit-ranger"
"""Where a pod says what it was given."""


def default_limit_range(obj: Json) -> Json:
    """A LimitRange whose container items have `default` and `defaultRequest` for all that they limit."""
    return at(obj, "spec", lambda spec: at(spec, "limits", each(_default_item)))


def _default_item(item: Json) -> Json:
    if item.get("type") != "Container":
        return item
    limits = {**(item.get("max") or {}), **(item.get("default") or {})}
    requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
    wanted = {**item, **({"default": limits} if limits else {}), **({"defaultRequest": requests} if requests else {})}
    return item if wanted == item else wanted


def apply_limits(pod: Obj, ranges: Sequence[Obj]) -> Obj:
    """The pod with the namespace's default requests and limits.

    Raises:
        Forbidden: it asks for less or more than allowed.
    """
    items = [item for limit_range in ranges for item in (limit_range.get("spec") or {}).get("limits") or ()]
    containers = [item for item in items if item.get("type") == "Container"]
    if not items:
        return pod
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for item in containers:
        requests |= item.get("defaultRequest") or {}
        limits |= item.get("default") or {}

    said: list[str] = []

    def complete(container: Json, noun: str) -> Json:
        resources = container.get("resources") or {}
        own_requests, own_limits = resources.get("requests") or {}, resources.get("limits") or {}
        wanted = {
            **resources,
            **({"limits": {**limits, **own_limits}} if limits or own_limits else {}),
            **({"requests": {**requests, **own_requests}} if requests or own_requests else {}),
        }
        if wanted == resources:
            return container
        for what, filled, own in (("request", requests, own_requests), ("limit", limits, own_limits)):
            if added := sorted(name for name in filled if name not in own):
                said.append(f"{', '.join(added)} {what} for {noun} {container.get('name')}")
        return {**container, "resources": wanted}

    spec = at(pod["spec"], "containers", each(lambda container: complete(container, "container")))
    spec = at(spec, "initContainers", each(lambda container: complete(container, "init container")))
    faults = [fault for item in items for fault in _faults(spec, item)]
    if faults:
        name = str(metadata(pod).get("name") or "")
        listed = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
        raise Forbidden(f'pods "{name}" is forbidden: {listed}', details={"name": name, "kind": "pods"})
    if spec is pod["spec"]:
        return pod
    noted = {**annotations(pod), ANNOTATION: f"LimitRanger plugin set: {'; '.join(said)}"}
    return with_metadata({**pod, "spec": spec}, annotations=noted)


def _faults(spec: Json, item: Json) -> Iterator[str]:
    kind = item.get("type")
    if kind == "Container":
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources = container.get("resources") or {}
            yield from _outside(item, resources.get("requests") or {}, resources.get("limits") or {})
    elif kind == "Pod":
        requests: dict[str, int] = {}
        limits: dict[str, int] = {}
        for container in spec.get("containers") or ():
            resources = container.get("resources") or {}
            for totals, amounts in ((requests, resources.get("requests")), (limits, resources.get("limits"))):
                for name, amount in (amounts or {}).items():
                    totals[name] = totals.get(name, 0) + parse_quantity(amount).nanos
        yield from _outside(item, requests, limits)


def _outside(item: Json, requests: Json, limits: Json) -> Iterator[str]:
    kind = item.get("type")
    for name, least in (item.get("min") or {}).items():
        if name not in requests:
            yield f"minimum {name} usage per {kind} is {least}.  No request is specified"
        elif _nanos(requests[name]) < _nanos(least):
            yield f"minimum {name} usage per {kind} is {least}, but request is {requests[name]}"
    for name, most in (item.get("max") or {}).items():
        if name not in limits:
            yield f"maximum {name} usage per {kind} is {most}.  No limit is specified"
        elif _nanos(limits[name]) > _nanos(most):
            yield f"maximum {name} usage per {kind} is {most}, but limit is {limits[name]}"


def _nanos(amount: Any) -> int:
    return amount if isinstance(amount, int) else parse_quantity(amount).nanos


__all__ = ["apply_limits", "default_limit_range"]
