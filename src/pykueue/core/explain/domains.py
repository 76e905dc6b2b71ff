"""The domains of a topology with what is free and used in each, and by whom.

A leaf holds what its nodes can allocate; of that, pods beside topologies use some (`others`), Workloads with a place hold some from their reservation
on, and the rest is free. Wider domains are sums.

Source: tas.md §4.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pykueue.core.explain.facts import DomainFacts, DomainResource, PlacedWorkload, TopologyFacts
from pykueue.core.resources import format_amount
from pykueue.core.tas.ledger import Ledger, Spot
from pykueue.core.tas.nodes import levels_of
from pykueue.core.tas.scheduling import NodeTopologies

if TYPE_CHECKING:
    from pykueue.core.tas.tree import Tree

Amounts = dict[str, int]


@dataclass(slots=True)
class Tenancy:
    """What a domain has and who is in it.

    Attributes:
        n_nodes: nodes.
        capacity: what these can allocate.
        others: what pods beside topologies use.
        held: what Workloads with a place hold.
        pods: Workload to the number of its pods that have their place here.
        shares: Workload to what it holds of it.
    """

    n_nodes: int = 0
    capacity: Amounts = field(default_factory=dict)
    others: Amounts = field(default_factory=dict)
    held: Amounts = field(default_factory=dict)
    pods: dict[str, int] = field(default_factory=dict)
    shares: dict[str, Amounts] = field(default_factory=dict)

    def add(self, other: Tenancy) -> None:
        """Take in a part of the domain."""
        self.n_nodes += other.n_nodes
        for own, more in (
            (self.capacity, other.capacity),
            (self.others, other.others),
            (self.held, other.held),
            (self.pods, other.pods),
        ):
            _add(own, more)
        for key, amounts in other.shares.items():
            _add(self.shares.setdefault(key, {}), amounts)

    def free(self, resource: str) -> int:
        """What is left; negative if more is held than there is."""
        taken = self.others.get(resource, 0) + self.held.get(resource, 0)
        return self.capacity.get(resource, 0) - taken


def topology_facts(topologies: NodeTopologies, name: str = "") -> tuple[TopologyFacts, ...]:
    """Every topology on the nodes of every flavor that has it, by name of topology and flavor; only one topology if it is named."""
    found = []
    cache, book = topologies.cache, topologies.book
    tenants = find_tenants(cache.ledger)
    for flavor_name, flavor in sorted(
        cache.flavors.items(), key=lambda item: (item[1].spec.topology_name or "", item[0])
    ):
        topology = cache.topologies.get(flavor.spec.topology_name or "")
        if topology is None or (name and topology.name != name):
            continue
        levels = levels_of(topology)
        tree = book.tree(levels, flavor.spec.node_labels)
        tenancies = tenancies_of(tree, cache.ledger, flavor_name, tenants)
        found.append(
            TopologyFacts(
                topology=topology.name,
                flavor=flavor_name,
                levels=levels,
                resources=tree.resources,
                left_out=tuple(book.left_out(levels, flavor.spec.node_labels)),
                domains=tuple(
                    _facts(tree, tenancies, 0, i) for i in range(len(tree.paths[0])) if tenancies[0][i].n_nodes
                ),
            )
        )
    return tuple(found)


Tenants = Mapping[Spot, Sequence[tuple[str, int, Mapping[str, int]]]]
"""Workload, number of pods and amounts of one, of all that is held in a spot."""


def find_tenants(ledger: Ledger) -> Tenants:
    """Who holds what, by spot."""
    found: dict[Spot, list[tuple[str, int, Mapping[str, int]]]] = {}
    for key, held in ledger.holders():
        for places in held:
            for domain in places.domains:
                spot = ledger.spot(places.flavor, places.levels, domain.values)
                found.setdefault(spot, []).append((str(key), domain.n_pods, places.per_pod))
    return found


def tenancies_of(tree: Tree, ledger: Ledger, flavor: str, tenants: Tenants) -> list[list[Tenancy]]:
    """[level][domain] of a flavor's tree."""
    entered = ledger.spot(flavor, tree.stored_levels, ()).flavor
    leaves = [_leaf(tree, i, tenants.get(Spot(entered, tree.stored[i]), ())) for i in range(len(tree.nodes))]
    levels = [leaves]
    for k in range(len(tree.levels) - 1, 0, -1):
        above = [Tenancy() for _ in tree.paths[k - 1]]
        for i, tenancy in enumerate(levels[0]):
            above[int(tree.parents[k][i])].add(tenancy)
        levels.insert(0, above)
    return levels


def tenancy_of(tree: Tree, leaves: Iterable[int], ledger: Ledger, flavor: str, tenants: Tenants) -> Tenancy:
    """Of some leaves together."""
    entered = ledger.spot(flavor, tree.stored_levels, ()).flavor
    found = Tenancy()
    for leaf in leaves:
        found.add(_leaf(tree, leaf, tenants.get(Spot(entered, tree.stored[leaf]), ())))
    return found


def _leaf(tree: Tree, leaf: int, tenants: Sequence[tuple[str, int, Mapping[str, int]]]) -> Tenancy:
    found = Tenancy(n_nodes=len(tree.nodes[leaf]))
    for node in tree.nodes[leaf]:
        _add(found.capacity, node.allocatable)
    for resource, amount in found.capacity.items():
        used = amount - tree.free[leaf].get(resource, 0)
        if used:
            found.others[resource] = used
    for key, n_pods, per_pod in tenants:
        amounts = {resource: amount * n_pods for resource, amount in per_pod.items()}
        _add(found.held, amounts)
        _add(found.pods, {key: n_pods})
        _add(found.shares.setdefault(key, {}), amounts)
    return found


def _facts(tree: Tree, tenancies: Sequence[Sequence[Tenancy]], level: int, domain: int) -> DomainFacts:
    tenancy = tenancies[level][domain]
    is_leaf = level == len(tree.levels) - 1
    path = tree.paths[level][domain]
    return DomainFacts(
        level=tree.levels[level],
        name=path[-1],
        nodes=tenancy.n_nodes,
        resources=tuple(domain_resource(tenancy, resource) for resource in tree.resources),
        workloads=tuple(PlacedWorkload(key, n) for key, n in sorted(tenancy.pods.items())),
        domains=() if is_leaf else tuple(_below(tree, tenancies, level, domain)),
    )


def _below(tree: Tree, tenancies: Sequence[Sequence[Tenancy]], level: int, domain: int) -> Iterator[DomainFacts]:
    starts = tree.starts[level]
    for child in range(int(starts[domain]), int(starts[domain + 1])):
        if tenancies[level + 1][child].n_nodes:
            yield _facts(tree, tenancies, level + 1, child)


def domain_resource(tenancy: Tenancy, resource: str) -> DomainResource:
    """One resource of a domain."""
    capacity, free = tenancy.capacity.get(resource, 0), tenancy.free(resource)
    return DomainResource(
        resource=resource,
        capacity=format_amount(resource, capacity),
        workloads=format_amount(resource, tenancy.held.get(resource, 0)),
        others=format_amount(resource, tenancy.others.get(resource, 0)),
        free=format_amount(resource, free),
        used_share=round((capacity - free) / capacity, 4) if capacity > 0 else 0.0,
    )


def _add(own: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        own[name] = own.get(name, 0) + amount
