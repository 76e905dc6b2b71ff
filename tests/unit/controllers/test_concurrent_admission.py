"""Concurrent admission: parents and variants, from creation to the end (scheduling.md §15)."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.commands import Command
from pykueue.api.constants import Reason
from pykueue.api.errors import Conflict
from pykueue.api.kinds import CLUSTER_QUEUE, JOB, WORKLOAD
from pykueue.api.objects import Obj
from pykueue.core.features import Gate
from support.product import ProductWorld
from support.world import quota_groups

K = "kueue.x-k8s.io/"
ALLOWED = K + "workload-allowed-resource-flavors"
QUOTAS = "reserved:1→on-demand:1→spot:9"


def policy(mode: str = "TryPreferredFlavors", last: str = "") -> dict[str, Any]:
    migration: dict[str, Any] = {"mode": mode}
    if last:
        migration["constraints"] = {"lastAcceptableFlavorName": last}
    return {"concurrentAdmissionPolicy": {"migration": migration}}


def make_world(quotas: str = QUOTAS, *, is_on: bool = True, **spec: Any) -> ProductWorld:
    world = ProductWorld({Gate.CONCURRENT_ADMISSION: is_on})
    world.queue("cq", quotas, **(spec or policy()))
    world.queue("plain", "reserved:0")
    world.settle(2)
    return world


def submit(world: ProductWorld, name: str = "w", **parts: Any) -> None:
    world.submit(name, "cq", **parts)
    world.settle(2)


def variant(world: ProductWorld, flavor: str, parent: str = "w") -> str:
    """The name of a parent's variant for a flavor."""
    (name,) = [
        o["metadata"]["name"] for o in variants(world, parent) if o["metadata"]["annotations"][ALLOWED] == flavor
    ]
    return str(name)


def variants(world: ProductWorld, parent: str = "w") -> list[Obj]:
    def is_its(obj: Obj) -> bool:
        return any(ref["kind"] == "Workload" and ref["name"] == parent for ref in obj["metadata"]["ownerReferences"])

    return [obj for obj in world.reader.list(WORKLOAD) if is_its(obj)]


def states(world: ProductWorld, parent: str = "w") -> dict[str, str]:
    """Of each flavor's variant: admitted, waits, or rests."""
    return {
        flavor: "admitted" if world.has_quota(name) else "waits" if world.workload(name).spec.active else "rests"
        for flavor in ("reserved", "on-demand", "spot")
        for name in [variant(world, flavor, parent)]
    }


def release(world: ProductWorld, parent: str = "w") -> None:
    """The job of an evicted parent has stopped, and gives the quota back."""
    evicted = world.condition(parent, "Evicted")
    assert evicted is not None
    assert evicted[0] == "True"
    status = {k: v for k, v in world.get(WORKLOAD, parent)["status"].items() if k != "admission"}
    conditions = [c for c in status["conditions"] if c["type"] not in ("QuotaReserved", "Admitted")]
    world.change(WORKLOAD, parent, status={**status, "conditions": conditions})
    world.settle(3)


def hold(world: ProductWorld, flavor: str, name: str = "holder") -> None:
    """Somebody else, for whom this queue's only other flavor is full, takes a flavor's quota."""
    world.submit(name, "cq", metadata={"annotations": {ALLOWED: flavor}, "ownerReferences": [OTHER | {"uid": name}]})
    world.settle(2)
    assert world.has_quota(name)


OTHER = {"apiVersion": K + "v1beta2", "kind": "Workload", "name": "other"}


def test_a_parent_has_a_variant_for_each_flavor() -> None:
    """It waits in none of the queues itself; the first flavor wins, and it gets what its variant got."""
    world = make_world()
    submit(world)
    assert world.get(WORKLOAD, "w")["metadata"]["labels"] == {K + "concurrent-admission-parent": "true"}
    assert sorted(states(world)) == ["on-demand", "reserved", "spot"]
    name = variant(world, "reserved")
    assert world.condition("w", "QuotaReserved") == ("True", "QuotaReserved", "Quota reserved in ClusterQueue cq")
    assert world.condition("w", "Admitted") == ("True", "Admitted", f"The variant {name} is admitted")
    assert world.workload("w").status.admission == world.workload(name).status.admission
    status = world.get(CLUSTER_QUEUE, "cq")["status"]
    assert (status["reservingWorkloads"], status["pendingWorkloads"]) == (1, 0), "the parent's quota is its variant's"
    told = world.events_of("w")
    for flavor in ("reserved", "on-demand", "spot"):
        assert f'Normal CreatedVariant: Variant Workload "ns/{variant(world, flavor)}" created' in told
    made = world.get(WORKLOAD, name)
    assert made["spec"]["preemptionGates"] == [{"name": K + "concurrent-admission"}]
    assert made["spec"]["podSets"] == world.get(WORKLOAD, "w")["spec"]["podSets"]


