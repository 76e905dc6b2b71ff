"""Pods: gated on the way in, if they or what they belong to wait for quota.

A pod of a set is known by the mark that the set's webhook put into its template; it is gated without further questions, unless its unit is
admitted already: then it is started on the spot (`integrations/members.py`). Any other pod is gated if it has a queue name, or all jobs
are managed, and no managed owner stands above it.

Source: jobs.md §18.1, leaderworkerset.md A8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pykueue.api import fields, objects
from pykueue.api.constants import POD_FINALIZER, Annotation, Label, SchedulingGate
from pykueue.api.errors import FieldError, Forbidden
from pykueue.api.kinds import NAMESPACE, POD
from pykueue.api.objects import Obj
from pykueue.core.features import Gate
from pykueue.integrations.ancestors import find_ancestor
from pykueue.integrations.identity import pod_group_name, prebuilt_workload_name
from pykueue.integrations.members import arriving
from pykueue.integrations.pod import gate_names, is_suspended
from pykueue.integrations.registry import SETS
from pykueue.integrations.role_hash import role_hash
from pykueue.integrations.settings import JobSettings, queue_name
from pykueue.integrations.topology_validation import AnnotatedPodSet, validate_topology_of_one
from pykueue.integrations.validation import atoi_fault, validate_create, validate_update
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Reader
from pykueue.webhooks.base import CREATE_ONLY, KindWebhook
from pykueue.webhooks.conditions import POD_VALIDATION
from pykueue.webhooks.jobs.defaults import with_defaults, with_namespace

_TOTAL_PATH = f"metadata.annotations[{Annotation.POD_GROUP_TOTAL_COUNT}]"
_RETRIABLE_PATH = f"metadata.annotations[{Annotation.RETRIABLE_IN_GROUP}]"


class PodWebhook(KindWebhook):
    """Admission of pods."""

    kind = POD
    mutating_operations = CREATE_ONLY
    validating_conditions = POD_VALIDATION
    skips_system_namespaces = True

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """The pod with gates, role and, where it is on its own, label and finalizer."""
        if not self._settings.serves_pod(request.obj):
            return request.obj
        pod = with_namespace(request)
        if Annotation.POD_SUSPENDING_PARENT in objects.annotations(pod):
            gated = self._gated(pod)
            return arriving(gated, SETS, reader, self._settings) or gated
        namespace = objects.namespace(pod)
        if queue_name(pod) and reader.get(NAMESPACE, "", namespace) is None:
            # Better refused once than let through without quota: the cache is behind, or the namespace is gone.
            raise Forbidden(f'namespaces "{namespace}" not found')
        if not self._settings.selects_namespace(reader, namespace):
            return request.obj
        if not objects.is_deleting(pod) and find_ancestor(pod, reader, self._settings) is not None:
            return request.obj
        pod = with_defaults(pod, reader, self._settings)
        if not queue_name(pod) and not self._settings.config.manage_jobs_without_queue_name:
            return pod
        labels = {**objects.labels(pod), Label.MANAGED.value: "true"}
        source = objects.annotations(pod).get(Annotation.POD_GROUP_POD_INDEX_LABEL)
        if source and source in labels and self._settings.features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
            labels[Label.POD_GROUP_POD_INDEX.value] = labels[source]
        finalizers = list(dict.fromkeys((*objects.finalizers(pod), POD_FINALIZER)))
        return self._gated(objects.with_metadata(pod, labels=labels, finalizers=finalizers))

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """The common rules, those of groups, and on updates what may not change."""
        if not self._settings.serves_pod(request.obj):
            return ()
        pod, features = with_namespace(request), self._settings.features
        if request.operation is Operation.UPDATE and request.old is not None:
            was_suspended = is_suspended(request.old)
            common = validate_update(
                pod, request.old, POD, features, reader, is_suspended=is_suspended(pod), was_suspended=was_suspended,
                # A pod learns its group and is started by one patch: what it was not told before, it may be told with the start.
                is_told_late=was_suspended and not prebuilt_workload_name(request.old, features),
            )  # fmt: skip
            return [*common, *self._validate_pod(pod), *self._validate_change(pod, request.old)]
        return [*validate_create(pod, POD, features), *self._validate_pod(pod)]

    def _gated(self, pod: Obj) -> Obj:
        """The pod behind our gates, with its role."""
        wanted = [SchedulingGate.ADMISSION.value]
        if self._settings.features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
            wanted.append(SchedulingGate.TOPOLOGY.value)
        present = gate_names(pod)
        spec: dict[str, Any] = {**(pod.get("spec") or {})}
        spec["schedulingGates"] = [{"name": name} for name in dict.fromkeys((*present, *wanted))]
        annotations = {**objects.annotations(pod), Annotation.ROLE_HASH.value: role_hash(pod)}
        return {**objects.with_metadata(pod, annotations=annotations), "spec": spec}

    def _validate_pod(self, pod: Obj) -> Iterator[FieldError]:
        managed = objects.labels(pod).get(Label.MANAGED)
        if managed is not None and managed != "true":
            yield fields.forbidden(f"metadata.labels[{Label.MANAGED}]", "managed label value can only be 'true'")
        yield from self._validate_group(pod)
        annotated = AnnotatedPodSet("metadata.annotations", objects.annotations(pod), 1)
        yield from validate_topology_of_one(annotated, self._settings.features)

    def _validate_group(self, pod: Obj) -> Iterator[FieldError]:
        group = pod_group_name(pod, self._settings.features)
        total = objects.annotations(pod).get(Annotation.POD_GROUP_TOTAL_COUNT)
        path, word = self._group_path(pod)
        both = f"both the '{Annotation.POD_GROUP_TOTAL_COUNT}' annotation and the '{Label.POD_GROUP_NAME}' {word} should be set"
        if group:
            if faults := fields.subdomain_faults(group):
                yield fields.invalid(path, group, ",".join(faults))
            if total is None:
                yield fields.required(_TOTAL_PATH, both)
        elif total is not None:
            yield fields.required(path, both)
        if total is not None:
            yield from _validate_total(total)
        prebuilt = prebuilt_workload_name(pod, self._settings.features)
        if group and prebuilt and prebuilt != group:
            by_label = objects.labels(pod).get(Label.PREBUILT_WORKLOAD_NAME) == prebuilt
            place = "labels" if by_label else "annotations"
            detail = "prebuilt workload and pod group should be equal"
            yield fields.invalid(f"metadata.{place}[{Label.PREBUILT_WORKLOAD_NAME}]", prebuilt, detail)

    def _validate_change(self, pod: Obj, old: Obj) -> Iterator[FieldError]:
        features = self._settings.features
        group, former = pod_group_name(pod, features), pod_group_name(old, features)
        if former and group != former:
            yield fields.invalid(self._group_path(pod)[0], group, fields.IMMUTABLE)
        was_unretriable = objects.annotations(old).get(Annotation.RETRIABLE_IN_GROUP) == "false"
        if was_unretriable and objects.annotations(pod).get(Annotation.RETRIABLE_IN_GROUP) != "false":
            yield fields.forbidden(_RETRIABLE_PATH, "unretriable pod group can't be converted to retriable")

    def _group_path(self, pod: Obj) -> tuple[str, str]:
        """Where the group name is, and what that place is called."""
        by_annotation = self._settings.features[Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS] and (
            objects.annotations(pod).get(Annotation.POD_GROUP_NAME)
        )
        word = "annotation" if by_annotation else "label"
        return f"metadata.{word}s[{Label.POD_GROUP_NAME}]", word


def _validate_total(text: str) -> Iterator[FieldError]:
    if fault := atoi_fault(text):
        yield fields.invalid(_TOTAL_PATH, text, fault)
    elif int(text) < 1:
        detail = (
            f"incorrect annotation value '{Annotation.POD_GROUP_TOTAL_COUNT}={text}': "
            "group total count should be greater than zero"
        )
        yield fields.invalid(_TOTAL_PATH, text, detail)
