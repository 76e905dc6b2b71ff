"""Who somebody is and what he may do, as the API server says: for our own servers, which keep no users and no roles.

A bearer token is checked by TokenReview, a right by SubjectAccessReview. What they answer is remembered for a minute if it is yes and for
ten seconds if it is no, so that scrapes and dashboards do not become load on the API server; a failure to ask is never remembered. Tokens
themselves are not kept, only their digests. Who asks while many wait for such an answer is sent away.

Source: config.md §7; Kubernetes documentation, "Webhook token authentication", "Checking API access".
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

from pykueue.api.errors import TooManyRequests
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import Obj, get_path
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.clock import Clock

YES_US, NO_US = 60 * SECOND_US, 10 * SECOND_US
AUTHENTICATED = "system:authenticated"
_REMEMBERED_MAX = 1024
ASKING_MAX = 64
"""Questions at a time."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, as Kubernetes knows users.

    Attributes:
        name: of the user.
        uid: empty if there is none.
        groups: that he is in.
        extra: whatever else authentication found out, as pairs of key and values.
    """

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def authenticated(self) -> Identity:
        """The same, in the group of all who are somebody."""
        if AUTHENTICATED in self.groups:
            return self
        return replace(self, groups=(*self.groups, AUTHENTICATED))


ANONYMOUS = Identity("system:anonymous", groups=("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class Access:
    """What somebody wants to do.

    Attributes:
        verb: Kubernetes' verb; of a path that is no resource, the method in lower case.
        path: of what is no resource; empty for a resource.
        group, version, resource, subresource, namespace, name: of the resource; empty where there is none.
    """

    verb: str
    path: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def attributes(self) -> dict[str, Any]:
        """The part of a SubjectAccessReview's spec that says it."""
        if self.path:
            return {"nonResourceAttributes": {"path": self.path, "verb": self.verb}}
        names = ("group", "version", "resource", "subresource", "namespace", "name", "verb")
        return {"resourceAttributes": {name: value for name in names if (value := getattr(self, name))}}


class Reviews:
    """Asks, and remembers."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        """Nobody was asked about yet."""
        self._transport, self._clock = transport, clock
        self._known: OrderedDict[Hashable, tuple[Instant, Any]] = OrderedDict()
        self._n_asking = 0

    async def identify(self, token: str) -> Identity | None:
        """Whose token it is; None if the API server does not know it.

        Raises:
            TooManyRequests: too many ask at this moment.
            PykueueError: the API server could not be asked.
        """
        key = hashlib.sha256(token.encode()).digest()
        if (known := self._recall(key)) is not None:
            return known[0]  # type: ignore[no-any-return]
        status = await self._review("authentication.k8s.io", "TokenReview", {"token": token})
        identity = _identity(get_path(status, "user") or {}) if status.get("authenticated") else None
        self._remember(key, identity, is_yes=identity is not None)
        return identity

    async def allows(self, identity: Identity, access: Access) -> bool:
        """Whether somebody may do something.

        Raises:
            TooManyRequests: too many ask at this moment.
            PykueueError: the API server could not be asked.
        """
        key = (identity, access)
        if (known := self._recall(key)) is not None:
            return known[0]  # type: ignore[no-any-return]
        subject: dict[str, Any] = {"user": identity.name}
        if identity.uid:
            subject["uid"] = identity.uid
        if identity.groups:
            subject["groups"] = list(identity.groups)
        if identity.extra:
            subject["extra"] = {name: list(values) for name, values in identity.extra}
        status = await self._review("authorization.k8s.io", "SubjectAccessReview", subject | access.attributes())
        is_allowed = bool(status.get("allowed"))
        self._remember(key, is_allowed, is_yes=is_allowed)
        return is_allowed

    def _recall(self, key: Hashable) -> tuple[Any] | None:
        known = self._known.get(key)
        return (known[1],) if known is not None and self._clock.now() < known[0] else None

    def _remember(self, key: Hashable, answer: Any, *, is_yes: bool) -> None:
        self._known[key] = (Instant(self._clock.now() + (YES_US if is_yes else NO_US)), answer)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED_MAX:
            self._known.popitem(last=False)

    async def _review(self, group: str, kind: str, spec: Obj) -> Obj:
        path = f"/apis/{group}/v1/{kind.lower()}s"
        body = {"apiVersion": f"{group}/v1", "kind": kind, "spec": dict(spec)}
        if self._n_asking >= ASKING_MAX:
            raise TooManyRequests("too many requests wait for authorization, please try again later")
        self._n_asking += 1
        try:
            answer: Obj = await self._transport.request(ApiRequest("POST", path, body=body))
        finally:
            self._n_asking -= 1
        return get_path(answer, "status") or {}


def bearer_token(authorization: str) -> str:
    """The token of an `Authorization` header; empty if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _identity(user: Obj) -> Identity:
    extra = tuple((name, tuple(values)) for name, values in sorted((user.get("extra") or {}).items()))
    return Identity(user.get("username", ""), user.get("uid", ""), tuple(user.get("groups") or ()), extra)
