"""Leader election by a Lease (`config.md` §6).

A replica that does not hold the lease asks every retry period, and takes it when it is free or was not renewed for as long as its
holder promised, by this replica's own clock: clocks of replicas need not agree. The holder renews every retry period. If it
has not been able to for the renew deadline, `keep` raises `LeaseLost` and the process must end, for the deadline is
shorter than the lease: nobody acts twice. On stop the lease is handed back, so that a successor need not wait.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from pykueue.api.configuration.types import LeaderElection
from pykueue.api.errors import AlreadyExists, Conflict, NotFound, PykueueError
from pykueue.api.instant import SECOND_US, Instant, format_micro_time
from pykueue.api.kinds import LEASE
from pykueue.api.objects import Obj, get_path, metadata, resource_version
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.clock import Clock, sleep, sleep_until

_log = logging.getLogger(__name__)


class LeaseLost(PykueueError):
    """The lease could not be renewed in time, or another replica holds it."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Name and durations of a lease.

    Attributes:
        namespace: where the Lease is.
        name: of the Lease.
        duration_us: how long others wait for a holder that does not renew.
        deadline_us: after how long without renewal the holder gives up; less than `duration_us`.
        period_us: between attempts.
    """

    namespace: str
    name: str
    duration_us: int = 15 * SECOND_US
    deadline_us: int = 10 * SECOND_US
    period_us: int = 2 * SECOND_US

    @classmethod
    def from_configuration(cls, config: LeaderElection, namespace: str) -> LeaseSettings:
        """The lease that a configuration asks for; the manager's namespace unless it names one."""
        return cls(
            config.resource_namespace or namespace,
            config.resource_name,
            config.lease_duration_us,
            config.renew_deadline_us,
            config.retry_period_us,
        )


class LeaseElector:
    """One replica's view of the lease."""

    def __init__(self, transport: Transport, clock: Clock, settings: LeaseSettings, identity: str) -> None:
        """A replica of this identity (unique among replicas), which does not hold the lease."""
        self._transport, self._clock, self._settings, self._identity = transport, clock, settings, identity
        self._seen: Obj = {}
        self._seen_at = Instant(0)
        self._renewed_at: Instant | None = None

    @property
    def is_held(self) -> bool:
        """Whether this replica holds the lease, as far as it knows."""
        return self._renewed_at is not None

    async def acquire(self) -> None:
        """Wait until this replica holds the lease."""
        while not await self._attempt():
            await sleep(self._clock, self._settings.period_us)

    async def keep(self) -> None:
        """Renew, for ever.

        Raises:
            LeaseLost: it could not be renewed in time.
        """
        while True:
            await sleep(self._clock, self._settings.period_us)
            assert self._renewed_at is not None
            held = await self._attempt_until(Instant(self._renewed_at + self._settings.deadline_us))
            if not held and self._holder() not in ("", self._identity):
                self._renewed_at = None
                raise LeaseLost(f"lease {self._settings.name} is held by {self._holder()} now; this replica must end")
            if not held and self._clock.now() - self._renewed_at >= self._settings.deadline_us:
                self._renewed_at = None
                raise LeaseLost(f"lease {self._settings.name} could not be renewed in time; this replica must end")

    async def release(self) -> None:
        """Hand the lease back, if it is held."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": format_micro_time(self._clock.now())}
        try:
            await self._put(spec)
        except PykueueError as error:
            _log.warning("lease %s was not handed back: %s; a successor will wait for it", self._settings.name, error)

    async def _attempt_until(self, deadline: Instant) -> bool:
        """One attempt that ends with the deadline, answered or not: a server that hangs must not keep us acting."""
        attempt = asyncio.ensure_future(self._attempt())
        timer = asyncio.ensure_future(sleep_until(self._clock, deadline))
        try:
            await asyncio.wait((attempt, timer), return_when=asyncio.FIRST_COMPLETED)
            return attempt.done() and attempt.result()
        finally:
            attempt.cancel()
            timer.cancel()

    async def _attempt(self) -> bool:
        """Take or renew the lease; whether that was possible."""
        try:
            return await self._take()
        except (Conflict, AlreadyExists):
            return False  # another replica was quicker
        except PykueueError as error:
            _log.warning("lease %s: %s", self._settings.name, error)
            return False

    async def _take(self) -> bool:
        now = self._clock.now()
        path = LEASE.path(self._settings.namespace, self._settings.name)
        try:
            lease: Obj = await self._transport.request(ApiRequest("GET", path))
        except NotFound:
            lease = {}
        if resource_version(lease) != resource_version(self._seen) or not self._seen_at:
            self._seen, self._seen_at = lease, now
        holder = self._holder()
        duration_us = int(get_path(lease, "spec", "leaseDurationSeconds") or 0) * SECOND_US
        if holder not in ("", self._identity) and now < self._seen_at + duration_us:
            return False
        spec = dict(lease.get("spec") or {})
        if holder != self._identity:
            spec["acquireTime"] = format_micro_time(now)
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (1 if lease else 0)
        spec["holderIdentity"] = self._identity
        spec["leaseDurationSeconds"] = -(-self._settings.duration_us // SECOND_US)
        spec["renewTime"] = format_micro_time(now)
        await self._put(spec)
        self._renewed_at = now
        return True

    async def _put(self, spec: dict[str, Any]) -> None:
        """Write the lease as it was seen, with another spec; a Conflict tells that somebody else wrote it."""
        meta = {"namespace": self._settings.namespace, "name": self._settings.name}
        body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}
        if self._seen:
            body["metadata"] = dict(metadata(self._seen))
            request = ApiRequest("PUT", LEASE.path(self._settings.namespace, self._settings.name), body=body)
        else:
            request = ApiRequest("POST", LEASE.path(self._settings.namespace), body=body)
        self._seen = await self._transport.request(request)
        self._seen_at = self._clock.now()

    def _holder(self) -> str:
        return str(get_path(self._seen, "spec", "holderIdentity") or "")
