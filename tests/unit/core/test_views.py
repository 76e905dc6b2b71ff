"""Why a queue admits or takes nothing: the condition `Active` (scheduling.md §13.1, §13.3)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import AdmissionCheck
from support.world import World

MULTIKUEUE, PROVISIONING = "kueue.x-k8s.io/multikueue", "kueue.x-k8s.io/provisioning-request"


def check(world: World, name: str, controller: str = "example.com/other", *, active: bool = True) -> None:
    condition = {"type": "Active", "status": "True" if active else "False", "reason": "x"}
    obj = {"metadata": {"name": name}, "spec": {"controllerName": controller}, "status": {"conditions": [condition]}}
    world.engine.set_admission_check(name, msgspec.convert(obj, AdmissionCheck), world.now)


def with_checks(*names: str, **on_flavors: list[str]) -> dict[str, Any]:
    checks = [{"name": n} for n in names] + [{"name": n, "onFlavors": f} for n, f in on_flavors.items()]
    return {"admissionChecksStrategy": {"admissionChecks": checks}}


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "fine": ({}, "Ready", "Can admit new workloads"),
    "stopped": ({"stopPolicy": "Hold"}, "Stopped", "is stopped"),
    "a missing flavor": ({"missing": True}, "FlavorNotFound", "references missing ResourceFlavor(s): gone"),
    "missing checks": (
        with_checks("y", "x"), "AdmissionCheckNotFound", "references missing AdmissionCheck(s): x,y",
    ),
    "an inactive check": (with_checks("idle"), "AdmissionCheckInactive", "references inactive AdmissionCheck(s): idle"),
    "two of MultiKueue": (
        with_checks("mk1", "mk2"), "MultipleMultiKueueAdmissionChecks",
        "Cannot use multiple MultiKueue AdmissionChecks on the same ClusterQueue, found: mk1,mk2",
    ),
    "MultiKueue for a flavor": (
        with_checks(mk1=["f"]), "MultiKueueAdmissionCheckAppliedPerFlavor",
        "Cannot specify MultiKueue AdmissionCheck per flavor, found: mk1",
    ),
    "MultiKueue and provisioning": (
        with_checks("mk1", "pr"), "MultiKueueWithProvisioningRequest",
        "Cannot use both MultiKueue and ProvisioningRequest AdmissionChecks together, found: mk1, pr",
    ),
    "a missing topology": (
        {"topology": "rows"}, "TopologyNotFound", 'there is no Topology "rows" for TAS flavor "f"',
    ),
    "all at once": (
        {"stopPolicy": "HoldAndDrain", "missing": True} | with_checks("x"), "Stopped",
        "is stopped, references missing ResourceFlavor(s): gone, references missing AdmissionCheck(s): x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_cluster_queues(name: str) -> None:
    """The first reason, and all texts in one message; it admits only when there is none."""
    spec, reason, text = CASES[name]
    spec = dict(spec)
    world = World()
    for made, controller in (("mk1", MULTIKUEUE), ("mk2", MULTIKUEUE), ("pr", PROVISIONING)):
        check(world, made, controller)
    check(world, "idle", active=False)
    world.flavor(
        "f", **({"topologyName": spec.pop("topology"), "nodeLabels": {"a": "b"}} if "topology" in spec else {})
    )
    quotas = "f:1→gone:1" if spec.pop("missing", False) else "f:1"
    world.queue("cq", quotas, missing=("gone",), spec=spec)
    view = world.engine.cluster_queue_status("cq")
    assert view is not None
    want = text if reason == "Ready" else f"Can't admit new workloads: {text}."
    assert (view.active, view.reason, view.message) == (reason == "Ready", reason, want)


def test_a_cluster_queue_that_is_deleted() -> None:
    """It admits nobody any more, whatever else is true of it."""
    world = World()
    world.queue("cq", "f:1")
    queue = world.engine._cache.queue("cq")
    assert queue is not None
    meta = msgspec.structs.replace(queue.spec.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    world.engine.set_cluster_queue("cq", msgspec.structs.replace(queue.spec, metadata=meta), world.now)
    view = world.engine.cluster_queue_status("cq")
    assert view is not None
    want = (False, "Terminating", "Can't admit new workloads; clusterQueue is terminating")
    assert (view.active, view.reason, view.message) == want


@pytest.mark.parametrize(
    ("leads_to", "stop", "want"),
    [
        ("cq", "None", (True, "Ready", "Can submit new workloads to localQueue")),
        ("cq", "Hold", (False, "Stopped", "LocalQueue is stopped")),
        ("nowhere", "None", (False, "ClusterQueueDoesNotExist", "Can't submit new workloads to clusterQueue")),
        ("held", "None", (False, "ClusterQueueIsInactive", "Can't submit new workloads to clusterQueue")),
    ],
)
def test_local_queues(leads_to: str, stop: str, want: tuple[bool, str, str]) -> None:
    """A LocalQueue takes Workloads if it runs and its ClusterQueue is active."""
    world = World()
    world.queue("cq", "f:1")
    world.queue("held", "f:1", spec={"stopPolicy": "Hold"})
    world.local("lq", leads_to, stop=stop)
    view = world.engine.local_queue_status(ObjectKey("ns", "lq"))
    assert view is not None
    assert (view.active, view.reason, view.message) == want
