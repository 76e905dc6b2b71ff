"""The embedded server as a `Transport`: raw objects go straight to the request core. No sockets, no JSON.

Objects are shared with the store, in both directions: nobody mutates them. The manager, the emulated controllers and tests
talk to the embedded server this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pykueue.api.errors import error_from_status
from pykueue.apiserver.handler import ApiHandler
from pykueue.apiserver.messages import HttpRequest, Response, User
from pykueue.apiserver.watching import WatchStream
from pykueue.ports.transport import ApiRequest, WatchLine


class InProcessTransport:
    """`ports.transport.Transport` over a handler."""

    def __init__(self, handler: ApiHandler, *, user: User | None = None, user_agent: str = "pykueue") -> None:
        """Ask a handler as a user (the administrator, unless told otherwise)."""
        self._handler = handler
        self._user = user or User()
        self._user_agent = user_agent

    async def request(self, request: ApiRequest) -> Any:
        """See `Transport.request`."""
        answer = await self._handler.handle(self._http(request))
        # One turn of the loop, so that whoever writes without end does not starve whoever watches.
        await asyncio.sleep(0)
        if isinstance(answer, WatchStream):
            raise TypeError(f"{request.path} with watch=1 is asked through watch()")
        return _body(answer)

    async def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        """See `Transport.watch`."""
        query = {**request.query, "watch": "1"}
        answer = await self._handler.handle(self._http(ApiRequest("GET", request.path, query)))
        if isinstance(answer, Response):
            _body(answer)
            raise TypeError(f"{request.path} cannot be watched")
        batches = answer.batches()
        try:
            async for batch in batches:
                for event in batch:
                    if event.type == "ERROR":
                        raise error_from_status(int(event.object.get("code") or 500), event.object)
                    yield WatchLine(event.type, event.object)
        finally:
            await batches.aclose()

    async def close(self) -> None:
        """See `Transport.close`."""

    def _http(self, request: ApiRequest) -> HttpRequest:
        return HttpRequest(
            request.method,
            request.path,
            request.query,
            request.body,
            request.content_type,
            user_agent=self._user_agent,
            user=self._user,
        )


def _body(answer: Response) -> Any:
    """The answer's object.

    Raises:
        ApiError: the answer is a refusal.
    """
    if answer.status >= 400:
        raise error_from_status(
            answer.status, answer.body if isinstance(answer.body, dict) else {"message": str(answer.body)}
        )
    if isinstance(answer.body, bytes):
        return msgspec.json.decode(answer.body)
    return answer.body
