"""Validation of `resources.deviceClassMappings` (spec: config.md §3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from pykueue.api.configuration.types import DeviceClassMapping, DeviceClassSource, DeviceSource
from pykueue.api.errors import FieldError
from pykueue.api.fields import (
    dns1123_label_faults,
    duplicate,
    invalid,
    label_key_faults,
    required,
    subdomain_faults,
    too_many,
)

_PATH = "resources.deviceClassMappings"
_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GATES = {
    "counter": "KueueDRAIntegrationPartitionableDevices",
    "capacity": "KueueDRAIntegrationConsumableCapacity",
}


def validate(mappings: Sequence[DeviceClassMapping], gate: Callable[[str], bool]) -> list[FieldError]:
    """All faults of the mappings.

    Args:
        mappings: in order.
        gate: whether a feature gate is on, by its name.
    """
    errors: list[FieldError] = []
    if len(mappings) > 16:
        errors.append(too_many(_PATH, len(mappings), 16))
    names: set[str] = set()
    owners: dict[str, DeviceClassMapping] = {}
    for i, mapping in enumerate(mappings):
        path = f"{_PATH}[{i}]"
        errors += _key(f"{path}.name", mapping.name, seen=names)
        errors += _classes(f"{path}.deviceClassNames", mapping, owners)
        errors += _sources(f"{path}.sources", mapping.sources, gate)
    return errors


def _key(path: str, value: str, *, seen: set[str]) -> Iterator[FieldError]:
    faults = label_key_faults(value)
    if faults:
        yield invalid(path, value, "; ".join(faults))
    if len(value) > 253:
        yield invalid(path, value, "must not exceed 253 characters")
    if value in seen:
        yield duplicate(path, value)
    seen.add(value)


def _classes(path: str, mapping: DeviceClassMapping, owners: dict[str, DeviceClassMapping]) -> Iterator[FieldError]:
    names = mapping.device_class_names
    if not names:
        yield required(path, "at least one device class name is required")
    if len(names) > 8:
        yield too_many(path, len(names), 8)
    seen: set[str] = set()
    for j, name in enumerate(names):
        here = f"{path}[{j}]"
        yield from _key(here, name, seen=seen)
        other = owners.setdefault(name, mapping)
        if other is not mapping:
            yield from _shared_class(here, name, mapping, other)


def _shared_class(path: str, name: str, mapping: DeviceClassMapping, other: DeviceClassMapping) -> Iterator[FieldError]:
    """One class in two mappings is right only for two different counters of it."""
    mine, theirs = _counters(mapping), _counters(other)
    if not mine or not theirs:
        yield invalid(path, name, f"device class already mapped to resource {other.name}")
        return
    for counter in mine:
        if counter in theirs:
            yield invalid(path, name, f'device class already has a counter source for counter "{counter}"')


def _counters(mapping: DeviceClassMapping) -> list[str]:
    return [source.counter.name for source in mapping.sources if source.counter is not None]


def _sources(path: str, sources: Sequence[DeviceClassSource], gate: Callable[[str], bool]) -> Iterator[FieldError]:
    exactly_one = "exactly one source type must be set per entry"
    for k, source in enumerate(sources):
        here = f"{path}[{k}]"
        if source.counter is None and source.capacity is None:
            yield required(here, exactly_one)
        elif source.counter is not None and source.capacity is not None:
            yield invalid(here, "counter+capacity", exactly_one)
        for kind, one in (("counter", source.counter), ("capacity", source.capacity)):
            if one is not None:
                if not gate(_GATES[kind]):
                    detail = f"{kind} sources require {_GATES[kind]} to be enabled"
                    yield invalid(f"{here}.{kind}", value=True, detail=detail)
                yield from _source(f"{here}.{kind}", one, kind)
    if any(s.counter for s in sources) and any(s.capacity for s in sources):
        yield invalid(path, len(sources), "cannot mix counter and capacity sources in the same mapping")


def _source(path: str, source: DeviceSource, kind: str) -> Iterator[FieldError]:
    if not source.name:
        yield required(f"{path}.name")
    else:
        faults = dns1123_label_faults(source.name) if kind == "counter" else _qualified_name_faults(source.name)
        for fault in faults:
            yield invalid(f"{path}.name", source.name, fault)
    if not source.driver:
        yield required(f"{path}.driver")
    else:
        if len(source.driver) > 63:
            yield invalid(f"{path}.driver", source.driver, "must not exceed 63 characters")
        for fault in subdomain_faults(source.driver):
            yield invalid(f"{path}.driver", source.driver, fault)
    if source.device_selector is not None and not source.device_selector.cel.expression:
        yield required(f"{path}.deviceSelector.cel.expression")


def _qualified_name_faults(name: str) -> list[str]:
    """What is wrong with a qualified name of dynamic resource allocation: `[domain/]identifier`."""
    domain, slash, identifier = name.rpartition("/")
    faults = subdomain_faults(domain) if slash else []
    if not _C_IDENTIFIER.fullmatch(identifier) or len(identifier) > 32:
        faults.append("must be a C identifier of at most 32 characters, optionally after a domain and '/'")
    return faults
