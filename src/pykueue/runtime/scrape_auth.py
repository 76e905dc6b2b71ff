"""Who may read the metrics: a bearer token that the API server vouches for, of a subject that may `get` the path.

Source: config.md §7.
"""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pykueue.api.errors import PykueueError, TooManyRequests
from pykueue.runtime.reviews import Access, Reviews, bearer_token

_log = logging.getLogger(__name__)


class ScrapeAuthorizer:
    """Lets through who may scrape."""

    def __init__(self, reviews: Reviews) -> None:
        """An authorizer that asks by these reviews."""
        self._reviews = reviews

    @property
    def middleware(self) -> Middleware:
        """To be put before an application."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            status, told = await self.judge(request.headers.get("Authorization", ""), request.path)
            if status != 200:
                headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
                return web.Response(status=status, text=told + "\n", headers=headers)
            return await handler(request)

        return check

    async def judge(self, authorization: str, path: str) -> tuple[int, str]:
        """Whether a request with this header may read this path: status 200, or another and why."""
        token = bearer_token(authorization)
        if not token:
            return 401, "Unauthorized"
        try:
            identity = await self._reviews.identify(token)
            if identity is None:
                return 401, "Unauthorized"
            if not await self._reviews.allows(identity, Access("get", path)):
                return 403, f"Authorization denied for user {identity.name}"
        except TooManyRequests as error:
            return error.code, error.message
        except PykueueError as error:
            _log.warning("a scrape of %s could not be authorized: %s", path, error)
            return 500, "Authentication failed"
        return 200, ""
