"""What is asked, free, borrowable and lent of each flavor's resources, and who holds it.

Source: scheduling.md §6.5, §7.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.explain.facts import AttemptFacts, FlavorFacts, Holder, QuotaChange, ResourceFacts
from pykueue.core.resources import FlavorResource, format_amount, sub
from pykueue.core.scheduler.assignment import Assignment, QuotaFacts

HOLDERS_MAX = 10
Holders = Mapping[FlavorResource, Sequence[Holder]]


def attempt_facts(assignment: Assignment, queue: ClusterQueueState, cache: Cache) -> tuple[AttemptFacts, ...]:
    """What was tried, flavor by flavor."""
    attempts = [(pod_set.name, attempt) for pod_set in assignment.pod_sets for attempt in pod_set.attempts]
    holders = find_holders({facts.item for _, attempt in attempts for facts in attempt.facts}, queue, cache)
    return tuple(
        AttemptFacts(
            pod_set=name,
            flavor=attempt.flavor,
            mode=attempt.mode.name,
            borrowing_level=attempt.borrowing,
            reasons=tuple(attempt.reasons),
            resources=tuple(_asked(facts, queue, holders) for facts in attempt.facts),
        )
        for name, attempt in attempts
    )


def flavor_facts(queue: ClusterQueueState, cache: Cache) -> tuple[FlavorFacts, ...]:
    """All quota of a ClusterQueue, in spec order."""
    items = {
        flavor.name: [FlavorResource(flavor.name, name) for name in group.covered_resources]
        for group in queue.groups
        for flavor in group.flavors
    }
    holders = find_holders({item for own in items.values() for item in own}, queue, cache)
    return tuple(
        FlavorFacts(name, tuple(resource_facts(item, queue, holders) for item in own)) for name, own in items.items()
    )


def resource_facts(
    item: FlavorResource, queue: ClusterQueueState, holders: Holders, *, asked: str = "", earlier: str = ""
) -> ResourceFacts:
    """The amounts of one flavor-resource."""
    name, node = item.resource, queue.node
    i = node.tree.number(item)
    free, unused = node.free(i), max(0, sub(node.nominal[i], node.usage[i]))
    return ResourceFacts(
        resource=name,
        asked=asked,
        asked_by_earlier_pod_sets=earlier,
        nominal=format_amount(name, node.nominal[i]),
        used=format_amount(name, node.usage[i]),
        free=format_amount(name, free),
        borrowable=format_amount(name, max(0, sub(free, unused))),
        lent=format_amount(name, max(0, sub(unused, free))),
        at_most=format_amount(name, node.potential[i]),
        holders=tuple(holders.get(item, ())),
    )


def find_holders(items: Collection[FlavorResource], queue: ClusterQueueState, cache: Cache) -> Holders:
    """Who holds these in the whole cohort tree, the largest first; one look at each Workload."""
    found: dict[FlavorResource, list[tuple[int, str, str]]] = {}
    for leaf in queue.node.tree.root.leaves():
        other = cache.queue(leaf.name)
        for info in other.workloads.values() if other is not None else ():
            for item, amount in info.usage.items():
                if amount and item in items:
                    found.setdefault(item, []).append((-amount, str(info.key), leaf.name))
    return {
        item: [Holder(key, name, format_amount(item.resource, -amount)) for amount, key, name in _first(held)]
        for item, held in found.items()
    }


def _first(held: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    return sorted(held)[:HOLDERS_MAX]


def _asked(facts: QuotaFacts, queue: ClusterQueueState, holders: Holders) -> ResourceFacts:
    name = facts.item.resource
    return resource_facts(
        facts.item,
        queue,
        holders,
        asked=format_amount(name, facts.asked),
        earlier=format_amount(name, facts.assumed),
    )


def format_quota(quota: Mapping[FlavorResource, int]) -> tuple[QuotaChange, ...]:
    """Additional quota, by flavor and resource."""
    return tuple(
        QuotaChange(item.flavor, item.resource, format_amount(item.resource, amount))
        for item, amount in sorted(quota.items())
    )
