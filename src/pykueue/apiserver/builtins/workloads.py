# ruff: noqa: ARG002 - a hook has its contract's signature
"""StatefulSets, Deployments, ReplicaSets, DaemonSets, PodTemplates: defaults, validation, and what may change.

Source: Kubernetes API reference, apps/v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import FieldError
from pykueue.api.fields import NEGATIVE, forbidden, invalid, not_supported, required, validate_label_selector
from pykueue.api.objects import Obj, matches_labels, with_metadata
from pykueue.apiserver.builtins.filling import Json, at, each, fill
from pykueue.apiserver.builtins.meta import BuiltinStrategy
from pykueue.apiserver.builtins.pod_defaults import default_template
from pykueue.apiserver.builtins.pod_validation import validate_template
from pykueue.apiserver.strategy import Context

_ROLLING_SURGE = {"maxSurge": "25%", "maxUnavailable": "25%"}
_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_STATEFUL_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


class TemplateOwner(BuiltinStrategy):
    """A kind that runs pods from `spec.template`, selected by `spec.selector`.

    Attributes:
        zero_status: the status of a new object.
        noun: what messages call it.
    """

    noun = "deployment"

    zero_status: Mapping[str, Any] = {}

    def __init__(self) -> None:
        super().__init__(generation=True, status=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(obj, "spec", lambda spec: self.default_spec(at(spec, "template", default_template)))

    def default_spec(self, spec: Json) -> Json:
        """The spec with this kind's defaults."""
        return fill(spec, {"replicas": 1})

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        return with_metadata({**obj, "status": dict(self.zero_status)}, generation=1)

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        spec = new.get("spec") or {}
        if old is not None and spec == old.get("spec"):
            return ()
        errors = [
            invalid(f"spec.{field}", spec[field], NEGATIVE)
            for field in ("replicas", "minReadySeconds", "revisionHistoryLimit")
            if (spec.get(field) or 0) < 0
        ]
        errors += validate_selector(spec, self.noun)
        errors += validate_template(spec.get("template") or {}, "spec.template", ("Always",))
        return errors if old is None else [*errors, *self.transition(spec, old.get("spec") or {})]

    def transition(self, spec: Json, old: Json) -> Sequence[FieldError]:
        """Faults of a change of the spec."""
        if spec.get("selector") != old.get("selector"):
            return [invalid("spec.selector", spec.get("selector"), "field is immutable")]
        return ()


def validate_selector(spec: Json, noun: str) -> list[FieldError]:
    """Faults of `spec.selector`, and whether it selects the template's pods."""
    selector = spec.get("selector")
    errors = validate_label_selector("spec.selector", selector) if selector is not None else [required("spec.selector")]
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", selector, f"empty selector is invalid for {noun}"))
    elif not errors or selector is None:
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        if not matches_labels(selector, labels):
            detail = "`selector` does not match template `labels`"
            errors.append(invalid("spec.template.metadata.labels", dict(sorted(labels.items())), detail))
    return errors


class StatefulSetStrategy(TemplateOwner):
    """The StatefulSet kind."""

    noun = "statefulset"
    zero_status = {"replicas": 0, "availableReplicas": 0}  # noqa: RUF012 - never mutated

    def default_spec(self, spec: Json) -> Json:
        """See `TemplateOwner.default_spec`."""
        spec = fill(
            spec,
            {
                "podManagementPolicy": "OrderedReady",
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "serviceName": "",
                "updateStrategy": {"type": "RollingUpdate"},
                "persistentVolumeClaimRetentionPolicy": {},
            },
        )
        spec = at(spec, "updateStrategy", _default_stateful_update)
        retention = {"whenDeleted": "Retain", "whenScaled": "Retain"}
        spec = at(spec, "persistentVolumeClaimRetentionPolicy", lambda policy: fill(policy, retention))
        return at(spec, "volumeClaimTemplates", each(_default_claim))

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        spec = new.get("spec") or {}
        errors: list[FieldError] = []
        policies = ("OrderedReady", "Parallel")
        if spec.get("podManagementPolicy") not in policies:
            errors.append(
                invalid(
                    "spec.podManagementPolicy",
                    spec.get("podManagementPolicy"),
                    f"must be '{policies[0]}' or '{policies[1]}'",
                )
            )
        kind = (spec.get("updateStrategy") or {}).get("type")
        if kind not in ("RollingUpdate", "OnDelete"):
            errors.append(invalid("spec.updateStrategy", kind, "must be 'RollingUpdate' or 'OnDelete'"))
        return [*errors, *super().faults(new, old, context)]

    def transition(self, spec: Json, old: Json) -> Sequence[FieldError]:
        """See `TemplateOwner.transition`."""
        kept, was = (
            {k: v for k, v in s.items() if k not in _STATEFUL_MUTABLE and v not in (None, "", [], {})}
            for s in (spec, old)
        )
        return [forbidden("spec", _STATEFUL_FORBIDDEN)] if kept != was else ()


class DeploymentStrategy(TemplateOwner):
    """The Deployment kind."""

    def default_spec(self, spec: Json) -> Json:
        """See `TemplateOwner.default_spec`."""
        spec = fill(
            spec,
            {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {}},
        )
        return at(spec, "strategy", lambda strategy: _with_rolling(strategy, _ROLLING_SURGE))

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        kind = ((new.get("spec") or {}).get("strategy") or {}).get("type")
        errors = (
            [not_supported("spec.strategy.type", kind, ("Recreate", "RollingUpdate"))]
            if kind not in ("Recreate", "RollingUpdate")
            else []
        )
        return [*errors, *super().faults(new, old, context)]


class ReplicaSetStrategy(TemplateOwner):
    """The ReplicaSet kind."""

    zero_status = {"replicas": 0}  # noqa: RUF012 - never mutated


class DaemonSetStrategy(TemplateOwner):
    """The DaemonSet kind: stored."""

    noun = "daemonset"
    zero_status = {  # noqa: RUF012 - never mutated
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }

    def __init__(self) -> None:
        super().__init__()
        self.inert = "nothing makes pods from it"

    def default_spec(self, spec: Json) -> Json:
        """See `TemplateOwner.default_spec`."""
        spec = fill(spec, {"revisionHistoryLimit": 10, "updateStrategy": {}})
        rolling = {"maxSurge": 0, "maxUnavailable": 1}
        return at(spec, "updateStrategy", lambda strategy: _with_rolling(strategy, rolling))


class PodTemplateStrategy(BuiltinStrategy):
    """The PodTemplate kind."""

    def __init__(self) -> None:
        super().__init__(generation=True, create_on_update=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return at(fill(obj, {"template": {}}), "template", default_template)

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        policies = ("Always", "OnFailure", "Never")
        return validate_template(new.get("template") or {}, "template", policies)


def _with_rolling(strategy: Json, rolling: Json) -> Json:
    """An update strategy with its type and the numbers of a rolling update."""
    strategy = fill(strategy, {"type": "RollingUpdate"})
    if strategy["type"] != "RollingUpdate":
        return strategy
    return at(fill(strategy, {"rollingUpdate": {}}), "rollingUpdate", lambda numbers: fill(numbers, rolling))


def _default_stateful_update(strategy: Json) -> Json:
    return _with_rolling(strategy, {"partition": 0})


def _default_claim(claim: Json) -> Json:
    claim = fill(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}})
    return at(claim, "spec", lambda spec: fill(spec, {"volumeMode": "Filesystem"}))
