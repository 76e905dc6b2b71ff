"""An admission engine with objects written as briefly as the case tables write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pykueue.api.configuration.types import Configuration
from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import (
    Admission,
    AdmissionCheck,
    ClusterQueue,
    Cohort,
    Condition,
    LocalQueue,
    ResourceFlavor,
    Topology,
    Workload,
)
from pykueue.core.engine import AdmissionEngine
from pykueue.core.features import Features
from pykueue.core.scheduler.decisions import Admit, CycleResult, Pending, Preempt

SECOND = 1_000_000
START = Instant(1_700_000_000 * SECOND)
POLICIES = {"L": "LowerPriority", "LN": "LowerOrNewerEqualPriority", "A": "Any", "N": "Never"}
RESOURCES = r"cpu|mem|gpu|compute|pods|ra|rb|rc|r\d"
"""What the tables call resources."""
SEARCH = {"S": "MayStopSearch", "T": "TryNextFlavor"}


def quota_groups(text: str) -> list[dict[str, Any]]:
    """`f:4 BL2 LL1→g:cpu2 BL3,mem1Gi ∥ h:gpu3` as resource groups; a resource without a name is cpu."""
    groups = []
    for group in text.split("∥"):
        flavors = []
        for part in group.split("→"):
            flavor, _, amounts = part.strip().partition(":")
            flavors.append({"name": flavor, "resources": [_quota(amount) for amount in amounts.split(",")]})
        groups.append({"coveredResources": [r["name"] for r in flavors[0]["resources"]], "flavors": flavors})
    return groups


def _quota(text: str) -> dict[str, Any]:
    amount, *limits = text.split()
    match = re.fullmatch(rf"({RESOURCES})?(.*)", amount)
    assert match is not None
    quota: dict[str, Any] = {"name": resource(match.group(1)), "nominalQuota": match.group(2)}
    return quota | {{"BL": "borrowingLimit", "LL": "lendingLimit"}[limit[:2]]: limit[2:] for limit in limits}


def resource(name: str | None) -> str:
    return {None: "cpu", "mem": "memory", "gpu": "example.com/gpu"}.get(name, name or "cpu")


class World:
    """The engine, its objects, and a clock that moves when told."""

    def __init__(self, config: Configuration | None = None, features: Features | None = None) -> None:
        self.engine = AdmissionEngine(config or Configuration(), features or Features({}))
        self.now = START
        self.workloads: dict[str, Workload] = {}
        self.engine.set_namespace("ns", {"dep": "eng"}, self.now)
        self.uids = 0

    def flavor(self, name: str, **spec: Any) -> None:
        obj = {"metadata": {"name": name}, "spec": spec}
        self.engine.set_resource_flavor(name, msgspec.convert(obj, ResourceFlavor), self.now)

    def topology(self, name: str, *levels: str) -> None:
        obj = {"metadata": {"name": name}, "spec": {"levels": [{"nodeLabel": level} for level in levels]}}
        self.engine.set_topology(name, msgspec.convert(obj, Topology), self.now)

    def check(self, name: str, controller: str) -> None:
        """An active AdmissionCheck."""
        spec, status = {"controllerName": controller}, {"conditions": [{"type": "Active", "status": "True"}]}
        obj = {"metadata": {"name": name}, "spec": spec, "status": status}
        self.engine.set_admission_check(name, msgspec.convert(obj, AdmissionCheck), self.now)

    def nodes(self, objs: Iterable[dict[str, Any]]) -> None:
        for obj in objs:
            self.engine.set_node(obj["metadata"]["name"], obj, self.now)

    def cohort(self, name: str, quotas: str = "", parent: str = "", weight: str | None = None) -> None:
        spec: dict[str, Any] = {"parentName": parent, "resourceGroups": quota_groups(quotas) if quotas else []}
        if weight is not None:
            spec["fairSharing"] = {"weight": weight}
        self.engine.set_cohort(name, msgspec.convert({"metadata": {"name": name}, "spec": spec}, Cohort), self.now)

    def queue(self, name: str, quotas: str, cohort: str = "", **options: Any) -> None:
        """A ClusterQueue with a LocalQueue of the same name. Options: strict, WCQ, RWC, BWC, threshold, FF, weight, spec."""
        groups = quota_groups(quotas)
        for flavor in {f["name"] for g in groups for f in g["flavors"]}:
            if flavor not in self.engine._cache.flavors and flavor not in options.get("missing", ()):
                self.flavor(flavor)
        spec: dict[str, Any] = {"resourceGroups": groups, "cohortName": cohort, "namespaceSelector": {}}
        spec["queueingStrategy"] = "StrictFIFO" if options.get("strict") else "BestEffortFIFO"
        preemption = {
            "withinClusterQueue": POLICIES[options.get("WCQ", "N")],
            "reclaimWithinCohort": POLICIES[options.get("RWC", "N")],
        }
        if "BWC" in options:
            preemption["borrowWithinCohort"] = {"policy": POLICIES[options["BWC"]]}
            if "threshold" in options:
                preemption["borrowWithinCohort"]["maxPriorityThreshold"] = options["threshold"]
        spec["preemption"] = preemption
        if "FF" in options:
            borrow, preempt = options["FF"].split("/")
            spec["flavorFungibility"] = {"whenCanBorrow": SEARCH[borrow], "whenCanPreempt": SEARCH[preempt]}
            if "preference" in options:
                spec["flavorFungibility"]["preference"] = options["preference"]
        if "weight" in options:
            spec["fairSharing"] = {"weight": options["weight"]}
        spec |= options.get("spec", {})
        self.engine.set_cluster_queue(
            name, msgspec.convert({"metadata": {"name": name}, "spec": spec}, ClusterQueue), self.now
        )
        self.local(name, name)

    def local(self, name: str, cluster_queue: str, namespace: str = "ns", stop: str = "None", **options: Any) -> None:
        """A LocalQueue. Options: weight, used (consumed resources), sampled (seconds from the start at which they were)."""
        obj: dict[str, Any] = {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterQueue": cluster_queue, "stopPolicy": stop},
        }
        if "weight" in options:
            obj["spec"]["fairSharing"] = {"weight": options["weight"]}
        if "used" in options:
            stamp = format_time(Instant(START + options.get("sampled", 0) * SECOND))
            used = {"consumedResources": options["used"], "lastUpdate": stamp}
            obj["status"] = {"fairSharing": {"weightedShare": 0, "admissionFairSharingStatus": used}}
        self.engine.set_local_queue(ObjectKey(namespace, name), msgspec.convert(obj, LocalQueue), self.now)

    def workload(self, name: str, queue: str, requests: str, priority: int = 0, **options: Any) -> Workload:
        """A Workload.

        `requests` is `3×2` (pods × cpu), `2`, `cpu1,mem1Gi`, `50[20]×2` (minCount 20), or several pod sets
        `driver 5 | worker 3×2`. Options: at (flavor), cq, t, min, pod, group, status, metadata, reserved, pod_sets, namespace.
        """
        pod_sets = [pod_set(text.strip(), options) for text in requests.split("|")]
        created = START + options.get("t", 0) * SECOND
        obj: dict[str, Any] = {
            "metadata": {
                "name": name, "namespace": options.get("namespace", "ns"), "uid": name, "generation": 1,
                "creationTimestamp": format_time(Instant(created)), **options.get("metadata", {}),
            },
            "spec": {"podSets": options.get("pod_sets", pod_sets), "queueName": queue, "priority": priority},
            "status": options.get("status", {}),
        }  # fmt: skip
        workload = msgspec.convert(obj, Workload)
        if "at" in options:
            given = []
            for each in pod_sets:
                amounts, n = each["template"]["spec"]["containers"][0]["resources"]["requests"], each["count"]
                usage = {r: _times(a, n) for r, a in amounts.items()}
                flavors = dict.fromkeys(amounts, options["at"])
                given.append({"name": each["name"], "flavors": flavors, "resourceUsage": usage, "count": n})
            admission = {"clusterQueue": options.get("cq", queue), "podSetAssignments": given}
            workload = reserved(
                workload,
                msgspec.convert(admission, Admission),
                Instant(START + options.get("reserved", 0) * SECOND),
                True,
            )
        self.put(workload)
        return workload

    def put(self, workload: Workload) -> None:
        self.workloads[workload.name] = workload
        self.engine.set_workload(workload.key, workload, self.now)

    def delete(self, name: str) -> None:
        self.engine.set_workload(self.workloads.pop(name).key, None, self.now)

    def advance(self, seconds: float) -> None:
        self.now = Instant(self.now + int(seconds * SECOND))

    def cycle(self) -> CycleResult:
        return self.engine.cycle(self.now)

    def settle(self, cycles_max: int = 50) -> list[CycleResult]:
        """Run cycles until none is due; admitted Workloads are written back, victims lose their quota."""
        results = []
        for _ in range(cycles_max):
            at = self.engine.next_cycle_at(self.now)
            if at is None:
                return results
            self.now = Instant(max(self.now, at))
            result = self.cycle()
            results.append(result)
            for decision in result.decisions:
                self.write(decision)
        raise AssertionError("the engine does not settle")

    def write(self, decision: object) -> None:
        """Do what the shell would do."""
        match decision:
            case Admit():
                self.put(reserved(decision.workload, decision.admission, self.now, decision.is_admitted))
            case Preempt():
                for victim in decision.victims:
                    old = self.workloads[victim.key.name]
                    status = msgspec.structs.replace(old.status, conditions=(), admission=None)
                    self.put(msgspec.structs.replace(old, status=status))
            case _:
                pass

    def holds(self) -> dict[str, dict[str, str]]:
        """Workload to resource to flavor, of all that hold quota."""
        return {
            info.key.name: {item.resource: item.flavor for item in info.usage}
            for info in sorted(self.engine._cache.workloads.values(), key=lambda i: i.key)
        }

    def is_parked(self, name: str) -> bool:
        key = ObjectKey("ns", name)
        home = self.engine._queues.home(key)
        assert home is not None, f"{name} does not wait"
        queue = self.engine._queues.queue(home)
        assert queue is not None
        return queue.is_parked(key)


def pod_set(text: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A pod set of `World.workload`'s notation."""
    name, _, rest = text.rpartition(" ")
    count, _, per_pod = rest.rpartition("×")
    n, _, least = count.rstrip("]").partition("[")
    amounts = {}
    for amount in per_pod.split(","):
        match = re.fullmatch(rf"({RESOURCES})?(-?[0-9.]+\w*)", amount)
        assert match is not None, amount
        amounts[resource(match.group(1))] = match.group(2)
    spec = {"containers": [{"name": "c", "resources": {"requests": amounts}}], **options.get("pod", {})}
    found: dict[str, Any] = {"name": name or "main", "count": int(n or 1), "template": {"spec": spec}}
    minimum = least or options.get("min")
    if minimum:
        found["minCount"] = int(minimum)
    if "group" in options:
        found["topologyRequest"] = {"podSetGroupName": options["group"]}
    return found


def pendings(result: CycleResult) -> dict[str, Pending]:
    found = {d.key.name: d for d in result.decisions if isinstance(d, Pending)}
    return found | {d.key.name: d.pending for d in result.decisions if isinstance(d, Preempt)}


def admits(result: CycleResult) -> dict[str, Admit]:
    return {d.key.name: d for d in result.decisions if isinstance(d, Admit)}


def victims(result: CycleResult) -> dict[str, str]:
    return {v.key.name: v.reason.value for d in result.decisions if isinstance(d, Preempt) for v in d.victims}


def reserved(workload: Workload, admission: Admission, now: Instant, is_admitted: bool) -> Workload:
    stamp = format_time(now)
    types = ["QuotaReserved"] + (["Admitted"] if is_admitted else [])
    conditions = tuple(Condition(type=t, status="True", reason=t, last_transition_time=stamp) for t in types)
    status = msgspec.structs.replace(workload.status, conditions=conditions, admission=admission)
    return msgspec.structs.replace(workload, status=status)


def _times(amount: str, n: int) -> str:
    match = re.fullmatch(r"([0-9.]+)(\w*)", amount)
    assert match is not None
    value = float(match.group(1)) * n
    return f"{value:g}{match.group(2)}"
