"""When a Job ends: completions, success policy, failure policy, limits and deadline.

Each rule answers with a `Verdict` or None; `verdict` asks them in the order of Kubernetes: what was decided before stays decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.instant import SECOND_US, Instant, parse_time
from pykueue.api.objects import Obj, get_path
from pykueue.emulation.job.pods import exit_codes

SUCCESS, FAILURE = "SuccessCriteriaMet", "FailureTarget"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a Job ends.

    Attributes:
        condition: `SuccessCriteriaMet` or `FailureTarget`, which is set at once.
        reason: of that condition, and of the final one.
        message: the same.
    """

    condition: str
    reason: str
    message: str

    @property
    def final(self) -> str:
        """The condition that is set when all pods have ended."""
        return "Complete" if self.condition == SUCCESS else "Failed"


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts, what is put down included.

    Attributes:
        n_succeeded: pods, or indexes.
        n_failed: pods.
        n_active: pods.
        completed: indexes, of an indexed Job.
        failed_indexes: of an indexed Job with a limit per index.
        new_failures: pods whose failure is new in this pass, which policies look at.
    """

    n_succeeded: int
    n_failed: int
    n_active: int
    completed: Mapping[int, None]
    failed_indexes: Mapping[int, None]
    new_failures: Sequence[Obj]


def verdict(job: Obj, tally: Tally, now: Instant) -> Verdict | None:
    """Whether and how the Job ends."""
    for type_ in (SUCCESS, FAILURE):
        told = objects.condition(job, type_)
        if told is not None and told.get("status") == "True":
            return Verdict(type_, str(told.get("reason") or ""), str(told.get("message") or ""))
    return (
        _pod_failure(job, tally)
        or _backoff_limit(job, tally)
        or _deadline(job, now)
        or _failed_indexes(job, tally)
        or _success_policy(job, tally)
        or _completions(job, tally)
    )


def failure_action(job: Obj, pod: Obj) -> tuple[str, str]:
    """What the failure policy says of a failed pod: `Count`, `Ignore`, `FailIndex` or `FailJob`, and why."""
    for position, rule in enumerate(get_path(job, "spec", "podFailurePolicy", "rules") or ()):
        why = _matching(rule, pod)
        if why:
            action = str(rule.get("action") or "Count")
            return action, f"{why} matching {action} rule at index {position}"
    return "Count", ""


def deadline_left_us(job: Obj, now: Instant) -> int | None:
    """Time until the active deadline; None without one, or while it does not run: suspended, or not seen to run again."""
    seconds, start = get_path(job, "spec", "activeDeadlineSeconds"), get_path(job, "status", "startTime")
    rests = get_path(job, "spec", "suspend") or objects.is_condition_true(job, "Suspended")
    if seconds is None or not start or rests:
        return None
    return int(parse_time(start) + seconds * SECOND_US - now)


def _pod_failure(job: Obj, tally: Tally) -> Verdict | None:
    for pod in tally.new_failures:
        action, why = failure_action(job, pod)
        if action == "FailJob":
            return Verdict(FAILURE, "PodFailurePolicy", why)
    return None


def _matching(rule: Mapping[str, Any], pod: Obj) -> str:
    """Why a rule applies; empty if it does not."""
    name = f"{objects.namespace(pod)}/{objects.name(pod)}"
    codes = rule.get("onExitCodes")
    if codes is not None:
        wanted, container = codes.get("values") or (), codes.get("containerName")
        for of, code in exit_codes(pod):
            if code == 0 or (container and of != container):
                continue
            if (code in wanted) == (codes.get("operator") == "In"):
                return f"Container {of} for pod {name} failed with exit code {code}"
        return ""
    for pattern in rule.get("onPodConditions") or ():
        told = objects.condition(pod, str(pattern.get("type")))
        if told is not None and told.get("status") == (pattern.get("status") or "True"):
            return f"Pod {name} has condition {pattern.get('type')}"
    return ""


def _backoff_limit(job: Obj, tally: Tally) -> Verdict | None:
    if get_path(job, "spec", "backoffLimitPerIndex") is not None and get_path(job, "spec", "backoffLimit") is None:
        return None
    limit = get_path(job, "spec", "backoffLimit")
    limit = 6 if limit is None else limit
    on_failure = get_path(job, "spec", "template", "spec", "restartPolicy") == "OnFailure"
    if tally.n_failed > limit or (on_failure and _past_restarts(tally, limit)):
        return Verdict(FAILURE, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    return None


def _past_restarts(tally: Tally, limit: int) -> bool:
    """Restarts of containers in place count only in failed pods here: the emulated kubelet restarts nothing."""
    restarts = sum(
        s.get("restartCount") or 0
        for pod in tally.new_failures
        for s in get_path(pod, "status", "containerStatuses") or ()
    )
    return restarts > 0 and restarts >= limit


def _deadline(job: Obj, now: Instant) -> Verdict | None:
    left_us = deadline_left_us(job, now)
    if left_us is None or left_us > 0:
        return None
    return Verdict(FAILURE, "DeadlineExceeded", "Job was active longer than specified deadline")


def _failed_indexes(job: Obj, tally: Tally) -> Verdict | None:
    limit = get_path(job, "spec", "maxFailedIndexes")
    if limit is not None and len(tally.failed_indexes) > limit:
        return Verdict(
            FAILURE, "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
        )
    completions = get_path(job, "spec", "completions") or 0
    if tally.failed_indexes and len({**tally.failed_indexes, **tally.completed}) >= completions:
        return Verdict(FAILURE, "FailedIndexes", "Job has failed indexes")
    return None


def _success_policy(job: Obj, tally: Tally) -> Verdict | None:
    for position, rule in enumerate(get_path(job, "spec", "successPolicy", "rules") or ()):
        chosen = _chosen(str(rule.get("succeededIndexes") or ""), tally)
        wanted = rule.get("succeededCount")
        needed = wanted if wanted is not None else _n_indexes(str(rule.get("succeededIndexes") or ""))
        if needed and len(chosen) >= needed:
            return Verdict(SUCCESS, "SuccessPolicy", f"Matched rules at index {position}")
    return None


def _chosen(text: str, tally: Tally) -> list[int]:
    if not text:
        return list(tally.completed)
    ranges = [_range(part) for part in text.split(",")]
    return [index for index in tally.completed if any(index in one for one in ranges)]


def _n_indexes(text: str) -> int:
    return sum(len(_range(part)) for part in text.split(",")) if text else 0


def _range(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def _completions(job: Obj, tally: Tally) -> Verdict | None:
    completions = get_path(job, "spec", "completions")
    by_last_pod = tally.n_succeeded > 0 and tally.n_active == 0
    done = by_last_pod if completions is None else tally.n_succeeded >= completions
    if not done:
        return None
    return Verdict(SUCCESS, "CompletionsReached", "Reached expected number of succeeded pods")


def ended_at(pod: Obj, now: Instant) -> Instant:
    """When a pod ended, as well as its status tells."""
    times = [
        get_path(status, "state", "terminated", "finishedAt")
        for status in get_path(pod, "status", "containerStatuses") or ()
    ]
    known = [parse_time(text) for text in times if text]
    if known:
        return max(known)
    ready = objects.condition(pod, "Ready") or {}
    text = ready.get("lastTransitionTime") or objects.metadata(pod).get("deletionTimestamp")
    return min(parse_time(text), now) if text else now


def backoff_left_us(failed: Sequence[Obj], succeeded: Sequence[Obj], now: Instant) -> int:
    """How long no new pods are made after the last failure, by the number of failures since the last success."""
    last_success = max((ended_at(pod, now) for pod in succeeded), default=Instant(0))
    ends = [at for pod in failed if (at := ended_at(pod, now)) > last_success]
    if not ends:
        return 0
    return max(0, max(ends) + backoff_us(len(ends)) - now)


def backoff_us(n_failures: int) -> int:
    """10 s after the first failure, doubled with each, 10 min at most."""
    return min(10 * SECOND_US << min(n_failures - 1, 10), 600 * SECOND_US)
