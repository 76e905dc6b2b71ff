"""What one pod requests, in amounts: Kubernetes' arithmetic, then the configuration's.

A pod template goes through these steps in order: the sum of its containers as Kubernetes' scheduler sees them
(`pod_requests`), without the excluded prefixes, with the transformations applied, floored at zero (`effective_requests`).
The template is expected to be adjusted already (`adjust.py`): defaults, overhead, limits as requests.

Not here: counts, reclaimable pods, the `pods` resource (`info.py`); devices of dynamic resource allocation.

Source: scheduling.md §4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from pykueue.api.configuration.types import Resources, Transformation
from pykueue.api.quantity import NANO, parse_quantity
from pykueue.core.resources import CPU, UNLIMITED, clamp, parse_amount

Requests = dict[str, int]
"""Resource name to amount."""


def pod_requests(spec: Mapping[str, Any]) -> Requests:
    """Requests of one pod.

    Σ containers + sidecars; at least each ordinary init container with the sidecars started before it; pod-level
    requests replace the containers' for the resources they name; plus overhead.

    Args:
        spec: a PodSpec.
    """
    total = _sum(_requests(c) for c in spec.get("containers") or ())
    init_containers = spec.get("initContainers")
    if init_containers:
        total = _with_init_containers(total, init_containers)
    pod_level = (spec.get("resources") or {}).get("requests")
    if pod_level:
        total |= {name: parse_amount(name, text) for name, text in pod_level.items()}
    overhead = spec.get("overhead")
    if overhead:
        _add(total, {name: parse_amount(name, text) for name, text in overhead.items()})
    return total


def effective_requests(spec: Mapping[str, Any], config: Resources) -> Requests:
    """Requests of one pod as quota counts them.

    Args:
        spec: an adjusted PodSpec.
        config: prefixes to leave out and transformations.
    """
    requests = pod_requests(spec)
    if config.exclude_resource_prefixes:
        requests = {k: v for k, v in requests.items() if not k.startswith(config.exclude_resource_prefixes)}
    if config.transformations:
        requests = _transform(requests, config.transformations)
    if any(v < 0 for v in requests.values()):
        requests = {k: max(0, v) for k, v in requests.items()}
    return requests


def _requests(container: Mapping[str, Any]) -> Requests:
    raw = (container.get("resources") or {}).get("requests")
    return {name: parse_amount(name, text) for name, text in raw.items()} if raw else {}


def _with_init_containers(containers: Requests, init_containers: Iterable[Mapping[str, Any]]) -> Requests:
    sidecars: Requests = {}
    peak: Requests = {}
    for container in init_containers:
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            continue
        for name, amount in _sum((sidecars, own)).items():
            peak[name] = max(peak.get(name, 0), amount)
    total = _sum((containers, sidecars))
    for name, amount in peak.items():
        total[name] = max(total.get(name, 0), amount)
    return total


def _sum(parts: Iterable[Requests]) -> Requests:
    total: Requests = {}
    for part in parts:
        _add(total, part)
    return total


def _add(total: Requests, part: Requests) -> None:
    for name, amount in part.items():
        total[name] = clamp(total.get(name, 0) + amount)


def _transform(requests: Requests, transformations: Iterable[Transformation]) -> Requests:
    by_input = {t.input: t for t in transformations}
    kept: Requests = {}
    generated: dict[str, Fraction] = {}
    for name, amount in requests.items():
        transformation = by_input.get(name)
        if transformation is None:
            kept[name] = amount
            continue
        factor = _units(name, amount)
        multiplier = transformation.multiply_by
        if multiplier and multiplier in requests:
            factor *= _units(multiplier, requests[multiplier])
        for output, text in transformation.outputs.items():
            part = factor * Fraction(parse_quantity(text).nanos, NANO)
            generated[output] = generated.get(output, Fraction(0)) + part
        if transformation.strategy != "Replace":
            kept[name] = amount
    for output, units in generated.items():
        amount = _ceil_amount(output, max(Fraction(0), units))
        kept[output] = min(UNLIMITED, kept.get(output, 0) + amount)
    return kept


def _units(resource: str, amount: int) -> Fraction:
    """An amount in whole units, exactly."""
    return Fraction(amount, 1000) if resource == CPU else Fraction(amount)


def _ceil_amount(resource: str, units: Fraction) -> int:
    scaled = units * 1000 if resource == CPU else units
    return clamp(-((-scaled.numerator) // scaled.denominator))
