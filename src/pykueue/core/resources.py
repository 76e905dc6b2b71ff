"""Amounts of resources: 64-bit integers that saturate, and what they are called in messages.

An amount counts milli-units of `cpu` and whole units of everything else. `UNLIMITED` absorbs: what does not fit into
64 bits is unlimited, and stays it. Sums of quota never see a float.

This module knows nothing of pods or queues; `core/workload/requests.py` turns pods into amounts, `core/cache/cohort.py` adds them up.

Source: scheduling.md §4, §7.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from pykueue.api.quantity import Format, Quantity, parse_quantity

CPU = "cpu"
PODS = "pods"
UNLIMITED = (1 << 63) - 1
"""The largest amount; also the largest 64-bit integer, as upstream."""
MINIMUM = -(1 << 63)
_MILLI = 10**6
_NANO = 10**9


_TEXTS_MAX = 4096
"""Amounts whose texts are remembered: equal Workloads are told the same."""


class FlavorResource(NamedTuple):
    """What quota is kept for: a resource in a flavor."""

    flavor: str
    resource: str


def add(a: int, b: int) -> int:
    """`a + b`; unlimited plus anything is unlimited."""
    if a >= UNLIMITED or b >= UNLIMITED:
        return UNLIMITED
    total = a + b
    return total if MINIMUM <= total <= UNLIMITED else clamp(total)


def sub(a: int, b: int) -> int:
    """`a - b`; unlimited less unlimited is 0, bounded less unlimited is the least amount."""
    if a == UNLIMITED:
        return 0 if b == UNLIMITED else UNLIMITED
    if b == UNLIMITED:
        return MINIMUM
    rest = a - b
    return rest if MINIMUM <= rest <= UNLIMITED else clamp(rest)


def scale(amount: int, factor: int) -> int:
    """`amount * factor` for a factor ≥ 0."""
    return UNLIMITED if amount == UNLIMITED and factor > 0 else clamp(amount * factor)


def clamp(value: int) -> int:
    """The nearest amount."""
    if MINIMUM <= value <= UNLIMITED:
        return value
    return UNLIMITED if value > 0 else MINIMUM


def amount_of(resource: str, quantity: Quantity) -> int:
    """A quantity as an amount, rounded up."""
    return clamp(quantity.milli if resource == CPU else quantity.value)


def parse_amount(resource: str, text: str | float) -> int:
    """Read a quantity from an object as an amount.

    Raises:
        ValueError: the text is not a quantity (the API server refuses such objects).
    """
    if type(text) is int or (type(text) is str and text.isdecimal()):
        amount = int(text)
        return clamp(amount * 1000 if resource == CPU else amount)
    return amount_of(resource, parse_quantity(text))


@lru_cache(_TEXTS_MAX)
def format_amount(resource: str, amount: int) -> str:
    """An amount as Kubernetes prints it: cpu in cores, memory-like resources with binary suffixes."""
    return format_nanos(resource, nanos_of(resource, amount))


def nanos_of(resource: str, amount: int) -> int:
    """An amount in nano-units."""
    return amount * (_MILLI if resource == CPU else _NANO)


def format_nanos(resource: str, nanos: int) -> str:
    """Nano-units as `format_amount` prints amounts; memory too is decimal where it is not whole."""
    binary = resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-")
    return str(Quantity(nanos, Format.BINARY_SI if binary else Format.DECIMAL_SI))


def format_requests(requests: Mapping[str, int]) -> dict[str, str]:
    """Requests as a wire mapping, resources sorted by name."""
    return {name: format_amount(name, requests[name]) for name in sorted(requests)}


def fnv1a(name: str) -> int:
    """64-bit FNV-1a hash of a name; the order in which resources of a pod set are looked at.

    Source: scheduling.md §6.1; visible only in which error comes first.
    """
    known = _FNV.get(name)
    if known is None:
        known = 0xCBF29CE484222325
        for byte in name.encode():
            known = ((known ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        if len(_FNV) < _FNV_NAMES_MAX:
            _FNV[name] = known
    return known


_FNV: dict[str, int] = {}
_FNV_NAMES_MAX = 4096