@pytest.mark.parametrize("is_on", [True, False])
def test_other_queues_and_the_gate(is_on: bool) -> None:
    """Without a policy, or without the gate, a Workload waits as ever."""
    world = make_world(is_on=is_on)
    world.submit("w", "plain" if is_on else "cq")
    world.settle(2)
    assert world.names(WORKLOAD) == ["w"]
    assert (world.condition("w", "QuotaReserved") or ("",))[0] == ("False" if is_on else "True")


@pytest.mark.parametrize(
    ("mode", "last", "want"),
    [
        ("TryPreferredFlavors", "", {"reserved": "waits", "on-demand": "admitted", "spot": "rests"}),
        ("TryPreferredFlavors", "reserved", {"reserved": "waits", "on-demand": "admitted", "spot": "rests"}),
        ("RetainFirstAdmission", "", {"reserved": "rests", "on-demand": "admitted", "spot": "rests"}),
    ],
)
def test_who_rests_while_one_is_admitted(mode: str, last: str, want: dict[str, str]) -> None:
    """Less favorable variants do; with RetainFirstAdmission all others do."""
    world = make_world(**policy(mode, last))
    hold(world, "reserved")
    submit(world)
    assert states(world) == want
    assert any(
        event.startswith("Normal DeactivatedVariant: Variant Workload deactivated due to ")
        for event in world.events_of("w")
    )


def test_a_better_flavor_is_moved_to() -> None:
    """When the more favorable variant fits the other one is evicted for it, and all that follows is in order."""
    world = make_world()
    hold(world, "reserved")
    submit(world)
    first, better = variant(world, "on-demand"), variant(world, "reserved")
    world.remove(WORKLOAD, "holder")
    world.settle(3)
    uid = world.get(WORKLOAD, better)["metadata"]["uid"]
    why = f"Evicted to accommodate a workload (UID: {uid}) due to migration to more favorable resource flavor"
    assert world.condition(first, "Evicted") == ("True", "FlavorMigration", why)
    assert f"Normal EvictedDueToFlavorMigration: {why}" in world.events_of(first)
    waiting = world.condition(better, "QuotaReserved")
    assert waiting is not None
    assert waiting == ("False", "WaitingForPreemptedWorkloads", "Pending the migration of 1 workload(s)")
    assert world.condition("w", "Evicted") == ("True", "VariantEvicted", "Admitted variant was evicted")
    assert world.has_quota(first), "quota is kept until the job has stopped"
    release(world)
    assert states(world) == {"reserved": "admitted", "on-demand": "rests", "spot": "rests"}
    assert world.condition("w", "Admitted") == ("True", "Admitted", f"The variant {better} is admitted")
    assert world.condition("w", "Evicted") == ("False", "QuotaReserved", "Previously: Admitted variant was evicted")


