"""Pod templates as the cluster would complete them, and what is wrong with the result.

Kueue counts a pod as it will be when it exists: with the overhead of its RuntimeClass, the defaults of the namespace's
LimitRanges, and limits where a request is missing. `adjust` builds that pod spec; `violation` says why the
scheduler must not nominate it. Both are pure: the objects come from the engine.

Source: scheduling.md §4 step 1, §4.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pykueue.api.objects import Obj
from pykueue.api.quantity import Quantity, parse_quantity
from pykueue.core.workload.requests import pod_requests

PodSpec = Mapping[str, Any]
_KINDS = ("initContainers", "containers")


def adjust(spec: PodSpec, limit_ranges: Sequence[Obj], runtime_class: Callable[[str], Obj | None]) -> PodSpec:
    """The pod spec with overhead, defaults and limits as requests; the same object if nothing changes.

    Args:
        spec: a PodSpec as the job's owner wrote it.
        limit_ranges: the namespace's LimitRanges.
        runtime_class: looks a RuntimeClass up by name.
    """
    changes: dict[str, Any] = {}
    name = spec.get("runtimeClassName")
    if name and not spec.get("overhead"):
        found = runtime_class(name)
        overhead = ((found or {}).get("overhead") or {}).get("podFixed")
        if overhead:
            changes["overhead"] = overhead
    limits, requests = _defaults(limit_ranges, "Container")
    for kind in _KINDS:
        containers = spec.get(kind)
        if containers:
            completed = [_complete(c, limits, requests) for c in containers]
            if any(new is not old for new, old in zip(completed, containers, strict=True)):
                changes[kind] = completed
    if spec.get("resources"):
        completed_pod = _complete(spec, *_defaults(limit_ranges, "Pod"))
        if completed_pod is not spec:
            changes["resources"] = completed_pod["resources"]
    return {**spec, **changes} if changes else spec


def violation(specs: Sequence[PodSpec], limit_ranges: Sequence[Obj]) -> str | None:
    """The message of the first rule of §4.5 that adjusted pod specs break; None if they keep all.

    Args:
        specs: one adjusted PodSpec per pod set, in order.
        limit_ranges: the namespace's LimitRanges.
    """
    over = [fault for i, spec in enumerate(specs) for fault in _requests_above_limits(spec, _path(i))]
    if over:
        return "resources validation failed: " + _join(over)
    bad = [fault for i, spec in enumerate(specs) for r in limit_ranges for fault in _outside(spec, r, _path(i))]
    if bad:
        return "resources didn't satisfy LimitRange constraints: " + _join(bad)
    return None


def _path(i: int) -> str:
    return f"spec.podSets[{i}].template.spec"


def _join(faults: list[str]) -> str:
    return faults[0] if len(faults) == 1 else "[" + ", ".join(faults) + "]"


def _defaults(limit_ranges: Sequence[Obj], type_: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Default limits and default requests of all LimitRanges; the first that names a resource wins."""
    limits: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    for item in _items(limit_ranges, type_):
        for target, field in ((limits, "default"), (requests, "defaultRequest")):
            for name, value in (item.get(field) or {}).items():
                target.setdefault(name, value)
    return limits, requests


def _items(limit_ranges: Sequence[Obj], type_: str) -> list[Mapping[str, Any]]:
    items = (item for r in limit_ranges for item in (r.get("spec") or {}).get("limits") or ())
    return [item for item in items if item.get("type") == type_]


def _complete(holder: Mapping[str, Any], limits: Mapping[str, Any], requests: Mapping[str, Any]) -> Mapping[str, Any]:
    """A container (or pod) with default limits, then default requests, then limits as requests."""
    resources = holder.get("resources") or {}
    own_limits, own_requests = resources.get("limits") or {}, resources.get("requests") or {}
    all_limits = {**limits, **own_limits}
    all_requests = {**all_limits, **requests, **own_requests}
    if all_limits == own_limits and all_requests == own_requests:
        return holder
    return {**holder, "resources": {**resources, "limits": all_limits, "requests": all_requests}}


def _containers(spec: PodSpec, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"{path}.{kind}[{i}]", c) for kind in _KINDS for i, c in enumerate(spec.get(kind) or ())]


def _requests_above_limits(spec: PodSpec, path: str) -> list[str]:
    faults = []
    holders = _containers(spec, path)
    if spec.get("resources"):
        holders.append((f"{path}.resources", spec))
    for where, holder in holders:
        resources = holder.get("resources") or {}
        limits = resources.get("limits") or {}
        above = [
            name
            for name, text in (resources.get("requests") or {}).items()
            if name in limits and parse_quantity(text).nanos > parse_quantity(limits[name]).nanos
        ]
        if above:
            faults.append(f"{where}: Invalid value: {_names(above)}: requests must not exceed its limits")
    return faults


def _outside(spec: PodSpec, limit_range: Obj, path: str) -> list[str]:
    faults: list[str] = []
    for item in _items((limit_range,), "Container"):
        for where, container in _containers(spec, path):
            faults += _compare((container.get("resources") or {}), item, where)
    for item in _items((limit_range,), "Pod"):
        total = pod_requests(spec)
        own = {name: f"{amount}m" if name == "cpu" else str(amount) for name, amount in total.items()}
        faults += _compare({"requests": own, "limits": own}, item, path)
    return faults


def _compare(resources: Mapping[str, Any], item: Mapping[str, Any], where: str) -> list[str]:
    requests, limits = _quantities(resources.get("requests")), _quantities(resources.get("limits"))
    highest = {k: max(v.nanos, limits[k].nanos if k in limits else v.nanos) for k, v in {**limits, **requests}.items()}
    lowest = {k: min(v.nanos, limits[k].nanos if k in limits else v.nanos) for k, v in {**limits, **requests}.items()}
    above = [k for k, v in _quantities(item.get("max")).items() if highest.get(k, v.nanos) > v.nanos]
    below = [k for k, v in _quantities(item.get("min")).items() if lowest.get(k, v.nanos) < v.nanos]
    faults = []
    if above:
        faults.append(f"{where}: Invalid value: {_names(above)}: requests must not be above the limitRange max")
    if below:
        faults.append(f"{where}: Invalid value: {_names(below)}: requests must not be below the limitRange min")
    return faults


def _quantities(raw: Mapping[str, Any] | None) -> dict[str, Quantity]:
    return {name: parse_quantity(text) for name, text in (raw or {}).items()}


def _names(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in sorted(names)) + "]"
