"""String formats that Kubernetes checks in custom resources. Formats it does not know are not checked, here as there."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_GO_DURATION = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|[-+]?0")
_LONG_DURATION = re.compile(
    r"\s*\d+\s*(nanoseconds?|ns|microseconds?|us|µs|milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h|days?|d|weeks?|wk|w)\s*"
)
_HOSTNAME = re.compile(
    r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*\.?"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def is_format(name: str) -> Callable[[str], bool] | None:
    """The check of one format; None if values of it are not checked."""
    return _FORMATS.get(name)


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def matches(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return matches


def _is_date_time(text: str) -> bool:
    return bool(_DATE_TIME.fullmatch(text)) and _parses(datetime.fromisoformat)(text.upper())


def _is_duration(text: str) -> bool:
    return bool(_GO_DURATION.fullmatch(text) or _LONG_DURATION.fullmatch(text))


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) or text.startswith("/")


def _is_uuid(version: int | None) -> Callable[[str], bool]:
    def matches(text: str) -> bool:
        try:
            found = uuid.UUID(text)
        except ValueError:
            return False
        return version is None or found.version == version

    return matches


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_date_time,
    "datetime": _is_date_time,
    "date": _parses(date.fromisoformat),
    "duration": _is_duration,
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
    "uri": _is_uri,
    "email": lambda text: bool(_EMAIL.fullmatch(text)),
    "hostname": lambda text: len(text) <= 255 and bool(_HOSTNAME.fullmatch(text)),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda text: "/" in text and _parses(lambda t: ipaddress.ip_network(t, strict=False))(text),
    "mac": lambda text: bool(_MAC.fullmatch(text)),
    "uuid": _is_uuid(None),
    "uuid3": _is_uuid(3),
    "uuid4": _is_uuid(4),
    "uuid5": _is_uuid(5),
    "k8s-short-name": lambda text: len(text) <= 63 and bool(_LABEL.fullmatch(text)),
    "k8s-long-name": lambda text: len(text) <= 253 and bool(_SUBDOMAIN.fullmatch(text)),
}
