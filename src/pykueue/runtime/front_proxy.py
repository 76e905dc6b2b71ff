"""Requests that the API server passes on, as it does for an APIService: it shows a certificate, and says in headers for whom it asks.

Which authority signs such certificates, and which headers count, the API server tells everybody in the ConfigMap
`kube-system/extension-apiserver-authentication`. It is looked at once a minute, for authorities are renewed. Where it says nothing of a proxy, or
may not be read, nobody is taken for one: callers then need a token of their own.

The certificate is verified by TLS, against that authority alone: so whoever has one is the proxy, if its name is among those that are allowed.

Source: Kubernetes documentation, "Configure the Aggregation Layer: Kubernetes apiserver client authentication, original request username and group".
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from pykueue.api.errors import PykueueError, Unauthorized
from pykueue.api.instant import SECOND_US
from pykueue.api.kinds import CONFIG_MAP
from pykueue.api.objects import Obj, get_path
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.clock import Clock, sleep
from pykueue.runtime.reviews import Identity

LOOK_INTERVAL_US = 60 * SECOND_US
CONFIG_MAP_PATH = CONFIG_MAP.path("kube-system", "extension-apiserver-authentication")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """Whom to take for the proxy, and how to read whom it speaks for.

    Attributes:
        authority: PEM of the authorities that sign its certificate.
        names: common names of its certificate; empty for any.
        user_headers, uid_headers, group_headers: names of headers; the first that is there counts, but of groups all.
        extra_prefixes: beginnings of the names of all other headers that matter.
    """

    authority: str
    names: tuple[str, ...]
    user_headers: tuple[str, ...]
    uid_headers: tuple[str, ...]
    group_headers: tuple[str, ...]
    extra_prefixes: tuple[str, ...]

    def identity(self, headers: Iterable[tuple[str, str]], certificate: Mapping[str, Any] | None) -> Identity | None:
        """For whom a request is; None if the proxy does not send it, or does not say.

        Args:
            headers: of the request, name and value of each; several may have one name.
            certificate: of the caller, as `ssl` tells one that it verified; None or empty without.

        Raises:
            Unauthorized: the certificate is of somebody else.
        """
        if not certificate:
            return None
        names = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
        if self.names and not set(names) & set(self.names):
            raise Unauthorized("Unauthorized")
        said: dict[str, list[str]] = {}
        for name, value in headers:
            if value:
                said.setdefault(name.lower(), []).append(value)
        user = _first(said, self.user_headers)
        if not user:
            return None
        groups = tuple(value for name in self.group_headers for value in said.get(name.lower(), ()))
        return Identity(user, _first(said, self.uid_headers), groups, self._extra(said)).authenticated()

    def _extra(self, said: Mapping[str, Sequence[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        found = {
            unquote(name[len(prefix) :]): tuple(values)
            for prefix in self.extra_prefixes
            for name, values in said.items()
            if name.startswith(prefix.lower())
        }
        return tuple(sorted(found.items()))


def front_proxy(config_map: Obj) -> FrontProxy | None:
    """Read the ConfigMap; None if it names no authority.

    Raises:
        ValueError: a part of it is not a list of texts.
    """
    data = get_path(config_map, "data") or {}
    if not data.get("requestheader-client-ca-file"):
        return None

    def listed(name: str) -> tuple[str, ...]:
        return msgspec.json.decode(data.get(f"requestheader-{name}") or "[]", type=tuple[str, ...])

    return FrontProxy(
        data["requestheader-client-ca-file"], listed("allowed-names"), listed("username-headers"), listed("uid-headers"),
        listed("group-headers"), listed("extra-headers-prefix"),
    )  # fmt: skip


class FrontProxySource:
    """What the API server tells of its proxy, as of the last look."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        """Nothing is known yet."""
        self._transport, self._clock = transport, clock
        self.proxy: FrontProxy | None = None
        self._told = ""

    async def look(self) -> bool:
        """Read the ConfigMap; whether something changed. What cannot be read leaves things as they are."""
        before, fault = self.proxy, ""
        try:
            self.proxy = front_proxy(await self._transport.request(ApiRequest("GET", CONFIG_MAP_PATH)))
            if self.proxy is None:
                fault = "it names no authority of a front proxy (--requestheader-client-ca-file of the API server)"
        except (PykueueError, ValueError) as error:
            fault = str(error)
        if fault and fault != self._told:
            then = "the proxy is known by what was read before"
            if self.proxy is None:
                then = "requests that the API server passes on are taken for anonymous"
            _log.warning("%s: %s: %s", CONFIG_MAP_PATH, fault, then)
        self._told = fault
        return self.proxy != before

    async def watch(self, changed: Callable[[], Awaitable[bool]]) -> None:
        """Look again and again, for ever, and tell of changes; once more each time, while the answer is False."""
        is_due = False
        while True:
            await sleep(self._clock, LOOK_INTERVAL_US)
            if await self.look():
                _log.info("the authority of the API server's front proxy changed")
                is_due = True
            if is_due:
                is_due = not await changed()


def _first(said: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    return next((said[name.lower()][0] for name in names if name.lower() in said), "")
