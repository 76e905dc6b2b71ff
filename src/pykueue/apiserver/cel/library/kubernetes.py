"""What Kubernetes adds: quantities, URLs, addresses and networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from pykueue.api.quantity import NANO, Quantity, parse_quantity
from pykueue.apiserver.cel.library.arguments import as_int, as_text, checked_int, no_overload
from pykueue.apiserver.cel.values import CelError


def to_quantity(value: Any) -> Quantity:
    """`quantity(x)`."""
    if isinstance(value, Quantity):
        return value
    try:
        return parse_quantity(as_text(value))
    except ValueError as error:
        raise CelError(str(error)) from None


def _succeeds(parse: Callable[..., Any]) -> Callable[..., bool]:
    def check(*arguments: Any) -> bool:
        try:
            parse(*arguments)
        except CelError:
            return False
        return True

    return check


def _quantity(value: Any) -> Quantity:
    if not isinstance(value, Quantity):
        raise no_overload()
    return value


def _quantity_other(value: Any) -> int:
    return value.nanos if isinstance(value, Quantity) else as_int(value) * NANO


def _as_integer(value: Any) -> int:
    if _quantity(value).nanos % NANO:
        raise CelError("cannot convert value to integer")
    return checked_int(int(value.nanos // NANO))


def _compare_quantities(a: Any, b: Any) -> int:
    difference = _quantity(a).nanos - _quantity(b).nanos
    return (difference > 0) - (difference < 0)


def _sign(value: Any) -> int:
    nanos = _quantity(value).nanos
    return (nanos > 0) - (nanos < 0)


def to_url(value: Any) -> SplitResult:
    """`url(x)`."""
    if isinstance(value, SplitResult):
        return value
    try:
        parts = urlsplit(as_text(value))
        _ = parts.port
    except ValueError as error:
        raise CelError(f"URL parse error during conversion from string: {error}") from None
    if not (parts.scheme or str(value).startswith("/")):
        raise CelError(f'URL parse error during conversion from string: parse "{value}": invalid URI for request')
    return parts


def _url(value: Any) -> SplitResult:
    if not isinstance(value, SplitResult):
        raise no_overload()
    return value


def to_ip(value: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """`ip(x)`; of a CIDR, its address."""
    if isinstance(value, ipaddress.IPv4Interface | ipaddress.IPv6Interface):
        return value.ip
    try:
        return ipaddress.ip_address(as_text(value))
    except ValueError:
        raise CelError(f'IP Address "{value}" parse error during conversion from string') from None


def to_cidr(value: Any) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """`cidr(x)`."""
    why = "network address parse error during conversion from string"
    if "/" not in as_text(value):
        raise CelError(why)
    try:
        return ipaddress.ip_interface(value)
    except ValueError:
        raise CelError(why) from None


def _family(value: Any) -> int:
    return int(value.version)


def _contains_ip(network: Any, address: Any) -> bool:
    return (address if not isinstance(address, str) else to_ip(address)) in network.network


def _contains_cidr(network: Any, other: Any) -> bool:
    inner = (to_cidr(other) if isinstance(other, str) else other).network
    return bool(inner.version == network.version and inner.subnet_of(network.network))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "quantity": to_quantity,
    "isQuantity": _succeeds(to_quantity),
    "url": to_url,
    "isURL": _succeeds(to_url),
    "ip": to_ip,
    "isIP": _succeeds(to_ip),
    "cidr": to_cidr,
    "isCIDR": _succeeds(to_cidr),
    "ip.isCanonical": lambda value: str(to_ip(value)) == value,
}
METHODS: Mapping[str, Callable[..., Any]] = {
    "sign": _sign,
    "isInteger": lambda value: _quantity(value).nanos % NANO == 0,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda value: _quantity(value).nanos / NANO,
    "isGreaterThan": lambda a, b: _compare_quantities(a, b) > 0,
    "isLessThan": lambda a, b: _compare_quantities(a, b) < 0,
    "compareTo": _compare_quantities,
    "add": lambda a, b: Quantity(_quantity(a).nanos + _quantity_other(b), a.format),
    "sub": lambda a, b: Quantity(_quantity(a).nanos - _quantity_other(b), a.format),
    "getScheme": lambda value: _url(value).scheme,
    "getHost": lambda value: _url(value).netloc.rpartition("@")[2],
    "getHostname": lambda value: _url(value).hostname or "",
    "getPort": lambda value: str(_url(value).port or ""),
    "getEscapedPath": lambda value: _url(value).path,
    "getQuery": lambda value: parse_qs(_url(value).query, keep_blank_values=True),
    "family": _family,
    "isUnspecified": lambda value: bool(value.is_unspecified),
    "isLoopback": lambda value: bool(value.is_loopback),
    "isLinkLocalMulticast": lambda value: bool(value.is_multicast and value.is_link_local),
    "isLinkLocalUnicast": lambda value: bool(value.is_link_local),
    "isGlobalUnicast": lambda value: (
        not (value.is_unspecified or value.is_loopback or value.is_multicast or value.is_link_local)
    ),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "ip": to_ip,
    "masked": lambda value: ipaddress.ip_interface(str(value.network)),
    "prefixLength": lambda value: int(value.network.prefixlen),
}
