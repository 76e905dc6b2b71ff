"""Durations as `kubectl` shows them: two units at most, fewer the longer ago.

Source: k8s.io/apimachinery documentation of `duration.HumanDuration`; values as a real server prints them.
"""

from __future__ import annotations

from pykueue.api.instant import SECOND_US, Instant, parse_time

_DAY_H, _YEAR_D = 24, 365


def human_duration(seconds: int) -> str:
    """`90s`, `5m30s`, `3h12m`, `2d4h`, `400d`, `3y20d`."""
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(0, seconds)}s"
    minutes, hours = seconds // 60, seconds // 3600
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 2 * _DAY_H:
        return f"{hours}h"
    days = hours // _DAY_H
    if days < 8:
        return _two(days, "d", hours % _DAY_H, "h")
    if days < 2 * _YEAR_D:
        return f"{days}d"
    years = days // _YEAR_D
    return _two(years, "y", days % _YEAR_D, "d") if years < 8 else f"{years}y"


def since(text: str | None, now: Instant, missing: str = "<unknown>") -> str:
    """How long ago a timestamp was."""
    if not text:
        return missing
    try:
        return human_duration((now - parse_time(text)) // SECOND_US)
    except ValueError:
        return "<invalid>"


def between(start: str, end: str) -> str:
    """How long it took."""
    try:
        return human_duration((parse_time(end) - parse_time(start)) // SECOND_US)
    except ValueError:
        return "<invalid>"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
