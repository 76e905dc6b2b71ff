"""Workload: what may be asked for, and what may not change once quota is held.

Also called for the `status` sub-resource. What the CRD's schema and CEL rules refuse never gets here.

Source: webhooks.md §3.5, §3.6, §3.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pykueue.api import fields, objects
from pykueue.api.constants import Annotation, WorkloadCondition
from pykueue.api.errors import FieldError
from pykueue.api.kinds import WORKLOAD
from pykueue.api.objects import Obj
from pykueue.api.quantity import parse_quantity
from pykueue.core.features import Features, Gate
from pykueue.integrations.validation import validate_admission_gates, validate_admission_gates_update
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Reader
from pykueue.webhooks.base import CREATE_ONLY, KindWebhook
from pykueue.webhooks.conditions import WORKLOAD_DEFAULTS, WORKLOAD_VALIDATION

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or "
    "'_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
    "'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
)


class WorkloadWebhook(KindWebhook):
    """Admission of Workloads and of their status."""

    kind = WORKLOAD
    mutating_operations = CREATE_ONLY
    mutating_conditions = WORKLOAD_DEFAULTS
    validating_conditions = WORKLOAD_VALIDATION
    validated_subresources = ("status",)

    def __init__(self, features: Features) -> None:
        self._features = features

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """Drop every `minCount` where partial admission is off."""
        del reader
        spec = request.obj.get("spec") or {}
        pod_sets = spec.get("podSets") or ()
        if self._features[Gate.PARTIAL_ADMISSION] or not any("minCount" in p for p in pod_sets):
            return request.obj
        stripped = [{k: v for k, v in p.items() if k != "minCount"} for p in pod_sets]
        return {**request.obj, "spec": {**spec, "podSets": stripped}}

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """All rules of webhooks.md §3.5, then on updates those of §3.6."""
        del reader
        errors = [
            *self._validate_pod_sets(request.obj),
            *_validate_admission(request.obj, request.old),
            *_validate_conditions(request.obj),
            *_validate_reclaimable(request.obj, request.old),
            *_validate_pod_set_updates(request.obj),
            *self._validate_annotations(request.obj),
        ]
        if request.operation is Operation.UPDATE and request.old is not None:
            errors += self._validate_update(request.obj, request.old)
        return errors

    def _validate_pod_sets(self, obj: Obj) -> Iterator[FieldError]:
        pod_sets = _pod_sets(obj)
        for i, pod_set in enumerate(pod_sets):
            path = f"spec.podSets[{i}]"
            template = pod_set.get("template") or {}
            if self._features[Gate.WORKLOAD_VALIDATION_FOR_POD_SET_METADATA]:
                meta = template.get("metadata") or {}
                yield from fields.validate_labels(f"{path}.template.metadata.labels", meta.get("labels") or {})
                where = f"{path}.template.metadata.annotations"
                yield from fields.validate_annotations(where, meta.get("annotations") or {})
            yield from self._validate_resources(f"{path}.template.spec", template.get("spec") or {})
            if self._features[Gate.TAS_VALIDATE_WORKLOAD_SLICE_SIZE]:
                yield from _validate_slices(f"{path}.topologyRequest", pod_set.get("topologyRequest") or {})
        partial = [p for p in pod_sets if p.get("minCount") is not None]
        if len(partial) > 1:
            yield fields.invalid("spec.podSets", len(partial), "at most one podSet can use minCount")
        if partial and _is_elastic(obj):
            detail = "partial admission and elastic job cannot be used together"
            yield fields.invalid("spec.podSets", len(partial), detail)

    def _validate_resources(self, path: str, spec: Mapping[str, Any]) -> Iterator[FieldError]:
        places = [
            (f"{path}.{kind}[{k}].resources", container.get("resources") or {})
            for kind in ("initContainers", "containers")
            for k, container in enumerate(spec.get(kind) or ())
        ]
        places.append((f"{path}.resources", spec.get("resources") or {}))
        for where, resources in places:
            for part in ("requests", "limits"):
                for name, amount in (resources.get(part) or {}).items():
                    at = f"{where}.{part}[{name}]"
                    if name == "pods":
                        yield fields.invalid(at, "pods", "the key is reserved for internal kueue use")
                    strict = self._features[Gate.WORKLOAD_VALIDATE_RESOURCES_ARE_NON_NEGATIVE]
                    if strict and parse_quantity(amount).nanos < 0:
                        yield fields.invalid(at, str(parse_quantity(amount)), fields.NEGATIVE)

    def _validate_annotations(self, obj: Obj) -> Iterator[FieldError]:
        annotations = objects.annotations(obj)
        if self._features[Gate.ADMISSION_GATED_BY]:
            yield from validate_admission_gates(annotations)
        boost = annotations.get(Annotation.PRIORITY_BOOST)
        if boost is None or not self._features[Gate.PRIORITY_BOOST]:
            return
        path = f"metadata.annotations[{Annotation.PRIORITY_BOOST}]"
        if not boost:
            detail = 'must be a valid signed integer; use "0" explicitly, empty string is not allowed'
            yield fields.invalid(path, boost, detail)
        elif not re.fullmatch(r"[+-]?\d+", boost):
            yield fields.invalid(path, boost, "must be a valid signed integer")

    def _validate_update(self, obj: Obj, old: Obj) -> Iterator[FieldError]:
        if _has_quota(old):
            shrinking = self._features[Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES]
            yield from _validate_pod_sets_unchanged(obj, old, may_shrink=shrinking)
        if _has_quota(obj) and _has_quota(old):
            yield from _validate_reclaimable_only_grow(obj, old)
        yield from self._validate_admission_unchanged(obj, old)
        yield from _validate_updates_of_ready_checks(obj, old)
        yield from _validate_cluster_name(obj, old)
        if self._features[Gate.ADMISSION_GATED_BY]:
            yield from validate_admission_gates_update(objects.annotations(obj), objects.annotations(old))

    def _validate_admission_unchanged(self, obj: Obj, old: Obj) -> Iterator[FieldError]:
        new_admission, old_admission = (objects.get_path(o, "status", "admission") for o in (obj, old))
        if new_admission is None or old_admission is None:
            return
        if self._features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
            new_admission, old_admission = map(_without_topology, (new_admission, old_admission))
        if new_admission != old_admission:
            yield fields.invalid("status.admission", new_admission, fields.IMMUTABLE)


def _validate_slices(path: str, request: Mapping[str, Any]) -> Iterator[FieldError]:
    topology, size = request.get("podSetSliceRequiredTopology"), request.get("podSetSliceSize")
    where = f"{path}.podSetSliceSize"
    if topology and size is None:
        yield fields.required(where, "must be set when podSetSliceRequiredTopology is specified")
    if size is not None and size <= 0:
        yield fields.invalid(where, size, "must be greater than 0")
    if size is not None and not topology:
        yield fields.forbidden(where, "may not be set when podSetSliceRequiredTopology is not specified")
    for k, constraint in enumerate(request.get("podsetSliceRequiredTopologyConstraints") or ()):
        if constraint.get("size", 0) <= 0:
            at = f"{path}.podsetSliceRequiredTopologyConstraints[{k}].size"
            yield fields.invalid(at, constraint.get("size", 0), "must be greater than 0")


def _validate_admission(obj: Obj, old: Obj | None) -> Iterator[FieldError]:
    admission = objects.get_path(obj, "status", "admission")
    if not _has_quota(obj):
        return
    if admission is None:
        if old is None or not _has_quota(old) or objects.get_path(old, "status", "admission") is not None:
            yield fields.required("status.admission", "must be set while the QuotaReserved condition is true")
        return
    names = {p.get("name") for p in _pod_sets(obj)}
    for i, assignment in enumerate(admission.get("podSetAssignments") or ()):
        path = f"status.admission.podSetAssignments[{i}]"
        if assignment.get("name") not in names:
            yield fields.not_found(f"{path}.name", assignment.get("name"))
        count = assignment.get("count") or 0
        for resource, amount in (assignment.get("resourceUsage") or {}).items():
            quantity = parse_quantity(amount)
            whole = quantity.milli if resource == "cpu" else quantity.value
            if count > 0 and whole % count:
                at = f"{path}.resourceUsage[{resource}]"
                yield fields.invalid(at, str(quantity), f"is not a multiple of {count}")


def _validate_conditions(obj: Obj) -> Iterator[FieldError]:
    seen: set[str] = set()
    for i, condition in enumerate(objects.get_path(obj, "status", "conditions") or ()):
        path = f"status.conditions[{i}]"
        type_, reason = str(condition.get("type", "")), str(condition.get("reason", ""))
        if type_ in seen:
            yield fields.duplicate(f"{path}.type", type_)
        seen.add(type_)
        yield from (fields.invalid(f"{path}.type", type_, fault) for fault in fields.label_key_faults(type_))
        if condition.get("status") not in ("True", "False", "Unknown"):
            yield fields.not_supported(f"{path}.status", condition.get("status", ""), ("False", "True", "Unknown"))
        if (generation := condition.get("observedGeneration") or 0) < 0:
            yield fields.invalid(f"{path}.observedGeneration", generation, "must be greater than or equal to zero")
        if not condition.get("lastTransitionTime"):
            yield fields.required(f"{path}.lastTransitionTime", "must be set")
        if not reason:
            yield fields.required(f"{path}.reason", "must be set")
        elif not _REASON.fullmatch(reason):
            yield fields.invalid(f"{path}.reason", reason, _REASON_TEXT)
        if len(reason) > 1024:
            yield fields.too_long(f"{path}.reason", 1024)
        if len(str(condition.get("message", ""))) > 32768:
            yield fields.too_long(f"{path}.message", 32768)


def _validate_reclaimable(obj: Obj, old: Obj | None) -> Iterator[FieldError]:
    counts = {str(p.get("name")): int(p.get("count", 1)) for p in _pod_sets(obj)}
    before = _reclaimable(old) if old is not None else {}
    for entry in objects.get_path(obj, "status", "reclaimablePods") or ():
        name, count = entry.get("name"), entry.get("count", 0)
        if name not in counts:
            yield fields.not_supported(f"status.reclaimablePods[{name}].name", name, sorted(counts))
        elif count > counts[name] and not (_is_elastic(obj) and before.get(name) == count):
            yield fields.invalid(
                f"status.reclaimablePods[{name}].count", count, f"should be less or equal to {counts[name]}"
            )


def _validate_reclaimable_only_grow(obj: Obj, old: Obj) -> Iterator[FieldError]:
    after, shrunk = _reclaimable(obj), _shrunk_pod_sets(obj) if _is_elastic(obj) else frozenset()
    for name, count in _reclaimable(old).items():
        if name in shrunk:
            continue
        if name not in after:
            yield fields.required(f"status.reclaimablePods[{name}]", "cannot be removed")
        elif after[name] < count:
            yield fields.invalid(f"status.reclaimablePods[{name}].count", after[name], f"cannot be less than {count}")


def _shrunk_pod_sets(obj: Obj) -> frozenset[str]:
    """Pod sets whose present count is below the admitted one."""
    admitted = {
        a.get("name"): a.get("count") or 0
        for a in objects.get_path(obj, "status", "admission", "podSetAssignments") or ()
    }
    return frozenset(p["name"] for p in _pod_sets(obj) if p.get("count", 1) < admitted.get(p.get("name"), 0))


def _validate_pod_set_updates(obj: Obj) -> Iterator[FieldError]:
    names = sorted(str(p.get("name")) for p in _pod_sets(obj))
    for i, check in enumerate(objects.get_path(obj, "status", "admissionChecks") or ()):
        for j, update in enumerate(check.get("podSetUpdates") or ()):
            path = f"status.admissionChecks[{i}].podSetUpdates[{j}]"
            if update.get("name") not in names:
                yield fields.not_supported(f"{path}.name", update.get("name"), names)
            for k, toleration in enumerate(update.get("tolerations") or ()):
                if key := toleration.get("key"):
                    at = f"{path}.tolerations[{k}].key"
                    yield from (fields.invalid(at, key, fault) for fault in fields.label_key_faults(key))
            yield from fields.validate_annotations(f"{path}.annotations", update.get("annotations") or {})
            yield from fields.validate_labels(f"{path}.nodeSelector", update.get("nodeSelector") or {})
            yield from fields.validate_labels(f"{path}.labels", update.get("labels") or {})


def _validate_pod_sets_unchanged(obj: Obj, old: Obj, *, may_shrink: bool) -> Iterator[FieldError]:
    after, before = _pod_sets(obj), _pod_sets(old)
    if len(after) != len(before):
        yield fields.invalid("spec.podSets", after, fields.IMMUTABLE)
        return
    for i, (new_set, old_set) in enumerate(zip(after, before, strict=True)):
        if may_shrink and new_set.get("count", 1) < old_set.get("count", 1):
            new_set = {**new_set, "count": old_set.get("count", 1)}
        if new_set != old_set:
            # Kueue parity: webhooks.md §3.6, the index stands after a dot.
            yield fields.invalid(f"spec.podSets.{i}", new_set, fields.IMMUTABLE)


def _validate_updates_of_ready_checks(obj: Obj, old: Obj) -> Iterator[FieldError]:
    before = {c.get("name"): c for c in objects.get_path(old, "status", "admissionChecks") or ()}
    for i, check in enumerate(objects.get_path(obj, "status", "admissionChecks") or ()):
        past = before.get(check.get("name"))
        if past is None or (past.get("state"), check.get("state")) != ("Ready", "Ready"):
            continue
        if (past.get("podSetUpdates") or []) != (check.get("podSetUpdates") or []):
            path = f"status.admissionChecks[{i}].podSetUpdates"
            yield fields.invalid(path, check.get("podSetUpdates"), fields.IMMUTABLE)


def _validate_cluster_name(obj: Obj, old: Obj) -> Iterator[FieldError]:
    name, before = (objects.get_path(o, "status", "clusterName") for o in (obj, old))
    if not name or before or Annotation.WORKLOAD_SLICE_REPLACEMENT_FOR in objects.annotations(obj):
        return
    if name not in (objects.get_path(old, "status", "nominatedClusterNames") or ()):
        detail = "when setting clusterName it must be one of the nominatedClusterNames"
        yield fields.invalid("status.clusterName", name, detail)


def _without_topology(admission: Mapping[str, Any]) -> dict[str, Any]:
    dropped = ("topologyAssignment", "delayedTopologyRequest")
    assignments = [{k: v for k, v in a.items() if k not in dropped} for a in admission.get("podSetAssignments") or ()]
    return {**admission, "podSetAssignments": assignments}


def _pod_sets(obj: Obj) -> Sequence[Mapping[str, Any]]:
    return objects.get_path(obj, "spec", "podSets") or ()


def _reclaimable(obj: Obj) -> dict[str, int]:
    return {e.get("name", ""): e.get("count", 0) for e in objects.get_path(obj, "status", "reclaimablePods") or ()}


def _has_quota(obj: Obj) -> bool:
    return objects.is_condition_true(obj, WorkloadCondition.QUOTA_RESERVED)


def _is_elastic(obj: Obj) -> bool:
    return objects.annotations(obj).get(Annotation.ELASTIC_JOB) == "true"
