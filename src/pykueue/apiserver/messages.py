"""What goes in and out of the request core: requests, answers, watch streams. No sockets, no bytes unless someone asks.

`HttpRequest` is made by `http.py` from the wire, or by `inprocess.py` from a raw object. The core answers with a `Response`,
whose body is a raw object (encoded by whoever needs bytes), or with a `WatchStream`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.api.errors import BadRequest

Answer = "Response | WatchStream"

ADMIN_USER = "kubernetes-admin"
SYSTEM_MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class User:
    """Who asks, as authentication found out."""

    name: str = ADMIN_USER
    groups: tuple[str, ...] = (SYSTEM_MASTERS, "system:authenticated")
    uid: str = ""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request.

    Attributes:
        method: HTTP method.
        path: decoded URL path.
        query: parameters; the first of each name counts.
        body: bytes from the wire; or a raw object, shared and never mutated; None for no body.
        content_type: of the body, without parameters.
        accept: value of the Accept header.
        user_agent: names the field manager of a writer that does not name one.
        user: who asks.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"
    user_agent: str = ""
    user: User = field(default_factory=User)

    def flag(self, name: str) -> bool:
        """A boolean parameter as Kubernetes reads it: `true`, `1`, or present without a value.

        Raises:
            BadRequest: the value is not a boolean.
        """
        value = self.query.get(name)
        if value is None:
            return False
        if value in {"true", "1", "True", "t", "T", "TRUE", ""}:
            return True
        if value in {"false", "0", "False", "f", "F", "FALSE"}:
            return False
        raise BadRequest(f'query parameter {name}: invalid value "{value}"; use true or false')

    def number(self, name: str) -> int | None:
        """A non-negative integer parameter; None if it is absent or empty.

        Raises:
            BadRequest: the value is not a number.
        """
        value = self.query.get(name)
        if not value:
            return None
        if not value.isascii() or not value.isdigit():
            raise BadRequest(f'query parameter {name}: invalid value "{value}"; use a non-negative whole number')
        return int(value)

    @property
    def field_manager(self) -> str:
        """Who owns the fields written: the `fieldManager` parameter, else the program's name from the user agent."""
        return self.query.get("fieldManager") or self.user_agent.partition("/")[0] or "unknown"


@dataclass(frozen=True, slots=True)
class Response:
    """One answer.

    Attributes:
        status: HTTP status.
        body: a raw object; text for text answers; bytes that are encoded already.
        content_type: of the body.
        warnings: sentences for `Warning` headers.
        headers: any others.
    """

    status: int
    body: Any
    content_type: str = "application/json"
    warnings: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """What a path of a resource names.

    Attributes:
        group: API group, empty for core.
        version: of the group.
        plural: the resource.
        namespace: empty for cluster-scoped resources and for all namespaces.
        name: empty for collections.
        subresource: empty for the object itself.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_target(path: str) -> Target | None:
    """Read `/api/v1/...` and `/apis/<group>/<version>/...`; None for any other path.

    A namespace itself is `Target(plural="namespaces", name=...)`; its sub-resources `status` and `finalize` likewise.
    """
    parts = [part for part in path.split("/") if part]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (len(rest) == 3 and rest[2] in {"status", "finalize"}):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    plural, name, subresource = (*rest, "", "")[:3]
    return Target(group, version, plural, namespace, name, subresource)
