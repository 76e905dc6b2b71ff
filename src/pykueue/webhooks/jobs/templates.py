"""Jobs whose pods are gated: their templates carry the marks by which the pods' own webhook knows them.

One webhook serves LeaderWorkerSet, StatefulSet and Deployment; what differs is declared by the integration, and by the few rules below
that a kind adds. An unmanaged object is let through as it is.

Source: leaderworkerset.md A3, A4, jobs.md §19, §20.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pykueue.api import fields, objects
from pykueue.api.constants import Reason, WorkloadCondition
from pykueue.api.errors import FieldError
from pykueue.api.kinds import DEPLOYMENT, LEADER_WORKER_SET, STATEFUL_SET, WORKLOAD
from pykueue.api.objects import Obj
from pykueue.core.features import Gate
from pykueue.integrations import leaderworkerset as lws
from pykueue.integrations.ancestors import is_managed
from pykueue.integrations.base import JobIntegration, with_marks
from pykueue.integrations.deployment import Deployment
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.integrations.statefulset import StatefulSet
from pykueue.integrations.topology_validation import AnnotatedPodSet, validate_topology
from pykueue.integrations.validation import (
    validate_admission_gates,
    validate_admission_gates_update,
    validate_elastic,
    validate_priority_change,
    validate_queue_immutable,
    validate_queue_name,
)
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Reader
from pykueue.webhooks.base import CREATE_AND_UPDATE, KindWebhook
from pykueue.webhooks.conditions import OWN_PODS
from pykueue.webhooks.jobs.defaults import with_defaults, with_namespace
from pykueue.webhooks.jobs.shape import validate_shape

REPLICAS_MAX = 1_000_000


class TemplateWebhook(KindWebhook):
    """Admission of one kind whose pods are gated."""

    mutating_operations = CREATE_AND_UPDATE
    skips_system_namespaces = True
    keeps_shape = True
    """Whether the templates of a managed object keep their shape."""

    def __init__(self, integration: JobIntegration, settings: JobSettings) -> None:
        self._job = integration
        self._settings = settings

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """Default queue and class; the marks in the templates of a managed object. Nothing is ever taken out."""
        if not self._settings.is_enabled(self._job.name) or not self._job.is_ours(request.obj):
            return request.obj
        obj = with_defaults(with_namespace(request), reader, self._settings)
        if not is_managed(obj, reader, self._settings, tolerate_deleting=True):
            return obj
        for template in self._job.templates:
            if template.of(obj) is not None:
                marks = self._job.template_marks(obj, template, self._settings.features)
                obj = with_marks(obj, template.path, *marks)
        return obj

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """The common rules, the kind's own, and on updates what may not change."""
        if not self._settings.is_enabled(self._job.name) or not self._job.is_ours(request.obj):
            return ()
        obj = with_namespace(request)
        errors = [*self._validate_object(obj), *self.validate_kind(obj)]
        if request.operation is Operation.UPDATE and request.old is not None:
            errors += self._validate_change(obj, request.old)
            if is_managed(obj, reader, self._settings, tolerate_deleting=True):
                errors += self._validate_shapes(obj, request.old) if self.keeps_shape else ()
                errors += self.validate_managed_change(obj, request.old, reader)
        return errors

    def validate_kind(self, obj: Obj) -> Iterator[FieldError]:
        """Rules of the kind on any object."""
        del obj
        yield from ()

    def validate_managed_change(self, obj: Obj, old: Obj, reader: Reader) -> Iterator[FieldError]:
        """Rules of the kind on changes of a managed object."""
        del obj, old, reader
        yield from ()

    def _validate_object(self, obj: Obj) -> Iterator[FieldError]:
        yield from validate_queue_name(obj)
        yield from validate_elastic(obj, self._job.kind, self._settings.features)
        if self._settings.features[Gate.ADMISSION_GATED_BY]:
            yield from validate_admission_gates(objects.annotations(obj))

    def _validate_change(self, obj: Obj, old: Obj) -> Iterator[FieldError]:
        is_suspended = self._job.is_suspended(old)
        if not is_suspended or not queue_name(obj):
            yield from validate_queue_immutable(obj, old)
        yield from validate_priority_change(obj, old, is_suspended=is_suspended)
        if self._settings.features[Gate.ADMISSION_GATED_BY]:
            yield from validate_admission_gates_update(objects.annotations(obj), objects.annotations(old))

    def _validate_shapes(self, obj: Obj, old: Obj) -> Iterator[FieldError]:
        for template in self._job.templates:
            new, former = template.of(obj), template.of(old)
            if (new is None) != (former is None):
                yield fields.invalid(template.path, new, fields.IMMUTABLE)
            elif new is not None and former is not None:
                yield from validate_shape(template.path, new, former)