def test_a_move_that_cannot_be_written_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The more favorable variant is judged again, and the other one is told nothing but its eviction."""
    world = make_world()
    hold(world, "reserved")
    submit(world)
    first = variant(world, "on-demand")
    do = world.do
    refused: list[tuple[Command, ...]] = []

    def refuse_once(*commands: Command) -> None:
        if not refused and Reason.FLAVOR_MIGRATION in str(commands):
            refused.append(commands)
            raise Conflict("changed")
        do(*commands)

    monkeypatch.setattr(world, "do", refuse_once)
    world.remove(WORKLOAD, "holder")
    world.settle(3)
    assert len(refused) == 1
    evicted = world.condition(first, "Evicted")
    assert evicted is not None
    assert evicted[:2] == ("True", "FlavorMigration")
    assert not [event for event in world.events_of(first) if "SecondPassFailed" in event]


def test_no_move_below_the_last_acceptable_flavor() -> None:
    """A variant that would move there does not, and says why; in the end it rests."""
    world = make_world(**policy(last="reserved"))
    hold(world, "on-demand")
    hold(world, "reserved", "second")
    submit(world)
    assert states(world) == {"reserved": "waits", "on-demand": "rests", "spot": "admitted"}
    world.remove(WORKLOAD, "holder")
    world.settle(3)
    assert states(world)["spot"] == "admitted"
    world.remove(WORKLOAD, "second")
    world.settle(3)
    evicted = world.condition(variant(world, "spot"), "Evicted")
    assert evicted is not None
    assert evicted[1] == "FlavorMigration"


def test_gates_are_opened_one_at_a_time() -> None:
    """The first variant that must preempt may; the next one not before five minutes have passed."""
    preempts = {"preemption": {"withinClusterQueue": "LowerPriority"}}
    world = make_world("reserved:1→on-demand:1→spot:0", **policy(), **preempts)
    for flavor in ("reserved", "on-demand"):
        hold(world, flavor, f"low-{flavor}")
    world.submit("w", "cq", priority=5)
    world.settle(3)
    first = variant(world, "reserved")
    note = f'Normal PreemptionUngatedVariant: Opened preemption gate for variant workload "ns/{first}"'
    assert [event for event in world.events_of("w") if "Ungated" in event] == [note]
    (gate,) = world.get(WORKLOAD, first)["status"]["preemptionGates"]
    assert (gate["name"], gate["position"]) == (K + "concurrent-admission", "Open")
    assert world.condition("low-reserved", "Preempted") is not None
    assert world.condition("low-on-demand", "Preempted") is None
    groups = quota_groups("reserved:0→on-demand:1→spot:0")
    world.set_spec(CLUSTER_QUEUE, "cq", resourceGroups=groups)
    world.settle(3)
    blocked = world.condition(variant(world, "on-demand"), "BlockedOnPreemptionGates")
    assert blocked == ("True", "PreemptionGated", "Workload requires preemption, but it's gated")
    world.settle(285)
    assert world.condition("low-on-demand", "Preempted") is None
    world.settle(20)
    assert world.condition("low-on-demand", "Preempted") is not None


def test_an_evicted_variant_evicts_its_parent_and_all_try_again() -> None:
    """Once the parent has stopped, quota is given back, and the variants that rested are active."""
    world = make_world()
    submit(world)
    name = variant(world, "reserved")
    world.set_spec(WORKLOAD, name, active=False)
    world.settle()
    assert world.condition("w", "Evicted") == ("True", "VariantEvicted", "Admitted variant was evicted")
    assert "Normal EvictedDueToVariantEvicted: Admitted variant was evicted" in world.events_of("w")
    release(world)
    assert list(states(world).values()).count("admitted") == 1
    assert any(
        event.startswith("Normal ActivatedVariant: Variant Workload activated due to ")
        for event in world.events_of("w")
    )


def test_a_parent_that_is_deactivated_rests_with_all_variants() -> None:
    """And comes back with them."""
    world = make_world()
    submit(world)
    world.set_spec(WORKLOAD, "w", active=False)
    world.settle()
    assert world.condition("w", "Evicted") == ("True", "Deactivated", "The workload is deactivated")
    release(world)
    assert set(states(world).values()) == {"rests"}
    world.set_spec(WORKLOAD, "w", active=True)
    world.settle(3)
    assert states(world)["reserved"] == "admitted"
    assert world.has_quota("w")


def test_a_flavor_that_leaves_the_queue() -> None:
    """Its variant is deleted; a new flavor gets one."""
    world = make_world("reserved:0→on-demand:0→spot:0")
    submit(world)
    gone = variant(world, "on-demand")
    groups = world.get(CLUSTER_QUEUE, "cq")["spec"]["resourceGroups"]
    flavors = [f | {"name": f["name"].replace("on-demand", "extra")} for f in groups[0]["flavors"]]
    world.flavor("extra")
    world.set_spec(CLUSTER_QUEUE, "cq", resourceGroups=[{**groups[0], "flavors": flavors}])
    world.settle(2)
    assert world.get(WORKLOAD, gone) is None
    note = f'Normal DeletedVariant: Variant Workload "ns/{gone}" deleted; flavor "on-demand" no longer in ClusterQueue'
    assert note in world.events_of("w")
    assert {o["metadata"]["annotations"][ALLOWED] for o in variants(world)} == {"reserved", "extra", "spot"}


def test_variants_follow_their_parent() -> None:
    """Another priority, an admission gate: variants have them too; and they end with it."""
    world = make_world("reserved:0→on-demand:0→spot:0")
    submit(world)
    world.set_spec(WORKLOAD, "w", priority=7)
    world.change(WORKLOAD, "w", metadata={"annotations": {K + "admission-gated-by": "g"}})
    world.settle(2)
    for obj in variants(world):
        assert obj["spec"]["priority"] == 7
        assert world.condition(obj["metadata"]["name"], "QuotaReserved") == (
            "False",
            "AdmissionGated",
            "Admission is gated by: g",
        )
    world.set_condition("w", "Finished", "True", "Succeeded", "done")
    world.settle()
    for obj in variants(world):
        assert world.condition(obj["metadata"]["name"], "Finished") == ("True", "Succeeded", "done")


def test_a_job_runs_in_its_variant() -> None:
    """From a Job to its pods' flavor and to its end: the Job sees one Workload, that of the parent."""
    world = make_world()
    world.flavor("reserved", nodeLabels={"pool": "reserved"})
    template = {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}
    }
    meta = {"name": "job", "namespace": "ns", "uid": "uid-job", "labels": {K + "queue-name": "cq"}}
    spec = {"parallelism": 1, "completions": 1, "template": template}
    world.admit_object(JOB, {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})
    world.settle(3)
    job = world.get(JOB, "job")
    assert job["spec"]["suspend"] is False
    assert job["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "reserved"}
    ended = {
        "type": "Complete",
        "status": "True",
        "reason": "CompletionsReached",
        "message": "done",
        "lastTransitionTime": "2026-08-01T10:00:05Z",
    }
    world.change(JOB, "job", status={"succeeded": 1, "startTime": "2026-08-01T10:00:00Z", "conditions": [ended]})
    world.settle(3)
    assert world.get(CLUSTER_QUEUE, "cq")["status"]["reservingWorkloads"] == 0
    assert all((world.condition(name, "Finished") or ("",))[0] == "True" for name in world.names(WORKLOAD))
