"""What Workloads with a topology assignment hold of each domain, from their reservation to its end.

Capacity belongs to nodes, not to cohorts, so there is one ledger for all ClusterQueues. Hosts are entered by their name alone where flavors may
overlap (gate TASHandleOverlappingFlavors): two flavors that select the same host share it. Wider domains are entered per flavor.

Like the quota trees, a ledger is tried out in place: changes inside a `trial` are noted and undone at its end. It knows nothing of trees: what
is left of them is computed by readers of `changes` (`capacity.py`).

Source: tas.md §4.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from pykueue.api.conversion.topology import HOSTNAME, Domain, decode_domains, encode_slices
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import PodSetAssignment, TopologyAssignment, Workload
from pykueue.core.tas.changes import Changes
from pykueue.core.tas.demand import demand_of_pod
from pykueue.core.tas.nodes import Path
from pykueue.core.workload.requests import pod_requests

_NOTHING: Mapping[str, int] = {}


class Spot(NamedTuple):
    """Where something is held: a host for all flavors (empty flavor), or a domain of one flavor."""

    flavor: str
    values: Path


@dataclass(frozen=True, slots=True)
class Places:
    """Where the pods of one pod set are.

    Attributes:
        flavor: with the topology.
        levels: node labels of the values.
        domains: with counts, in rank order.
        per_pod: amounts of one pod.
    """

    flavor: str
    levels: tuple[str, ...]
    domains: tuple[Domain, ...]
    per_pod: Mapping[str, int]

    def assignment(self, *, by_hostname_prefix: bool) -> TopologyAssignment:
        """For `status.admission` (§7.2)."""
        slices = encode_slices(self.levels, self.domains, by_hostname_prefix=by_hostname_prefix)
        return msgspec.convert({"levels": self.levels, "slices": slices}, TopologyAssignment)

    def beyond(self, others: Places) -> Places:
        """What these have more than others of the same pod set, domain by domain."""
        before = {domain.values: domain.n_pods for domain in others.domains}
        more = ((d.values, d.n_pods - before.get(d.values, 0)) for d in self.domains)
        return replace(self, domains=tuple(Domain(values, n) for values, n in more if n > 0))


class _Part(NamedTuple):
    """The places of one pod set, as they are entered."""

    spots: list[Spot]
    n_pods: list[int]
    per_pod: list[tuple[str, int]]


class Ledger:
    """Amounts held, by spot.

    Attributes:
        changes: spots whose amounts changed, also inside of trials and by their undoing.
    """

    def __init__(self, *, shares_hosts: bool = True) -> None:
        self.changes: Changes[Spot] = Changes()
        self._shares_hosts = shares_hosts
        self._blank: Ledger | None = None
        self._held: dict[Spot, dict[str, int]] = {}
        self._by_workload: dict[ObjectKey, tuple[Sequence[Places], list[_Part]]] = {}
        self._notes: list[tuple[list[_Part], int]] | None = None

    @property
    def blank(self) -> Ledger:
        """A ledger where nobody holds anything, for trials of what one Workload would find then."""
        if self._blank is None:
            self._blank = Ledger(shares_hosts=self._shares_hosts)
        return self._blank

    def spot(self, flavor: str, levels: Sequence[str], values: Path) -> Spot:
        """The spot of a domain of an assignment."""
        is_shared = self._shares_hosts and len(levels) == 1 and levels[-1] == HOSTNAME
        return Spot("" if is_shared else flavor, values)

    def held(self, spot: Spot) -> Mapping[str, int]:
        """Amounts held in a spot."""
        return self._held.get(spot, _NOTHING)

    def of(self, key: ObjectKey) -> Sequence[Places]:
        """What a counted Workload holds."""
        found = self._by_workload.get(key)
        return found[0] if found is not None else ()

    def leaves(self, key: ObjectKey) -> list[str]:
        """Lowest-level values of the domains that a counted Workload holds; names of nodes, where these are the lowest level."""
        return [domain.values[-1] for places in self.of(key) for domain in places.domains]

    def holders(self) -> Iterable[tuple[ObjectKey, Sequence[Places]]]:
        """What every counted Workload holds; not what is only tried."""
        return ((key, places) for key, (places, _) in self._by_workload.items())

    def hold(self, key: ObjectKey, places: Sequence[Places]) -> None:
        """Count a Workload; instead of what it held."""
        self.release(key)
        if places:
            parts = self._parts(places)
            self._by_workload[key] = (places, parts)
            self._shift(parts, 1)

    def release(self, key: ObjectKey) -> bool:
        """Count a Workload no more; whether it held anything."""
        found = self._by_workload.pop(key, None)
        if found is not None:
            self._shift(found[1], -1)
        return found is not None

    def lift(self, key: ObjectKey) -> None:
        """Take away what a counted Workload holds; for trials."""
        found = self._by_workload.get(key)
        if found is not None:
            self._shift(found[1], -1)

    def put_back(self, key: ObjectKey) -> None:
        """Undo `lift`; for trials."""
        found = self._by_workload.get(key)
        if found is not None:
            self._shift(found[1], 1)

    @contextmanager
    def seated(self, key: ObjectKey, more: Sequence[Places]) -> Iterator[None]:
        """Count a Workload with more than it holds until the end of the block, also where others ask what they would get without it."""
        before, parts = self._by_workload.get(key), self._parts(more)
        places, counted = before if before is not None else ((), [])
        self._by_workload[key] = ((*places, *more), counted + parts)
        self._shift(parts, 1)
        try:
            yield
        finally:
            self._shift(parts, -1)
            if before is not None:
                self._by_workload[key] = before
            else:
                del self._by_workload[key]

    def add(self, places: Sequence[Places]) -> None:
        """Hold these; noted inside a trial."""
        self._shift(self._parts(places), 1)

    def remove(self, places: Sequence[Places]) -> None:
        """Hold these no more; noted inside a trial."""
        self._shift(self._parts(places), -1)

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Undo at the end of the block every change made in it. Trials nest."""
        outer = self._notes
        notes: list[tuple[list[_Part], int]] = []
        self._notes = notes
        try:
            yield
        finally:
            self._notes = None
            for parts, sign in reversed(notes):
                self._shift(parts, -sign)
            self._notes = outer

    def _parts(self, places: Sequence[Places]) -> list[_Part]:
        found = []
        for part in places:
            flavor = self.spot(part.flavor, part.levels, ()).flavor
            spots = [Spot(flavor, domain.values) for domain in part.domains]
            found.append(_Part(spots, [domain.n_pods for domain in part.domains], list(part.per_pod.items())))
        return found

    def _shift(self, parts: list[_Part], sign: int) -> None:
        if self._notes is not None and parts:
            self._notes.append((parts, sign))
        known = self._held
        for spots, n_pods, per_pod in parts:
            self.changes.note(*spots)
            for spot, n in zip(spots, n_pods, strict=True):
                held = known.get(spot)
                if held is None:
                    held = known[spot] = {}
                for name, amount in per_pod:
                    left = held.get(name, 0) + sign * n * amount
                    if left:
                        held[name] = left
                    else:
                        held.pop(name, None)
                if not held:
                    del known[spot]


