"""What must hold of a simulated cluster: at every write, once it rests, and when everything was deleted.

The checks look at what the API server stores, and nowhere else: what holds of it holds for users.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pykueue.api import objects
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import (
    CLUSTER_QUEUE,
    JOB,
    LEADER_WORKER_SET,
    LOCAL_QUEUE,
    POD,
    RESOURCE_FLAVOR,
    STATEFUL_SET,
    WORKLOAD,
)
from pykueue.api.objects import Obj
from pykueue.api.quantity import NANO, parse_quantity
from support.simulated import SimulatedCluster

GATE = "kueue.x-k8s.io/admission"
MANAGED = "kueue.x-k8s.io/managed"
_GROUP_NAME = "kueue.x-k8s.io/pod-group-name"
_PREBUILT = "kueue.x-k8s.io/prebuilt-workload-name"
_SET_NAME = "leaderworkerset.sigs.k8s.io/name"
_GROUP_INDEX = "leaderworkerset.sigs.k8s.io/group-index"
_OWNER_NAME = "kueue.x-k8s.io/job-owner-name"
_COMPONENT_INDEX = "kueue.x-k8s.io/component-workload-index"
_WORKLOAD_OF_POD = "kueue.x-k8s.io/workload"
_POD_SET = "kueue.x-k8s.io/podset"
LATE_US = 10 * SECOND_US
"""How long a decision may be under way after the quota that it was made with became less."""


@dataclass
class QuotaWatch:
    """Adds up, at every write of a Workload, what holds quota, and finds whoever reserves more than there is."""

    cluster: SimulatedCluster
    faults: list[str] = field(default_factory=list)
    _quotas: dict[str, list[tuple[Instant, Fraction]]] = field(default_factory=dict)
    _revision: int = 0

    def begin(self) -> None:
        """Look at every write from now on."""
        for kind, see in ((WORKLOAD, self._see_workloads), (CLUSTER_QUEUE, self._see_queues)):
            resource = self.cluster.server.registry.for_kind(kind)
            assert resource is not None
            self.cluster.server.store.storage(resource.storage_name).subscribe(see)

    def _see_queues(self) -> None:
        now = self.cluster.clock.now()
        for queue in self.cluster.list(CLUSTER_QUEUE):
            history, quota = self._quotas.setdefault(objects.name(queue), []), nominal(queue)
            if not history or history[-1][1] != quota:
                history.append((now, quota))

    def _see_workloads(self) -> None:
        workloads = self.cluster.list(WORKLOAD)
        newest = max(workloads, key=lambda w: int(objects.resource_version(w)), default=None)
        if newest is None or not holds_quota(newest):
            return
        condition = objects.condition(newest, "QuotaReserved") or {}
        if condition.get("lastTransitionTime") is None or int(objects.resource_version(newest)) <= self._revision:
            return
        self._revision = int(objects.resource_version(newest))
        cohort = cohort_of(self.cluster, newest["status"]["admission"]["clusterQueue"])
        used = sum(usage(w) for w in workloads if holds_quota(w) and w["status"]["admission"]["clusterQueue"] in cohort)
        there = sum((self._recent_quota(name) for name in sorted(cohort)), Fraction(0))
        if used > there:
            told = f"{objects.name(newest)} reserved quota: {float(used)} cpu of {float(there)} in {sorted(cohort)}"
            if told not in self.faults and self._is_new(newest):
                self.faults.append(told)
                self.cluster.tell(f"FAULT: {told}")

    def _is_new(self, workload: Obj) -> bool:
        """Whether this very write reserved; later ones tell of quota that was taken away meanwhile."""
        resource = self.cluster.server.registry.for_kind(WORKLOAD)
        assert resource is not None
        storage = self.cluster.server.store.storage(resource.storage_name)
        event = storage.events_after(int(objects.resource_version(workload)) - 1)[-1]
        return event.old is None or not holds_quota(resource.from_storage(event.old))

    def _recent_quota(self, name: str) -> Fraction:
        """The most that there was within the last seconds."""
        history, since = self._quotas.get(name, []), self.cluster.clock.now() - LATE_US
        ended = [*(at for at, _ in history[1:]), self.cluster.clock.now() + 1]
        return max((q for (_, q), end in zip(history, ended, strict=True) if end >= since), default=Fraction(0))


@dataclass
class StartWatch:
    """Looks at every write of a pod, and finds whoever starts outside of an admitted group, or as one too many of it."""

    cluster: SimulatedCluster
    faults: list[str] = field(default_factory=list)
    _admitted: dict[str, Instant] = field(default_factory=dict)
    _started: dict[str, None] = field(default_factory=dict)

    def begin(self) -> None:
        """Look at every write from now on."""
        for kind, see in ((WORKLOAD, self._see_workloads), (POD, self._see_pods)):
            resource = self.cluster.server.registry.for_kind(kind)
            assert resource is not None
            self.cluster.server.store.storage(resource.storage_name).subscribe(see)

    def _see_workloads(self) -> None:
        now = self.cluster.clock.now()
        for workload in self.cluster.list(WORKLOAD):
            if objects.is_condition_true(workload, "Admitted"):
                self._admitted[objects.uid(workload)] = now

    def _see_pods(self) -> None:
        self._see_workloads()
        pods = [pod for pod in self.cluster.list(POD) if _is_started(pod)]
        fresh = [pod for pod in pods if objects.uid(pod) not in self._started]
        if not fresh:
            return
        workloads = {objects.name(w): w for w in self.cluster.list(WORKLOAD)}
        for pod in fresh:
            self._started[objects.uid(pod)] = None
            workload = workloads.get(objects.annotations(pod)[_WORKLOAD_OF_POD])
            if workload is None:
                continue  # it went while the start was under way
            if (told := self._fault_of(pod, workload, pods)) and told not in self.faults:
                self.faults.append(told)
                self.cluster.tell(f"FAULT: {told}")

    def _fault_of(self, pod: Obj, workload: Obj, pods: Sequence[Obj]) -> str:
        name = objects.name(workload)
        since = self._admitted.get(objects.uid(workload))
        if since is None or self.cluster.clock.now() - since > LATE_US:
            return f"Pod {objects.name(pod)} starts although Workload {name} is not admitted"
        role = objects.labels(pod).get(_POD_SET)
        mates = [p for p in pods if objects.annotations(p)[_WORKLOAD_OF_POD] == name]
        n_mates = sum(objects.labels(p).get(_POD_SET) == role and not objects.is_deleting(p) for p in mates)
        count = next((p.get("count", 1) for p in workload["spec"]["podSets"] if p["name"] == role), 0)
        return f"{n_mates} pods of role {role} run for Workload {name}, which has {count}" if n_mates > count else ""


def _is_started(pod: Obj) -> bool:
    """Whether a pod is alive, says which Workload let it start, and is behind no gate."""
    is_gated = any(gate["name"] == GATE for gate in objects.get_path(pod, "spec", "schedulingGates") or ())
    return _is_alive(pod) and not is_gated and _WORKLOAD_OF_POD in objects.annotations(pod)


def faults_at_rest(cluster: SimulatedCluster) -> Iterator[str]:
    """What is wrong with a cluster in which nothing happens any more."""
    workloads = {objects.name(w): w for w in cluster.list(WORKLOAD)}
    pods = [p for p in cluster.list(POD) if _is_alive(p)]
    yield from _faults_of_pods(cluster, pods, workloads)
    yield from _faults_of_groups(cluster, pods, workloads)
    yield from _faults_of_jobs(cluster, workloads)
    yield from _faults_of_status(cluster, workloads)
    yield from _faults_of_waiting(cluster, workloads)


def faults_when_empty(cluster: SimulatedCluster) -> Iterator[str]:
    """What is left although everything that asked for quota was deleted."""
    for kind in (POD, WORKLOAD, JOB, LEADER_WORKER_SET, STATEFUL_SET):
        for obj in cluster.list(kind):
            yield f"{kind.kind} {objects.name(obj)} is left, with finalizers {list(objects.finalizers(obj))}"
    for queue in cluster.list(CLUSTER_QUEUE):
        for counter in ("pendingWorkloads", "reservingWorkloads", "admittedWorkloads"):
            if n := objects.get_path(queue, "status", counter):
                yield f"ClusterQueue {objects.name(queue)}: {counter} is {n}"
        if told := _told_usage(queue, "flavorsReservation"):
            yield f"ClusterQueue {objects.name(queue)} still reserves {float(told)} cpu"


def faults_without_queues(cluster: SimulatedCluster) -> Iterator[str]:
    """What is left although queues and flavors were deleted."""
    for kind in (LOCAL_QUEUE, CLUSTER_QUEUE, RESOURCE_FLAVOR):
        for obj in cluster.list(kind):
            yield f"{kind.kind} {objects.name(obj)} is left, with finalizers {list(objects.finalizers(obj))}"


def _faults_of_pods(cluster: SimulatedCluster, pods: list[Obj], workloads: Mapping[str, Obj]) -> Iterator[str]:
    rolling_out = [objects.name(lws) for lws in cluster.list(LEADER_WORKER_SET) if _is_rolling_out(cluster, lws)]
    for pod in pods:
        if objects.labels(pod).get(MANAGED) != "true" and _SET_NAME not in objects.labels(pod):
            continue
        if objects.is_deleting(pod):
            # A deleted pod of a group waits for another that replaces it; every other one goes.
            if _GROUP_NAME not in objects.labels(pod):
                yield f"Pod {objects.name(pod)} is being deleted for ever, held by {list(objects.finalizers(pod))}"
            continue
        workload, name = workload_of(pod, workloads), objects.name(pod)
        is_gated = any(gate["name"] == GATE for gate in objects.get_path(pod, "spec", "schedulingGates") or ())
        is_admitted = workload is not None and objects.is_condition_true(workload, "Admitted")
        finished = workload is not None and objects.is_condition_true(workload, "Finished")
        if is_gated and is_admitted and not finished:
            yield f"Pod {name} is gated although Workload {objects.name(workload or {})} is admitted"
        # Kueue parity: leaderworkerset.md A7.2 - gated leaders of a former revision run outside of any Workload until their
        # turn comes to be replaced, which it does not while the group before them waits for quota.
        is_former = objects.labels(pod).get(_SET_NAME) in rolling_out
        if not is_gated and not is_admitted and not finished and not is_former:
            yield f"Pod {name} runs although its Workload {objects.name(workload) if workload else ''} is not admitted"


def _faults_of_groups(cluster: SimulatedCluster, pods: list[Obj], workloads: Mapping[str, Obj]) -> Iterator[str]:
    for lws in cluster.list(LEADER_WORKER_SET):
        own = [w for w in workloads.values() if _is_owned_by(w, lws)]
        n_groups = lws["spec"]["replicas"]
        if _is_rolling_out(cluster, lws):
            continue  # with groups above the number, and leaders of the former revision; see `_faults_of_pods`
        if len(own) != n_groups:
            yield f"LeaderWorkerSet {objects.name(lws)} has {n_groups} groups and {len(own)} Workloads"
        for workload in own:
            mates = [p for p in pods if (workload_of(p, workloads) or {}) is workload]
            size = lws["spec"]["leaderWorkerTemplate"]["size"]
            if objects.is_condition_true(workload, "Admitted") and len(mates) != size:
                yield f"Workload {objects.name(workload)} is admitted with {len(mates)} of {size} pods"


def _faults_of_jobs(cluster: SimulatedCluster, workloads: Mapping[str, Obj]) -> Iterator[str]:
    for job in cluster.list(JOB):
        own = [w for w in workloads.values() if _is_owned_by(w, job)]
        is_admitted = any(objects.is_condition_true(w, "Admitted") for w in own)
        is_over = any(objects.is_condition_true(job, type_) for type_ in ("Complete", "Failed"))
        if is_over:
            holding = [objects.name(w) for w in own if holds_quota(w)]
            if holding:
                yield f"Job {objects.name(job)} is over, and {holding} still hold quota"
        elif len(own) != 1:
            yield f"Job {objects.name(job)} has {len(own)} Workloads"
        elif is_admitted == bool(job["spec"].get("suspend")):
            yield f"Job {objects.name(job)}: suspend={job['spec'].get('suspend')}, admitted={is_admitted}"


def _faults_of_status(cluster: SimulatedCluster, workloads: Mapping[str, Obj]) -> Iterator[str]:
    """What queues tell of themselves is what their Workloads add up to."""
    for queue in cluster.list(CLUSTER_QUEUE):
        name = objects.name(queue)
        holding = [w for w in workloads.values() if holds_quota(w) and w["status"]["admission"]["clusterQueue"] == name]
        admitted = [w for w in holding if objects.is_condition_true(w, "Admitted")]
        for path, want in (
            ("flavorsReservation", sum(map(usage, holding))),
            ("flavorsUsage", sum(map(usage, admitted))),
        ):
            if (told := _told_usage(queue, path)) != want:
                yield f"ClusterQueue {name}: {path} tells {float(told)} cpu, Workloads have {float(want)}"
        for counter, want_n in (("reservingWorkloads", len(holding)), ("admittedWorkloads", len(admitted))):
            if (n := objects.get_path(queue, "status", counter) or 0) != want_n:
                yield f"ClusterQueue {name}: {counter} is {n}, and there are {want_n}"
    for local in cluster.list(LOCAL_QUEUE):
        own = [w for w in workloads.values() if w["spec"].get("queueName") == objects.name(local)]
        for counter, want_n in (
            ("reservingWorkloads", sum(map(holds_quota, own))),
            ("admittedWorkloads", sum(holds_quota(w) and objects.is_condition_true(w, "Admitted") for w in own)),
        ):
            if (n := objects.get_path(local, "status", counter) or 0) != want_n:
                yield f"LocalQueue {objects.name(local)}: {counter} is {n}, and there are {want_n}"


def _faults_of_waiting(cluster: SimulatedCluster, workloads: Mapping[str, Obj]) -> Iterator[str]:
    """Nobody waits for quota that is free: a wake-up was lost otherwise."""
    queues = {objects.name(q): q for q in cluster.list(CLUSTER_QUEUE)}
    stopped = {objects.name(q) for kind in (CLUSTER_QUEUE, LOCAL_QUEUE) for q in cluster.list(kind) if _is_stopped(q)}
    waiting: dict[str, list[Obj]] = {}
    for workload in workloads.values():
        if is_waiting(workload) and workload["spec"].get("queueName") in queues.keys() - stopped:
            waiting.setdefault(workload["spec"]["queueName"], []).append(workload)
    for name, wanting in waiting.items():
        free = _free(workloads, [queues[member] for member in sorted(cohort_of(cluster, name))])
        if any(other in waiting for other in cohort_of(cluster, name) - {name}):
            # What waits for a preemption that is not possible yet reserves its queue's own quota: the others cannot borrow it.
            free = min(free, _free(workloads, [queues[name]]))
        head = min(wanting, key=_rank)
        if not (objects.condition(head, "QuotaReserved") or {}).get("message"):
            yield f"Workload {objects.name(head)} is the first in {name}, and nobody told it why it waits"
        if queues[name]["spec"]["queueingStrategy"] == "StrictFIFO":
            wanting = [head]  # the others wait for it
        for workload in wanting:
            if requested(workload) <= free:
                yield (
                    f"Workload {objects.name(workload)} waits for {float(requested(workload))} cpu in {name} although "
                    f"{float(free)} are free: {(objects.condition(workload, 'QuotaReserved') or {}).get('message')}"
                )


def _free(workloads: Mapping[str, Obj], queues: Sequence[Obj]) -> Fraction:
    """What these ClusterQueues have left of their own quota, together."""
    names = [objects.name(queue) for queue in queues]
    holding = [w for w in workloads.values() if holds_quota(w) and w["status"]["admission"]["clusterQueue"] in names]
    return sum(map(nominal, queues), Fraction(0)) - sum(map(usage, holding), Fraction(0))


def holds_quota(workload: Obj) -> bool:
    """Whether a Workload counts."""
    return (
        objects.is_condition_true(workload, "QuotaReserved")
        and not objects.is_condition_true(workload, "Finished")
        and bool(objects.get_path(workload, "status", "admission"))
    )


def is_waiting(workload: Obj) -> bool:
    """Whether a Workload should be in a queue."""
    return not (
        holds_quota(workload)
        or objects.is_condition_true(workload, "Finished")
        or workload["spec"].get("active") is False
        or objects.is_deleting(workload)
        or (objects.condition(workload, "QuotaReserved") or {}).get("reason") == "OnHold"
        or objects.is_condition_true(workload, "WaitingForReplacementPods")
    )


def usage(workload: Obj) -> Fraction:
    """What a Workload holds of cpu: the share of its pods that may still run; those that ended before it was admitted are not in it."""
    total = Fraction(0)
    ended = {r["name"]: r["count"] for r in objects.get_path(workload, "status", "reclaimablePods") or ()}
    counts = {p["name"]: p.get("count", 1) for p in workload["spec"]["podSets"]}
    for assignment in workload["status"]["admission"]["podSetAssignments"]:
        held = _cpu((assignment.get("resourceUsage") or {}).get("cpu", "0"))
        count, name = assignment.get("count") or 1, assignment["name"]
        total += held * min(count, counts[name] - ended.get(name, 0)) / count
    return total


def requested(workload: Obj) -> Fraction:
    """What a Workload asks for of cpu."""
    total = Fraction(0)
    ended = {r["name"]: r["count"] for r in objects.get_path(workload, "status", "reclaimablePods") or ()}
    for pod_set in workload["spec"]["podSets"]:
        each = sum(
            (_cpu(c["resources"]["requests"]["cpu"]) for c in pod_set["template"]["spec"]["containers"]), Fraction(0)
        )
        total += each * (pod_set.get("count", 1) - ended.get(pod_set["name"], 0))
    return total


def nominal(queue: Obj) -> Fraction:
    """A ClusterQueue's quota of cpu."""
    groups = queue["spec"].get("resourceGroups") or ()
    return sum((_cpu(r["nominalQuota"]) for g in groups for f in g["flavors"] for r in f["resources"]), Fraction(0))


