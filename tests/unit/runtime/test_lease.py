"""Leader election: who holds the lease when, by a clock that we move."""

from __future__ import annotations

import asyncio

from pykueue.api.errors import ServiceUnavailable
from pykueue.api.instant import SECOND_US
from pykueue.api.kinds import LEASE
from pykueue.api.objects import ObjectKey
from pykueue.runtime.clock import ManualClock
from pykueue.runtime.lease import LeaseElector, LeaseLost, LeaseSettings
from support.memory_api import MemoryApi

SETTINGS = LeaseSettings("kueue-system", "lease")


def elector(api: MemoryApi, clock: ManualClock, identity: str) -> LeaseElector:
    return LeaseElector(api, clock, SETTINGS, identity)


def holder(api: MemoryApi) -> str:
    return str(api.get(LEASE, ObjectKey("kueue-system", "lease"))["spec"]["holderIdentity"])


def test_a_silent_holder_is_replaced_after_its_lease() -> None:
    """Others wait for as long as the holder promised, by their own clocks, and then take over."""

    async def main() -> None:
        api, clock = MemoryApi(), ManualClock()
        await elector(api, clock, "one").acquire()
        second = asyncio.create_task(elector(api, clock, "two").acquire())
        await clock.advance(14 * SECOND_US)
        assert holder(api) == "one"
        await clock.advance(4 * SECOND_US)
        assert second.done()
        assert holder(api) == "two"
        assert api.get(LEASE, ObjectKey("kueue-system", "lease"))["spec"]["leaseTransitions"] == 1

    asyncio.run(main())


def test_a_holder_that_renews_stays() -> None:
    """Renewal keeps others out."""

    async def main() -> None:
        api, clock = MemoryApi(), ManualClock()
        first = elector(api, clock, "one")
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        second = asyncio.create_task(elector(api, clock, "two").acquire())
        await clock.advance(120 * SECOND_US)
        assert holder(api) == "one"
        assert not keeping.done()
        for task in (keeping, second):
            task.cancel()
        await asyncio.gather(keeping, second, return_exceptions=True)

    asyncio.run(main())


def test_a_holder_that_cannot_renew_gives_up_before_its_lease_ends() -> None:
    """The renew deadline is shorter than the lease: nobody acts twice."""

    async def main() -> None:
        api, clock = MemoryApi(), ManualClock()
        first = elector(api, clock, "one")
        await first.acquire()
        keeping = asyncio.create_task(first.keep())
        api.failing = [ServiceUnavailable("down") for _ in range(100)]
        await clock.advance(11 * SECOND_US)
        assert keeping.done()
        assert isinstance(keeping.exception(), LeaseLost)
        assert not first.is_held

    asyncio.run(main())


def test_a_released_lease_is_free_at_once() -> None:
    """A successor need not wait for a holder that ended in good order."""

    async def main() -> None:
        api, clock = MemoryApi(), ManualClock()
        first = elector(api, clock, "one")
        await first.acquire()
        await first.release()
        await elector(api, clock, "two").acquire()
        assert holder(api) == "two"

    asyncio.run(main())
