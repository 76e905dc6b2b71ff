"""Jobs with a suspend field: held back on the way in, and what may change while they run.

One webhook serves every such kind; a kind adds its own rules.

Source: jobs.md §2.4, §14, webhooks.md §4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pykueue.api import objects
from pykueue.api.constants import MULTIKUEUE_CONTROLLER
from pykueue.api.errors import FieldError
from pykueue.api.kinds import ADMISSION_CHECK, CLUSTER_QUEUE, LOCAL_QUEUE
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import ClusterQueue, LocalQueue
from pykueue.core.features import Gate
from pykueue.integrations.ancestors import is_managed
from pykueue.integrations.base import with_path
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.integrations.suspended import SuspendedJob
from pykueue.integrations.validation import is_elastic, validate_create, validate_update
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Reader
from pykueue.webhooks.base import CREATE_ONLY, KindWebhook
from pykueue.webhooks.jobs.defaults import with_defaults, with_namespace


class SuspendedJobWebhook(KindWebhook):
    """Admission of a kind with a suspend field."""

    mutating_operations = CREATE_ONLY
    skips_system_namespaces = True

    def __init__(self, integration: SuspendedJob, settings: JobSettings) -> None:
        self._job = integration
        self._settings = settings

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """Default queue and class; suspended, if Kueue manages it; given to MultiKueue where its queue says so."""
        if not self._settings.is_enabled(self._job.name) or not self._job.is_ours(request.obj):
            return request.obj
        job = with_defaults(with_namespace(request), reader, self._settings)
        if is_managed(job, reader, self._settings, tolerate_deleting=True):
            job = job if self._job.is_suspended(job) else self._job.held(job)
            if is_elastic(job, self._settings.features):
                job = self._job.gated(job)
        return self._with_manager(job, reader)

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """The common rules, the kind's own, and on updates what may not change."""
        if not self._settings.is_enabled(self._job.name) or not self._job.is_ours(request.obj):
            return ()
        job, features = with_namespace(request), self._settings.features
        if request.operation is not Operation.UPDATE or request.old is None:
            return [*validate_create(job, self._job.kind, features), *self.validate_kind(job)]
        is_suspended = self._job.is_suspended(job)
        errors = [
            *validate_update(
                job,
                request.old,
                self._job.kind,
                features,
                reader,
                is_suspended=is_suspended,
                was_suspended=self._job.is_suspended(request.old),
            )
        ]
        # A running job has the size that it was granted: only what waits must obey the rules of what is asked for.
        if is_suspended:
            errors += self.validate_kind(job)
        return errors + list(self.validate_kind_change(job, request.old))

    def validate_kind(self, job: Obj) -> Iterator[FieldError]:
        """Rules of the kind on a job that waits."""
        del job
        yield from ()

    def validate_kind_change(self, job: Obj, old: Obj) -> Iterator[FieldError]:
        """Rules of the kind on changes."""
        del job, old
        yield from ()

    def _with_manager(self, job: Obj, reader: Reader) -> Obj:
        """The job, managed by MultiKueue if its ClusterQueue dispatches to other clusters and nobody else was named."""
        path = self._job.managed_by
        if not path or not self._settings.features[Gate.MULTIKUEUE] or not queue_name(job):
            return job
        if (objects.get_path(job, *path.split(".")) or self._job.native_controller) != self._job.native_controller:
            return job
        return with_path(job, path, MULTIKUEUE_CONTROLLER) if self._is_dispatched(job, reader) else job

    def _is_dispatched(self, job: Obj, reader: Reader) -> bool:
        found = reader.get(LOCAL_QUEUE, objects.namespace(job), queue_name(job))
        if found is None:
            return False
        name = reader.typed(LocalQueue, found).spec.cluster_queue
        cluster_queue = reader.get(CLUSTER_QUEUE, "", name)
        if cluster_queue is None:
            return False
        strategy = reader.typed(ClusterQueue, cluster_queue).spec.admission_checks_strategy
        checks = [reader.get(ADMISSION_CHECK, "", rule.name) for rule in strategy.admission_checks] if strategy else []
        return any(
            c is not None and objects.get_path(c, "spec", "controllerName") == MULTIKUEUE_CONTROLLER for c in checks
        )
