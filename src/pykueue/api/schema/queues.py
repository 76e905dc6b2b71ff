"""ClusterQueue, Cohort and LocalQueue (spec: api.md §2–§4)."""

from __future__ import annotations

from pykueue.api.schema.common import (
    IMMUTABLE,
    conditions,
    quantity,
    selector,
    stop_policy,
    subdomain,
    taints,
)
from pykueue.api.schema.dsl import (
    Node,
    choice,
    derive,
    drop,
    edit,
    int32,
    int64,
    listing,
    mapping,
    obj,
    put,
    root,
    rules,
    string,
    time,
)


def _resource_groups() -> Node:
    quota = obj(
        "quota of one resource in one flavor",
        {
            "name!": string("name of the resource"),
            "nominalQuota!": quantity("what the queue may use at any time"),
            "borrowingLimit": quantity("the most it may borrow from its cohort; absent: no limit"),
            "lendingLimit": quantity("the most of its unused quota that others may borrow; absent: no limit"),
        },
    )
    flavor = obj(
        "quotas in one flavor",
        {
            "name!": subdomain("name of the ResourceFlavor"),
            "resources!": listing("a quota for each covered resource", quota, keys=["name"], at_least=1, at_most=64),
        },
    )
    group = obj(
        "resources that take their flavor together",
        {
            "coveredResources!": listing("resources of this group", string(), at_least=1, at_most=64),
            "flavors!": listing("flavors in the order they are tried", flavor, keys=["name"], at_least=1, at_most=64),
        },
        (
            "flavors must have the same number of resources as the coveredResources",
            "self.flavors.all(x, size(x.resources) == size(self.coveredResources))",
        ),
    )
    return listing("quotas, by groups of resources", group, at_most=16)


def _fair_sharing() -> Node:
    weight = quantity("advantage in sharing what is unused; 0 is served last", default=1)
    return obj("place in fair sharing", {"weight": weight})


def _share(**more: Node) -> Node:
    share = int64("the greatest ratio of borrowed to lendable quota, divided by the weight, in thousandths")
    return obj("state of fair sharing", {"weightedShare!": share, **more})


def _admission_fair_sharing() -> Node:
    return obj(
        "usage history for admission fair sharing",
        {
            "consumedResources!": mapping("decayed usage by resource", quantity()),
            "lastUpdate!": time("when consumedResources was last computed"),
        },
    )


def _usage(text: str, *, borrowed: bool) -> Node:
    properties: dict[str, Node] = {"name!": string("name of the resource"), "total": quantity("all that is used")}
    if borrowed:
        properties["borrowed"] = quantity("the part that is borrowed from the cohort")
    resource = obj("usage of one resource", properties)
    flavor = obj(
        "usage of one flavor",
        {
            "name!": subdomain("name of the ResourceFlavor"),
            "resources!": listing("usage by resource", resource, keys=["name"], at_most=64),
        },
    )
    return listing(text, flavor, keys=["name"], at_most=64)


def _flavor_fungibility() -> Node:
    return obj(
        "whether to take a flavor that costs something or to try the next one",
        {
            "whenCanBorrow": choice(
                "when the workload fits by borrowing", "MayStopSearch", "TryNextFlavor", default="MayStopSearch"
            ),
            "whenCanPreempt": choice(
                "when the workload fits after preemption", "MayStopSearch", "TryNextFlavor", default="TryNextFlavor"
            ),
            "preference": choice(
                "which flavor is better when all were tried", "BorrowingOverPreemption", "PreemptionOverBorrowing"
            ),
        },
        (
            "preference can only be set when both whenCanBorrow and whenCanPreempt are TryNextFlavor",
            "!has(self.preference) || (self.whenCanBorrow == 'TryNextFlavor' && self.whenCanPreempt == 'TryNextFlavor')",
        ),
        default={},
    )


