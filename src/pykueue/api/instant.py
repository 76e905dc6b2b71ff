"""Time as a value: an Instant is an integer of microseconds since the epoch, UTC.

The pure packages never read a clock; they are handed `now`. Kubernetes writes times with a resolution of
one second (`metav1.Time`) or of a microsecond (`metav1.MicroTime`); both forms are read and written here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00Z."""

SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES_MAX = 4096
"""Times that are remembered: objects that were written together bear the same ones."""


@lru_cache(_TIMES_MAX)
def parse_time(text: str) -> Instant:
    """Read an RFC 3339 timestamp.

    Raises:
        ValueError: the text is not a timestamp.
    """
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no time zone")
    return Instant((stamp - _EPOCH) // timedelta(microseconds=1))


def format_time(instant: Instant) -> str:
    """Write an Instant as `metav1.Time`: whole seconds, cut off, with a Z."""
    return _format_second(instant // SECOND_US)


def format_micro_time(instant: Instant) -> str:
    """Write an Instant as `metav1.MicroTime`."""
    return (_EPOCH + timedelta(microseconds=instant)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@lru_cache(_TIMES_MAX)
def _format_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
