"""The shape of an explanation. It is the JSON of `pykueue explain -o json`, so a field, once here, keeps its name and meaning.

Amounts are quantities as Kubernetes writes them; Workloads are `namespace/name`; times are RFC 3339. Where something does not apply a list is empty, a
number is null, and a text is empty.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Facts(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all: written in camelCase."""


class Holder(Facts, frozen=True):
    """Who holds some of a flavor's resource.

    Attributes:
        workload: that holds it.
        cluster_queue: from which it has the quota.
        amount: how much.
    """

    workload: str
    cluster_queue: str
    amount: str


class ResourceFacts(Facts, frozen=True):
    """One resource of one flavor, as the ClusterQueue sees it.

    Attributes:
        resource: its name.
        asked: by the pod set; empty where nobody asks (in the explanation of a queue).
        asked_by_earlier_pod_sets: by pod sets of the same Workload that were looked at before.
        nominal: quota of the ClusterQueue itself.
        used: by the Workloads of the ClusterQueue.
        free: what may still be used; `borrowable` is a part of it.
        borrowable: of what is free, the part that is others' quota.
        lent: own quota that is not used here and yet not free, because others have borrowed it.
        at_most: what could be had if nobody else used anything.
        holders: who holds it in the whole cohort tree, the largest first, at most ten.
    """

    resource: str
    asked: str
    asked_by_earlier_pod_sets: str
    nominal: str
    used: str
    free: str
    borrowable: str
    lent: str
    at_most: str
    holders: tuple[Holder, ...]


class AttemptFacts(Facts, frozen=True):
    """One flavor that was tried for one pod set.

    Attributes:
        pod_set: its name.
        flavor: its name.
        mode: `NO_FIT`, `NO_CANDIDATES`, `PREEMPT`, `RECLAIM` or `FIT`.
        borrowing_level: how far up the cohort tree the quota would come from; 0 is the ClusterQueue itself.
        reasons: why not, or why only so.
        resources: amounts, as far as they were looked at.
    """

    pod_set: str
    flavor: str
    mode: str
    borrowing_level: int
    reasons: tuple[str, ...]
    resources: tuple[ResourceFacts, ...]


class VictimFacts(Facts, frozen=True):
    """A Workload that holds what is missing, and whether it would be preempted.

    Attributes:
        workload: its name.
        cluster_queue: its ClusterQueue.
        priority: its effective priority.
        is_taken: whether the scheduler would preempt it now.
        why: why it would, or would not.
    """

    workload: str
    cluster_queue: str
    priority: int
    is_taken: bool
    why: str


class QuotaChange(Facts, frozen=True):
    """More nominal quota."""

    flavor: str
    resource: str
    add: str


class Start(Facts, frozen=True):
    """With how many pods a Workload starts that may start with fewer.

    Attributes:
        pod_set: its name.
        count: pods now.
        starts_with: as many.
    """

    pod_set: str
    count: int
    starts_with: int


class AddQuota(Facts, frozen=True, tag_field="kind", tag="AddQuota"):
    """More nominal quota in the ClusterQueue would do.

    Attributes:
        cluster_queue: that needs it.
        quotas: what to add.
        goes_first: Workloads ahead in the queue that the same quota admits before; it is enough for them too.
        if_first: whether this is true only once nobody is ahead.
        reduced: the pod set that starts with fewer pods than it wants, if the Workload allows that.
    """

    cluster_queue: str
    quotas: tuple[QuotaChange, ...]
    goes_first: tuple[str, ...] = ()
    if_first: bool = False
    reduced: tuple[Start, ...] = ()


class StopWorkloads(Facts, frozen=True, tag_field="kind", tag="StopWorkloads"):
    """Other Workloads finishing, or being stopped, would do.

    Attributes:
        workloads: which.
        goes_first, if_first, reduced: as of `AddQuota`.
    """

    workloads: tuple[str, ...]
    goes_first: tuple[str, ...] = ()
    if_first: bool = False
    reduced: tuple[Start, ...] = ()