def places_of(workload: Workload, has_topology: Callable[[str], bool]) -> list[Places]:
    """What a Workload with quota holds, from its admission.

    Args:
        workload: with or without an admission.
        has_topology: whether a flavor has a topology; of a pod set's flavors, the first that has one has the domains.
    """
    admission = workload.status.admission
    if admission is None or all(given.topology_assignment is None for given in admission.pod_set_assignments):
        return []
    templates = {ps.name: ps.template for ps in workload.spec.pod_sets}
    found = []
    for given in admission.pod_set_assignments:
        if given.topology_assignment is None or not given.flavors:
            continue
        requests = pod_requests((templates.get(given.name) or {}).get("spec") or {})
        domains = tuple(decode_domains(msgspec.to_builtins(given.topology_assignment)))
        levels = given.topology_assignment.levels
        found.append(Places(_tas_flavor(given, has_topology), levels, domains, demand_of_pod(requests)))
    return found


def placed_names(workload: Workload) -> list[str]:
    """The pod sets that `places_of` tells of, in the same order."""
    admission = workload.status.admission
    given = admission.pod_set_assignments if admission is not None else ()
    return [a.name for a in given if a.topology_assignment is not None and a.flavors]


def _tas_flavor(given: PodSetAssignment, has_topology: Callable[[str], bool]) -> str:
    names = sorted(given.flavors.values())
    return next((name for name in names if has_topology(name)), names[0])
