"""What holds quota, and what the queues that give it look like.

The `Cache` knows every ClusterQueue, Cohort, ResourceFlavor, AdmissionCheck and Topology that the scheduler needs, and every Workload
that holds quota or is assumed to. Counts and usage are kept up to date with each change, so reading a status costs nothing.
Objects may come in any order: a Workload whose ClusterQueue is not known yet waits here until it is.

Not here: pending Workloads (`core/queue`), the arithmetic of quotas (`cohort.py`), the shape of the trees (`forest.py`).

Source: scheduling.md §5.2, §6.3, §7, §13.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pykueue.api.constants import MULTIKUEUE_CONTROLLER, PROVISIONING_CONTROLLER, QueueReason
from pykueue.api.objects import ObjectKey
from pykueue.api.quantity import parse_quantity
from pykueue.api.v1beta2 import (
    AdmissionCheck,
    ClusterQueue,
    Cohort,
    FairSharingSpec,
    ResourceFlavor,
    ResourceGroup,
    Topology,
    find_condition,
)
from pykueue.core.cache.cohort import Quota, QuotaNode, QuotaTree
from pykueue.core.cache.forest import Forest
from pykueue.core.resources import PODS, FlavorResource, parse_amount
from pykueue.core.tas.ledger import Ledger, places_of
from pykueue.core.tas.nodes import levels_of
from pykueue.core.workload.info import Info

_T = TypeVar("_T")


@dataclass(slots=True)
class Tally:
    """Counts and usage of the Workloads with quota, of a ClusterQueue or a LocalQueue.

    Attributes:
        admitted: how many are admitted.
        usage: what these hold.
        reserving: how many hold quota, admitted or not.
    """

    admitted: int = 0
    usage: dict[FlavorResource, int] = field(default_factory=dict)
    reserving: int = 0
    _waiting: dict[FlavorResource, int] = field(default_factory=dict)
    """What those hold that are not admitted yet; each Workload is in one of the two books."""

    @property
    def reservation(self) -> dict[FlavorResource, int]:
        """What all of them hold."""
        total = dict(self.usage)
        for item, amount in self._waiting.items():
            total[item] = total.get(item, 0) + amount
        return total

    def count(self, info: Info, sign: int) -> None:
        """Add (1) or take away (-1) one Workload."""
        self.reserving += sign
        book = self._waiting
        if info.is_admitted:
            self.admitted += sign
            book = self.usage
        for item, amount in info.usage.items():
            book[item] = book.get(item, 0) + sign * amount


@dataclass(slots=True, eq=False)
class ClusterQueueState:
    """A ClusterQueue with what uses it.

    Attributes:
        name: of the ClusterQueue.
        spec: the object; `take` changes what follows from it too.
        node: its leaf in the quota tree.
        group_of: covered resource to the number of its resource group.
        uses_flavors: names of its flavors, in spec order.
        checks: admission checks and the flavors each is for; no flavors means all.
        problems: reason and text of everything that makes it inactive; empty if it can admit.
        generation: the allocatable generation (§6.3).
        workloads: what holds quota here.
        is_cyclic: whether its cohorts form a cycle.
    """

    name: str
    spec: ClusterQueue
    node: QuotaNode
    group_of: dict[str, int] = field(init=False)
    uses_flavors: list[str] = field(init=False)
    checks: Mapping[str, tuple[str, ...]] = field(init=False)
    problems: tuple[tuple[QueueReason, str], ...] = ()
    generation: int = 1
    workloads: dict[ObjectKey, Info] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    is_cyclic: bool = False

    def __post_init__(self) -> None:
        self.take(self.spec)

    def take(self, spec: ClusterQueue) -> None:
        """Take in another version of the object."""
        groups, strategy = spec.spec.resource_groups, spec.spec.admission_checks_strategy
        self.spec = spec
        self.group_of = {r: i for i, group in enumerate(groups) for r in group.covered_resources}
        self.uses_flavors = [flavor.name for group in groups for flavor in group.flavors]
        self.checks = {} if strategy is None else {c.name: c.on_flavors for c in strategy.admission_checks}

    @property
    def groups(self) -> Sequence[ResourceGroup]:
        """Its resource groups."""
        return self.spec.spec.resource_groups

    @property
    def is_active(self) -> bool:
        """Whether the `Active` condition is true: it can admit Workloads."""
        return not self.problems and not self.spec.is_deleting

    @property
    def covers_pods(self) -> bool:
        """Whether pods are counted implicitly (§4.1)."""
        return PODS in self.group_of


class Cache:
    """ClusterQueues and everything that holds quota in them."""

    def __init__(self, *, shares_hosts: bool = True) -> None:
        self.ledger = Ledger(shares_hosts=shares_hosts)
        self.flavors: dict[str, ResourceFlavor] = {}
        self.has_topologies = False
        """Whether some flavor has a topology."""
        self.cohorts: dict[str, Cohort] = {}
        self.checks: dict[str, AdmissionCheck] = {}
        self.topologies: dict[str, Topology] = {}
        self.workloads: dict[ObjectKey, Info] = {}
        self.local_tallies: dict[ObjectKey, Tally] = {}
        self._queues: dict[str, ClusterQueueState] = {}
        self._forest = Forest()
        self._is_fresh = True
        self._homeless: dict[str, dict[ObjectKey, Info]] = {}

    def queues(self) -> Iterable[ClusterQueueState]:
        """All ClusterQueues."""
        self._refresh()
        return self._queues.values()

    def queue(self, name: str) -> ClusterQueueState | None:
        """A ClusterQueue."""
        self._refresh()
        return self._queues.get(name)

    def cohort_node(self, name: str) -> QuotaNode | None:
        """A cohort in its tree."""
        self._refresh()
        return self._forest.cohort(name)

    def tree_members(self, name: str) -> list[str]:
        """The ClusterQueues that share a root cohort with this one; only itself without a cohort, none in a cycle."""
        queue = self.queue(name)
        if queue is None or queue.is_cyclic:
            return []
        return [leaf.name for leaf in queue.node.tree.root.leaves()]

    def cohort_members(self, name: str) -> list[str]:
        """The ClusterQueues of the whole tree that a cohort belongs to."""
        node = self.cohort_node(name)
        return [] if node is None else [leaf.name for leaf in node.tree.root.leaves()]

    def cohorts_above(self, name: str, *, is_cohort: bool = False) -> list[str]:
        """The cohorts above a ClusterQueue, or a cohort; none for one that is unknown, or in a cycle."""
        queue = None if is_cohort else self.queue(name)
        node = self.cohort_node(name) if is_cohort else queue.node if queue is not None else None
        return [above.name for above in node.lineage() if above is not node] if node is not None else []

    def set_cluster_queue(self, name: str, spec: ClusterQueue | None) -> None:
        """Add, change or remove a ClusterQueue."""
        old = self._queues.get(name)
        if spec is None:
            if old is not None:
                del self._queues[name]
                if old.workloads:
                    self._homeless[name] = old.workloads
                self._forest.delete_cluster_queue(name)
                self._is_fresh = False
            return
        if old is None or _quota_part(old.spec) != _quota_part(spec):
            quotas = quotas_of(spec.spec.resource_groups)
            self._forest.set_cluster_queue(name, spec.spec.cohort_name, quotas, weight_of(spec.spec.fair_sharing))
            self._is_fresh = False
        if old is None:
            old = self._queues[name] = ClusterQueueState(name, spec, QuotaNode(name, is_cohort=False))
            for info in self._homeless.pop(name, {}).values():
                old.workloads[info.key] = info
                old.tally.count(info, 1)
        else:
            old.take(spec)
        self._judge(old)

    def set_cohort(self, name: str, cohort: Cohort | None) -> None:
        """Add, change or remove an explicit Cohort."""
        if cohort is None:
            self.cohorts.pop(name, None)
            self._forest.delete_cohort(name)
        else:
            self.cohorts[name] = cohort
            spec = cohort.spec
            quotas = quotas_of(spec.resource_groups)
            self._forest.set_cohort(name, spec.parent_name, quotas, weight_of(spec.fair_sharing))
        self._is_fresh = False

    def set_flavor(self, name: str, flavor: ResourceFlavor | None) -> list[str]:
        """Add, change or remove a flavor; returns the ClusterQueues that use it."""
        _put(self.flavors, name, flavor)
        self.has_topologies = any(f.spec.topology_name for f in self.flavors.values())
        return self._judge_all(lambda queue: name in queue.uses_flavors)

    def set_check(self, name: str, check: AdmissionCheck | None) -> list[str]:
        """Add, change or remove an AdmissionCheck; returns the ClusterQueues that use it."""
        _put(self.checks, name, check)
        return self._judge_all(lambda queue: name in queue.checks)

    def set_topology(self, name: str, topology: Topology | None) -> list[str]:
        """Add, change or remove a Topology; returns the ClusterQueues that use it."""
        _put(self.topologies, name, topology)
        return self._judge_all(lambda queue: name in self.topologies_of(queue))

    def topologies_of(self, queue: ClusterQueueState) -> list[str]:
        """Names of the topologies of a ClusterQueue's flavors."""
        flavors = (self.flavors.get(name) for name in queue.uses_flavors)
        return [f.spec.topology_name for f in flavors if f is not None and f.spec.topology_name]

    def trees(self) -> list[tuple[tuple[str, ...], Mapping[str, str]]]:
        """The trees of nodes that flavors are placed in: levels, and labels of the nodes."""
        found = ((self.topologies.get(f.spec.topology_name or ""), f.spec.node_labels) for f in self.flavors.values())
        return [(levels_of(topology), labels) for topology, labels in found if topology is not None]

    def has_topology(self, flavor: str) -> bool:
        """Whether a flavor has a topology."""
        found = self.flavors.get(flavor)
        return found is not None and bool(found.spec.topology_name)

    def is_delegating(self, queue: ClusterQueueState) -> bool:
        """Whether the Workloads of a ClusterQueue run in other clusters (a MultiKueue check)."""
        return any(self._controller(name) == MULTIKUEUE_CONTROLLER for name in queue.checks)

    def is_provisioned(self, queue: ClusterQueueState, flavor: str) -> bool:
        """Whether a flavor's nodes come only with an admission check (a ProvisioningRequest check)."""
        return any(
            self._controller(name) == PROVISIONING_CONTROLLER and (not flavors or flavor in flavors)
            for name, flavors in queue.checks.items()
        )

    def _controller(self, check: str) -> str:
        found = self.checks.get(check)
        return found.spec.controller_name if found is not None else ""

    def queues_using(self, flavors: Collection[str]) -> list[str]:
        """ClusterQueues that have one of the flavors, by name."""
        return sorted(q.name for q in self.queues() if any(name in flavors for name in q.uses_flavors))

    def queues_on(self, node_labels: Mapping[str, str]) -> list[str]:
        """ClusterQueues that place pods on nodes with these labels, by name."""
        names = {
            name
            for name, flavor in self.flavors.items()
            if flavor.spec.topology_name and flavor.spec.node_labels.items() <= node_labels.items()
        }
        return self.queues_using(names) if names else []

    @contextmanager
    def trial(self, tree: QuotaTree) -> Iterator[None]:
        """Try something out on a quota tree and on what is held of the nodes; undone at the end of the block."""
        with tree.trial(), self.ledger.trial():
            yield

    def add_workload(self, info: Info) -> None:
        """Count a Workload that holds quota; one of the same key is replaced, so usage is never counted twice."""
        self._refresh()
        old = self.workloads.get(info.key)
        if old is not None:
            if self._swap(old, info):
                return
            self.remove_workload(info.key)
        self.workloads[info.key] = info
        self.ledger.hold(info.key, places_of(info.workload, self.has_topology))
        tally = self.local_tallies.get(info.local_queue)
        if tally is None:
            tally = self.local_tallies[info.local_queue] = Tally()
        tally.count(info, 1)
        queue = self._queues.get(info.cluster_queue)
        if queue is None:
            self._homeless.setdefault(info.cluster_queue, {})[info.key] = info
            return
        queue.workloads[info.key] = info
        queue.tally.count(info, 1)
        queue.node.hold(info.usage)

    def _swap(self, old: Info, info: Info) -> bool:
        """Put a version in the place of another that holds the same quota in the same queues; False if it does not."""
        queue = self._queues.get(info.cluster_queue)
        is_same = old.usage is info.usage and old.is_admitted is info.is_admitted
        if (
            queue is None
            or not is_same
            or (old.cluster_queue, old.local_queue) != (info.cluster_queue, info.local_queue)
        ):
            return False
        queue.workloads[info.key] = self.workloads[info.key] = info
        queue.generation += 1
        self.ledger.hold(info.key, places_of(info.workload, self.has_topology))
        return True

    def remove_workload(self, key: ObjectKey) -> Info | None:
        """Give a Workload's quota back; returns what held it."""
        info = self.workloads.pop(key, None)
        if info is None:
            return None
        self.ledger.release(key)
        self._refresh()
        tally = self.local_tallies[info.local_queue]
        tally.count(info, -1)
        if not tally.reserving:
            del self.local_tallies[info.local_queue]
        queue = self._queues.get(info.cluster_queue)
        if queue is None:
            waiting = self._homeless[info.cluster_queue]
            del waiting[key]
            if not waiting:
                del self._homeless[info.cluster_queue]
            return info
        del queue.workloads[key]
        queue.generation += 1
        queue.tally.count(info, -1)
        queue.node.give_back(info.usage)
        return info

    def _refresh(self) -> None:
        if self._is_fresh:
            return
        self._is_fresh = True
        for name in self._forest.refresh():
            queue = self._queues[name]
            queue.node = self._forest.cluster_queue(name)
            queue.is_cyclic = self._forest.is_cyclic(name)
            queue.generation += 1
            queue.node.hold({item: amount for item, amount in queue.tally.reservation.items() if amount})

    def _judge_all(self, uses: Callable[[ClusterQueueState], bool]) -> list[str]:
        found = [queue for queue in self._queues.values() if uses(queue)]
        for queue in found:
            self._judge(queue)
        return sorted(queue.name for queue in found)

    def _judge(self, queue: ClusterQueueState) -> None:
        """Find what makes a ClusterQueue inactive (§13.1), in the order of the reasons."""
        problems: list[tuple[QueueReason, str]] = []
        if queue.spec.spec.stop_policy != "None":
            problems.append((QueueReason.STOPPED, "is stopped"))
        missing = [name for name in queue.uses_flavors if name not in self.flavors]
        if missing:
            problems.append(
                (QueueReason.FLAVOR_NOT_FOUND, "references missing ResourceFlavor(s): " + ",".join(missing))
            )
        problems += self._check_problems(queue)
        for name in queue.uses_flavors if not self.is_delegating(queue) else ():
            flavor = self.flavors.get(name)
            topology = flavor.spec.topology_name if flavor is not None else None
            if topology and topology not in self.topologies:
                problems.append(
                    (QueueReason.TOPOLOGY_NOT_FOUND, f'there is no Topology "{topology}" for TAS flavor "{name}"')
                )
        queue.problems = tuple(problems)

    def _check_problems(self, queue: ClusterQueueState) -> list[tuple[QueueReason, str]]:
        problems: list[tuple[QueueReason, str]] = []
        missing, inactive, multikueue, per_flavor, provisioning = [], [], [], [], []
        for name, flavors in queue.checks.items():
            check = self.checks.get(name)
            if check is None:
                missing.append(name)
                continue
            active = find_condition(check.status.conditions, "Active")
            if active is None or active.status != "True":
                inactive.append(name)
            if check.spec.controller_name == MULTIKUEUE_CONTROLLER:
                multikueue.append(name)
                if flavors:
                    per_flavor.append(name)
            elif check.spec.controller_name == PROVISIONING_CONTROLLER:
                provisioning.append(name)
        if missing:
            problems.append(
                (QueueReason.ADMISSION_CHECK_NOT_FOUND, "references missing AdmissionCheck(s): " + _join(missing))
            )
        if inactive:
            problems.append(
                (QueueReason.ADMISSION_CHECK_INACTIVE, "references inactive AdmissionCheck(s): " + _join(inactive))
            )
        if len(multikueue) > 1:
            text = "Cannot use multiple MultiKueue AdmissionChecks on the same ClusterQueue, found: "
            problems.append((QueueReason.MULTIPLE_MULTIKUEUE_CHECKS, text + _join(multikueue)))
        if per_flavor:
            text = "Cannot specify MultiKueue AdmissionCheck per flavor, found: "
            problems.append((QueueReason.MULTIKUEUE_CHECK_PER_FLAVOR, text + _join(per_flavor)))
        if multikueue and provisioning:
            text = "Cannot use both MultiKueue and ProvisioningRequest AdmissionChecks together, found: "
            found = f"{_join(multikueue)}, {_join(provisioning)}"
            problems.append((QueueReason.MULTIKUEUE_WITH_PROVISIONING, text + found))
        return problems


def quotas_of(groups: Iterable[ResourceGroup]) -> dict[FlavorResource, Quota]:
    """Quotas of resource groups, per flavor and resource."""
    return {
        FlavorResource(flavor.name, quota.name): Quota(
            parse_amount(quota.name, quota.nominal_quota),
            None if quota.borrowing_limit is None else parse_amount(quota.name, quota.borrowing_limit),
            None if quota.lending_limit is None else parse_amount(quota.name, quota.lending_limit),
        )
        for group in groups
        for flavor in group.flavors
        for quota in flavor.resources
    }


def weight_of(fair_sharing: FairSharingSpec | None) -> float:
    """Fair-sharing weight; 1 if not set."""
    if fair_sharing is None or fair_sharing.weight is None:
        return 1.0
    return parse_quantity(fair_sharing.weight).nanos / 1e9


def _quota_part(queue: ClusterQueue) -> tuple[object, ...]:
    return queue.spec.resource_groups, queue.spec.cohort_name, queue.spec.fair_sharing


def _join(names: list[str]) -> str:
    return ",".join(sorted(names))


def _put(table: dict[str, _T], name: str, value: _T | None) -> None:
    if value is None:
        table.pop(name, None)
    else:
        table[name] = value
