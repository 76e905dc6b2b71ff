"""ResourceFlavor, Topology and WorkloadPriorityClass (spec: api.md §5–§7)."""

from __future__ import annotations

from pykueue.api.schema.common import IMMUTABLE, LABEL_KEY, UNIQUE, subdomain, taints, tolerations
from pykueue.api.schema.dsl import Node, Rule, derive, edit, int32, listing, mapping, obj, root, rules, string

_HOSTNAME_LOWEST: Rule = (
    "the kubernetes.io/hostname label can only be used at the lowest level of topology",
    (
        "size(self.filter(i, i.nodeLabel == 'kubernetes.io/hostname')) == 0 || "
        "self[size(self) - 1].nodeLabel == 'kubernetes.io/hostname'"
    ),
)
_MUTABLE_ABOVE_HOSTNAME: Rule = (
    "levels are mutable only when kubernetes.io/hostname is the lowest level both before and after the change",
    (
        "self == oldSelf || (self[size(self) - 1].nodeLabel == 'kubernetes.io/hostname' && "
        "oldSelf[size(oldSelf) - 1].nodeLabel == 'kubernetes.io/hostname')"
    ),
)


def resource_flavor() -> dict[str, Node]:
    """Schemas of ResourceFlavor, by version; both are the same."""
    spec = obj(
        "which nodes the flavor stands for",
        {
            "nodeLabels": mapping("labels of its nodes", string(), max_entries=8, atomic=True),
            "nodeTaints": taints(checked=True),
            "tolerations": tolerations("tolerations added to the pods admitted in this flavor"),
            "topologyName": subdomain("Topology for topology-aware scheduling on its nodes"),
        },
        (
            "at least one nodeLabel is required when topology is set",
            "!has(self.topologyName) || self.nodeLabels.size() >= 1",
        ),
        (
            "topologyName is immutable when topologyName is set",
            "!has(oldSelf.topologyName) || (has(self.topologyName) && self.topologyName == oldSelf.topologyName)",
        ),
    )
    newest = root("a kind of nodes", {"spec": spec})
    return {"v1beta2": newest, "v1beta1": newest}


def topology() -> dict[str, Node]:
    """Schemas of Topology, by version."""
    level = obj(
        "one level", {"nodeLabel!": string("node label of the level", at_least=1, at_most=316, pattern=LABEL_KEY)}
    )
    levels = listing(
        "levels from the widest to the narrowest",
        level,
        _MUTABLE_ABOVE_HOSTNAME,
        UNIQUE,
        _HOSTNAME_LOWEST,
        at_least=1,
        at_most=16,
    )
    newest = root("the hierarchy of nodes", {"spec": obj("the levels", {"levels!": levels})})
    # Kueue parity: api.md §6 - each version's rule guards only requests in that version.
    older = derive(newest, {"spec.levels": rules(IMMUTABLE, UNIQUE, _HOSTNAME_LOWEST)})
    return {"v1beta2": newest, "v1beta1": older}


def workload_priority_class() -> dict[str, Node]:
    """Schemas of WorkloadPriorityClass, by version."""
    newest = root(
        "a priority for queueing and preemption, apart from that of pods",
        {
            "value!": int32("the priority; higher goes first"),
            "description": string("when to use this class", at_most=2048),
        },
    )
    return {"v1beta2": newest, "v1beta1": derive(newest, {"description": edit(maxLength=None)})}
