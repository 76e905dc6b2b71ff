# ruff: noqa: ARG002 - a hook has its contract's signature
"""Pods: what the API server makes of them on the way in, what may change later, and how they are deleted gracefully.

On create the status starts as Pending with its quality-of-service class; a gated pod says so in a condition. The admission
plugins Priority, DefaultTolerationSeconds, RuntimeClass and LimitRanger have their effect in `admit`. Validation is `pod_validation.py`.

Source: Kubernetes documentation, "Pod Lifecycle", "Pod Scheduling Readiness", "Pod QoS Classes", "Pod Priority and Preemption".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import FieldError, Forbidden
from pykueue.api.instant import format_time
from pykueue.api.kinds import LIMIT_RANGE, POD, PRIORITY_CLASS
from pykueue.api.objects import Obj, metadata, with_metadata
from pykueue.api.quantity import parse_quantity
from pykueue.apiserver.builtins.limit_ranges import apply_limits
from pykueue.apiserver.builtins.meta import BuiltinStrategy
from pykueue.apiserver.builtins.pod_defaults import default_pod
from pykueue.apiserver.builtins.pod_validation import validate_pod, validate_pod_update
from pykueue.apiserver.builtins.runtime_classes import with_runtime_class
from pykueue.apiserver.strategy import Context, with_generation

_TERMINAL = ("Succeeded", "Failed")
_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"


class PodStrategy(BuiltinStrategy):
    """The Pod kind."""

    def __init__(self) -> None:
        super().__init__(generation=True, status=True)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        return default_pod(obj)

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`."""
        status: dict[str, Any] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        if obj["spec"].get("schedulingGates"):
            gated = {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": format_time(context.now),
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
            status = {"conditions": [gated], **status}
        return with_metadata({**obj, "status": status}, generation=1)

    def prepare_update(self, new: Obj, old: Obj, subresource: str, context: Context) -> Obj:
        """See `Strategy.prepare_update`; admission's tolerations come back before the generation is counted."""
        if not subresource:
            new = _with_tolerations(new)
        new = super().prepare_update(new, old, subresource, context)
        if subresource == "status" and (status := new.get("status")) is not None:
            kept = {key: (old.get("status") or {}).get(key) for key in ("qosClass",)}
            missing = {key: value for key, value in kept.items() if value is not None and status.get(key) != value}
            return {**new, "status": {**status, **missing}} if missing else new
        return with_generation(new, old, new["spec"] != old["spec"]) if subresource != "binding" else new

    def admit(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> Obj:
        """See `Strategy.admit`."""
        if old is not None or subresource:
            return new
        new = with_runtime_class(_with_tolerations(_with_priority(new, context)), context.lookup)
        namespace = str(metadata(new).get("namespace") or "")
        return apply_limits(new, context.lookup.list(LIMIT_RANGE, namespace))

    def validate(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> Sequence[FieldError]:
        """See `Strategy.validate`: a binding may set the node, which no update may."""
        return () if subresource == "binding" else super().validate(new, old, subresource, context)

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        if old is None:
            return validate_pod(new)
        return validate_pod_update(new, old) if new["spec"] != old["spec"] else ()

    def grace_period_s(self, obj: Obj, requested_s: int | None) -> int | None:
        """See `Strategy.grace_period_s`: nobody waits for pods that never ran or ended."""
        if requested_s is not None:
            seconds = requested_s
        else:
            seconds = int((obj.get("spec") or {}).get("terminationGracePeriodSeconds", 30))
        if not (obj.get("spec") or {}).get("nodeName"):
            return 0
        if (obj.get("status") or {}).get("phase") in _TERMINAL:
            return 0
        # Negative periods mean the shortest one.
        return 1 if seconds < 0 else seconds


def qos_class(spec: Mapping[str, Any]) -> str:
    """`Guaranteed`, `Burstable` or `BestEffort`: by cpu and memory of all containers."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    if spec.get("resources"):
        containers = [{"resources": spec["resources"]}]
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for container in containers:
        resources = container.get("resources") or {}
        limited: dict[str, None] = {}
        for totals, amounts in ((requests, resources.get("requests")), (limits, resources.get("limits"))):
            for name, amount in (amounts or {}).items():
                nanos = parse_quantity(amount).nanos if name in {"cpu", "memory"} else 0
                if nanos > 0:
                    totals[name] = totals.get(name, 0) + nanos
                    if totals is limits:
                        limited[name] = None
        guaranteed = guaranteed and len(limited) == 2
    if not requests and not limits:
        return "BestEffort"
    same = all(limits.get(name) == amount for name, amount in requests.items()) and len(requests) == len(limits)
    return "Guaranteed" if guaranteed and same else "Burstable"


def _with_priority(pod: Obj, context: Context) -> Obj:
    """The effect of the admission plugin Priority.

    Raises:
        Forbidden: the class does not exist, or the pod asks for another number than its class has.
    """
    spec = pod["spec"]
    name = spec.get("priorityClassName")
    chosen = None
    if name:
        chosen = context.lookup.get(PRIORITY_CLASS, "", name)
        if chosen is None:
            raise _forbidden(pod, f"no PriorityClass with name {name} was found")
    else:
        defaults = [c for c in context.lookup.list(PRIORITY_CLASS) if c.get("globalDefault")]
        chosen = min(defaults, key=lambda c: (c.get("value", 0), str(metadata(c).get("name"))), default=None)
    value = int(chosen.get("value", 0)) if chosen is not None else 0
    policy = (chosen or {}).get("preemptionPolicy") or "PreemptLowerPriority"
    if spec.get("priority") not in (None, value):
        raise _forbidden(pod, f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                         f"priority admission controller computed {value} from the given PriorityClass name")  # fmt: skip
    if spec.get("preemptionPolicy") not in (None, policy):
        raise _forbidden(pod, f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                         f"priority admission controller computed {policy} from the given PriorityClass name")  # fmt: skip
    wanted = {**spec, "priority": value, "preemptionPolicy": policy}
    if chosen is not None:
        wanted["priorityClassName"] = metadata(chosen)["name"]
    return {**pod, "spec": wanted}


def _with_tolerations(pod: Obj) -> Obj:
    """The effect of the admission plugin DefaultTolerationSeconds."""
    tolerations = pod["spec"].get("tolerations") or []

    def is_tolerated(key: str) -> bool:
        return any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in tolerations)

    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in (_NOT_READY, _UNREACHABLE)
        if not is_tolerated(key)
    ]
    return {**pod, "spec": {**pod["spec"], "tolerations": [*tolerations, *added]}} if added else pod


def _forbidden(pod: Obj, why: str) -> Forbidden:
    name = str(metadata(pod).get("name") or "")
    return Forbidden(f'{POD.plural} "{name}" is forbidden: {why}', details={"name": name, "kind": POD.plural})


__all__ = ["PodStrategy", "qos_class"]
