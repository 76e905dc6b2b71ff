"""Defaulting and validation of LeaderWorkerSets (spec: leaderworkerset.md B2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pykueue.api import fields, objects
from pykueue.api.errors import FieldError
from pykueue.api.kinds import LEADER_WORKER_SET
from pykueue.api.objects import Obj, get_path
from pykueue.api.quantity import parse_quantity
from pykueue.emulation import parts
from pykueue.emulation.leaderworkerset import names
from pykueue.ports.admission import AdmissionRequest, MatchCondition, Operation
from pykueue.ports.reader import Reader

_REPLICAS_MAX = 1_000_000
_PODS_MAX = 2_147_483_647
_ROLLING = "spec.rolloutStrategy.rollingUpdateConfiguration"
_SUBGROUP = "spec.leaderWorkerTemplate.SubGroupPolicy.subGroupSize"
_PERCENT = re.compile(r"[0-9]+%")
_QUANTITY_MAPS = frozenset({"requests", "limits", "overhead"})
_QUANTITIES = frozenset({"sizeLimit", "divisor"})
_TEXT_MAPS = frozenset({"labels", "annotations", "nodeSelector", "matchLabels"})
_BOTH = (Operation.CREATE, Operation.UPDATE)


class LeaderWorkerSetWebhook:
    """Admission of LeaderWorkerSets."""

    kind = LEADER_WORKER_SET
    mutating_operations: Sequence[Operation] = _BOTH
    validating_operations: Sequence[Operation] = _BOTH
    mutating_conditions: Sequence[MatchCondition] = ()
    validating_conditions: Sequence[MatchCondition] = ()
    validated_subresources: Sequence[str] = ()
    skips_system_namespaces = False

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """The set with its defaults."""
        del reader
        return with_defaults(request.obj)

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """Every fault of the set."""
        del reader
        found = list(_general(request.obj))
        if request.old is not None:
            found += _update(request.obj, request.old)
        return found


def with_defaults(lws: Obj) -> Obj:
    """The set with its defaults; itself if it has them.

    Quantities of its templates become canonical text: LeaderWorkerSet's own webhook writes the whole object back from typed
    fields, and that is how they are seen in a cluster.
    """
    spec = dict(lws.get("spec") or {})
    group = dict(_with_canonical_quantities(spec.get("leaderWorkerTemplate") or {}))
    policy = group.get("restartPolicy") or "RecreateGroupOnPodRestart"
    group["restartPolicy"] = "None" if policy == "Default" else policy
    spec["leaderWorkerTemplate"] = group
    strategy = dict(spec.get("rolloutStrategy") or {})
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdateConfiguration") is None:
        strategy["rollingUpdateConfiguration"] = {"maxUnavailable": 1, "maxSurge": 0, "partition": 0}
    spec["rolloutStrategy"] = strategy
    if get_path(spec, "networkConfig", "subdomainPolicy") is None:
        spec["networkConfig"] = {**(spec.get("networkConfig") or {}), "subdomainPolicy": "Shared"}
    return lws if spec == lws.get("spec") else {**lws, "spec": spec}


def _with_canonical_quantities(value: Any, key: str = "") -> Any:
    """A part of a template with its quantities as canonical text; what is no quantity stays, for validation to refuse."""
    if key in _TEXT_MAPS:
        return value
    if isinstance(value, Mapping):
        if key in _QUANTITY_MAPS:
            return {name: _canonical(amount) for name, amount in value.items()}
        return {
            name: _canonical(held) if name in _QUANTITIES else _with_canonical_quantities(held, name)
            for name, held in value.items()
        }
    if isinstance(value, list):
        return [_with_canonical_quantities(item) for item in value]
    return value


def _canonical(amount: Any) -> Any:
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        return amount
    try:
        return str(parse_quantity(amount))
    except ValueError:
        return amount


def _general(lws: Obj) -> Iterator[FieldError]:
    name = objects.name(lws)
    for fault in fields.dns1035_label_faults(name) if name else ():
        yield fields.invalid("metadata.name", name, fault)
    replicas, size = names.replicas_of(lws), names.size_of(lws)
    if replicas < 0:
        yield fields.invalid("spec.replicas", replicas, "replicas must be equal or greater than 0")
    if replicas > _REPLICAS_MAX:
        yield fields.invalid("spec.replicas", replicas, f"replicas must be equal or less than {_REPLICAS_MAX}")
    if size < 1:
        yield fields.invalid("spec.leaderWorkerTemplate.size", size, "size must be equal or greater than 1")
    if replicas * size > _PODS_MAX:
        detail = f"the product of replicas and worker replicas must not exceed {_PODS_MAX}"
        yield fields.invalid("spec.replicas", replicas, detail)
    yield from _rolling(get_path(lws, "spec", "rolloutStrategy", "rollingUpdateConfiguration") or {}, replicas)
    yield from _sub_groups(lws, size)


def _rolling(rolling: Mapping[str, Any], replicas: int) -> Iterator[FieldError]:
    faults: list[FieldError] = []
    for field in ("maxUnavailable", "maxSurge"):
        faults += _int_or_percent(f"{_ROLLING}.{field}", rolling.get(field))
    partition = rolling.get("partition") or 0
    if partition < 0:
        faults.append(fields.invalid(f"{_ROLLING}.partition", partition, "must be greater than or equal to 0"))
    yield from faults
    if faults or replicas == 0:
        return
    given = rolling.get("maxUnavailable")
    unavailable = parts.scaled(1 if given is None else given, replicas, up=False)
    if unavailable == 0 and parts.scaled(rolling.get("maxSurge") or 0, replicas, up=True) == 0:
        yield fields.invalid(f"{_ROLLING}.maxUnavailable", given, "must not be 0 when `maxSurge` is 0")


def _int_or_percent(path: str, value: Any) -> Iterator[FieldError]:
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            detail = (
                "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            )
            yield fields.invalid(path, value, detail)
        elif int(value[:-1]) > 100:
            yield fields.invalid(path, value, "must not be greater than 100%")
    elif value is not None and value < 0:
        yield fields.invalid(path, value, "must be greater than or equal to 0")


def _sub_groups(lws: Obj, size: int) -> Iterator[FieldError]:
    policy = get_path(lws, "spec", "leaderWorkerTemplate", "subGroupPolicy")
    if policy is None:
        if names.SUBGROUP_EXCLUSIVE_TOPOLOGY in objects.annotations(lws):
            path = f"metadata.annotations.{names.SUBGROUP_EXCLUSIVE_TOPOLOGY}"
            value = objects.annotations(lws)[names.SUBGROUP_EXCLUSIVE_TOPOLOGY]
            yield fields.invalid(path, value, "cannot have subgroup-exclusive-topology without subGroupSize set")
        return
    step = policy.get("subGroupSize")
    if step is None:
        return
    if step < 1:
        yield fields.invalid(_SUBGROUP, step, "subGroupSize must be equal or greater than 1")
        return
    if size % step and (size - 1) % step:
        yield fields.invalid(_SUBGROUP, step, "size or size - 1 must be divisible by subGroupSize")
    if size < step:
        yield fields.invalid(_SUBGROUP, step, "subGroupSize cannot be larger than size")
    if policy.get("subGroupPolicyType") == "LeaderExcluded" and (size - 1) % step:
        yield fields.invalid(_SUBGROUP, step, "size-1 must be divisible by subGroupSize when using LeaderExcluded")


def _update(lws: Obj, old: Obj) -> Iterator[FieldError]:
    now_, before = (get_path(o, "spec", "leaderWorkerTemplate", "subGroupPolicy") for o in (lws, old))
    if now_ is not None and before is not None:
        if now_.get("subGroupSize") != before.get("subGroupSize"):
            yield fields.invalid(_SUBGROUP, now_.get("subGroupSize"), "field is immutable")
    elif now_ is not None:
        yield fields.invalid(
            _SUBGROUP, now_.get("subGroupSize"), "cannot enable subGroupSize after the lws is already created"
        )
    elif before is not None:
        yield fields.invalid(_SUBGROUP, None, "cannot remove subGroupSize after enabled")
    network = get_path(lws, "spec", "networkConfig")
    if network is not None and network.get("subdomainPolicy") is None:
        yield fields.invalid("spec.networkConfig.subdomainPolicy", None, "cannot set subdomainPolicy as null")
