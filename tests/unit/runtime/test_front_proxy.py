"""For whom the API server asks when it passes a request on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pykueue.api.errors import Forbidden, PykueueError, Unauthorized
from pykueue.ports.transport import ApiRequest
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.front_proxy import LOOK_INTERVAL_US, FrontProxy, FrontProxySource, front_proxy
from pykueue.runtime.reviews import Identity

CONFIG_MAP = {
    "data": {
        "client-ca-file": "not this one",
        "requestheader-client-ca-file": "PEM",
        "requestheader-allowed-names": '["front-proxy-client"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }
}
PROXY = {"subject": ((("commonName", "front-proxy-client"),),)}


def proxy(**changes: str) -> FrontProxy:
    found = front_proxy({"data": CONFIG_MAP["data"] | changes})
    assert found is not None
    return found


def test_whom_it_speaks_for() -> None:
    """Names of headers have no case; groups come in several headers, what else is known under a common beginning."""
    headers = [
        ("x-remote-user", "ann"), ("X-Remote-Group", "a"), ("X-REMOTE-GROUP", "b"), ("X-Remote-Group", ""),
        ("X-Remote-Extra-Scopes%2fOf", "1"), ("X-Remote-Extra-scopes%2fof", "2"), ("X-Remote-Uid", "not asked for"),
    ]  # fmt: skip
    want = Identity("ann", "", ("a", "b", "system:authenticated"), (("scopes/of", ("1", "2")),))
    assert proxy().identity(headers, PROXY) == want
    told = proxy(**{"requestheader-uid-headers": '["X-Remote-Uid"]'}).identity(headers, PROXY)
    assert told is not None
    assert told.uid == "not asked for"


@pytest.mark.parametrize("certificate", [None, {}])
def test_headers_of_others_count_for_nothing(certificate: Any) -> None:
    """Without a certificate that TLS verified, whoever asks is not the proxy."""
    assert proxy().identity([("X-Remote-User", "ann")], certificate) is None


def test_a_certificate_of_another_name_is_refused() -> None:
    """Unless any name will do."""
    other = {"subject": ((("organizationName", "front-proxy-client"),), (("commonName", "kubelet"),))}
    with pytest.raises(Unauthorized):
        proxy().identity([("X-Remote-User", "ann")], other)
    told = proxy(**{"requestheader-allowed-names": "[]"}).identity([("X-Remote-User", "ann")], other)
    assert told == Identity("ann", groups=("system:authenticated",))


def test_a_proxy_that_does_not_say() -> None:
    """The next way to find out is tried."""
    assert proxy().identity([("X-Remote-Group", "system:masters")], PROXY) is None


class Cluster:
    """An API server with this ConfigMap, or without."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def request(self, request: ApiRequest) -> Any:
        assert request.path == "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
        if isinstance(self.answer, PykueueError):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        (Forbidden("configmaps is forbidden"), "configmaps is forbidden"),
        ({"data": {}}, "it names no authority of a front proxy"),
        ({"data": CONFIG_MAP["data"] | {"requestheader-allowed-names": "x"}}, "malformed"),
    ],
    ids=["no right to read it", "a server without a proxy", "not as it should be"],
)
def test_without_a_proxy_it_is_told_once(answer: Any, want: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is taken for it, and the log says why, but not every minute."""

    async def main() -> None:
        source = FrontProxySource(Cluster(answer), ManualClock())  # type: ignore[arg-type]
        assert not await source.look()
        assert not await source.look()
        assert source.proxy is None

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    (line,) = caplog.messages
    assert want in line
    assert "are taken for anonymous" in line


def test_what_cannot_be_read_for_a_while_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The proxy is known as before, and the log does not say otherwise."""

    async def main() -> None:
        cluster = Cluster(CONFIG_MAP)
        source = FrontProxySource(cluster, ManualClock())  # type: ignore[arg-type]
        assert await source.look()
        cluster.answer = Forbidden("for a while")
        assert not await source.look()
        assert source.proxy == proxy()

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    (line,) = caplog.messages
    assert line.endswith("for a while: the proxy is known by what was read before")


def test_a_new_authority_is_told() -> None:
    """It is looked for every minute; what cannot be read leaves the old one."""

    async def main() -> list[str]:
        clock, cluster, seen = ManualClock(), Cluster(CONFIG_MAP), []
        source = FrontProxySource(cluster, clock)  # type: ignore[arg-type]
        await source.look()

        async def changed() -> bool:
            assert source.proxy is not None
            seen.append(source.proxy.authority)
            return True

        watching = asyncio.create_task(source.watch(changed))
        await asyncio.sleep(0)
        data = CONFIG_MAP["data"]
        for answer in (CONFIG_MAP, {"data": data | {"requestheader-client-ca-file": "NEW"}}, Forbidden("no")):
            cluster.answer = answer
            await clock.advance(LOOK_INTERVAL_US)
        watching.cancel()
        assert source.proxy is not None
        assert source.proxy.authority == "NEW"
        return seen

    assert asyncio.run(main()) == ["NEW"]