def _preemption() -> Node:
    borrow = obj(
        "preemption in the cohort while borrowing",
        {
            "policy": choice("whom", "Never", "LowerPriority", default="Never"),
            "maxPriorityThreshold": int32("only workloads of at most this priority are preempted"),
        },
        default={},
    )
    return obj(
        "whom pending workloads of this queue may preempt",
        {
            "reclaimWithinCohort": choice(
                "in queues of the cohort that borrow", "Never", "LowerPriority", "Any", default="Never"
            ),
            "borrowWithinCohort": borrow,
            "withinClusterQueue": choice(
                "in this queue", "Never", "LowerPriority", "LowerOrNewerEqualPriority", default="Never"
            ),
        },
        (
            "reclaimWithinCohort=Never and borrowWithinCohort.Policy!=Never",
            (
                "!(self.reclaimWithinCohort == 'Never' && has(self.borrowWithinCohort) && "
                " self.borrowWithinCohort.policy != 'Never')"
            ),
        ),
        default={},
    )


def _admission_checks_strategy() -> Node:
    rule = obj(
        "one check",
        {
            "name!": string("name of the AdmissionCheck", at_least=1, at_most=316),
            "onFlavors": listing(
                "flavors it is for; empty: all", subdomain("name of a ResourceFlavor"), kind="set", at_most=64
            ),
        },
    )
    checks = listing("checks to pass before admission", rule, keys=["name"], at_least=1, at_most=64)
    return obj("admission checks, by flavor", {"admissionChecks!": checks})


def _concurrent_admission() -> Node:
    mode = choice("when a workload moves on", "TryPreferredFlavors", "RetainFirstAdmission", maxLength=253)
    last = subdomain("the least preferred flavor that a workload may be admitted in")
    migration = obj(
        "how admitted workloads move to better flavors",
        {"mode!": mode, "constraints": obj("limits of migration", {"lastAcceptableFlavorName": last})},
    )
    return obj("try flavors at the same time, one variant of the workload for each", {"migration!": migration})


def _borrowing_needs_cohort(field: str) -> tuple[str, str]:
    return (
        "borrowingLimit must be nil when cohort is empty",
        (
            f"!has(self.{field}) && has(self.resourceGroups) ? self.resourceGroups.all(rg, rg.flavors.all(f, "
            "f.resources.all(r, !has(r.borrowingLimit)))) : true"
        ),
    )


def cluster_queue() -> dict[str, Node]:
    """Schemas of ClusterQueue, by version."""
    scope = choice("how workloads are ordered", "UsageBasedAdmissionFairSharing", "NoAdmissionFairSharing")
    spec = obj(
        "what the queue offers",
        {
            "resourceGroups": _resource_groups(),
            "cohortName": subdomain("cohort whose members lend to each other; empty: none"),
            "queueingStrategy": choice(
                "StrictFIFO: the head blocks those behind it", "StrictFIFO", "BestEffortFIFO", default="BestEffortFIFO"
            ),
            "namespaceSelector": selector("namespaces that may use the queue; absent: none, empty: all"),
            "flavorFungibility": _flavor_fungibility(),
            "preemption": _preemption(),
            "admissionChecksStrategy": _admission_checks_strategy(),
            "stopPolicy": stop_policy(),
            "fairSharing": _fair_sharing(),
            "admissionScope": obj("admission fair sharing of this queue", {"admissionMode!": scope}),
            "concurrentAdmissionPolicy": _concurrent_admission(),
        },
        _borrowing_needs_cohort("cohortName"),
    )
    status = obj(
        "what the queue holds",
        {
            "conditions": conditions(),
            "flavorsReservation": _usage("quota reserved, by flavor", borrowed=True),
            "flavorsUsage": _usage("quota of admitted workloads, by flavor", borrowed=True),
            "pendingWorkloads": int32("workloads that wait"),
            "reservingWorkloads": int32("workloads that hold quota"),
            "admittedWorkloads": int32("workloads that are admitted and not finished"),
            "fairSharing": _share(),
        },
    )
    newest = root("a pool of quota for all namespaces", {"spec": spec, "status": status})
    return {"v1beta2": newest, "v1beta1": derive(newest, _CLUSTER_QUEUE_V1BETA1)}


def cohort() -> dict[str, Node]:
    """Schemas of Cohort, by version."""
    spec = obj(
        "quota of the cohort itself",
        {
            "parentName": subdomain("the cohort above; empty: this is a root"),
            "resourceGroups": _resource_groups(),
            "fairSharing": _fair_sharing(),
        },
    )
    status = obj("state of the cohort", {"fairSharing": _share()})
    newest = root("a group of queues and cohorts that lend to each other", {"spec": spec, "status": status})
    return {"v1beta2": newest, "v1beta1": derive(newest, _COHORT_V1BETA1)}


