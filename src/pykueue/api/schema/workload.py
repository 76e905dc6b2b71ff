"""Workload, the unit of admission (spec: api.md §1)."""

from __future__ import annotations

from pykueue.api.schema.common import conditions, count32, label_63, quantity, subdomain, tolerations
from pykueue.api.schema.dsl import (
    Node,
    boolean,
    choice,
    derive,
    drop,
    edit,
    int32,
    listing,
    mapping,
    obj,
    put,
    root,
    rules,
    string,
    time,
)
from pykueue.api.schema.pod_template import pod_template
from pykueue.api.schema.workload_rules import V1BETA1_RULES, V1BETA2_RULES

_EXACTLY_ONE = "exactly one of the fields in [universal individual] must be set"


def workload() -> dict[str, Node]:
    """Schemas of Workload, by version."""
    newest = root("pods that are admitted together", {"spec": _spec(), "status": _status()}, *V1BETA2_RULES)
    return {"v1beta2": newest, "v1beta1": derive(newest, _V1BETA1)}


def _spec() -> Node:
    reference = obj(
        "where the priority comes from",
        {
            "group!": choice("group of the class", "kueue.x-k8s.io", "scheduling.k8s.io"),
            "kind!": choice("kind of the class", "WorkloadPriorityClass", "PriorityClass"),
            "name!": subdomain("name of the class", at_least=1),
        },
        (
            "only the PriorityClass kind is allowed for the scheduling.k8s.io group",
            "(self.group == 'scheduling.k8s.io') ? self.kind == 'PriorityClass' : true",
        ),
        (
            "only the WorkloadPriorityClass kind is allowed for the kueue.x-k8s.io group",
            "(self.group == 'kueue.x-k8s.io') ? self.kind == 'WorkloadPriorityClass' : true",
        ),
    )
    gate = obj("a gate", {"name!": string("its name", at_least=1, at_most=63)})
    return obj(
        "what wants to run",
        {
            "podSets": listing("groups of equal pods", _pod_set(), keys=["name"], at_least=1, at_most=18),
            "queueName": subdomain("the LocalQueue"),
            "priorityClassRef": reference,
            "priority": int32("higher goes first"),
            "active": boolean("false evicts the workload and keeps it out of the queue", default=True),
            "maximumExecutionTimeSeconds": int32("the workload is deactivated after it", minimum=1),
            "preemptionGates": listing("what keeps the workload from preempting", gate, keys=["name"], at_most=8),
        },
        (
            "priority should not be nil when priorityClassRef is set",
            "!has(self.priorityClassRef) || has(self.priority)",
        ),
    )


def _pod_set() -> Node:
    constraint = obj(
        "one layer of slices",
        {
            "topology!": string("level that a slice stays within", at_least=1, at_most=63),
            "size!": int32("pods in a slice", minimum=1),
        },
    )
    topology = obj(
        "where the pods want to be",
        {
            "required": string("level that the pods must share", at_most=63),
            "preferred": string("level that the pods should share", at_most=63),
            "unconstrained": boolean("any place will do"),
            "podIndexLabel": string("label with a pod's index", at_most=317),
            "subGroupIndexLabel": string("label with a group's index", at_most=317),
            "subGroupCount": count32("number of groups"),
            "podSetGroupName": string("pod sets of the same group get the same place", at_most=256),
            "podSetSliceRequiredTopology": string("level that a slice must share", at_most=63),
            "podSetSliceSize": int32("pods in a slice", minimum=1),
            "podsetSliceRequiredTopologyConstraints": listing("layers of slices", constraint, at_most=3),
        },
    )
    return obj(
        "pods of one template",
        {
            "name": label_63("name within the workload", default="main"),
            "template!": pod_template("template of the pods"),
            "count": int32("number of pods", minimum=0, default=1),
            "minCount": int32("least number of pods, for partial admission", minimum=1),
            "topologyRequest": topology,
        },
        (
            "minCount should be positive and less or equal to count",
            "has(self.minCount) ? self.minCount <= self.count : true",
        ),
    )


