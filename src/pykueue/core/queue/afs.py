"""Admission fair sharing: what LocalQueues have used lately, and what they are charged for in advance.

For every LocalQueue the book keeps what was *consumed*: its admitted Workloads' resources, averaged over time so that after a half-life half
of the past is forgotten. A new reservation is charged at once with an *entry penalty*, the part of it that the next sampling would add; so of two
LocalQueues with equal histories one does not get everything until then. When the Workload is admitted its penalty becomes consumption.
The *usage* of a LocalQueue is both, weighed by resource and divided by the LocalQueue's weight; the lesser goes first.

Amounts are integers of nano-units, the finest that a quantity can say, rounded down. Only the usage and the part that is forgotten are floats, as
the ratios of fair sharing are.

What it does not know: which ClusterQueues are ordered so, when Workloads are admitted, and the time (`core/fair_usage.py` does).

Source: scheduling.md §11.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pykueue.api.configuration.types import AdmissionFairSharing
from pykueue.api.instant import Instant, format_time, parse_time
from pykueue.api.objects import ObjectKey
from pykueue.api.quantity import NANO, parse_quantity
from pykueue.api.v1beta2 import AdmissionFairSharingStatus, FairSharingStatus
from pykueue.core.resources import format_nanos

_Nanos = dict[str, int]


@dataclass(slots=True)
class _Account:
    """What is known of one LocalQueue.

    Attributes:
        is_open: whether it is there; else the account lasts as long as its penalties.
        weight: its fair-sharing weight; 1 while it is not there.
        consumed: nano-units by resource, none of them 0.
        updated_at: when `consumed` was right; None if it never was.
        penalties: sum of the penalties of its Workloads.
        n_charges: how many these are.
        usage: follows from the others.
    """

    is_open: bool = False
    weight: float = 1.0
    consumed: _Nanos = field(default_factory=dict)
    updated_at: Instant | None = None
    penalties: _Nanos = field(default_factory=dict)
    n_charges: int = 0
    usage: float = 0.0


class UsageBook:
    """Usage of all LocalQueues."""

    def __init__(self, config: AdmissionFairSharing) -> None:
        self._config = config
        self._accounts: dict[ObjectKey, _Account] = {}
        self._charges: dict[ObjectKey, tuple[ObjectKey, _Nanos]] = {}
        """Workload to the LocalQueue that is charged, and with what."""

    def open(self, local_queue: ObjectKey, weight: float, status: FairSharingStatus | None) -> None:
        """Take in a LocalQueue: its weight, and its history where what is written is newer than what is known.

        That is so after a start, and on a replica that does not lead.
        """
        account = self._accounts.setdefault(local_queue, _Account())
        account.is_open, account.weight = True, weight
        written = status.admission_fair_sharing_status if status is not None else None
        if written is not None and written.last_update:
            updated_at = parse_time(written.last_update)
            if account.updated_at is None or account.updated_at < updated_at:
                amounts = {name: parse_quantity(text).nanos for name, text in written.consumed_resources.items()}
                account.consumed, account.updated_at = _without_zeros(amounts), updated_at
        self._weigh(account)

    def close(self, local_queue: ObjectKey) -> None:
        """A LocalQueue is gone, and its history with it; Workloads that it still has count with weight 1."""
        account = self._accounts.pop(local_queue, None)
        if account is not None and account.n_charges:
            left = _Account(penalties=account.penalties, n_charges=account.n_charges)
            self._accounts[local_queue] = left
            self._weigh(left)

    def usage(self, local_queue: ObjectKey) -> float:
        """How much a LocalQueue has used; infinite for one of weight 0, 0 for one that nobody knows."""
        account = self._accounts.get(local_queue)
        return account.usage if account is not None else 0.0

    def status(self, local_queue: ObjectKey) -> AdmissionFairSharingStatus | None:
        """What is to be kept for the next start; None before the first sampling."""
        account = self._accounts.get(local_queue)
        if account is None or account.updated_at is None:
            return None
        consumed = {name: format_nanos(name, account.consumed[name]) for name in sorted(account.consumed)}
        return AdmissionFairSharingStatus(consumed_resources=consumed, last_update=format_time(account.updated_at))

    def next_sampling(self, local_queue: ObjectKey, now: Instant) -> Instant:
        """When a LocalQueue is to be sampled; `now` if it never was."""
        account = self._accounts.get(local_queue)
        if account is None or account.updated_at is None:
            return now
        return Instant(account.updated_at + self._config.usage_sampling_interval_us)

    def sample(self, local_queue: ObjectKey, running: Mapping[str, int], now: Instant) -> None:
        """Let time pass for a LocalQueue.

        Args:
            local_queue: that is open.
            running: what its admitted Workloads hold, in nano-units by resource.
            now: Instant (µs).
        """
        account = self._accounts[local_queue]
        if self._config.usage_half_life_time_us:
            self._decay(account, running, now)
        else:
            account.consumed, account.updated_at = {}, now
        self._weigh(account)

    def charge(self, workload: ObjectKey, local_queue: ObjectKey, requests: Mapping[str, int]) -> None:
        """Charge the entry penalty of a Workload whose admission is assumed; it replaces an earlier one.

        Args:
            workload: that gets quota.
            local_queue: its.
            requests: its total requests, in nano-units by resource.
        """
        self.drop(workload)
        factor = self._forgotten(self._config.usage_sampling_interval_us)
        penalty = _without_zeros(mixed({}, requests, factor))
        self._charges[workload] = local_queue, penalty
        account = self._accounts.setdefault(local_queue, _Account())
        account.n_charges += 1
        account.penalties = _sum(account.penalties, penalty, 1)
        self._weigh(account)

    def charged(self, workload: ObjectKey) -> ObjectKey | None:
        """The LocalQueue that is charged with a Workload's penalty; None if there is none."""
        charge = self._charges.get(workload)
        return charge[0] if charge is not None else None

    def drop(self, workload: ObjectKey) -> None:
        """Forget the penalty of a Workload that was not admitted after all."""
        local_queue, penalty = self._charges.pop(workload, (None, {}))
        if local_queue is None:
            return
        account = self._accounts[local_queue]
        account.penalties = _sum(account.penalties, penalty, -1)
        self._weigh(account)
        account.n_charges -= 1
        if not account.is_open and not account.n_charges:
            del self._accounts[local_queue]

    def settle(self, workload: ObjectKey, running: Mapping[str, int], now: Instant) -> None:
        """Make the penalty of an admitted Workload consumption; once.

        Args:
            workload: that was admitted.
            running: what the admitted Workloads of its LocalQueue hold, this one included; nano-units by resource.
            now: Instant (µs).
        """
        charge = self._charges.get(workload)
        if charge is None:
            return
        local_queue, penalty = charge
        self.drop(workload)
        account = self._accounts.get(local_queue)
        if account is None or not account.is_open:
            return  # its LocalQueue is gone, and there is no history to add to
        self._decay(account, running, now)
        account.consumed = _sum(account.consumed, penalty, 1)
        self._weigh(account)

    def _decay(self, account: _Account, running: Mapping[str, int], now: Instant) -> None:
        elapsed_us = 0 if account.updated_at is None else max(0, now - account.updated_at)
        account.consumed = _without_zeros(mixed(account.consumed, running, self._forgotten(elapsed_us)))
        account.updated_at = now

    def _forgotten(self, elapsed_us: int) -> float:
        return forgotten(elapsed_us, self._config.usage_half_life_time_us)

    def _weigh(self, account: _Account) -> None:
        if account.weight <= 0:
            account.usage = math.inf
            return
        amounts = _sum(account.consumed, account.penalties, 1)
        weights = self._config.resource_weights
        # Sorted, so that the same amounts give the same float whatever came first.
        account.usage = (
            sum(weights.get(name, 1.0) * (amounts[name] / NANO) for name in sorted(amounts)) / account.weight
        )


def forgotten(elapsed_us: int, half_life_us: int) -> float:
    """The part of the past that is forgotten after some time: half of it after a half-life; nothing if that is 0."""
    return 1 - 0.5 ** (elapsed_us / half_life_us) if half_life_us else 0.0


def mixed(past: Mapping[str, int], present: Mapping[str, int], part: float) -> dict[str, int]:
    """Amounts of which a part is the present's and the rest the past's, exact and then rounded down."""
    share, whole = part.as_integer_ratio()
    return {
        name: ((whole - share) * past.get(name, 0) + share * present.get(name, 0)) // whole
        for name in {**past, **present}
    }


def _sum(a: Mapping[str, int], b: Mapping[str, int], sign: int) -> _Nanos:
    return _without_zeros({name: a.get(name, 0) + sign * b.get(name, 0) for name in {**a, **b}})


def _without_zeros(amounts: Mapping[str, int]) -> _Nanos:
    return {name: amount for name, amount in amounts.items() if amount}
