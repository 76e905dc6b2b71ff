"""The Job controller: pods until enough have succeeded or too much has failed.

A pass counts what ended (`pods.py`), decides whether the Job ends (`policies.py`), makes or deletes pods, and writes the status. A
suspended Job has no pods; those it had are deleted without counting as failures. A Job that ends first says so in
SuccessCriteriaMet or FailureTarget, and in Complete or Failed once its last pod is gone. Jobs with `managedBy` of somebody else are
left alone. Source: Kubernetes documentation, "Jobs".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Create, Delete, Emit, Patch
from pykueue.api.instant import SECOND_US, Instant, format_time, parse_time
from pykueue.api.kinds import JOB, POD
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.emulation.job import pods as p
from pykueue.emulation.job.orphans import without_finalizer
from pykueue.emulation.job.policies import (
    FAILURE,
    Tally,
    Verdict,
    backoff_left_us,
    backoff_us,
    deadline_left_us,
    ended_at,
    failure_action,
    verdict,
)
from pykueue.emulation.replicaset import deletion_order, fresh_names
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

REPORTER = "job-controller"
_MANAGER = "kubernetes.io/job-controller"
# Kubernetes parity: changes of pods are looked at once a second, so that pods that end together are counted together.
_BATCH_US = 1_000_000
_CREATE_MAX = 500


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the status will tell."""

    succeeded: int
    failed: int
    completed: Mapping[int, None]
    failed_indexes: Mapping[int, None]
    uncounted: Mapping[str, Sequence[str]]


