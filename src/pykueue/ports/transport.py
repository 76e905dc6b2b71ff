"""The port between whoever speaks to an API server and the API server.

Two adapters exist: HTTP (`client/http.py`, against any cluster) and in process (`apiserver/inprocess.py`, the embedded one:
no sockets, no JSON, raw objects are handed over as they are). Both raise `api.errors.ApiError` for what the API refuses and
`TransportError` when it could not be asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pykueue.api.objects import Obj


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request.

    Attributes:
        method: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
        path: URL path, as `Kind.path` builds it.
        query: parameters (`fieldManager`, `force`, `labelSelector`, `limit`, `continue`, ...).
        body: a raw object or patch; None for no body.
        content_type: of the body.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class WatchLine:
    """One line of a watch: `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` (only its resource version counts)."""

    type: str
    object: Obj


class Transport(Protocol):
    """Ask an API server."""

    async def request(self, request: ApiRequest) -> Any:
        """Send a request; the decoded answer (for DELETE, the object or a Status).

        Raises:
            ApiError: the API refused.
            TransportError: it could not be asked.
        """
        ...

    def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        """Open a watch (the query holds `watch=1`, `resourceVersion`, ...); ends when the server ends it.

        Raises:
            ApiError: refused, or an ERROR line (`Expired`: list again).
            TransportError: broken.
        """
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
