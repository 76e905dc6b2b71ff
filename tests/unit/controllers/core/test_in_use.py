"""Finalizers of objects that queues need, and values of priority classes."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.commands import Chain, Patch, Together
from pykueue.api.instant import Instant
from pykueue.api.kinds import CLUSTER_QUEUE, RESOURCE_FLAVOR, WORKLOAD, WORKLOAD_PRIORITY_CLASS
from pykueue.api.objects import ObjectKey
from pykueue.controllers.core.in_use import InUseFinalizer, flavors_of
from pykueue.controllers.core.priorityclass import PriorityClassReconciler
from pykueue.ports.reader import Indexer
from pykueue.ports.reconcile import DONE

FINALIZER = "kueue.x-k8s.io/resource-in-use"
NOW = Instant(0)


def make_flavor(**meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "f", "uid": "u", "resourceVersion": "7", **meta}}


def reconcile(flavor: dict[str, Any], *, in_use: bool) -> Any:
    cache = Indexer()
    cache.apply(RESOURCE_FLAVOR, flavor)
    keeper = InUseFinalizer("resourceflavor", RESOURCE_FLAVOR, lambda _: in_use, CLUSTER_QUEUE, flavors_of)
    return keeper.reconcile(cache, ObjectKey("", "f"), NOW)


def test_a_flavor_without_finalizer_gets_it() -> None:
    """Made before the webhook, or through it: the end is the same."""
    (patch,) = reconcile(make_flavor(), in_use=False).commands
    assert patch.body == {"metadata": {"finalizers": [FINALIZER], "resourceVersion": "7"}}


def test_a_deleted_flavor_stays_while_a_queue_needs_it() -> None:
    """And goes when none does."""
    deleting = make_flavor(finalizers=[FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z")
    assert reconcile(deleting, in_use=True) == DONE
    (patch,) = reconcile(deleting, in_use=False).commands
    assert patch.body["metadata"]["finalizers"] is None


def test_nothing_is_written_when_all_is_well() -> None:
    """Level-based: the second time there is nothing to do."""
    assert reconcile(make_flavor(finalizers=[FINALIZER, "other"]), in_use=True) == DONE


def test_a_queue_that_lets_go_of_a_flavor_wakes_it() -> None:
    """What a referrer names before and after its change is left in peace."""

    def make_queue(version: int, *flavors: str) -> dict[str, Any]:
        groups = [{"flavors": [{"name": name} for name in flavors]}]
        return {
            "metadata": {"name": "q", "uid": "q", "resourceVersion": str(version)},
            "spec": {"resourceGroups": groups},
        }

    keeper = InUseFinalizer("resourceflavor", RESOURCE_FLAVOR, lambda _: False, CLUSTER_QUEUE, flavors_of)
    cache = Indexer()
    cache.apply(CLUSTER_QUEUE, make_queue(1, "a", "b"))
    event = cache.apply(CLUSTER_QUEUE, make_queue(2, "b", "c"))
    assert event is not None
    assert list(keeper.watches()[1].keys(event, cache)) == [ObjectKey("", "a"), ObjectKey("", "c")]


def classed(*workloads: tuple[str, str, int, str]) -> tuple[Indexer, PriorityClassReconciler]:
    """The class `high` of value 100, and Workloads: name, class, priority, a condition that is true."""
    cache, reconciler = Indexer(), PriorityClassReconciler()
    for index in reconciler.indexes():
        cache.add_index(index.kind, index.name, index.fn)
    cache.apply(
        WORKLOAD_PRIORITY_CLASS, {"metadata": {"name": "high", "uid": "c", "resourceVersion": "1"}, "value": 100}
    )
    for name, class_name, priority, condition in workloads:
        ref = {"group": "kueue.x-k8s.io", "kind": "WorkloadPriorityClass", "name": class_name}
        workload = {
            "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "2"},
            "spec": {"priorityClassRef": ref, "priority": priority},
            "status": {"conditions": [{"type": condition, "status": "True"}] if condition else []},
        }
        cache.apply(WORKLOAD, workload)
    return cache, reconciler


def priced(*names: str) -> Together:
    """The writes that give Workloads the class's value."""
    spec = {"spec": {"priority": 100}}
    return Together(tuple(Patch(WORKLOAD, ObjectKey("ns", name), spec, missing_ok=True) for name in names))


def test_a_new_value_reaches_unfinished_workloads_of_the_class() -> None:
    """Other classes, equal values and finished Workloads are left alone."""
    cache, reconciler = classed(
        ("stale", "high", 5, ""), ("fresh", "high", 100, ""), ("other", "low", 5, ""), ("done", "high", 5, "Finished")
    )
    assert reconciler.reconcile(cache, ObjectKey("", "high"), NOW).commands == (Chain((priced("stale"),)),)


@pytest.mark.parametrize(
    ("before", "first", "last"), [(5, "holds", "waits"), (200, "waits", "holds")], ids=["raised", "lowered"]
)
def test_equals_do_not_preempt_each_other_while_their_class_changes(before: int, first: str, last: str) -> None:
    """Whoever holds quota is never below those of its class that wait."""
    cache, reconciler = classed(("waits", "high", before, ""), ("holds", "high", before, "QuotaReserved"))
    commands = reconciler.reconcile(cache, ObjectKey("", "high"), NOW).commands
    assert commands == (Chain((priced(first), priced(last))),)