class JobController:
    """Reconciles Jobs."""

    name = REPORTER

    def watches(self) -> Sequence[Watch]:
        """Jobs, and pods by their controller."""
        return (parts.own_watch(JOB), parts.owned_watch(POD, JOB, _BATCH_US))

    def indexes(self) -> Sequence[Index]:
        """Pods by owner."""
        return (parts.owned_index(POD),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        job = reader.get(JOB, *key)
        if job is None or get_path(job, "spec", "managedBy") not in {None, "", _MANAGER}:
            return DONE
        pods = p.classify(job, parts.owned(reader, POD, job))
        if objects.is_deleting(job) or any(objects.is_condition_true(job, c) for c in ("Complete", "Failed")):
            return Result(_release_all(pods) + _expire(job, now), _expires_in_us(job, now))
        counts = _count(job, pods)
        tally = _tally(job, pods, counts)
        decided = verdict(job, tally, now)
        steps, left = _manage(job, pods, tally, decided, now)
        released = [
            without_finalizer(pod) for pod in (*pods.succeeded, *pods.failed, *_settling(pods), *_needless(job, pods))
        ]
        status, events = _status(job, pods, counts, left, decided=decided, now=now)
        commands = (*parts.side_by_side(steps), *status, *events, *parts.together(released))
        return Result(commands, _wake_us(job, pods, decided, now))


def _release_all(pods: p.JobPods) -> tuple[Command, ...]:
    return parts.together(without_finalizer(pod) for pod in pods.every if p.is_tracked(pod))


def _settling(pods: p.JobPods) -> list[Obj]:
    """Pods that were put down and still carry the finalizer: a former pass did not get so far."""
    known = {*pods.uncounted_succeeded, *pods.uncounted_failed}
    return [pod for pod in pods.every if p.is_tracked(pod) and objects.uid(pod) in known]


def _needless(job: Obj, pods: p.JobPods) -> list[Obj]:
    """Succeeded pods that do not count: another one of their index did."""
    if not p.is_indexed(job):
        return []
    counted = {objects.uid(pod) for pod in pods.succeeded} | {*pods.uncounted_succeeded}
    return [
        pod
        for pod in pods.every
        if p.is_tracked(pod) and parts.phase(pod) == "Succeeded" and objects.uid(pod) not in counted
    ]


def _count(job: Obj, pods: p.JobPods) -> _Counts:
    """Move what is settled to the counters, put down what is new."""
    seen = job.get("status") or {}
    completed = p.parse_indexes(str(seen.get("completedIndexes") or ""))
    failed_indexes = p.parse_indexes(str(seen.get("failedIndexes") or ""))
    ignored = {objects.uid(pod) for pod in pods.failed if failure_action(job, pod)[0] == "Ignore"}
    new_failed = [pod for pod in pods.failed if objects.uid(pod) not in ignored]
    indexes = [index for pod in pods.succeeded if (index := p.index_of(pod)) is not None]
    if p.is_indexed(job):
        completed.update(dict.fromkeys(indexes))
        limit = get_path(job, "spec", "backoffLimitPerIndex")
        for pod in new_failed:
            index = p.index_of(pod)
            spent = limit is not None and p.index_failures(pod) >= limit
            if index is not None and index not in completed and (spent or failure_action(job, pod)[0] == "FailIndex"):
                failed_indexes[index] = None
    uncounted = {
        "succeeded": [u for u in pods.uncounted_succeeded if u not in pods.settled_succeeded]
        + [objects.uid(pod) for pod in pods.succeeded],
        "failed": [u for u in pods.uncounted_failed if u not in pods.settled_failed]
        + [objects.uid(pod) for pod in new_failed],
    }
    succeeded = len(completed) if p.is_indexed(job) else (seen.get("succeeded") or 0) + len(pods.settled_succeeded)
    failed = (seen.get("failed") or 0) + len(pods.settled_failed)
    return _Counts(succeeded, failed, completed, failed_indexes, uncounted)


def _tally(job: Obj, pods: p.JobPods, counts: _Counts) -> Tally:
    n_succeeded = counts.succeeded if p.is_indexed(job) else counts.succeeded + len(counts.uncounted["succeeded"])
    n_failed = counts.failed + len(counts.uncounted["failed"])
    return Tally(n_succeeded, n_failed, len(pods.active), counts.completed, counts.failed_indexes, pods.failed)


def _manage(
    job: Obj, pods: p.JobPods, tally: Tally, decided: Verdict | None, now: Instant
) -> tuple[list[tuple[Command, ...]], list[Obj]]:
    """Deletions and creations that are due, and the active pods that stay."""
    active = list(pods.active)
    if decided is not None or get_path(job, "spec", "suspend"):
        return [_deletion(job, pod) for pod in active], []
    wanted = _wanted_active(job, tally)
    surplus = [pod for pod in active if _is_surplus_index(job, pod, tally)]
    rest = [pod for pod in active if pod not in surplus]
    extra = len(rest) - wanted
    if extra > 0:
        surplus += sorted(rest, key=lambda pod: deletion_order(pod, now))[:extra]
    if surplus:
        gone = {objects.uid(pod) for pod in surplus}
        return [_deletion(job, pod) for pod in surplus], [pod for pod in active if objects.uid(pod) not in gone]
    n_missing = wanted - len(rest)
    if (
        get_path(job, "spec", "podReplacementPolicy") == "Failed"
        or get_path(job, "spec", "podFailurePolicy") is not None
    ):
        n_missing -= len(pods.terminating)
    if n_missing <= 0 or _backoff_us(job, pods, now) > 0:
        return [], active
    return list(_creations(job, pods, tally, min(n_missing, _CREATE_MAX), now)), active


def _wanted_active(job: Obj, tally: Tally) -> int:
    parallelism = get_path(job, "spec", "parallelism")
    parallelism = 1 if parallelism is None else parallelism
    completions = get_path(job, "spec", "completions")
    if completions is None:
        return tally.n_active if tally.n_succeeded else int(parallelism)
    left = completions - tally.n_succeeded - len(tally.failed_indexes)
    return int(max(0, min(left, parallelism)))


def _is_surplus_index(job: Obj, pod: Obj, tally: Tally) -> bool:
    """An active pod whose index is done, or beyond the completions."""
    if not p.is_indexed(job):
        return False
    index = p.index_of(pod)
    completions = get_path(job, "spec", "completions") or 0
    return index is None or index >= completions or index in tally.completed or index in tally.failed_indexes


def _creations(job: Obj, pods: p.JobPods, tally: Tally, n_missing: int, now: Instant) -> Iterator[tuple[Command, ...]]:
    name = objects.name(job)
    if not p.is_indexed(job):
        prefix = f"{name}-"
        names = fresh_names(prefix, job, pods.every, now)
        for _ in range(n_missing):
            yield _creation(job, _pod(job, next(names), prefix))
        return
    waits = [*pods.active, *(pods.terminating if get_path(job, "spec", "podReplacementPolicy") == "Failed" else ())]
    taken = {p.index_of(pod) for pod in waits}
    last = _last_failures(job, pods)
    taken |= {index for index, pod in last.items() if _index_backoff_us(pod, now) > 0}
    free = (
        index
        for index in range(get_path(job, "spec", "completions") or 0)
        if index not in taken and index not in tally.completed and index not in tally.failed_indexes
    )
    for index, _ in zip(free, range(n_missing), strict=False):
        prefix = f"{name}-{index}-"
        pod = _pod(job, next(fresh_names(prefix, job, pods.every, now)), prefix)
        yield _creation(job, _with_index(job, pod, index, last.get(index)))


def _pod(job: Obj, name: str, prefix: str) -> dict[str, Any]:
    pod = parts.pod_from_template(job["spec"]["template"], JOB, job, name=name, generate_name=prefix)
    pod["metadata"]["finalizers"] = [*pod["metadata"].get("finalizers", ()), p.TRACKING_FINALIZER]
    return pod


def _with_index(job: Obj, pod: dict[str, Any], index: int, last: Obj | None) -> dict[str, Any]:
    """The pod of an index, after its last failure if there was one."""
    meta, spec = pod["metadata"], pod["spec"]
    meta["labels"] = {**meta.get("labels", {}), p.INDEX: str(index)}
    meta["annotations"] = {**meta.get("annotations", {}), p.INDEX: str(index)}
    if get_path(job, "spec", "backoffLimitPerIndex") is not None:
        counted, ignored = (0, 0) if last is None else (p.index_failures(last), p.index_ignored(last))
        if last is not None and failure_action(job, last)[0] == "Ignore":
            ignored += 1
        elif last is not None:
            counted += 1
        meta["annotations"][p.INDEX_FAILURES] = str(counted)
        if ignored:
            meta["annotations"][p.INDEX_IGNORED] = str(ignored)
    spec["hostname"] = f"{objects.name(job)}-{index}"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{p.INDEX}']"}}
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec[field] = [
                c
                if any(e.get("name") == variable["name"] for e in c.get("env") or ())
                else {**c, "env": [*(c.get("env") or ()), variable]}
                for c in spec[field]
            ]
    return pod


def _creation(job: Obj, pod: dict[str, Any]) -> tuple[Command, ...]:
    note = f"Created pod: {pod['metadata']['name']}"
    refused = Emit(JOB, job, "Warning", "FailedCreate", "Error creating: ", REPORTER)
    return Create(POD, pod, refused=refused), Emit(JOB, job, "Normal", "SuccessfulCreate", note, REPORTER)


def _deletion(job: Obj, pod: Obj) -> tuple[Command, ...]:
    """Without its finalizer, so that it does not count as a failure."""
    note = f"Deleted pod: {objects.name(pod)}"
    first = (without_finalizer(pod),) if p.is_tracked(pod) else ()
    gone = Delete(POD, objects.key(pod), objects.uid(pod))
    return (*first, gone, Emit(JOB, job, "Normal", "SuccessfulDelete", note, REPORTER))


def _status(
    job: Obj, pods: p.JobPods, counts: _Counts, left: Sequence[Obj], *, decided: Verdict | None, now: Instant
) -> tuple[tuple[Command, ...], list[Command]]:
    stamp = format_time(now)
    suspended = bool(get_path(job, "spec", "suspend"))
    conditions: Sequence[Mapping[str, Any]] = get_path(job, "status", "conditions") or ()
    events: list[Command] = []
    start = get_path(job, "status", "startTime")

    def set_(type_: str, status: str, reason: str, message: str) -> None:
        nonlocal conditions
        conditions = parts.set_condition(
            conditions, type_, status, reason=reason, message=message, now=now, lastProbeTime=stamp
        )

    was_suspended = objects.is_condition_true(job, "Suspended")
    if decided is None and suspended and not was_suspended:
        set_("Suspended", "True", "JobSuspended", "Job suspended")
        events.append(Emit(JOB, job, "Normal", "Suspended", "Job suspended", REPORTER))
    elif decided is None and not suspended and was_suspended:
        set_("Suspended", "False", "JobResumed", "Job resumed")
        events.append(Emit(JOB, job, "Normal", "Resumed", "Job resumed", REPORTER))
        start = stamp
    if not start and not suspended:
        start = stamp
    completion = None
    if decided is not None:
        set_(decided.condition, "True", decided.reason, decided.message)
        settled = not any(counts.uncounted.values()) and not pods.active and not pods.terminating
        if settled and all(not p.is_tracked(pod) for pod in pods.every if parts.is_pod_finished(pod)):
            set_(decided.final, "True", decided.reason, decided.message)
            completion = stamp if decided.condition != FAILURE else None
            events.append(_end_event(job, decided))
    uncounted = {side: list(uids) for side, uids in counts.uncounted.items() if uids}
    wanted = {
        "active": len(left) or None,
        "ready": sum(map(parts.is_pod_ready, left)),
        "terminating": len(pods.terminating),
        "succeeded": counts.succeeded or None,
        "failed": counts.failed or None,
        "completedIndexes": p.format_indexes(counts.completed) or None,
        "failedIndexes": p.format_indexes(counts.failed_indexes) or None,
        "conditions": list(conditions) or None,
        "startTime": start,
        "completionTime": completion,
        "uncountedTerminatedPods": uncounted,
    }
    if completion is None:
        del wanted["completionTime"]
    return _patch(job, wanted), events


def _patch(job: Obj, wanted: Mapping[str, Any]) -> tuple[Command, ...]:
    """Merge patches merge maps: sides of the uncounted that are empty now must be named."""
    patch = parts.status_patch(JOB, job, wanted)
    for command in patch:
        assert isinstance(command, Patch)
        uncounted = command.body["status"].get("uncountedTerminatedPods")
        if uncounted is not None:
            command.body["status"]["uncountedTerminatedPods"] = {"succeeded": None, "failed": None, **uncounted}
    return patch


def _end_event(job: Obj, decided: Verdict) -> Command:
    if decided.condition == FAILURE:
        return Emit(JOB, job, "Warning", decided.reason, decided.message, REPORTER)
    return Emit(JOB, job, "Normal", "Completed", "Job completed", REPORTER)


def _backoff_us(job: Obj, pods: p.JobPods, now: Instant) -> int:
    if p.is_indexed(job) and get_path(job, "spec", "backoffLimitPerIndex") is not None:
        return 0
    failed = [pod for pod in pods.every if parts.phase(pod) == "Failed"]
    succeeded = [pod for pod in pods.every if parts.phase(pod) == "Succeeded"]
    return backoff_left_us(failed, succeeded, now)


def _last_failures(job: Obj, pods: p.JobPods) -> dict[int, Obj]:
    """The failed pod of each index that has had the most failures before it, of a Job with a limit per index."""
    last: dict[int, Obj] = {}
    if not p.is_indexed(job) or get_path(job, "spec", "backoffLimitPerIndex") is None:
        return last
    for pod in pods.every:
        index = p.index_of(pod)
        if index is None or not p.has_failed(job, pod):
            continue
        if index not in last or p.failures_before(pod) > p.failures_before(last[index]):
            last[index] = pod
    return last


def _index_backoff_us(last: Obj, now: Instant) -> int:
    """How long an index rests after its last failure; each of a Job's indexes by itself."""
    return max(0, ended_at(last, now) + backoff_us(p.failures_before(last) + 1) - now)


def _wake_us(job: Obj, pods: p.JobPods, decided: Verdict | None, now: Instant) -> int | None:
    if decided is not None or get_path(job, "spec", "suspend"):
        return None
    resting = [_index_backoff_us(pod, now) for pod in _last_failures(job, pods).values()]
    waits = [left for left in (deadline_left_us(job, now), _backoff_us(job, pods, now), *resting) if left]
    return min(waits, default=None)


def _expires_in_us(job: Obj, now: Instant) -> int | None:
    """Time until `ttlSecondsAfterFinished` ends; None without it, or for a Job that has not ended."""
    ttl_s = get_path(job, "spec", "ttlSecondsAfterFinished")
    ended = next(
        (c for t in ("Complete", "Failed") if (c := objects.condition(job, t)) and c.get("status") == "True"), None
    )
    if ttl_s is None or ended is None or objects.is_deleting(job):
        return None
    at = parse_time(ended.get("lastTransitionTime") or format_time(now)) + ttl_s * SECOND_US
    return at - now if at > now else None


def _expire(job: Obj, now: Instant) -> tuple[Command, ...]:
    has_ttl = get_path(job, "spec", "ttlSecondsAfterFinished") is not None
    ended = any(objects.is_condition_true(job, t) for t in ("Complete", "Failed"))
    if not has_ttl or not ended or objects.is_deleting(job) or _expires_in_us(job, now) is not None:
        return ()
    return (Delete(JOB, objects.key(job), objects.uid(job), "Foreground"),)