def local_queue() -> dict[str, Node]:
    """Schemas of LocalQueue, by version."""
    spec = obj(
        "where the workloads go",
        {
            "clusterQueue": subdomain("the ClusterQueue behind this queue", IMMUTABLE),
            "stopPolicy": stop_policy(),
            "fairSharing": _fair_sharing(),
        },
    )
    status = obj(
        "what the queue holds",
        {
            "conditions": conditions(),
            "pendingWorkloads": int32("workloads that wait"),
            "reservingWorkloads": int32("workloads that hold quota"),
            "admittedWorkloads": int32("workloads that are admitted and not finished"),
            "flavorsReservation": _usage("quota reserved, by flavor", borrowed=False),
            "flavorsUsage": _usage("quota of admitted workloads, by flavor", borrowed=False),
            "fairSharing": _share(admissionFairSharingStatus=_admission_fair_sharing()),
        },
    )
    newest = root("the queue of a namespace", {"spec": spec, "status": status})
    return {"v1beta2": newest, "v1beta1": derive(newest, _LOCAL_QUEUE_V1BETA1)}


def _available_flavors() -> Node:
    topology = obj(
        "topology of the flavor",
        {
            "name!": subdomain("name of the Topology"),
            "levels!": listing("its levels", string(), at_least=1, at_most=16),
        },
    )
    flavor = obj(
        "a flavor that the queue can use",
        {
            "name!": subdomain("name of the ResourceFlavor"),
            "resources": listing("its resources", string(), kind="set", at_most=64),
            "nodeLabels": mapping("labels of its nodes", string(), max_entries=8, atomic=True),
            "nodeTaints": taints(checked=False),
            "topology": topology,
        },
    )
    return listing("flavors that the queue can use", flavor, keys=["name"], at_most=64)


def _pending_workloads_status() -> Node:
    pending = obj("a pending workload", {"name!": string("its name"), "namespace!": string("its namespace")})
    return obj(
        "the first pending workloads; not maintained any more",
        {
            "clusterQueuePendingWorkload": listing("in the order of the queue", pending),
            "lastChangeTime!": time("when the list last changed"),
        },
    )


_CLUSTER_QUEUE_V1BETA1 = {
    "spec.cohortName": drop,
    "spec.cohort": put(subdomain("cohort whose members lend to each other; empty: none")),
    "spec": rules(_borrowing_needs_cohort("cohort")),
    "spec.concurrentAdmissionPolicy": drop,
    "spec.admissionChecks": put(listing("checks for all flavors", string(at_most=316), kind=None)),
    "spec.admissionChecksStrategy": edit(required=None),
    "spec.admissionChecksStrategy.admissionChecks": edit(
        minItems=None, maxItems=None, x_kubernetes_list_type=None, x_kubernetes_list_map_keys=None
    ),
    "spec.admissionChecksStrategy.admissionChecks[].name": edit(minLength=None),
    "spec.admissionChecksStrategy.admissionChecks[].onFlavors": edit(maxItems=None, x_kubernetes_list_type=None),
    "spec.admissionScope.admissionMode": edit(enum=None),
    "spec.flavorFungibility.whenCanBorrow": edit(enum=["MayStopSearch", "TryNextFlavor", "Borrow"]),
    "spec.flavorFungibility.whenCanPreempt": edit(enum=["MayStopSearch", "TryNextFlavor", "Preempt"]),
    "spec.resourceGroups[].coveredResources": edit(x_kubernetes_list_type=None),
    "status.conditions": edit(maxItems=None),
    "status.fairSharing.admissionFairSharingStatus": put(_admission_fair_sharing()),
    "status.pendingWorkloadsStatus": put(_pending_workloads_status()),
}
_COHORT_V1BETA1 = {
    "spec.resourceGroups[].coveredResources": edit(x_kubernetes_list_type=None),
    "status.fairSharing.admissionFairSharingStatus": put(_admission_fair_sharing()),
}
_LOCAL_QUEUE_V1BETA1 = {
    "status.conditions": edit(maxItems=None),
    "status.flavorsUsage": drop,
    "status.flavorUsage": put(_usage("quota of admitted workloads, by flavor", borrowed=False)),
    "status.flavors": put(_available_flavors()),
}
