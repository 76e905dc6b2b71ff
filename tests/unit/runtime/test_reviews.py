"""Who somebody is and what he may do, asked and remembered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pykueue.api.errors import TooManyRequests, TransportError
from pykueue.api.instant import SECOND_US
from pykueue.ports.transport import ApiRequest
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.reviews import ANONYMOUS, ASKING_MAX, Access, Identity, Reviews, bearer_token

ANN = Identity("ann", "u1", ("team", "system:authenticated"), (("scopes", ("a", "b")),))
OF_QUEUE = Access("get", "", "example.com", "v1", "queues", "pending", "ns", "q")


class Api:
    """Knows the token `good`, and lets Ann alone do anything."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.is_away = False

    async def request(self, request: ApiRequest) -> Any:
        if self.is_away:
            raise TransportError("no route")
        spec = request.body["spec"]
        self.asked.append(spec)
        if "token" in spec:
            user = {"username": "ann", "uid": "u1", "groups": list(ANN.groups), "extra": {"scopes": ["a", "b"]}}
            is_known = spec["token"] == "good"
            return {"status": {"authenticated": is_known, **({"user": user} if is_known else {})}}
        return {"status": {"allowed": spec["user"] == "ann"}}


class Slow:
    """Answers a turn of the loop later."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def request(self, request: ApiRequest) -> Any:
        await asyncio.sleep(0)
        return await self._api.request(request)


def test_whose_token_it_is() -> None:
    """All that the review tells; yes lasts a minute, no ten seconds, and a failure not at all."""

    async def main() -> None:
        api, clock = Api(), ManualClock()
        reviews = Reviews(api, clock)  # type: ignore[arg-type]
        assert [await reviews.identify(token) for token in ("good", "bad", "good", "bad")] == [ANN, None, ANN, None]
        assert len(api.asked) == 2
        await clock.advance(11 * SECOND_US)
        api.is_away = True
        assert await reviews.identify("good") == ANN
        for _ in range(2):
            with pytest.raises(TransportError):
                await reviews.identify("bad")

    asyncio.run(main())


def test_what_he_may() -> None:
    """The subject is told whole, the resource without empty parts; each pair of both is remembered by itself."""

    async def main() -> None:
        api = Api()
        reviews = Reviews(api, ManualClock())  # type: ignore[arg-type]
        for _ in range(2):
            assert await reviews.allows(ANN, OF_QUEUE)
            assert not await reviews.allows(ANONYMOUS, Access("get", "/version"))
        assert api.asked == [
            {
                "user": "ann", "uid": "u1", "groups": ["team", "system:authenticated"], "extra": {"scopes": ["a", "b"]},
                "resourceAttributes": {
                    "verb": "get", "group": "example.com", "version": "v1", "resource": "queues", "subresource": "pending",
                    "namespace": "ns", "name": "q",
                },
            },
            {
                "user": "system:anonymous", "groups": ["system:unauthenticated"],
                "nonResourceAttributes": {"path": "/version", "verb": "get"},
            },
        ]  # fmt: skip

    asyncio.run(main())


def test_what_is_remembered_has_a_bound() -> None:
    """Wrong tokens in any number do not fill the memory; the oldest are asked about again."""

    async def main() -> None:
        api = Api()
        reviews = Reviews(api, ManualClock())  # type: ignore[arg-type]
        for number in range(1025):
            await reviews.identify(f"bad{number}")
        await reviews.identify("bad1024")
        assert len(api.asked) == 1025
        await reviews.identify("bad0")
        assert len(api.asked) == 1026

    asyncio.run(main())


def test_many_who_ask_at_once_are_sent_away() -> None:
    """A flood of tokens is bounded; those that wait get their answer, and so does whoever comes after them."""

    async def main() -> None:
        api = Api()
        reviews = Reviews(Slow(api), ManualClock())  # type: ignore[arg-type]
        asked = (reviews.identify(f"bad{number}") for number in range(ASKING_MAX + 3))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[:ASKING_MAX] == [None] * ASKING_MAX
        assert [type(answer) for answer in answers[ASKING_MAX:]] == [TooManyRequests] * 3
        assert await reviews.identify("good") == ANN

    asyncio.run(main())


@pytest.mark.parametrize(
    ("header", "want"), [("Bearer a.b", "a.b"), ("bearer  x ", "x"), ("Basic x", ""), ("Bearer", ""), ("", "")]
)
def test_a_bearer_token(header: str, want: str) -> None:
    """The scheme has no case."""
    assert bearer_token(header) == want
