"""Go's duration strings (`metav1.Duration`): `1h30m`, `5m`, `1.5s`, `-300ms`."""

from __future__ import annotations

import re
from decimal import Decimal

_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)")
_NS_MAX = 2**63 - 1


def parse_duration(text: str) -> int:
    """Microseconds of a Go duration; finer parts are cut off.

    Raises:
        ValueError: not a duration; the text is Go's.
    """
    unsigned = text[1:] if text[:1] in ("-", "+") else text
    if unsigned == "0":
        return 0
    total, position = Decimal(0), 0
    while position < len(unsigned):
        match = _PART.match(unsigned, position)
        if match is None:
            break
        number, unit = match.groups()
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _NS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += Decimal(number) * _NS[unit]
        position = match.end()
    if position != len(unsigned) or not unsigned or total > _NS_MAX:
        raise ValueError(f'time: invalid duration "{text}"')
    micros = int(total) // 1000
    return -micros if text.startswith("-") else micros


def format_duration(micros: int) -> str:
    """Go's text of a duration: `5m0s`, `1.5s`, `100ms`, `0s`."""
    sign, rest = ("-" if micros < 0 else ""), abs(micros)
    if rest == 0:
        return "0s"
    if rest < 1000:
        return f"{sign}{rest}µs"
    if rest < 10**6:
        return f"{sign}{_plain(Decimal(rest) / 1000)}ms"
    minutes, micros_left = divmod(rest, 60 * 10**6)
    seconds = _plain(Decimal(micros_left) / 10**6)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}h{minutes_left}m{seconds}s"
    return f"{sign}{minutes}m{seconds}s" if minutes else f"{sign}{seconds}s"


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