class LeaderWorkerSetWebhook(TemplateWebhook):
    """Admission of LeaderWorkerSets."""

    kind = LEADER_WORKER_SET

    def __init__(self, settings: JobSettings) -> None:
        super().__init__(lws.LeaderWorkerSet(), settings)

    def validate_kind(self, obj: Obj) -> Iterator[FieldError]:
        """Bounds of the replicas; topology annotations of both templates."""
        replicas = lws.LeaderWorkerSet.replicas.of(obj)
        if replicas < 0:
            detail = f"invalid LeaderWorkerSet replicas: must be >= 0, got {replicas}"
            yield fields.invalid("spec.replicas", replicas, detail)
        elif replicas > REPLICAS_MAX:
            detail = f"invalid LeaderWorkerSet replicas: must be <= {REPLICAS_MAX}, got {replicas}"
            yield fields.invalid("spec.replicas", replicas, detail)
        size = lws.SIZE.of(obj)
        has_leader = lws.LEADER.of(obj) is not None
        counts = [(lws.LEADER, 1), (lws.WORKER, size - 1)] if has_leader else [(lws.WORKER, size)]
        pod_sets = [AnnotatedPodSet(f"{t.path}.metadata.annotations", t.annotations_of(obj), n) for t, n in counts]
        yield from validate_topology(pod_sets, self._settings.features)

    def validate_managed_change(self, obj: Obj, old: Obj, reader: Reader) -> Iterator[FieldError]:
        """The size of the groups stays."""
        del reader
        gate = self._settings.features[Gate.LWS_IMMUTABLE_GROUP_SIZE]
        if gate and lws.SIZE.of(obj) != lws.SIZE.of(old):
            yield fields.invalid(lws.SIZE.path, lws.SIZE.of(obj), fields.IMMUTABLE)


class StatefulSetWebhook(TemplateWebhook):
    """Admission of StatefulSets."""

    kind = STATEFUL_SET
    mutating_conditions = OWN_PODS
    validating_conditions = OWN_PODS

    def __init__(self, settings: JobSettings) -> None:
        self._set = StatefulSet()
        super().__init__(self._set, settings)

    def validate_managed_change(self, obj: Obj, old: Obj, reader: Reader) -> Iterator[FieldError]:
        """Replicas go to nothing, and come back when nothing is left of the former ones."""
        new, former = self._set.replicas.of(obj), self._set.replicas.of(old)
        if new in (former, 0):
            return
        path = self._set.replicas.path
        if former != 0:
            yield fields.invalid(path, new, fields.IMMUTABLE)
        elif objects.get_path(old, "status", "replicas"):
            yield fields.forbidden(path, "scaling down is still in progress")
        elif self._leaves_workload(obj, reader):
            yield fields.forbidden(path, "workload from previous scale-down is still being deleted")

    def _leaves_workload(self, obj: Obj, reader: Reader) -> bool:
        names = (self._set.units(obj, self._settings)[0].workload, self._set.legacy_workload_name(obj))
        found = [reader.get(WORKLOAD, objects.namespace(obj), name) for name in names]
        return any(w is not None and not _is_on_hold(w) for w in found)


class DeploymentWebhook(TemplateWebhook):
    """Admission of Deployments: each pod is admitted by itself, so the templates may take any shape."""

    kind = DEPLOYMENT
    keeps_shape = False

    def __init__(self, settings: JobSettings) -> None:
        super().__init__(Deployment(), settings)


def _is_on_hold(workload: Obj) -> bool:
    reserved = objects.condition(workload, WorkloadCondition.QUOTA_RESERVED) or {}
    return reserved.get("status") == "False" and reserved.get("reason") == Reason.ON_HOLD
