"""What a Job's pods amount to: who is active, who ended, what is counted already.

A pod carries the tracking finalizer until its end is counted. The count goes in two steps, so that none is lost or doubled: its UID is
put into `status.uncountedTerminatedPods`, then the finalizer is taken off, and only a UID whose pod has no finalizer any more moves to
the counters. Source: Kubernetes documentation, "Job tracking with finalizers".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.objects import Obj, get_path
from pykueue.emulation import parts

TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX_IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


@dataclass(frozen=True, slots=True)
class JobPods:
    """The pods of a Job.

    Attributes:
        every: all that exist.
        active: neither ended nor on their way out.
        terminating: on their way out, not ended.
        succeeded: newly ended well: with finalizer, not yet put down.
        failed: the same, badly.
        uncounted_succeeded: UIDs that were put down.
        uncounted_failed: the same.
        settled_succeeded: of these, whose pods have lost the finalizer: to be counted now.
        settled_failed: the same.
    """

    every: Sequence[Obj]
    active: Sequence[Obj]
    terminating: Sequence[Obj]
    succeeded: Sequence[Obj]
    failed: Sequence[Obj]
    uncounted_succeeded: Sequence[str]
    uncounted_failed: Sequence[str]
    settled_succeeded: Sequence[str]
    settled_failed: Sequence[str]


def is_indexed(job: Obj) -> bool:
    """Whether completions have indexes."""
    return bool(get_path(job, "spec", "completionMode") == "Indexed")


def index_of(pod: Obj) -> int | None:
    """Completion index of a pod."""
    text = objects.annotations(pod).get(INDEX) or objects.labels(pod).get(INDEX) or ""
    return int(text) if text.isdigit() else None


def is_tracked(pod: Obj) -> bool:
    """Whether its end is not counted yet."""
    return TRACKING_FINALIZER in objects.finalizers(pod)


def has_failed(job: Obj, pod: Obj) -> bool:
    """Failed, or deleted before its end where replacement does not wait for it."""
    if parts.phase(pod) == "Failed":
        return True
    waits = (
        get_path(job, "spec", "podReplacementPolicy") == "Failed"
        or get_path(job, "spec", "podFailurePolicy") is not None
    )
    return not waits and objects.is_deleting(pod) and parts.phase(pod) != "Succeeded"


def classify(job: Obj, pods: Sequence[Obj]) -> JobPods:
    """Sort a Job's pods."""
    uncounted = get_path(job, "status", "uncountedTerminatedPods") or {}
    put_down = {side: list(uncounted.get(side) or ()) for side in ("succeeded", "failed")}
    tracked = {objects.uid(pod) for pod in pods if is_tracked(pod)}
    known = {*put_down["succeeded"], *put_down["failed"]}
    fresh = [pod for pod in pods if is_tracked(pod) and objects.uid(pod) not in known]
    succeeded = [pod for pod in fresh if parts.phase(pod) == "Succeeded"]
    if is_indexed(job):
        succeeded = _first_of_index(job, succeeded)
    return JobPods(
        pods,
        [p for p in pods if not parts.is_pod_finished(p) and not objects.is_deleting(p)],
        [p for p in pods if not parts.is_pod_finished(p) and objects.is_deleting(p)],
        succeeded,
        [pod for pod in fresh if has_failed(job, pod)],
        put_down["succeeded"],
        put_down["failed"],
        [uid for uid in put_down["succeeded"] if uid not in tracked],
        [uid for uid in put_down["failed"] if uid not in tracked],
    )


def _first_of_index(job: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """An index succeeds once; indexes beyond the completions do not count."""
    completions = get_path(job, "spec", "completions") or 0
    done = parse_indexes(str(get_path(job, "status", "completedIndexes") or ""))
    found: dict[int, Obj] = {}
    for pod in pods:
        index = index_of(pod)
        if index is not None and index < completions and index not in done:
            found.setdefault(index, pod)
    return list(found.values())


def parse_indexes(text: str) -> dict[int, None]:
    """Read `0,2-4`."""
    found: dict[int, None] = {}
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.update(dict.fromkeys(range(int(first), int(last or first) + 1)))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """Write `0,2-4`: two neighbours are listed, three or more are a range."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    texts = [f"{r[0]}-{r[-1]}" if len(r) > 2 else ",".join(map(str, r)) for r in runs]
    return ",".join(texts)


def index_failures(pod: Obj) -> int:
    """Failures of the pod's index before this pod that count."""
    return _number(pod, INDEX_FAILURES)


def index_ignored(pod: Obj) -> int:
    """Failures of the pod's index before this pod that a policy ignores."""
    return _number(pod, INDEX_IGNORED)


def failures_before(pod: Obj) -> int:
    """All failures of the pod's index before this pod."""
    return index_failures(pod) + index_ignored(pod)


def _number(pod: Obj, annotation: str) -> int:
    text = objects.annotations(pod).get(annotation, "0")
    return int(text) if text.isdigit() else 0


def exit_codes(pod: Obj) -> list[tuple[str, int]]:
    """Names and exit codes of containers that ended."""
    seen: Mapping[str, Any] = pod.get("status") or {}
    found = []
    for status in (*(seen.get("initContainerStatuses") or ()), *(seen.get("containerStatuses") or ())):
        code = get_path(status, "state", "terminated", "exitCode")
        if code is not None:
            found.append((str(status.get("name")), int(code)))
    return found
