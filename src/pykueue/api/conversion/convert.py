"""Conversion of raw objects of group `kueue.x-k8s.io` between v1beta1 and v1beta2, the hub.

Rules: an object that is already in the version is returned as it is; nothing is changed in place; what a version cannot say is
dropped on the way to it (spec: api.md §1.6, §2.3, §3, §4, §10). Kinds not named here differ at most by fields that one version
lacks. Validity is not judged here: a converted object may well be refused by the other version's schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pykueue.api.conversion.topology import Domain, decode_domains, encode_slices
from pykueue.api.kinds import KUEUE_GROUP
from pykueue.api.objects import Obj

VERSIONS = ("v1beta1", "v1beta2")

_Fields: TypeAlias = dict[str, Any]
_Step: TypeAlias = Callable[[_Fields], None]
"""Changes a fresh, shallow copy of the object whose `spec` and `status` are fresh, shallow copies as well."""

_SOURCES = {
    "kueue.x-k8s.io/workloadpriorityclass": ("kueue.x-k8s.io", "WorkloadPriorityClass"),
    "scheduling.k8s.io/priorityclass": ("scheduling.k8s.io", "PriorityClass"),
}
_SOURCE_OF = {group_and_kind: source for source, group_and_kind in _SOURCES.items()}


def convert(obj: Obj, api_version: str) -> Obj:
    """The same object in another version.

    Args:
        obj: an object of group `kueue.x-k8s.io`.
        api_version: `kueue.x-k8s.io/v1beta1` or `kueue.x-k8s.io/v1beta2`.

    Raises:
        ValueError: either version is not one of these two.
    """
    source = str(obj.get("apiVersion") or "")
    known = [f"{KUEUE_GROUP}/{version}" for version in VERSIONS]
    for version in (source, api_version):
        if version not in known:
            raise ValueError(
                f"cannot convert {obj.get('kind') or 'an object'} from {source!r} to {api_version!r}: "
                f"known versions are {' and '.join(known)}"
            )
    if source == api_version:
        return obj
    steps = _UP if api_version == known[1] else _DOWN
    result: _Fields = {**obj, "apiVersion": api_version}
    for part in ("spec", "status"):
        if isinstance(result.get(part), Mapping):
            result[part] = dict(result[part])
    step = steps.get(str(obj.get("kind")))
    if step is not None:
        step(result)
    return result


# --- helpers: all work on `spec` and `status` of a fresh copy --------------------------------------------------------


def _part(obj: _Fields, name: str) -> _Fields:
    part: _Fields = obj.get(name) or {}
    return part


def _drop(part: _Fields, *names: str) -> None:
    for name in names:
        part.pop(name, None)


def _rename(part: _Fields, old: str, new: str) -> None:
    if old in part:
        part[new] = part.pop(old)


def _drop_usage_history(obj: _Fields) -> None:
    status = _part(obj, "status")
    if isinstance(status.get("fairSharing"), Mapping):
        status["fairSharing"] = {k: v for k, v in status["fairSharing"].items() if k != "admissionFairSharingStatus"}


# --- Workload (§1.6) -------------------------------------------------------------------------------------------------


def _workload_up(obj: _Fields) -> None:
    spec, status = _part(obj, "spec"), _part(obj, "status")
    name, source = spec.pop("priorityClassName", None), spec.pop("priorityClassSource", None)
    if source in _SOURCES:
        group, kind = _SOURCES[source]
        spec["priorityClassRef"] = {"group": group, "kind": kind, "name": name or ""}
    # Kueue parity: api.md §1.6 - the misspelt name is the real one.
    _rename(status, "accumulatedPastExexcutionTimeSeconds", "accumulatedPastExecutionTimeSeconds")
    _map_topology(status, _topology_up)


def _workload_down(obj: _Fields) -> None:
    spec, status = _part(obj, "spec"), _part(obj, "status")
    reference = spec.pop("priorityClassRef", None)
    if reference:
        source = _SOURCE_OF.get((reference.get("group"), reference.get("kind")), "")
        spec |= {"priorityClassName": reference.get("name", ""), "priorityClassSource": source}
    _drop(spec, "preemptionGates")
    if spec.get("podSets"):
        spec["podSets"] = [_pod_set_down(pod_set) for pod_set in spec["podSets"]]
    _rename(status, "accumulatedPastExecutionTimeSeconds", "accumulatedPastExexcutionTimeSeconds")
    _drop(status, "preemptionGates")
    _map_topology(status, _topology_down)


def _pod_set_down(pod_set: Obj) -> Obj:
    request = pod_set.get("topologyRequest")
    field = "podsetSliceRequiredTopologyConstraints"
    if not isinstance(request, Mapping) or field not in request:
        return pod_set
    return {**pod_set, "topologyRequest": {k: v for k, v in request.items() if k != field}}


def _map_topology(status: _Fields, change: Callable[[Obj], Obj]) -> None:
    admission: Obj = status.get("admission") or {}
    assignments: Sequence[Obj] = admission.get("podSetAssignments") or ()
    if any(a.get("topologyAssignment") for a in assignments):
        changed = [
            {**a, "topologyAssignment": change(a["topologyAssignment"])} if a.get("topologyAssignment") else a
            for a in assignments
        ]
        status["admission"] = {**admission, "podSetAssignments": changed}


def _topology_up(assignment: Obj) -> Obj:
    levels = assignment.get("levels") or ()
    domains = [Domain(tuple(d.get("values") or ()), d.get("count", 0)) for d in assignment.get("domains") or ()]
    return {"levels": list(levels), "slices": encode_slices(levels, domains, by_hostname_prefix=False)}


def _topology_down(assignment: Obj) -> Obj:
    domains = [{"values": list(d.values), "count": d.n_pods} for d in decode_domains(assignment)]
    return {"levels": list(assignment.get("levels") or ()), "domains": domains}


# --- ClusterQueue, Cohort, LocalQueue (§2.3, §3, §4) -----------------------------------------------------------------


def _cluster_queue_up(obj: _Fields) -> None:
    spec, status = _part(obj, "spec"), _part(obj, "status")
    _rename(spec, "cohort", "cohortName")
    checks = spec.pop("admissionChecks", None)
    if checks:
        spec["admissionChecksStrategy"] = {"admissionChecks": [{"name": name} for name in checks]}
    fungibility = spec.get("flavorFungibility")
    if isinstance(fungibility, Mapping):
        spec["flavorFungibility"] = {
            k: "MayStopSearch" if (k, v) in (("whenCanBorrow", "Borrow"), ("whenCanPreempt", "Preempt")) else v
            for k, v in fungibility.items()
        }
    _drop(status, "pendingWorkloadsStatus")
    _drop_usage_history(obj)


def _cluster_queue_down(obj: _Fields) -> None:
    spec = _part(obj, "spec")
    _rename(spec, "cohortName", "cohort")
    _drop(spec, "concurrentAdmissionPolicy")


def _local_queue_up(obj: _Fields) -> None:
    status = _part(obj, "status")
    _rename(status, "flavorUsage", "flavorsUsage")
    _drop(status, "flavors")


def _local_queue_down(obj: _Fields) -> None:
    _rename(_part(obj, "status"), "flavorsUsage", "flavorUsage")


# --- MultiKueue and checks (§8–§10) ----------------------------------------------------------------------------------


def _multikueue_cluster_up(obj: _Fields) -> None:
    spec = _part(obj, "spec")
    kube_config, profile = spec.pop("kubeConfig", None), spec.pop("clusterProfileRef", None)
    source: _Fields = {}
    if kube_config and kube_config.get("location"):
        source["kubeConfig"] = kube_config
    if profile:
        source["clusterProfileRef"] = profile
    spec["clusterSource"] = source


def _multikueue_cluster_down(obj: _Fields) -> None:
    spec = _part(obj, "spec")
    source = spec.pop("clusterSource", None) or {}
    # v1beta1 requires kubeConfig; an empty location stands for none and is dropped again on the way up.
    spec["kubeConfig"] = source.get("kubeConfig") or {"location": "", "locationType": "Secret"}
    if source.get("clusterProfileRef"):
        spec["clusterProfileRef"] = source["clusterProfileRef"]


_UP: Mapping[str, _Step] = {
    "Workload": _workload_up,
    "ClusterQueue": _cluster_queue_up,
    "Cohort": _drop_usage_history,
    "LocalQueue": _local_queue_up,
    "MultiKueueCluster": _multikueue_cluster_up,
    "AdmissionCheck": lambda obj: _drop(_part(obj, "spec"), "retryDelayMinutes"),
}
_DOWN: Mapping[str, _Step] = {
    "Workload": _workload_down,
    "ClusterQueue": _cluster_queue_down,
    "LocalQueue": _local_queue_down,
    "MultiKueueCluster": _multikueue_cluster_down,
    "MultiKueueConfig": lambda obj: _drop(_part(obj, "spec"), "quotaManagement"),
}
