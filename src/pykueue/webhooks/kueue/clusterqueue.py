"""ClusterQueue and Cohort: quotas that make sense.

The rules run on raw objects in the order of the specification, so that several faults come in the same order as from Kueue. What
the CRD's schema and CEL rules refuse never gets here.

Source: webhooks.md §3.2, §3.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykueue.api import fields, objects
from pykueue.api.constants import RESOURCE_IN_USE_FINALIZER
from pykueue.api.errors import FieldError
from pykueue.api.kinds import CLUSTER_QUEUE, COHORT
from pykueue.api.objects import Obj
from pykueue.api.quantity import Quantity, parse_quantity
from pykueue.core.features import Features, Gate
from pykueue.ports.admission import AdmissionRequest
from pykueue.ports.reader import Reader
from pykueue.webhooks.base import CREATE_ONLY, KindWebhook

_FLAVORS_MAX = 256
_RESOURCES_MAX = 256
_PAIRS_MAX = 512
_CONCURRENT_FLAVORS_MAX = 16
_QUOTAS = frozenset({"nominalQuota", "borrowingLimit", "lendingLimit"})


@dataclass(frozen=True, slots=True)
class _GroupRules:
    """How ClusterQueue and Cohort differ.

    Attributes:
        has_parent: limits make sense.
        no_parent: the message when they do not.
        lending_within_nominal: lendingLimit ≤ nominalQuota.
    """

    has_parent: bool
    no_parent: str
    lending_within_nominal: bool


@dataclass(slots=True)
class _Seen:
    resources: set[str] = field(default_factory=set)
    flavors: set[str] = field(default_factory=set)


class ClusterQueueWebhook(KindWebhook):
    """Admission of ClusterQueues."""

    kind = CLUSTER_QUEUE
    mutating_operations = CREATE_ONLY

    def __init__(self, features: Features) -> None:
        self._features = features

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """Add the finalizer, and write quantities in their canonical form."""
        del reader
        return with_in_use_finalizer(with_canonical_quotas(request.obj))

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """All rules of webhooks.md §3.2, in order."""
        del reader
        spec = request.obj.get("spec") or {}
        rules = _GroupRules(
            bool(spec.get("cohortName")), "must be nil when cohort is empty", lending_within_nominal=True
        )
        return [
            *_validate_groups(spec.get("resourceGroups") or (), rules),
            *fields.validate_label_selector("spec.namespaceSelector", spec.get("namespaceSelector")),
            *_validate_preemption(spec.get("preemption")),
            *_validate_fungibility(spec.get("flavorFungibility") or {}),
            *_validate_fair_sharing(spec.get("fairSharing")),
            *_validate_totals(spec.get("resourceGroups") or ()),
            *self._validate_concurrent_admission(spec),
            *self._validate_checks(spec, request.old),
            *_validate_policy_unchanged(spec, request.old),
        ]

    def _validate_concurrent_admission(self, spec: Mapping[str, Any]) -> Iterator[FieldError]:
        policy = spec.get("concurrentAdmissionPolicy")
        if policy is None or not self._features[Gate.CONCURRENT_ADMISSION]:
            return
        groups: Sequence[Mapping[str, Any]] = spec.get("resourceGroups") or ()
        if len(groups) != 1:
            detail = "must have exactly one ResourceGroup when ConcurrentAdmissionPolicy is defined"
            yield fields.invalid("spec.resourceGroups", groups, detail)
        flavors = [f.get("name", "") for f in (groups[0].get("flavors") or ())] if groups else []
        if len(flavors) > _CONCURRENT_FLAVORS_MAX:
            detail = "cannot have more than 16 resource flavors in the ResourceGroup when ConcurrentAdmissionPolicy is defined"
            yield fields.invalid("spec.resourceGroups[0].flavors", groups[0].get("flavors"), detail)
        migration = policy.get("migration") or {}
        path = "spec.concurrentAdmissionPolicy.migration.constraints"
        constraints, mode = migration.get("constraints"), migration.get("mode", "")
        if constraints is not None and mode != "TryPreferredFlavors":
            detail = f'may only be set when migration.mode is "TryPreferredFlavors" (got "{mode}")'
            yield fields.forbidden(path, detail)
        elif constraints is not None and (last := constraints.get("lastAcceptableFlavorName")) not in flavors:
            detail = f"must be one of the flavors defined in the ClusterQueue: [{' '.join(flavors)}]"
            yield fields.invalid(f"{path}.lastAcceptableFlavorName", last or "", detail)
        if spec.get("queueingStrategy") == "StrictFIFO":
            detail = "StrictFIFO queueing strategy cannot be used when ConcurrentAdmissionPolicy is defined"
            yield fields.invalid("spec.queueingStrategy", "StrictFIFO", detail)

    def _validate_checks(self, spec: Mapping[str, Any], old: Obj | None) -> Iterator[FieldError]:
        flavors = _flavor_names(spec)
        tolerated: dict[str, frozenset[str]] = {}
        old_spec = (old.get("spec") or {}) if old is not None else None
        lenient = not self._features[Gate.REJECT_UPDATES_TO_CQ_WITH_INVALID_ON_FLAVORS]
        if old_spec is not None and lenient and set(_flavor_names(old_spec)) == set(flavors):
            tolerated = {rule.get("name", ""): frozenset(rule.get("onFlavors") or ()) for rule in _checks(old_spec)}
        for i, rule in enumerate(_checks(spec)):
            on_flavors = rule.get("onFlavors") or ()
            if tolerated.get(rule.get("name", "")) == frozenset(on_flavors):
                continue
            for j, flavor in enumerate(on_flavors):
                if flavor not in flavors:
                    path = f"spec.admissionChecksStrategy.admissionChecks[{i}].onFlavors[{j}]"
                    yield fields.not_supported(path, flavor, flavors)


class CohortWebhook(KindWebhook):
    """Admission of Cohorts. Cycles are not refused here."""

    kind = COHORT

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """Fair sharing and quotas; lending may exceed the nominal quota."""
        del reader
        spec = request.obj.get("spec") or {}
        rules = _GroupRules(
            bool(spec.get("parentName")), "must be nil when parent is empty", lending_within_nominal=False
        )
        return [
            *_validate_fair_sharing(spec.get("fairSharing")),
            *_validate_groups(spec.get("resourceGroups") or (), rules),
        ]


def with_in_use_finalizer(obj: Obj) -> Obj:
    """The object with the finalizer `kueue.x-k8s.io/resource-in-use`."""
    if RESOURCE_IN_USE_FINALIZER in objects.finalizers(obj):
        return obj
    return objects.with_metadata(obj, finalizers=[*objects.finalizers(obj), RESOURCE_IN_USE_FINALIZER])


def with_canonical_quotas(obj: Obj) -> Obj:
    """The object with its quotas as canonical strings.

    Kueue parity: its defaulting webhook reads and writes the whole object, and so `nominalQuota: 1` is stored as `"1"`.
    """
    spec = obj.get("spec") or {}
    groups = [
        {**group, "flavors": [_canonical_flavor(flavor) for flavor in group.get("flavors") or ()]}
        for group in spec.get("resourceGroups") or ()
    ]
    fair_sharing = spec.get("fairSharing")
    changes: dict[str, Any] = {}
    if groups != list(spec.get("resourceGroups") or ()):
        changes["resourceGroups"] = groups
    if fair_sharing and isinstance(fair_sharing.get("weight"), int | float):
        changes["fairSharing"] = {**fair_sharing, "weight": str(parse_quantity(fair_sharing["weight"]))}
    return {**obj, "spec": {**spec, **changes}} if changes else obj


def _canonical_flavor(flavor: Mapping[str, Any]) -> dict[str, Any]:
    resources = [
        {k: str(parse_quantity(v)) if k in _QUOTAS and v is not None else v for k, v in resource.items()}
        for resource in flavor.get("resources") or ()
    ]
    return {**flavor, "resources": resources}


def _validate_groups(groups: Sequence[Mapping[str, Any]], rules: _GroupRules) -> Iterator[FieldError]:
    seen = _Seen()
    for i, group in enumerate(groups):
        path = f"spec.resourceGroups[{i}]"
        covered = group.get("coveredResources") or ()
        for j, resource in enumerate(covered):
            where = f"{path}.coveredResources[{j}]"
            yield from (fields.invalid(where, resource, fault) for fault in fields.label_key_faults(resource))
            if resource in seen.resources:
                yield fields.duplicate(where, resource)
            seen.resources.add(resource)
        for j, flavor in enumerate(group.get("flavors") or ()):
            where = f"{path}.flavors[{j}]"
            yield from _validate_flavor(where, flavor, covered, rules)
            if flavor.get("name") in seen.flavors:
                yield fields.duplicate(f"{where}.name", flavor.get("name"))
            seen.flavors.add(flavor.get("name", ""))


def _validate_flavor(
    path: str, flavor: Mapping[str, Any], covered: Sequence[str], rules: _GroupRules
) -> Iterator[FieldError]:
    for k, resource in enumerate(flavor.get("resources") or ()):
        where = f"{path}.resources[{k}]"
        if k < len(covered) and resource.get("name") != covered[k]:
            yield fields.invalid(f"{where}.name", resource.get("name"), "must match the name in coveredResources")
        nominal = _quantity(resource.get("nominalQuota"))
        yield from _validate_amount(f"{where}.nominalQuota", nominal)
        for limit in ("borrowingLimit", "lendingLimit"):
            amount = _quantity(resource.get(limit))
            if amount is None:
                continue
            yield from _validate_amount(f"{where}.{limit}", amount)
            if not rules.has_parent:
                yield fields.invalid(f"{where}.{limit}", str(amount), rules.no_parent)
        lending = _quantity(resource.get("lendingLimit"))
        if rules.lending_within_nominal and lending and nominal and lending.nanos > nominal.nanos:
            detail = "must be less than or equal to the nominalQuota"
            yield fields.invalid(f"{where}.lendingLimit", str(lending), detail)


def _validate_amount(path: str, amount: Quantity | None) -> Iterator[FieldError]:
    if amount is not None and amount.nanos < 0:
        yield fields.invalid(path, str(amount), fields.NEGATIVE)


def _quantity(value: Any) -> Quantity | None:
    return None if value is None else parse_quantity(value)


def _validate_preemption(preemption: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if preemption is None:
        return
    policy = (preemption.get("borrowWithinCohort") or {}).get("policy", "Never")
    if preemption.get("reclaimWithinCohort", "Never") == "Never" and policy != "Never":
        yield fields.invalid(
            "spec.preemption", preemption, "reclaimWithinCohort=Never and borrowWithinCohort.Policy!=Never"
        )


def _validate_fungibility(fungibility: Mapping[str, Any]) -> Iterator[FieldError]:
    preference = fungibility.get("preference")
    both = {fungibility.get("whenCanBorrow"), fungibility.get("whenCanPreempt")}
    if preference and both != {"TryNextFlavor"}:
        detail = f'preference "{preference}" requires both whenCanBorrow and whenCanPreempt to be TryNextFlavor'
        yield fields.invalid("spec.flavorFungibility.preference", preference, detail)


def _validate_fair_sharing(fair_sharing: Mapping[str, Any] | None) -> Iterator[FieldError]:
    weight = _quantity((fair_sharing or {}).get("weight"))
    if weight is None:
        return
    yield from _validate_amount("spec.fairSharing", weight)
    if 0 < weight.nanos <= 1:
        # Kueue parity: webhooks.md §3.2, the text says 10e-9 and the limit is 1e-9.
        yield fields.invalid("spec.fairSharing", str(weight), "When not 0, weight must be > 10e-9")


def _validate_totals(groups: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    flavors = sum(len(group.get("flavors") or ()) for group in groups)
    resources = sum(len(group.get("coveredResources") or ()) for group in groups)
    if flavors > _FLAVORS_MAX:
        detail = f"total number of flavors across all resourceGroups must be ≤ {_FLAVORS_MAX}, got {flavors}"
        yield fields.invalid("spec.resourceGroups", flavors, detail)
    if resources > _RESOURCES_MAX:
        detail = (
            f"total number of covered resources across all resourceGroups must be ≤ {_RESOURCES_MAX}, got {resources}"
        )
        yield fields.invalid("spec.resourceGroups", resources, detail)
    for i, group in enumerate(groups):
        pairs = sum(len(flavor.get("resources") or ()) for flavor in group.get("flavors") or ())
        if pairs > _PAIRS_MAX:
            detail = f"number of flavor-resource combinations in a resourceGroup must be ≤ {_PAIRS_MAX}, got {pairs}"
            yield fields.invalid(f"spec.resourceGroups[{i}]", pairs, detail)


def _validate_policy_unchanged(spec: Mapping[str, Any], old: Obj | None) -> Iterator[FieldError]:
    """Also with the gate off."""
    if old is None:
        return
    policy = spec.get("concurrentAdmissionPolicy")
    if policy != (old.get("spec") or {}).get("concurrentAdmissionPolicy"):
        yield fields.invalid("spec.concurrentAdmissionPolicy", policy, fields.IMMUTABLE)


def _flavor_names(spec: Mapping[str, Any]) -> list[str]:
    return [
        flavor.get("name", "") for group in spec.get("resourceGroups") or () for flavor in group.get("flavors") or ()
    ]


def _checks(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (spec.get("admissionChecksStrategy") or {}).get("admissionChecks") or ()
