"""Who may scrape, as the API server says."""

from __future__ import annotations

import asyncio
from typing import Any

from pykueue.api.errors import PykueueError, TooManyRequests, TransportError
from pykueue.api.instant import SECOND_US
from pykueue.ports.transport import ApiRequest
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.reviews import Reviews
from pykueue.runtime.scrape_auth import ScrapeAuthorizer

USER = {"username": "prometheus", "uid": "u1", "groups": ["monitoring"]}


class KnownUser:
    """An API server that knows one token and what its owner may do."""

    def __init__(self) -> None:
        self.may_read = True
        self.failure: PykueueError | None = None
        self.asked: list[ApiRequest] = []

    async def request(self, request: ApiRequest) -> Any:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        if request.path == "/apis/authentication.k8s.io/v1/tokenreviews":
            good = request.body["spec"]["token"] == "good"
            return {"status": {"authenticated": good, **({"user": USER} if good else {})}}
        assert request.path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return {"status": {"allowed": self.may_read}}


def judged(api: KnownUser, *steps: tuple[str, int]) -> list[tuple[int, str]]:
    """Verdicts for headers, each after so many seconds."""

    async def main() -> list[tuple[int, str]]:
        clock = ManualClock()
        authorizer = ScrapeAuthorizer(Reviews(api, clock))  # type: ignore[arg-type]
        verdicts = []
        for header, seconds in steps:
            await clock.advance(seconds * SECOND_US)
            verdicts.append(await authorizer.judge(header, "/metrics"))
        return verdicts

    return asyncio.run(main())


def test_a_token_with_the_right_is_let_through() -> None:
    """The right is asked for the subject that the token belongs to, on the path, and both answers are remembered a minute."""
    api = KnownUser()
    assert judged(api, ("Bearer good", 0), ("bearer good", 59)) == [(200, ""), (200, "")]
    assert [request.body["kind"] for request in api.asked] == ["TokenReview", "SubjectAccessReview"]
    assert api.asked[1].body["spec"] == {
        "user": "prometheus", "uid": "u1", "groups": ["monitoring"],
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }  # fmt: skip


def test_a_right_is_asked_for_again_after_a_minute() -> None:
    """Who lost the right is refused then."""
    api = KnownUser()
    assert judged(api, ("Bearer good", 0))[0][0] == 200
    api.may_read = False
    assert judged(api, ("Bearer good", 0), ("Bearer good", 61)) == [
        (403, "Authorization denied for user prometheus"), (403, "Authorization denied for user prometheus"),
    ]  # fmt: skip
    assert len(api.asked) == 2 + 4


def test_without_a_token_nobody_is_asked() -> None:
    """No header, another scheme, an empty token."""
    api = KnownUser()
    assert [status for status, _ in judged(api, ("", 0), ("Basic good", 0), ("Bearer ", 0))] == [401, 401, 401]
    assert api.asked == []


def test_a_wrong_token_is_unauthorized() -> None:
    """The API server does not know it; its rights are not asked for, and within ten seconds not the token either."""
    api = KnownUser()
    assert judged(api, ("Bearer bad", 0), ("Bearer bad", 9)) == [(401, "Unauthorized"), (401, "Unauthorized")]
    assert len(api.asked) == 1


def test_a_failure_to_ask_refuses_and_is_forgotten() -> None:
    """The scrape after it is judged anew."""
    api = KnownUser()

    async def main() -> None:
        authorizer = ScrapeAuthorizer(Reviews(api, ManualClock()))  # type: ignore[arg-type]
        api.failure = TransportError("no route")
        assert (await authorizer.judge("Bearer good", "/metrics"))[0] == 500
        api.failure = TooManyRequests("later")
        assert await authorizer.judge("Bearer good", "/metrics") == (429, "later")
        api.failure = None
        assert (await authorizer.judge("Bearer good", "/metrics"))[0] == 200

    asyncio.run(main())
