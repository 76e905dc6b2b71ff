"""Admission of ClusterQueues and Cohorts: the texts that users see."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.errors import join_field_errors
from pykueue.core.features import Features, Gate
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Indexer
from pykueue.webhooks.kueue.clusterqueue import ClusterQueueWebhook, CohortWebhook

QUOTA = "spec.resourceGroups[0].flavors[0].resources[0]"


def make_spec(
    *, covered: tuple[str, ...] = ("cpu",), quota: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    resources = [{"name": name, "nominalQuota": "1", **(quota or {})} for name in covered]
    groups = [{"coveredResources": list(covered), "flavors": [{"name": "f", "resources": resources}]}]
    return {"resourceGroups": groups, **spec}


def check(webhook: Any, spec: dict[str, Any], want: str, old: dict[str, Any] | None = None) -> None:
    obj = {"metadata": {"name": "q"}, "spec": spec}
    operation = Operation.CREATE if old is None else Operation.UPDATE
    before = None if old is None else {"metadata": {"name": "q"}, "spec": old}
    request = AdmissionRequest(operation, webhook.kind, "", "q", obj, before)
    errors = webhook.validate(request, Indexer())
    assert (join_field_errors(errors) if errors else "") == want


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        (make_spec(), ""),
        (
            make_spec(quota={"nominalQuota": "-1"}),
            f'{QUOTA}.nominalQuota: Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            make_spec(quota={"lendingLimit": "1"}),
            f'{QUOTA}.lendingLimit: Invalid value: "1": must be nil when cohort is empty',
        ),
        (
            make_spec(quota={"lendingLimit": "2"}, cohortName="c"),
            f'{QUOTA}.lendingLimit: Invalid value: "2": must be less than or equal to the nominalQuota',
        ),
        (
            make_spec(fairSharing={"weight": "-1"}),
            'spec.fairSharing: Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            make_spec(fairSharing={"weight": "1n"}),
            'spec.fairSharing: Invalid value: "1n": When not 0, weight must be > 10e-9',
        ),
        (
            make_spec(preemption={"reclaimWithinCohort": "Never", "borrowWithinCohort": {"policy": "LowerPriority"}}),
            (
                'spec.preemption: Invalid value: {"reclaimWithinCohort":"Never","borrowWithinCohort":{"policy":"LowerPriority"}}: '
                "reclaimWithinCohort=Never and borrowWithinCohort.Policy!=Never"
            ),
        ),
        (
            make_spec(admissionChecksStrategy={"admissionChecks": [{"name": "a", "onFlavors": ["zz"]}]}),
            'spec.admissionChecksStrategy.admissionChecks[0].onFlavors[0]: Unsupported value: "zz": supported values: "f"',
        ),
    ],
)
def test_clusterqueues(spec: dict[str, Any], want: str) -> None:
    """One fault, one sentence, with the path of the field."""
    check(ClusterQueueWebhook(Features()), spec, want)


def test_resources_out_of_order_are_all_told() -> None:
    """Every position that differs from the covered resources is an error."""
    spec = make_spec(covered=("cpu", "memory"))
    spec["resourceGroups"][0]["flavors"][0]["resources"].reverse()
    path = "spec.resourceGroups[0].flavors[0].resources"
    want = (
        f'[{path}[0].name: Invalid value: "memory": must match the name in coveredResources, '
        f'{path}[1].name: Invalid value: "cpu": must match the name in coveredResources]'
    )
    check(ClusterQueueWebhook(Features()), spec, want)


def test_an_old_check_for_a_flavor_that_left_is_tolerated_on_update() -> None:
    """A check whose flavors did not change is not validated again while the set of flavors stays."""
    spec = make_spec(admissionChecksStrategy={"admissionChecks": [{"name": "a", "onFlavors": ["zz"]}]})
    check(ClusterQueueWebhook(Features()), spec, "", old=spec)


def concurrent(mode: str = "TryPreferredFlavors", last: str = "") -> dict[str, Any]:
    migration: dict[str, Any] = {"mode": mode}
    if last:
        migration["constraints"] = {"lastAcceptableFlavorName": last}
    return {"concurrentAdmissionPolicy": {"migration": migration}}


NOT_STRICT = "StrictFIFO queueing strategy cannot be used when ConcurrentAdmissionPolicy is defined"
MIGRATION = "spec.concurrentAdmissionPolicy.migration.constraints"


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        (make_spec(**concurrent(last="f")), ""),
        (
            make_spec(queueingStrategy="StrictFIFO", **concurrent()),
            f'spec.queueingStrategy: Invalid value: "StrictFIFO": {NOT_STRICT}',
        ),
        (
            make_spec(**concurrent("RetainFirstAdmission", "f")),
            f'{MIGRATION}: Forbidden: may only be set when migration.mode is "TryPreferredFlavors" (got "RetainFirstAdmission")',
        ),
        (
            make_spec(**concurrent(last="x")),
            f'{MIGRATION}.lastAcceptableFlavorName: Invalid value: "x": must be one of the flavors defined in the ClusterQueue: [f]',
        ),
        (
            {"resourceGroups": [], **concurrent()},
            "spec.resourceGroups: Invalid value: []: must have exactly one ResourceGroup when ConcurrentAdmissionPolicy is defined",
        ),
    ],
    ids=["fine", "a strict queue", "constraints of another mode", "an unknown flavor", "no resource group"],
)
def test_concurrent_admission_behind_its_gate(spec: dict[str, Any], want: str) -> None:
    """With the gate a policy must be one that can be followed; without it nobody looks."""
    check(ClusterQueueWebhook(Features({Gate.CONCURRENT_ADMISSION: True})), spec, want)
    check(ClusterQueueWebhook(Features()), spec, "")


def test_concurrent_admission_has_at_most_sixteen_flavors() -> None:
    """One variant for each of them waits at a time."""
    (group,) = make_spec()["resourceGroups"]
    (flavor,) = group["flavors"]
    groups = [{**group, "flavors": [flavor | {"name": f"f{n}"} for n in range(17)]}]
    obj = {"metadata": {"name": "q"}, "spec": {"resourceGroups": groups, **concurrent()}}
    webhook = ClusterQueueWebhook(Features({Gate.CONCURRENT_ADMISSION: True}))
    (fault,) = webhook.validate(AdmissionRequest(Operation.CREATE, webhook.kind, "", "q", obj, None), Indexer())
    want = "cannot have more than 16 resource flavors in the ResourceGroup when ConcurrentAdmissionPolicy is defined"
    assert str(fault).endswith(want)


def test_the_concurrent_admission_policy_never_changes() -> None:
    """Also while its gate is off."""
    policy = {"migration": {"mode": "TryPreferredFlavors"}}
    spec = make_spec(concurrentAdmissionPolicy=policy)
    want = 'spec.concurrentAdmissionPolicy: Invalid value: {"migration":{"mode":"TryPreferredFlavors"}}: field is immutable'
    check(ClusterQueueWebhook(Features()), spec, want, old=make_spec())


def test_cohorts_may_lend_more_than_they_have() -> None:
    """But have limits only below a parent."""
    spec = make_spec(quota={"lendingLimit": "5"}, parentName="p")
    check(CohortWebhook(), spec, "")
    want = f'{QUOTA}.borrowingLimit: Invalid value: "1": must be nil when parent is empty'
    check(CohortWebhook(), make_spec(quota={"borrowingLimit": "1"}), want)


def test_the_finalizer_is_added_once() -> None:
    """Defaulting twice is defaulting once."""
    webhook = ClusterQueueWebhook(Features())
    request = AdmissionRequest(Operation.CREATE, webhook.kind, "", "q", {"metadata": {"name": "q"}, "spec": {}})
    once = webhook.default(request, Indexer())
    assert once["metadata"]["finalizers"] == ["kueue.x-k8s.io/resource-in-use"]
    again = webhook.default(AdmissionRequest(Operation.CREATE, webhook.kind, "", "q", once), Indexer())
    assert again is once
