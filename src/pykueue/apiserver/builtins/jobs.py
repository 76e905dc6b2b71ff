# ruff: noqa: ARG002 - a hook has its contract's signature
"""Jobs and CronJobs: defaults, the generated selector, validation, and what may change.

A Job's selector and the labels of its pods are made from its UID, unless the user manages them. The pod template is immutable,
except for scheduling directives of a suspended Job that does not run yet, which is how queueing controllers place it.

Source: Kubernetes API reference, batch/v1; documentation, "Jobs", "Mutable Scheduling Directives".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pykueue.api.errors import FieldError
from pykueue.api.fields import IMMUTABLE, NEGATIVE, invalid, not_supported, required, validate_label_selector
from pykueue.api.objects import Obj, get_path, labels, matches_labels, metadata, with_metadata
from pykueue.apiserver.builtins.filling import Json, at, each, fill, without
from pykueue.apiserver.builtins.meta import BuiltinStrategy
from pykueue.apiserver.builtins.pod_defaults import default_template
from pykueue.apiserver.builtins.pod_validation import validate_template
from pykueue.apiserver.strategy import Context

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_MAX_INT32 = 2**31 - 1
_INDEXED_PARALLELISM_MAX = 100_000
_RESTART_POLICIES = ("OnFailure", "Never")


class JobStrategy(BuiltinStrategy):
    """The Job kind."""

    default_propagation = "Orphan"
    # Kubernetes parity: batch/v1 deletes dependents in the background only when asked.

    def __init__(self) -> None:
        super().__init__(generation=True, status=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(fill(obj, {"spec": {}}), "spec", default_job_spec)

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        if not obj["spec"].get("manualSelector"):
            obj = _with_selector(obj)
        if not labels(obj):
            # Kubernetes parity: a Job without labels shows those of its pods.
            obj = with_metadata(obj, labels=get_path(obj, "spec", "template", "metadata", "labels") or None)
        return with_metadata({**obj, "status": {}}, generation=1)

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        spec = new["spec"]
        if old is None:
            return [*_validate_spec(spec), *_validate_selector(new), *_template_faults(spec)]
        if spec == old["spec"]:
            return ()
        return [*_validate_spec(spec), *_validate_selector(new), *_transition(new, old)]


class CronJobStrategy(BuiltinStrategy):
    """The CronJob kind: stored with its defaults."""

    def __init__(self) -> None:
        super().__init__(generation=True, status=True, inert="nothing makes jobs from it")

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(obj, "spec", _default_cron_spec)

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        return with_metadata({**obj, "status": {}}, generation=1)

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        spec = new.get("spec") or {}
        errors = [] if spec.get("schedule") else [required("spec.schedule")]
        template = get_path(spec, "jobTemplate", "spec", "template") or {}
        return [*errors, *validate_template(template, "spec.jobTemplate.spec.template", _RESTART_POLICIES)]


def default_job_spec(spec: Json) -> Json:
    """A JobSpec with defaults."""
    spec = at(spec, "template", default_template)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec = {**spec, "completions": 1, "parallelism": 1}
    by_index = spec.get("backoffLimitPerIndex") is not None
    policy = spec.get("podFailurePolicy")
    spec = fill(
        spec,
        {
            "parallelism": 1,
            "backoffLimit": _MAX_INT32 if by_index else 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "manualSelector": False,
            "podReplacementPolicy": "Failed" if policy is not None else "TerminatingOrFailed",
        },
    )
    return at(spec, "podFailurePolicy", lambda found: at(found, "rules", each(_default_failure_rule)))


def _default_failure_rule(rule: Json) -> Json:
    return at(rule, "onPodConditions", each(lambda pattern: fill(pattern, {"status": "True"})))


def _default_cron_spec(spec: Json) -> Json:
    spec = fill(
        spec,
        {"concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1},
    )
    spec = at(spec, "jobTemplate", lambda template: fill(template, {"metadata": {}}))
    return at(
        spec,
        "jobTemplate",
        lambda template: at(template, "spec", lambda job: at(job, "template", default_template)),
    )


def _with_selector(job: Obj) -> Obj:
    """The Job with a selector and pod labels made from its UID."""
    uid, name = str(metadata(job).get("uid") or ""), str(metadata(job).get("name") or "")
    spec = job["spec"]
    made = {"controller-uid": uid, CONTROLLER_UID: uid, "job-name": name, JOB_NAME: name}
    template = spec.get("template") or {}
    meta = template.get("metadata") or {}
    template = {**template, "metadata": {**meta, "labels": {**(meta.get("labels") or {}), **made}}}
    selector = spec.get("selector") or {}
    if not selector.get("matchLabels", {}).get(CONTROLLER_UID):
        selector = {**selector, "matchLabels": {**selector.get("matchLabels", {}), CONTROLLER_UID: uid}}
    return {**job, "spec": {**spec, "selector": selector, "template": template}}


def _template_faults(spec: Json) -> list[FieldError]:
    return validate_template(spec.get("template") or {}, "spec.template", _RESTART_POLICIES)


def _validate_spec(spec: Json) -> list[FieldError]:
    numbers = (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "ttlSecondsAfterFinished",
    )
    errors = [invalid(f"spec.{name}", spec[name], NEGATIVE) for name in numbers if (spec.get(name) or 0) < 0]
    mode = spec.get("completionMode")
    if mode not in ("NonIndexed", "Indexed"):
        errors.append(not_supported("spec.completionMode", mode, ("Indexed", "NonIndexed")))
    if mode == "Indexed":
        if spec.get("completions") is None:
            errors.append(required("spec.completions", "when completion mode is Indexed"))
        if (spec.get("parallelism") or 0) > _INDEXED_PARALLELISM_MAX:
            detail = f"must be less than or equal to {_INDEXED_PARALLELISM_MAX} when completion mode is Indexed"
            errors.append(invalid("spec.parallelism", spec["parallelism"], detail))
    elif spec.get("backoffLimitPerIndex") is not None:
        detail = "requires indexed completion mode"
        errors.append(invalid("spec.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail))
    policy = spec.get("podReplacementPolicy")
    if policy not in ("Failed", "TerminatingOrFailed"):
        errors.append(not_supported("spec.podReplacementPolicy", policy, ("Failed", "TerminatingOrFailed")))
    return errors


def _validate_selector(job: Obj) -> list[FieldError]:
    spec = job["spec"]
    selector = spec.get("selector")
    if selector is None:
        return [required("spec.selector")]
    errors = validate_label_selector("spec.selector", selector)
    pod_labels = dict(sorted((get_path(spec, "template", "metadata", "labels") or {}).items()))
    uid = str(metadata(job).get("uid") or "")
    if not spec.get("manualSelector"):
        name = str(metadata(job).get("name") or "")
        for key, value in ((CONTROLLER_UID, uid), (JOB_NAME, name), ("controller-uid", uid), ("job-name", name)):
            if key not in pod_labels:
                errors.append(required(f"spec.template.metadata.labels[{key}]", f"must be '{value}'"))
            elif pod_labels[key] != value:
                errors.append(invalid(f"spec.template.metadata.labels[{key}]", pod_labels, f"must be '{value}'"))
        if selector != {"matchLabels": {CONTROLLER_UID: uid}}:
            errors.append(invalid("spec.selector", _sorted(selector), "`selector` not auto-generated"))
    if not matches_labels(selector, pod_labels):
        detail = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", pod_labels, detail))
    return errors


def _sorted(selector: Json) -> dict[str, Any]:
    """A selector with its labels in order, as messages show it."""
    return {k: dict(sorted(v.items())) if k == "matchLabels" else v for k, v in selector.items()}


def _transition(new: Obj, old: Obj) -> list[FieldError]:
    spec, was = new["spec"], old["spec"]
    errors: list[FieldError] = []
    if spec.get("completions") != was.get("completions") and not _is_elastic(spec, was):
        errors.append(invalid("spec.completions", spec.get("completions"), IMMUTABLE))
    errors += [
        invalid(
            f"spec.{name}", _sorted(spec[name]) if name == "selector" and spec.get(name) else spec.get(name), IMMUTABLE
        )
        for name in (
            "selector",
            "completionMode",
            "podFailurePolicy",
            "backoffLimitPerIndex",
            "managedBy",
            "successPolicy",
        )
        if spec.get(name) != was.get(name)
    ]
    template, before = spec.get("template") or {}, was.get("template") or {}
    if template != before:
        if is_template_mutable(old):
            errors += _template_faults(spec)
            template, before = _without_directives(template), _without_directives(before)
        if template != before:
            errors.append(invalid("spec.template", template, IMMUTABLE))
    return errors


def is_template_mutable(job: Obj) -> bool:
    """Whether scheduling directives of the pod template may change: the Job is suspended, and none of its pods runs."""
    status = job.get("status") or {}
    suspended = any(c.get("type") == "Suspended" and c.get("status") == "True" for c in status.get("conditions") or ())
    never_started = status.get("startTime") is None
    return bool(job["spec"].get("suspend")) and (never_started or (suspended and not status.get("active")))


def _without_directives(template: Json) -> dict[str, Any]:
    """A template without what queueing controllers may change: node selection, tolerations, gates, labels, resources."""
    spec = without(template.get("spec") or {}, "nodeSelector", "tolerations", "schedulingGates")
    affinity = without(spec.get("affinity") or {}, "nodeAffinity")
    spec = {**without(spec, "affinity"), **({"affinity": affinity} if affinity else {})}
    for name in ("containers", "initContainers"):
        spec = at(spec, name, each(lambda container: without(container, "resources")))
    meta = without(template.get("metadata") or {}, "labels", "annotations")
    return {**template, "metadata": meta, "spec": spec}


def _is_elastic(spec: Json, was: Json) -> bool:
    """Indexed Jobs may change completions together with parallelism."""
    both = spec.get("completionMode") == was.get("completionMode") == "Indexed"
    return both and spec.get("completions") == spec.get("parallelism") and was.get("completions") is not None
