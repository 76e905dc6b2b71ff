"""What LeaderWorkerSet does to pods when they are created: labels of their group, affinity, environment.

The webhook knows nothing but the pod: everything comes from its name, labels and annotations, which the StatefulSets put there.

Source: leaderworkerset.md B3 (pod mutating webhook), B4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.errors import FieldError, Forbidden
from pykueue.api.kinds import POD
from pykueue.api.objects import Obj
from pykueue.emulation.leaderworkerset import names
from pykueue.emulation.leaderworkerset.tpu import with_tpu_environment
from pykueue.ports.admission import AdmissionRequest, MatchCondition, Operation
from pykueue.ports.reader import Reader

_LEADER_EXCLUDED = "LeaderExcluded"


class LeaderWorkerSetPodWebhook:
    """Admission of pods that carry a set's name."""

    kind = POD
    mutating_operations: Sequence[Operation] = (Operation.CREATE,)
    validating_operations: Sequence[Operation] = ()
    mutating_conditions: Sequence[MatchCondition] = ()
    validating_conditions: Sequence[MatchCondition] = ()
    validated_subresources: Sequence[str] = ()
    skips_system_namespaces = False

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """The pod as a member of its group.

        Raises:
            Forbidden: the size annotation is missing.
        """
        del reader
        pod = request.obj
        if names.SET_NAME not in objects.labels(pod) or request.operation is not Operation.CREATE:
            return pod
        if names.SIZE not in objects.annotations(pod):
            raise Forbidden(f"size annotation is unexpectedly missing for pod {objects.name(pod)}")
        return with_membership(pod, request.namespace or objects.namespace(pod))

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """Nothing is refused."""
        del request, reader
        return ()


def with_membership(pod: Obj, namespace: str) -> Obj:
    """The pod with the labels, affinity and environment of its place in the group."""
    parent, ordinal = names.split_ordinal(objects.name(pod))
    annotations, labels = objects.annotations(pod), dict(objects.labels(pod))
    spec = dict(pod.get("spec") or {})
    is_leader = labels.get(names.WORKER_INDEX) == "0"
    subgroup_size = annotations.get(names.SUBGROUP_SIZE)
    if is_leader:
        labels[names.GROUP_INDEX] = str(ordinal)
        if annotations.get(names.SUBDOMAIN_POLICY) == names.UNIQUE_PER_REPLICA:
            spec["subdomain"] = objects.name(pod)
        labels[names.GROUP_KEY] = names.sha1(f"{namespace}/{objects.name(pod)}")
        if topology := annotations.get(names.EXCLUSIVE_TOPOLOGY):
            spec = with_exclusive_affinity(spec, topology, names.GROUP_KEY, labels[names.GROUP_KEY])
        if subgroup_size and annotations.get(names.SUBGROUP_POLICY_TYPE) != _LEADER_EXCLUDED:
            labels |= {names.SUBGROUP_INDEX: "0", names.SUBGROUP_KEY: names.sha1(f"{objects.name(pod)}/0")}
    else:
        labels[names.WORKER_INDEX] = str(ordinal)
        if subgroup_size:
            index = subgroup_index(int(annotations[names.SIZE]), int(subgroup_size), ordinal)
            labels |= {names.SUBGROUP_INDEX: str(index), names.SUBGROUP_KEY: names.sha1(f"{parent}/{index}")}
    if names.SUBGROUP_KEY in labels and (topology := annotations.get(names.SUBGROUP_EXCLUSIVE_TOPOLOGY)):
        spec = with_exclusive_affinity(spec, topology, names.SUBGROUP_KEY, labels[names.SUBGROUP_KEY])
    joined = {**objects.with_metadata(pod, labels=labels), "spec": spec}
    return with_tpu_environment({**joined, "spec": _with_environment(joined, namespace)})


def subgroup_index(size: int, subgroup_size: int, worker_index: int) -> int:
    """The sub-group of a worker: the leader is one too many where `size - 1` is divisible and `size` is not."""
    if (size - 1) % subgroup_size == 0 and size % subgroup_size != 0:
        return (worker_index - 1) // subgroup_size
    return worker_index // subgroup_size


def with_exclusive_affinity(spec: Mapping[str, Any], topology: str, label: str, value: str) -> dict[str, Any]:
    """Pod affinity to the own group and anti-affinity to all others, in one domain of the topology."""
    own = {"matchExpressions": [{"key": label, "operator": "In", "values": [value]}]}
    others = {
        "matchExpressions": [
            {"key": label, "operator": "Exists"},
            {"key": label, "operator": "NotIn", "values": [value]},
        ]
    }
    affinity = dict(spec.get("affinity") or {})
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    present = [(affinity.get(side) or {}).get(required) or [] for side in ("podAffinity", "podAntiAffinity")]
    if all(any(term.get("topologyKey") == topology for term in terms) for terms in present):
        return dict(spec)
    for side, terms, selector in zip(("podAffinity", "podAntiAffinity"), present, (own, others), strict=True):
        term = {"labelSelector": selector, "topologyKey": topology}
        affinity[side] = {**(affinity.get(side) or {}), required: [*terms, term]}
    return {**spec, "affinity": affinity}


def _with_environment(pod: Obj, namespace: str) -> dict[str, Any]:
    """Our variables come first and replace the user's of the same name."""
    spec, labels = pod["spec"], objects.labels(pod)
    leader = f"{labels.get(names.SET_NAME)}-{labels.get(names.GROUP_INDEX)}"
    own = [
        {"name": "LWS_LEADER_ADDRESS", "value": f"{leader}.{spec.get('subdomain') or ''}.{namespace}"},
        {"name": "LWS_GROUP_SIZE", "value": objects.annotations(pod)[names.SIZE]},
        {"name": "LWS_WORKER_INDEX", "value": labels.get(names.WORKER_INDEX, "")},
    ]
    reserved = {variable["name"] for variable in own}
    changed = dict(spec)
    for field in ("containers", "initContainers"):
        if spec.get(field):
            changed[field] = [
                {**c, "env": [*own, *(e for e in c.get("env") or () if e.get("name") not in reserved)]}
                for c in spec[field]
            ]
    return changed