def cohort_of(cluster: SimulatedCluster, name: str) -> set[str]:
    """The ClusterQueues that share with one, itself included."""
    queues = {objects.name(q): q["spec"].get("cohortName") for q in cluster.list(CLUSTER_QUEUE)}
    cohort = queues.get(name)
    return {name, *(other for other, of in queues.items() if cohort and of == cohort)}


def workload_of(pod: Obj, workloads: Mapping[str, Obj]) -> Obj | None:
    """The Workload that a pod belongs to."""
    notes = {**objects.labels(pod), **objects.annotations(pod)}
    for field_name in (_PREBUILT, _WORKLOAD_OF_POD, _GROUP_NAME):
        if found := workloads.get(notes.get(field_name, "")):
            return found
    of_set, index = objects.labels(pod).get(_SET_NAME), objects.labels(pod).get(_GROUP_INDEX)
    for workload in workloads.values():
        about = objects.annotations(workload)
        if of_set and (about.get(_OWNER_NAME), about.get(_COMPONENT_INDEX)) == (of_set, index):
            return workload
    controller = objects.controller_of(pod)
    uids = {objects.uid(pod), controller.uid if controller else ""}
    return next((w for w in workloads.values() if uids & {r.uid for r in objects.owner_references(w)}), None)


def _told_usage(queue: Obj, path: str) -> Fraction:
    flavors: Any = objects.get_path(queue, "status", path) or ()
    return sum((_cpu(r["total"]) for f in flavors for r in f["resources"] if r.get("total")), Fraction(0))


def _cpu(text: str | float) -> Fraction:
    return Fraction(parse_quantity(text).nanos, NANO)


def _is_rolling_out(cluster: SimulatedCluster, lws: Obj) -> bool:
    leaders = [s for s in cluster.list(STATEFUL_SET) if objects.name(s) == objects.name(lws)]
    statuses = [s.get("status") or {} for s in leaders]
    return any(s.get("currentRevision") != s.get("updateRevision") for s in statuses)


def _is_stopped(queue: Obj) -> bool:
    return queue["spec"].get("stopPolicy", "None") != "None"


def _rank(workload: Obj) -> tuple[int, Instant, str]:
    return (-(workload["spec"].get("priority") or 0), objects.created_at(workload), objects.uid(workload))


def _is_alive(pod: Obj) -> bool:
    return objects.get_path(pod, "status", "phase") not in {"Succeeded", "Failed"}


def _is_owned_by(workload: Obj, owner: Obj) -> bool:
    return objects.uid(owner) in {r.uid for r in objects.owner_references(workload)}
