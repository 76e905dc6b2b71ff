"""batch/v1 Job: one pod set with the pods that run side by side.

With a minimal parallelism the Job may start smaller than it asks for; its completions follow where it says that they should. A Job that has
started once can only have its template changed after it is suspended and its start time is cleared: so it is stopped in three writes, and
an annotation tells between them that it is not suspended yet.

Source: jobs.md §17.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.constants import DEFAULT_POD_SET, Annotation
from pykueue.api.kinds import JOB
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import PodSet
from pykueue.core.features import Features
from pykueue.integrations.base import Count, SuspendField, Template, with_path
from pykueue.integrations.podset_info import PodSetInfo
from pykueue.integrations.podsets import PodSetWire, make_pod_set
from pykueue.integrations.suspended import Ended, Progress, SuspendedJob

COMPLETION_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
TEMPLATE = Template("spec.template", pod_index_label=COMPLETION_INDEX_LABEL)
PARALLELISM = Count("spec.parallelism")
COMPLETIONS = "spec.completions"
# The labels by which the Job controller finds its pods; the Job's name is useful to others, and stays in the pod set.
_MANAGED_LABELS = ("job-name", "controller-uid", "batch.kubernetes.io/controller-uid")
_NAME_LABEL = "batch.kubernetes.io/job-name"
_INTERVAL = re.compile(r"(\d+)(?:-(\d+))?")


class Job(SuspendedJob):
    """Pods that run to completion."""

    name = "batch/job"
    kind = JOB
    hold = SuspendField("spec.suspend")
    halts_first = True
    managed_by = "spec.managedBy"
    native_controller = "kubernetes.io/job-controller"
    kept_labels = (*_MANAGED_LABELS, _NAME_LABEL)
    templates = (TEMPLATE,)

    def is_suspended(self, obj: Obj) -> bool:
        """Suspended, and not halfway through a stop."""
        return super().is_suspended(obj) and objects.annotations(obj).get(Annotation.STOPPING) != "true"

    def pod_sets(self, obj: Obj, features: Features) -> Sequence[PodSetWire]:
        """`main`, with the pods that run side by side."""
        template = _without_labels(TEMPLATE.of(obj) or {}, _MANAGED_LABELS)
        pod_set = make_pod_set(
            DEFAULT_POD_SET, template, pod_count(obj), features, pod_index_label=TEMPLATE.pod_index_label
        )
        minimum = min_parallelism(obj)
        return (pod_set | ({"minCount": minimum} if minimum is not None else {}),)

    def progress(self, obj: Obj) -> Progress:
        """From the Job's status."""
        status = obj.get("status") or {}
        uncounted = objects.get_path(status, "uncountedTerminatedPods", "succeeded") or ()
        n_good = int(status.get("succeeded") or 0) + int(status.get("ready") or 0) + len(uncounted)
        n_free = _reclaimable(obj)
        return Progress(
            is_active=bool(status.get("active")),
            has_pods_ready=n_good >= pod_count(obj),
            reclaimable={DEFAULT_POD_SET: n_free} if n_free else {},
            ended=_ended(obj),
        )

    def started(self, obj: Obj, infos: Sequence[PodSetInfo]) -> Obj:
        """Running; with the granted number of pods, where it may be smaller than asked for."""
        running = super().started(obj, infos)
        return _sized(running, infos[0].count) if min_parallelism(obj) is not None else running

    def halted(self, obj: Obj) -> Obj:
        """Suspended and marked as on its way to a stop."""
        marks = {**objects.annotations(obj), Annotation.STOPPING.value: "true"}
        return objects.with_metadata(self.held(obj), annotations=marks)

    def stale_status(self, obj: Obj) -> Mapping[str, Any]:
        """The start time, if there is one."""
        return {"status": {"startTime": None}} if objects.get_path(obj, "status", "startTime") else {}

    def restored(self, obj: Obj, pod_sets: Sequence[PodSet]) -> Obj:
        """Suspended, as it was before it started."""
        restored = super().restored(obj, pod_sets)
        if len(pod_sets) == 1 and pod_sets[0].min_count is not None:
            restored = _sized(restored, pod_sets[0].count)
        marks = {k: v for k, v in objects.annotations(restored).items() if k != Annotation.STOPPING}
        return objects.with_metadata(restored, annotations=marks or None)


def pod_count(obj: Obj) -> int:
    """The number of pods that run side by side."""
    parallelism = PARALLELISM.of(obj)
    completions = objects.get_path(obj, *COMPLETIONS.split("."))
    return parallelism if completions is None else min(parallelism, int(completions))


def min_parallelism(obj: Obj) -> int | None:
    """The number of pods that the Job can do with; None if it needs all of them, or says no number."""
    text = objects.annotations(obj).get(Annotation.JOB_MIN_PARALLELISM, "")
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else None


def syncs_completions(obj: Obj) -> bool:
    """Whether the completions follow the parallelism."""
    return objects.annotations(obj).get(Annotation.JOB_COMPLETIONS_EQUAL_PARALLELISM) == "true"


def _sized(obj: Obj, count: int) -> dict[str, Any]:
    sized = with_path(obj, PARALLELISM.path, count)
    return with_path(sized, COMPLETIONS, count) if syncs_completions(obj) else sized


def _ended(obj: Obj) -> Ended | None:
    for type_, is_success in (("Complete", True), ("Failed", False)):
        found = objects.condition(obj, type_)
        if found is not None and found.get("status") == "True":
            return Ended(is_success, str(found.get("message") or ""))
    return None


def _reclaimable(obj: Obj) -> int:
    """The number of pods that have run and need no successor."""
    parallelism = PARALLELISM.of(obj)
    completions = objects.get_path(obj, *COMPLETIONS.split("."))
    completions = parallelism if completions is None else int(completions)
    n_terminal = _terminal(obj, completions)
    if parallelism <= 1 or not n_terminal:
        return 0
    return max(0, parallelism - max(0, completions - n_terminal))


def _terminal(obj: Obj, completions: int) -> int:
    """The number of completions that are settled, one way or the other."""
    status = obj.get("status") or {}
    if objects.get_path(obj, "spec", "completionMode") != "Indexed":
        return int(status.get("succeeded") or 0)
    indexes: set[int] = set()
    for text in (status.get("completedIndexes"), status.get("failedIndexes")):
        for part in str(text or "").split(","):
            if match := _INTERVAL.fullmatch(part.strip()):
                first, last = int(match[1]), int(match[2] or match[1])
                indexes.update(range(first, min(last + 1, completions)))
    return len({index for index in indexes if index < completions})


def _without_labels(template: Obj, names: Sequence[str]) -> Obj:
    """The template without some labels; they belong to the Job controller."""
    meta = template.get("metadata") or {}
    labels = meta.get("labels") or {}
    if not any(name in labels for name in names):
        return template
    rest = {key: value for key, value in labels.items() if key not in names}
    kept = {key: value for key, value in meta.items() if key != "labels"} | ({"labels": rest} if rest else {})
    return {**template, "metadata": kept}
