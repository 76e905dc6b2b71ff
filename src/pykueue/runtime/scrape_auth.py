"""Who may read the metrics: a bearer token that the API server vouches for, of a subject that may `get` the path.

The token is checked by TokenReview and the right by SubjectAccessReview on the non-resource URL, as with Kueue. What they answer is
remembered for a minute if it allows and for ten seconds if it refuses, so that scrapes do not become load on the API server;
a failure to ask is never remembered, and refuses. Tokens themselves are not kept, only their digests.

Source: config.md §7.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pykueue.api.errors import PykueueError
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import Obj, get_path
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.clock import Clock

ALLOWED_US, REFUSED_US = 60 * SECOND_US, 10 * SECOND_US
_REMEMBERED_MAX = 1024
_log = logging.getLogger(__name__)
_Verdict = tuple[int, str]
"""HTTP status and text; 200 allows."""


class ScrapeAuthorizer:
    """Asks the API server about who scrapes."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        """An authorizer that has not asked yet."""
        self._transport, self._clock = transport, clock
        self._known: OrderedDict[tuple[bytes, str], tuple[Instant, _Verdict]] = OrderedDict()

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
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return 401, "Unauthorized"
        key = (hashlib.sha256(token.encode()).digest(), path)
        known = self._known.get(key)
        now = self._clock.now()
        if known is not None and now < known[0]:
            return known[1]
        try:
            verdict = await self._ask(token, path)
        except PykueueError as error:
            _log.warning("a scrape of %s could not be authorized: %s", path, error)
            return 500, "Authentication failed"
        self._known[key] = (Instant(now + (ALLOWED_US if verdict[0] == 200 else REFUSED_US)), verdict)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED_MAX:
            self._known.popitem(last=False)
        return verdict

    async def _ask(self, token: str, path: str) -> _Verdict:
        status = await self._review("authentication.k8s.io", "TokenReview", {"token": token})
        if not status.get("authenticated"):
            return 401, "Unauthorized"
        user = get_path(status, "user") or {}
        subject = {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
        subject |= {"user": user.get("username", ""), "nonResourceAttributes": {"path": path, "verb": "get"}}
        status = await self._review("authorization.k8s.io", "SubjectAccessReview", subject)
        if not status.get("allowed"):
            return 403, f"Authorization denied for user {subject['user']}"
        return 200, ""

    async def _review(self, group: str, kind: str, spec: Obj) -> Obj:
        path = f"/apis/{group}/v1/{kind.lower()}s"
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": dict(spec)}
        answer: Obj = await self._transport.request(ApiRequest("POST", path, body=body))
        return get_path(answer, "status") or {}