class MatchFlavor(Facts, frozen=True, tag_field="kind", tag="MatchFlavor"):
    """Pods that may use a flavor would do.

    Attributes:
        flavor: its name.
        changes: what to change in the pods, or likewise in the flavor.
        goes_first, if_first, reduced: as of `AddQuota`.
    """

    flavor: str
    changes: tuple[str, ...]
    goes_first: tuple[str, ...] = ()
    if_first: bool = False
    reduced: tuple[Start, ...] = ()


class FewerPods(Facts, frozen=True, tag_field="kind", tag="FewerPods"):
    """Fewer pods would fit.

    Attributes:
        pod_set: that is too large.
        count: its pods.
        fits: the largest number that is admitted now.
        goes_first, if_first: as of `AddQuota`.
    """

    pod_set: str
    count: int
    fits: int
    goes_first: tuple[str, ...] = ()
    if_first: bool = False


Remedy: TypeAlias = AddQuota | StopWorkloads | MatchFlavor | FewerPods


class LastTried(Facts, frozen=True):
    """What the API server shows of the last attempt.

    Attributes:
        at: when.
        reason: of the condition, or of the Event.
        message: of it.
        source: `condition` or `event`.
    """

    at: str
    reason: str
    message: str
    source: str


class MissingResource(Facts, frozen=True):
    """One resource of a domain, and what pods want of it.

    Attributes:
        resource: its name.
        asked: by all pods together.
        capacity: what all nodes of the domain can allocate.
        free: of it.
        missing: what is asked beyond what is free; `0` does not mean that the pods fit, for what is free may lie in pieces.
    """

    resource: str
    asked: str
    capacity: str
    free: str
    missing: str


class Tenant(Facts, frozen=True):
    """Who holds what is missing in a domain.

    Attributes:
        workload: its name; empty for all pods beside topologies together.
        pods: how many of its pods are there; 0 for the others.
        amounts: by resource.
    """

    workload: str
    pods: int
    amounts: dict[str, str]


class LevelFacts(Facts, frozen=True):
    """One level of a topology, as some pods find it.

    Attributes:
        level: node label.
        domains: how many there are.
        largest: the values of the domain that takes most of the pods, with those of the levels above, joined by `/`.
        fits: how many pods it takes, in whole slices.
        all_fit: how many all domains of the level take.
        resources: what is asked and free there.
        tenants: who holds what is missing there, or if nothing is, what is asked; the largest first, at most ten, others than Workloads last.
    """

    level: str
    domains: int
    largest: str
    fits: int
    all_fit: int
    resources: tuple[MissingResource, ...]
    tenants: tuple[Tenant, ...]


class PlaceFacts(Facts, frozen=True):
    """Pods that have quota and find no places.

    Attributes:
        pod_set: the workers'.
        flavor: with the topology.
        topology: its name.
        strictness: `Required`, `Preferred` or `Unconstrained`.
        level: node label of the level that the request names, or begins with.
        pods: how many they are.
        slice_size: pods that must stay together; 1 for no slices.
        has_leader: whether a leader goes with them.
        levels: the widest first.
    """

    pod_set: str
    flavor: str
    topology: str
    strictness: str
    level: str
    pods: int
    slice_size: int
    has_leader: bool
    levels: tuple[LevelFacts, ...]


class WorkloadExplanation(Facts, frozen=True):
    """Facts about one Workload.

    Attributes:
        workload: its name.
        local_queue: it names.
        cluster_queue: it waits for, or holds quota of; empty if there is none.
        state: `Finished`, `Admitted`, `QuotaReserved`, `Pending`, `Parked`, `Blocked` or `Gated`.
        reason: the rule that says no, as the condition names it; empty if nothing does.
        message: what it says.
        position: place in the ClusterQueue's order, from 1; null if it does not wait.
        waiting: how many wait for the ClusterQueue.
        ahead: who comes before it, at most ten, the nearest to the head first.
        last_tried: null if it was not tried, as far as the API server shows.
        attempts: flavors that were tried.
        places: the first pods that have quota and find no places in their topology; null if there are none.
        victims: who was considered for preemption, at most twenty, those that would be taken first.
        victims_note: why nobody was considered; empty where somebody was, or nobody needs to be.
        wakes_on: what makes the scheduler look again.
        remedies: the smallest changes that admit it, each proved by the decision made again with the change.
        preempted: how often it was preempted.
        preempted_by: what it was told the last time; empty if never.
        pods: of an admitted Workload whose pods are not ready: what its condition, and the last Warning of its job, tell of them.
    """

    workload: str
    local_queue: str
    cluster_queue: str
    state: str
    reason: str
    message: str
    position: int | None = None
    waiting: int = 0
    ahead: tuple[str, ...] = ()
    last_tried: LastTried | None = None
    attempts: tuple[AttemptFacts, ...] = ()
    places: PlaceFacts | None = None
    victims: tuple[VictimFacts, ...] = ()
    victims_note: str = ""
    wakes_on: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    preempted: int = 0
    preempted_by: str = ""
    pods: str = ""


