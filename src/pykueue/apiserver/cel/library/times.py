"""Timestamps and durations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pykueue.api.instant import parse_time
from pykueue.api.quantity import NANO
from pykueue.apiserver.cel.library.arguments import as_text, no_overload
from pykueue.apiserver.cel.values import CelError, Duration, Timestamp

_UNITS_NS = {"h": 3600 * NANO, "m": 60 * NANO, "s": NANO, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
_DURATION = re.compile(r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+|[-+]?0")
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_timestamp(value: Any) -> Timestamp:
    """`timestamp(x)`."""
    if isinstance(value, Timestamp):
        return value
    try:
        return Timestamp(parse_time(as_text(value)))
    except ValueError:
        raise CelError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": it is no RFC 3339 timestamp') from None


def to_duration(value: Any) -> Duration:
    """`duration(x)`: Go's form, such as `1h30m`."""
    if isinstance(value, Duration):
        return value
    text = as_text(value)
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
                moment = moment.astimezone(ZoneInfo(as_text(zone)))
            except (ZoneInfoNotFoundError, ValueError):
                raise CelError(f"unknown time zone {zone}") from None
        return read(moment)

    return get


def _timed(read: Callable[[datetime], int], unit_ns: int) -> Callable[..., int]:
    of_date = _dated(read)
    return lambda value, *zone: value.ns // unit_ns if isinstance(value, Duration) else of_date(value, *zone)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "timestamp": to_timestamp,
    "duration": to_duration,
}
METHODS: Mapping[str, Callable[..., Any]] = {
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
}
