"""batch/v1 Job: rules of partial admission, of completions that follow the parallelism, and of topology.

Source: jobs.md §17.
"""

from __future__ import annotations

from collections.abc import Iterator

from pykueue.api import fields, objects
from pykueue.api.constants import Annotation
from pykueue.api.errors import FieldError
from pykueue.api.kinds import JOB
from pykueue.api.objects import Obj
from pykueue.integrations.job import COMPLETIONS, PARALLELISM, TEMPLATE, Job, pod_count, syncs_completions
from pykueue.integrations.settings import JobSettings
from pykueue.integrations.topology_validation import AnnotatedPodSet, validate_topology
from pykueue.integrations.validation import atoi_fault, is_elastic
from pykueue.webhooks.jobs.suspended import SuspendedJobWebhook

_MINIMUM_PATH = f"metadata.annotations[{Annotation.JOB_MIN_PARALLELISM}]"
_SYNC_PATH = f"metadata.annotations[{Annotation.JOB_COMPLETIONS_EQUAL_PARALLELISM}]"
_TEMPLATE_PATH = f"{TEMPLATE.path}.metadata.annotations"


class JobWebhook(SuspendedJobWebhook):
    """Admission of Jobs."""

    kind = JOB

    def __init__(self, settings: JobSettings) -> None:
        super().__init__(Job(), settings)

    def validate_kind(self, job: Obj) -> Iterator[FieldError]:
        """The annotations of the Job and of its template."""
        yield from self._validate_minimum(job)
        yield from _validate_sync(job)
        annotations = TEMPLATE.annotations_of(job)
        pod_set = AnnotatedPodSet(_TEMPLATE_PATH, annotations, pod_count(job))
        yield from validate_topology([pod_set], self._settings.features)
        if is_elastic(job, self._settings.features):
            for key, word in (
                (Annotation.POD_SET_REQUIRED_TOPOLOGY, "required"),
                (Annotation.POD_SET_PREFERRED_TOPOLOGY, "preferred"),
            ):
                if key in annotations:
                    detail = f"{word} topology is not supported with elastic jobs"
                    yield fields.forbidden(f"{_TEMPLATE_PATH}[{key}]", detail)

    def validate_kind_change(self, job: Obj, old: Obj) -> Iterator[FieldError]:
        """While the Job runs, its size is what was granted."""
        if self._job.is_suspended(job) or self._job.is_suspended(old):
            return
        is_partial = Annotation.JOB_MIN_PARALLELISM in objects.annotations(job)
        if is_partial and PARALLELISM.of(job) != PARALLELISM.of(old):
            detail = "cannot change when partial admission is enabled and the job is not suspended"
            yield fields.forbidden(PARALLELISM.path, detail)
        if syncs_completions(job) != syncs_completions(old):
            value = objects.annotations(job).get(Annotation.JOB_COMPLETIONS_EQUAL_PARALLELISM, "")
            yield fields.invalid(_SYNC_PATH, value, f"{fields.IMMUTABLE} while the job is not suspended")

    def _validate_minimum(self, job: Obj) -> Iterator[FieldError]:
        text = objects.annotations(job).get(Annotation.JOB_MIN_PARALLELISM)
        if text is None:
            return
        if is_elastic(job, self._settings.features):
            detail = "partial admission and elastic job cannot be used together"
            yield fields.invalid(_MINIMUM_PATH, text, detail)
        if fault := atoi_fault(text):
            yield fields.invalid(_MINIMUM_PATH, text, fault)
        elif not 0 < int(text) < pod_count(job):
            yield fields.invalid(_MINIMUM_PATH, int(text), f"should be between 0 and {pod_count(job) - 1}")


def _validate_sync(job: Obj) -> Iterator[FieldError]:
    text = objects.annotations(job).get(Annotation.JOB_COMPLETIONS_EQUAL_PARALLELISM)
    if text is None:
        return
    if text not in fields.GO_BOOLEANS:
        yield fields.invalid(_SYNC_PATH, text, f"strconv.ParseBool: parsing {fields.render(text)}: invalid syntax")
    elif syncs_completions(job):
        if objects.get_path(job, "spec", "completionMode") != "Indexed":
            yield fields.invalid(_SYNC_PATH, text, "should not be enabled for NonIndexed jobs")
        completions = objects.get_path(job, *COMPLETIONS.split("."))
        if (1 if completions is None else completions) != PARALLELISM.of(job):
            key = Annotation.JOB_COMPLETIONS_EQUAL_PARALLELISM
            detail = f"should be equal to parallelism when {key} annotation is true"
            yield fields.invalid(COMPLETIONS, completions, detail)
