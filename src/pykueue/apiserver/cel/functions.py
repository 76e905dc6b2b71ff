"""The library of CEL functions: the standard ones, strings, lists, sets, and Kubernetes' own.

`METHODS` are called on a value (`x.f(y)`), `FUNCTIONS` without one (`f(x)`). Each takes plain values and raises `CelError`; a
value of a type that the function does not take is "no such overload". The module is long because it is a list: some hundred
functions of a few lines each, and the two tables that name them.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from pykueue.api.instant import Instant, format_time, parse_time
from pykueue.api.quantity import NANO, Quantity, parse_quantity
from pykueue.apiserver.cel.values import CelError, Duration, Optional, Timestamp, Type, equal, type_name
from pykueue.apiserver.schema.patterns import compile_pattern

_INT64 = 1 << 63
_UNITS_NS = {"h": 3600 * NANO, "m": 60 * NANO, "s": NANO, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+|[-+]?0")
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def no_overload() -> CelError:
    """The error of a function that does not take what it was given."""
    return CelError("no such overload")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise no_overload()
    return value


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise no_overload()
    return value


def _items(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise no_overload()
    return value


def checked_int(value: int) -> int:
    """An integer that fits 64 bits."""
    if not -_INT64 <= value < _INT64:
        raise CelError("integer overflow")
    return value


def size(value: Any) -> int:
    """Length of a string (in code points), bytes, list or map."""
    if isinstance(value, str | bytes | list | Mapping):
        return len(value)
    raise no_overload()


def matches(text: Any, pattern: Any) -> bool:
    """Whether a pattern is found in a text."""
    return compile_re(_text(pattern)).search(_text(text)) is not None


def compile_re(pattern: str) -> re.Pattern[str]:
    """A pattern of RE2."""
    try:
        return compile_pattern(pattern)
    except ValueError as error:
        raise CelError(f"error parsing regexp: {error}") from None


def _index(text: str, idx: int) -> int:
    if not 0 <= idx <= len(text):
        raise CelError(f"index out of range: {idx}")
    return idx


def _char_at(text: Any, idx: Any) -> str:
    at = _index(_text(text), _int(idx))
    return str(text[at : at + 1])


def _index_of(value: Any, part: Any, start: Any = 0) -> int:
    if isinstance(value, list):
        return next((i for i, item in enumerate(value) if equal(item, part)), -1)
    return _text(value).find(_text(part), _index(value, _int(start)))


def _last_index_of(value: Any, part: Any, end: Any = None) -> int:
    if isinstance(value, list):
        return max((i for i, item in enumerate(value) if equal(item, part)), default=-1)
    text, wanted = _text(value), _text(part)
    return text.rfind(wanted) if end is None else text.rfind(wanted, 0, _index(text, _int(end)) + len(wanted))


def _replace(text: Any, old: Any, new: Any, count: Any = -1) -> str:
    return _text(text).replace(_text(old), _text(new), _int(count))


def _split(text: Any, separator: Any, limit: Any = -1) -> list[str]:
    n = _int(limit)
    if n == 0:
        return []
    if not _text(separator):
        return list(_text(text)) if n < 0 else [*_text(text)[: n - 1], _text(text)[n - 1 :]]
    return _text(text).split(_text(separator), n - 1 if n > 0 else -1)


def _substring(text: Any, start: Any, end: Any = None) -> str:
    stop = len(_text(text)) if end is None else _index(text, _int(end))
    if _index(text, _int(start)) > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    return str(text[start:stop])


def _ascii_case(up: bool) -> Callable[[Any], str]:
    pattern, shift = re.compile("[a-z]+" if up else "[A-Z]+"), str.upper if up else str.lower
    return lambda text: pattern.sub(lambda m: shift(m[0]), _text(text))


def _reverse(value: Any) -> Any:
    return value[::-1] if isinstance(value, str | list) else _items(value)


def _join(items: Any, separator: Any = "") -> str:
    return _text(separator).join(map(_text, _items(items)))


def _format(template: Any, arguments: Any) -> str:
    """`'%s is %d'.format([a, b])`."""
    rest = list(_items(arguments))

    def one(match: re.Match[str]) -> str:
        verb = match[2]
        if verb == "%":
            return "%"
        if not rest:
            raise CelError("index out of range: not enough arguments for the format")
        value = rest.pop(0)
        match verb:
            case "s":
                return _shown(value)
            case "d":
                return str(_int(value))
            case "x" | "X" | "b" | "o":
                return format(_int(value), verb)
            case _:
                return f"{float(value):.{(match[1] or '.6')[1:]}{verb}}"

    return re.sub(r"%(\.\d+)?([sdfexXbo%])", one, _text(template))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_shown(k)}: {_shown(v)}" for k, v in sorted(value.items())) + "}"
    return to_string(value)


def order(a: Any, b: Any) -> int:
    """-1, 0 or 1 for values that have an order."""
    is_number = [isinstance(x, int | float) and not isinstance(x, bool) for x in (a, b)]
    if all(is_number) or (type(a) is type(b) and isinstance(a, str | bytes | bool | Timestamp | Duration)):
        return -1 if a < b else 1 if a > b else 0
    raise no_overload()


def _extreme(sign: int) -> Callable[[Any], Any]:
    def find(items: Any) -> Any:
        if not _items(items):
            raise CelError(f"{'max' if sign > 0 else 'min'} called on empty list")
        best = items[0]
        for item in items[1:]:
            if order(item, best) * sign > 0:
                best = item
        return best

    return find


def _sum(items: Any) -> Any:
    total: Any = None
    for item in _items(items):
        total = item if total is None else add(total, item)
    return 0 if total is None else total


def add(a: Any, b: Any) -> Any:
    """`a + b`."""
    if isinstance(a, bool) or isinstance(b, bool):
        raise no_overload()
    if isinstance(a, int) and isinstance(b, int):
        return checked_int(a + b)
    if type(a) is type(b) and isinstance(a, float | str | bytes | list):
        return a + b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a + b
    match a, b:
        case (Timestamp(), Duration()):
            return Timestamp(a.us + b.ns // 1000)
        case (Duration(), Timestamp()):
            return Timestamp(b.us + a.ns // 1000)
        case (Duration(), Duration()):
            return Duration(a.ns + b.ns)
    raise no_overload()


def subtract(a: Any, b: Any) -> Any:
    """`a - b`."""
    match a, b:
        case (Timestamp(), Timestamp()):
            return Duration((a.us - b.us) * 1000)
        case (Timestamp(), Duration()):
            return Timestamp(a.us - b.ns // 1000)
        case (Duration(), Duration()):
            return Duration(a.ns - b.ns)
    return _arithmetic(a, b, lambda x, y: x - y)


def multiply(a: Any, b: Any) -> Any:
    """`a * b`."""
    return _arithmetic(a, b, lambda x, y: x * y)


def divide(a: Any, b: Any) -> Any:
    """`a / b`; integers are cut off towards zero."""
    if isinstance(a, float) or isinstance(b, float):
        return _arithmetic(
            a, b, lambda x, y: x / y if y else float("nan") if not x else float("inf") * (1 if x > 0 else -1)
        )
    if b == 0:
        raise CelError("division by zero")
    return _arithmetic(a, b, lambda x, y: abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1))


def modulo(a: Any, b: Any) -> Any:
    """`a % b`, with the sign of `a`."""
    if _int(b) == 0:
        raise CelError("modulus by zero")
    return abs(_int(a)) % abs(b) * (1 if a >= 0 else -1)


def _arithmetic(a: Any, b: Any, compute: Callable[[Any, Any], Any]) -> Any:
    for value in (a, b):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise no_overload()
    result = compute(a, b)
    return checked_int(result) if isinstance(result, int) else result


def contains(value: Any, part: Any) -> bool:
    """`part in value`."""
    if isinstance(value, Mapping):
        return part in value if isinstance(part, str | int | float | bool) else False
    return any(equal(item, part) for item in _items(value))


def _is_sorted(items: Any) -> bool:
    found = _items(items)
    return all(order(a, b) <= 0 for a, b in itertools.pairwise(found))


def _distinct(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in _items(items):
        if not contains(found, item):
            found.append(item)
    return found


def _flatten(items: Any, depth: Any = 1) -> list[Any]:
    found: list[Any] = []
    for item in _items(items):
        found.extend(_flatten(item, depth - 1) if isinstance(item, list) and depth > 0 else [item])
    return found


def _sort(items: Any) -> list[Any]:
    return sorted(_items(items), key=functools.cmp_to_key(order))


def to_string(value: Any) -> str:
    """`string(x)`."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
        case bytes():
            return value.decode()
        case Timestamp():
            return format_time(Instant(value.us))
        case Duration():
            return f"{value.ns / NANO:g}s"
        case Type():
            return value.name
        case Quantity() | SplitResult() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return value.geturl() if isinstance(value, SplitResult) else str(value)
        case ipaddress.IPv4Interface() | ipaddress.IPv6Interface():
            return str(value)
        case _:
            raise no_overload()


