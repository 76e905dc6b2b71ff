"""Why pods find no places: the largest domain of each level, what is missing there, and who holds it.

What the scheduler's own counts say is told (`core/tas/counts.py`): for each level the domain that takes most of the pods. There the amounts of all its
nodes are compared with those of all pods. Where nothing is missing and the pods do not fit, what is free lies in pieces that are too
small for one pod, or on nodes that the pods may not use.

Source: tas.md §4.3, §6.
"""

from __future__ import annotations

from collections.abc import Iterator

from pykueue.core.explain.domains import Tenancy, Tenants, find_tenants, tenancy_of
from pykueue.core.explain.facts import LevelFacts, MissingResource, PlaceFacts, Tenant
from pykueue.core.resources import format_amount, format_requests
from pykueue.core.scheduler.entry import Entry
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.scheduling import NodeTopologies, Sought

TENANTS_MAX = 10


def place_facts(entry: Entry, topologies: NodeTopologies) -> PlaceFacts | None:
    """What was sought for the first pods that find no places; None if all find some, or none needs any."""
    if entry.assignment is None:
        return None
    sought = topologies.sought(entry.info, entry.assignment)
    if sought is None:
        return None
    tree, layout = sought.tree, sought.layout
    tenants = find_tenants(topologies.cache.ledger)
    return PlaceFacts(
        pod_set=sought.workers.name,
        flavor=sought.flavor,
        topology=sought.topology,
        strictness=layout.strictness.name.title(),
        level=tree.levels[layout.main],
        pods=sought.workers.count,
        slice_size=layout.slice_size,
        has_leader=sought.leader is not None,
        levels=tuple(_level(sought, k, topologies.cache.ledger, tenants) for k in range(len(tree.levels))),
    )


def _level(sought: Sought, level: int, ledger: Ledger, tenants: Tenants) -> LevelFacts:
    """The domain of a level that takes most of the pods."""
    tree, fits = sought.tree, sought.fits[level]
    live = tree.live_domains(level).tolist()
    best = max(range(len(fits)), key=lambda d: (fits[d], live[d], -d))
    tenancy = tenancy_of(tree, tree.leaves_below(level, best), ledger, sought.flavor, tenants)
    missing = tuple(_missing(sought, tenancy))
    wanted = [m.resource for m in missing if m.missing != "0"] or [m.resource for m in missing]
    return LevelFacts(
        level=tree.levels[level],
        domains=sum(live),
        largest="/".join(tree.paths[level][best]),
        fits=fits[best],
        all_fit=sum(fits),
        resources=missing,
        tenants=tuple(_tenants(tenancy, wanted)),
    )


def _missing(sought: Sought, tenancy: Tenancy) -> Iterator[MissingResource]:
    asked: dict[str, int] = {}
    for pods in (sought.workers, *([sought.leader] if sought.leader is not None else [])):
        for name, amount in pods.per_pod.items():
            asked[name] = asked.get(name, 0) + amount * pods.count
    for name in sorted(asked):
        free = tenancy.free(name)
        yield MissingResource(
            resource=name,
            asked=format_amount(name, asked[name]),
            capacity=format_amount(name, tenancy.capacity.get(name, 0)),
            free=format_amount(name, free),
            missing=format_amount(name, max(0, asked[name] - free)),
        )


def _tenants(tenancy: Tenancy, resources: list[str]) -> Iterator[Tenant]:
    """Who holds what is missing, the largest first; what pods beside topologies use comes last."""
    shares = {key: {r: amounts[r] for r in resources if amounts.get(r)} for key, amounts in tenancy.shares.items()}
    order = sorted(shares, key=lambda key: ([-shares[key].get(r, 0) for r in resources], key))
    for key in order[:TENANTS_MAX]:
        yield Tenant(workload=key, pods=tenancy.pods[key], amounts=format_requests(shares[key]))
    others = {r: tenancy.others[r] for r in resources if tenancy.others.get(r)}
    if others:
        yield Tenant(workload="", pods=0, amounts=format_requests(others))
