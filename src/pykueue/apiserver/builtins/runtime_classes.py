"""RuntimeClasses: their effect on pods (admission plugin RuntimeClass).

A pod that names a class takes on its overhead, and the selector and tolerations of the nodes that support it; an overhead that no
class explains is refused.

Source: Kubernetes documentation, "Runtime Class", "Pod Overhead".
"""

from __future__ import annotations

from typing import Any

from pykueue.api.errors import Forbidden
from pykueue.api.kinds import POD, RUNTIME_CLASS
from pykueue.api.objects import Obj, get_path, metadata
from pykueue.api.quantity import parse_quantity
from pykueue.apiserver.builtins.filling import Json
from pykueue.apiserver.strategy import Lookup


def with_runtime_class(pod: Obj, lookup: Lookup) -> Obj:
    """The pod as its RuntimeClass has it.

    Raises:
        Forbidden: the class does not exist, or the pod contradicts it.
    """
    spec = pod["spec"]
    name = spec.get("runtimeClassName")
    if not name:
        if spec.get("overhead"):
            raise _forbidden(pod, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
        return pod
    found = lookup.get(RUNTIME_CLASS, "", name)
    if found is None:
        raise _forbidden(pod, f'pod rejected: RuntimeClass "{name}" not found')
    changes: dict[str, Any] = {}
    overhead = get_path(found, "overhead", "podFixed")
    if _amounts(spec.get("overhead")) not in ({}, _amounts(overhead)):
        raise _forbidden(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if overhead:
        changes["overhead"] = overhead
    scheduling = found.get("scheduling") or {}
    selector, own = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
    for key in sorted(selector):
        if own.get(key, selector[key]) != selector[key]:
            there, here = f"runtimeClass.scheduling.nodeSelector[{key}] = {selector[key]}", own[key]
            raise _forbidden(pod, f"conflict: {there}; pod.spec.nodeSelector[{key}] = {here}")
    if selector:
        changes["nodeSelector"] = {**own, **selector}
    tolerations = list(spec.get("tolerations") or ())
    added = [toleration for toleration in scheduling.get("tolerations") or () if toleration not in tolerations]
    if added:
        changes["tolerations"] = [*tolerations, *added]
    return {**pod, "spec": {**spec, **changes}} if changes else pod


def _amounts(overhead: Json | None) -> dict[str, int]:
    return {name: parse_quantity(amount).nanos for name, amount in (overhead or {}).items()}


def _forbidden(pod: Obj, why: str) -> Forbidden:
    name = str(metadata(pod).get("name") or "")
    return Forbidden(f'{POD.plural} "{name}" is forbidden: {why}', details={"name": name, "kind": POD.plural})


__all__ = ["with_runtime_class"]