def _topology_assignment() -> Node:
    individual = obj(
        "values with a common beginning and end",
        {
            "prefix": string("common beginning", at_most=63),
            "suffix": string("common end", at_most=63),
            "roots!": listing("what is between, by domain", string(at_most=63), at_least=1, at_most=100000),
        },
    )
    values = obj(
        "values of one level",
        {"universal": string("the value of all domains", at_most=63), "individual": individual},
        (_EXACTLY_ONE, "has(self.universal) != has(self.individual)"),
    )
    counts = obj(
        "pods by domain",
        {
            "universal": int32("the number in each domain", minimum=1),
            "individual": listing("the numbers by domain", int32(minimum=1), at_least=1, at_most=100000),
        },
        (_EXACTLY_ONE, "[has(self.universal),has(self.individual)].filter(x,x==true).size() == 1"),
    )
    part = obj(
        "domains that are told together",
        {
            "domainCount!": int32("number of domains", minimum=1),
            "valuesPerLevel!": listing("values of the domains, by level", values, at_least=1, at_most=16),
            "podCounts!": counts,
        },
        (
            "podCounts.individual must have length equal to domainCount",
            "!has(self.podCounts.individual) || size(self.podCounts.individual) == self.domainCount",
        ),
        (
            (
                "valuesPerLevel.individual, if set, must have roots of length equal to domainCount of this "
                "TopologyAssignmentSlice"
            ),
            "self.valuesPerLevel.all(x, !has(x.individual) || size(x.individual.roots) == self.domainCount)",
        ),
    )
    return obj(
        "domains that the pods were placed in",
        {
            "levels!": listing("node labels of the levels", string(at_most=317), at_least=1, at_most=16),
            "slices!": listing("the domains in the order of their pods", part, at_most=1000),
        },
        (
            "valuesPerLevel must have the same length as the number of levels in this TopologyAssignment",
            "self.slices.all(x, size(x.valuesPerLevel) == size(self.levels))",
        ),
    )


def _admission() -> Node:
    assignment = obj(
        "what one pod set got",
        {
            "name": label_63("name of the pod set", default="main"),
            "flavors": mapping("flavor by resource", subdomain("name of a ResourceFlavor")),
            "resourceUsage": mapping("quota used by all pods together, by resource", quantity()),
            "count": count32("number of pods that were admitted"),
            "topologyAssignment": _topology_assignment(),
            "delayedTopologyRequest": choice("a place that is found later", "Pending", "Ready", maxLength=7),
        },
    )
    return obj(
        "the quota reservation",
        {
            "clusterQueue": subdomain("the ClusterQueue whose quota is used"),
            "podSetAssignments": listing("what each pod set got", assignment, keys=["name"], at_most=18),
        },
    )


def _admission_checks() -> Node:
    string_map = mapping("entries to add", string())
    update = obj(
        "changes to the pods of one pod set",
        {
            "name!": label_63("name of the pod set"),
            "labels": string_map,
            "annotations": string_map,
            "nodeSelector": string_map,
            "tolerations": tolerations("tolerations to add"),
        },
    )
    check = obj(
        "state of one check",
        {
            "name!": string("name of the AdmissionCheck", at_least=1, at_most=316),
            "state!": choice("where it stands", "Pending", "Ready", "Retry", "Rejected"),
            "lastTransitionTime!": time("when the state last changed"),
            "message!": string("why, for people", at_most=32768),
            "requeueAfterSeconds": count32("how long to wait before the next try"),
            "retryCount": count32("tries so far"),
            "podSetUpdates": listing("changes to the pods", update, at_most=18),
        },
    )
    return listing("states of the admission checks", check, keys=["name"], at_most=8)


def _status() -> Node:
    pod_set_name = label_63("name of the pod set")
    eviction = obj(
        "a count",
        {
            "reason!": string("reason of the eviction", at_most=316),
            "underlyingCause!": string("cause behind the reason, or empty", at_most=316),
            "count!": count32("how often"),
        },
    )
    gate = obj(
        "state of one gate",
        {
            "name!": string("name of the gate", at_least=1, at_most=63),
            "position!": choice("whether it lets preemption pass", "Closed", "Open"),
            "lastTransitionTime!": time("when the position last changed"),
        },
    )
    request = obj("requests of one pod set", {"name!": pod_set_name, "resources": mapping("by resource", quantity())})
    reclaimable = obj(
        "pods of one pod set that need no quota any more",
        {"name!": pod_set_name, "count!": count32("number of pods")},
    )
    requeue = obj(
        "waiting after an eviction",
        {"count": count32("evictions so far"), "requeueAt": time("when the workload is queued again")},
    )
    node = obj("a node", {"name!": string("its name", at_most=63)})
    evictions = listing("by reason and cause", eviction, keys=["reason", "underlyingCause"], at_most=256)
    return obj(
        "where the workload stands",
        {
            "conditions": conditions(),
            "admission": _admission(),
            "requeueState": requeue,
            "reclaimablePods": listing("quota that can be given back", reclaimable, keys=["name"], at_most=18),
            "admissionChecks": _admission_checks(),
            "resourceRequests": listing("what the workload asked for", request, keys=["name"], at_most=18),
            "accumulatedPastExecutionTimeSeconds": int32("time it ran in past admissions"),
            "schedulingStats": obj("counts", {"evictions": evictions}),
            "nominatedClusterNames": listing("worker clusters to try", string(at_most=256), at_most=20),
            "clusterName": string("worker cluster that admitted it", at_most=256),
            "unhealthyNodes": listing("nodes to replace", node, keys=["name"], at_most=8),
            "preemptionGates": listing("states of the gates", gate, keys=["name"], at_most=8),
        },
        (
            "clusterName is immutable once set",
            "!has(oldSelf.clusterName) || !has(self.clusterName) || oldSelf.clusterName == self.clusterName",
        ),
        (
            "clusterName and nominatedClusterNames are mutually exclusive",
            (
                "!has(self.clusterName) || (!has(self.nominatedClusterNames) || (has(self.nominatedClusterNames) && "
                "size(self.nominatedClusterNames) == 0))"
            ),
        ),
    )