class Waiting(Facts, frozen=True):
    """One line of a queue.

    Attributes:
        position: in the ClusterQueue's order, from 1.
        workload: its name.
        local_queue: its LocalQueue, as `namespace/name`.
        priority: effective.
        queued_at: the time by which equal priorities are ordered.
    """

    position: int
    workload: str
    local_queue: str
    priority: int
    queued_at: str


class FlavorFacts(Facts, frozen=True):
    """Quota of one flavor in a ClusterQueue."""

    flavor: str
    resources: tuple[ResourceFacts, ...]


class QueueExplanation(Facts, frozen=True):
    """Facts about a ClusterQueue or a LocalQueue.

    Attributes:
        kind: `ClusterQueue` or `LocalQueue`.
        queue: its name, or `namespace/name`.
        cluster_queue: of a LocalQueue; itself for a ClusterQueue.
        path: of the ClusterQueue in its cohort tree.
        strategy: `StrictFIFO` or `BestEffortFIFO`.
        is_active: as its condition `Active`.
        reason: of that condition.
        message: of that condition.
        pending: how many wait.
        reserving: how many hold quota.
        admitted: how many of those are admitted.
        flavors: quota of the ClusterQueue.
        waiting: who waits, in order, the first of them.
        head: why the first does not start; null if nobody waits.
    """

    kind: str
    queue: str
    cluster_queue: str
    path: str
    strategy: str
    is_active: bool
    reason: str
    message: str
    pending: int
    reserving: int
    admitted: int
    flavors: tuple[FlavorFacts, ...]
    waiting: tuple[Waiting, ...]
    head: WorkloadExplanation | None


class DomainResource(Facts, frozen=True):
    """One resource of a domain.

    Attributes:
        resource: its name.
        capacity: what the nodes can allocate.
        workloads: what Workloads with a place hold, from their reservation on.
        others: what pods beside topologies use.
        free: the rest; negative if more is used than there is.
        used_share: of the capacity, 0.0 to 1.0 and above.
    """

    resource: str
    capacity: str
    workloads: str
    others: str
    free: str
    used_share: float


class PlacedWorkload(Facts, frozen=True):
    """A Workload, and how many of its pods have their place in a domain."""

    workload: str
    pods: int


class DomainFacts(Facts, frozen=True):
    """A domain of a topology.

    Attributes:
        level: node label.
        name: its value.
        nodes: how many usable nodes are in it.
        resources: by name.
        workloads: that have pods here, by name.
        domains: the next level, by name; empty for the last.
    """

    level: str
    name: str
    nodes: int
    resources: tuple[DomainResource, ...]
    workloads: tuple[PlacedWorkload, ...]
    domains: tuple[DomainFacts, ...]


class TopologyFacts(Facts, frozen=True):
    """A topology on the nodes of one flavor.

    Attributes:
        topology: its name.
        flavor: its name.
        levels: node labels, the widest first.
        resources: names that its nodes can allocate.
        left_out: nodes with the flavor's labels that are in no domain: not ready, cordoned, or without a label of each level.
        domains: of the first level, by name.
    """

    topology: str
    flavor: str
    levels: tuple[str, ...]
    resources: tuple[str, ...]
    left_out: tuple[str, ...]
    domains: tuple[DomainFacts, ...]