def _to_int(value: Any) -> int:
    match value:
        case bool():
            raise no_overload()
        case int():
            return value
        case float():
            return checked_int(int(value))
        case str():
            try:
                return checked_int(int(value))
            except ValueError:
                raise CelError(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None
        case Timestamp():
            return value.us // 10**6
        case Duration():
            return value.ns
        case _:
            raise no_overload()


def _to_uint(value: Any) -> int:
    number = _to_int(value)
    if number < 0:
        raise CelError("unsigned integer overflow")
    return number


def _to_double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise no_overload()
    try:
        return float(value)
    except ValueError:
        raise CelError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {
        "true": True,
        "True": True,
        "TRUE": True,
        "t": True,
        "1": True,
        "false": False,
        "False": False,
        "FALSE": False,
        "f": False,
        "0": False,
    }
    if isinstance(value, str) and value in known:
        return known[value]
    raise CelError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def to_timestamp(value: Any) -> Timestamp:
    """`timestamp(x)`."""
    if isinstance(value, Timestamp):
        return value
    try:
        return Timestamp(parse_time(_text(value)))
    except ValueError:
        raise CelError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": it is no RFC 3339 timestamp') from None


def to_duration(value: Any) -> Duration:
    """`duration(x)`: Go's form, such as `1h30m`."""
    if isinstance(value, Duration):
        return value
    text = _text(value)
    if not _DURATION.fullmatch(text):
        raise CelError(f'time: invalid duration "{text}"')
    total = sum(round(float(number) * _UNITS_NS[unit]) for number, unit in _DURATION_PART.findall(text))
    return Duration(-total if text.startswith("-") else total)


def _dated(read: Callable[[datetime], int]) -> Callable[..., int]:
    def get(value: Any, zone: Any = None) -> int:
        if not isinstance(value, Timestamp):
            raise no_overload()
        moment = _EPOCH + timedelta(microseconds=value.us)
        if zone is not None:
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

            try:
                moment = moment.astimezone(ZoneInfo(_text(zone)))
            except (ZoneInfoNotFoundError, ValueError):
                raise CelError(f"unknown time zone {zone}") from None
        return read(moment)

    return get


def _timed(read: Callable[[datetime], int], unit_ns: int) -> Callable[..., int]:
    of_date = _dated(read)
    return lambda value, *zone: value.ns // unit_ns if isinstance(value, Duration) else of_date(value, *zone)


def to_quantity(value: Any) -> Quantity:
    """`quantity(x)`."""
    if isinstance(value, Quantity):
        return value
    try:
        return parse_quantity(_text(value))
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
    return value.nanos if isinstance(value, Quantity) else _int(value) * NANO


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
        parts = urlsplit(_text(value))
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
        return ipaddress.ip_address(_text(value))
    except ValueError:
        raise CelError(f'IP Address "{value}" parse error during conversion from string') from None


def to_cidr(value: Any) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """`cidr(x)`."""
    why = "network address parse error during conversion from string"
    if "/" not in _text(value):
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


def _optional(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise no_overload()
    return value


def _value_of(value: Any) -> Any:
    if not _optional(value).is_present:
        raise CelError("optional.none() dereference")
    return value.value


def _find(text: Any, pattern: Any) -> str:
    match = compile_re(_text(pattern)).search(_text(text))
    return match[0] if match else ""


def _find_all(text: Any, pattern: Any, limit: Any = -1) -> list[str]:
    found = [match[0] for match in compile_re(_text(pattern)).finditer(_text(text))]
    return found if _int(limit) < 0 else found[:limit]


def _is_subset(part: Any, whole: Any) -> bool:
    return all(contains(_items(whole), item) for item in _items(part))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "size": size,
    "string": to_string,
    "int": _to_int,
    "uint": _to_uint,
    "double": _to_double,
    "bool": _to_bool,
    "bytes": lambda value: value if isinstance(value, bytes) else _text(value).encode(),
    "dyn": lambda value: value,
    "type": lambda value: Type(type_name(value)),
    "matches": matches,
    "timestamp": to_timestamp,
    "duration": to_duration,
    "quantity": to_quantity,
    "isQuantity": _succeeds(to_quantity),
    "url": to_url,
    "isURL": _succeeds(to_url),
    "ip": to_ip,
    "isIP": _succeeds(to_ip),
    "cidr": to_cidr,
    "isCIDR": _succeeds(to_cidr),
    "optional.of": lambda value: Optional(value, is_present=True),
    "optional.none": Optional,
    "optional.ofNonZeroValue": lambda value: Optional(value, is_present=True) if value else Optional(),
    "sets.contains": lambda whole, part: _is_subset(part, whole),
    "sets.equivalent": lambda a, b: _is_subset(a, b) and _is_subset(b, a),
    "sets.intersects": lambda a, b: any(contains(_items(b), item) for item in _items(a)),
    "math.greatest": lambda *values: _extreme(1)(list(values[0]) if isinstance(values[0], list) else list(values)),
    "math.least": lambda *values: _extreme(-1)(list(values[0]) if isinstance(values[0], list) else list(values)),
    "math.abs": lambda value: checked_int(abs(value)) if isinstance(value, int) else abs(value),
    "strings.quote": lambda value: json.dumps(_text(value), ensure_ascii=False),
    "base64.encode": lambda value: base64.b64encode(value).decode(),
    "base64.decode": lambda value: base64.b64decode(_text(value)),
    "ip.isCanonical": lambda value: str(to_ip(value)) == value,
    "lists.range": lambda n: list(range(_int(n))),
}
"""Functions without a target; namespaced ones by their whole name."""

METHODS: Mapping[str, Callable[..., Any]] = {
    "size": size,
    "matches": matches,
    "contains": lambda text, part: _text(part) in _text(text),
    "startsWith": lambda text, part: _text(text).startswith(_text(part)),
    "endsWith": lambda text, part: _text(text).endswith(_text(part)),
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "lowerAscii": _ascii_case(up=False),
    "upperAscii": _ascii_case(up=True),
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": lambda text: _text(text).strip(),
    "reverse": _reverse,
    "join": _join,
    "format": _format,
    "find": _find,
    "findAll": _find_all,
    "isSorted": _is_sorted,
    "sum": _sum,
    "min": _extreme(-1),
    "max": _extreme(1),
    "distinct": _distinct,
    "flatten": _flatten,
    "sort": _sort,
    "slice": lambda items, start, end: list(_items(items))[_int(start) : _int(end)],
    "getFullYear": _dated(lambda moment: moment.year),
    "getMonth": _dated(lambda moment: moment.month - 1),
    "getDate": _dated(lambda moment: moment.day),
    "getDayOfMonth": _dated(lambda moment: moment.day - 1),
    "getDayOfYear": _dated(lambda moment: moment.timetuple().tm_yday - 1),
    "getDayOfWeek": _dated(lambda moment: moment.isoweekday() % 7),
    "getHours": _timed(lambda moment: moment.hour, 3600 * NANO),
    "getMinutes": _timed(lambda moment: moment.minute, 60 * NANO),
    "getSeconds": _timed(lambda moment: moment.second, NANO),
    "getMilliseconds": _timed(lambda moment: moment.microsecond // 1000, 10**6),
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
    "hasValue": lambda value: _optional(value).is_present,
    "value": _value_of,
    "orValue": lambda value, other: _optional(value).value if value.is_present else other,
    "or": lambda value, other: value if _optional(value).is_present else _optional(other),
}
"""Functions of a value, the value first."""