# --- v1beta1 (§1.6) --------------------------------------------------------------------------------------------------

_ASSIGNMENT = "status.admission.podSetAssignments[]"
_UNBOUNDED_REQUESTS = (
    "podIndexLabel",
    "podSetGroupName",
    "podSetSliceRequiredTopology",
    "preferred",
    "required",
    "subGroupIndexLabel",
)
_DOMAIN = obj(
    "a domain",
    {
        "values!": listing("its values, by level", string(), at_least=1, at_most=16),
        "count!": int32("pods in it", minimum=1),
    },
)
_V1BETA1 = {
    "": rules(*V1BETA1_RULES),
    "spec": edit(
        required=["podSets"],
        x_kubernetes_validations=[
            {
                "message": "priority should not be nil when priorityClassName is set",
                "rule": "has(self.priorityClassName) ? has(self.priority) : true",
            }
        ],
    ),
    "spec.podSets[]": edit(required=["count", "template"]),
    **{f"spec.podSets[].topologyRequest.{name}": edit(maxLength=None) for name in _UNBOUNDED_REQUESTS},
    "spec.podSets[].topologyRequest.subGroupCount": edit(minimum=None),
    "spec.podSets[].topologyRequest.podsetSliceRequiredTopologyConstraints": drop,
    "spec.preemptionGates": drop,
    "spec.priorityClassRef": drop,
    "spec.priorityClassName": put(subdomain("name of the class that the priority comes from")),
    "spec.priorityClassSource": put(
        choice(
            "kind of that class",
            "kueue.x-k8s.io/workloadpriorityclass",
            "scheduling.k8s.io/priorityclass",
            "",
            default="",
        )
    ),
    "status.accumulatedPastExecutionTimeSeconds": drop,
    # Kueue parity: api.md §1.6 - the misspelt name is the real one.
    "status.accumulatedPastExexcutionTimeSeconds": put(int32("time it ran in past admissions")),
    "status.admission": edit(required=["clusterQueue", "podSetAssignments"]),
    _ASSIGNMENT: edit(required=["name"]),
    f"{_ASSIGNMENT}.delayedTopologyRequest": edit(enum=None, maxLength=None),
    f"{_ASSIGNMENT}.topologyAssignment.slices": drop,
    f"{_ASSIGNMENT}.topologyAssignment.domains": put(
        listing("the domains in the order of their pods", _DOMAIN, kind=None), required=True
    ),
    f"{_ASSIGNMENT}.topologyAssignment": edit(x_kubernetes_validations=None),
    f"{_ASSIGNMENT}.topologyAssignment.levels[]": edit(maxLength=None),
    "status.admissionChecks[].name": edit(minLength=None),
    "status.admissionChecks[].podSetUpdates[].tolerations": edit(x_kubernetes_list_type=None),
    "status.clusterName": edit(maxLength=None),
    "status.conditions": edit(maxItems=None),
    "status.nominatedClusterNames[]": edit(maxLength=None),
    "status.preemptionGates": drop,
    "status.schedulingStats.evictions": edit(maxItems=None),
    "status.unhealthyNodes": edit(maxItems=None, x_kubernetes_list_type=None, x_kubernetes_list_map_keys=None),
    "status.unhealthyNodes[].name": edit(maxLength=None),
}
