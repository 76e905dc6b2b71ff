"""Topology in explanations: what is missing, where and who holds it; and what each domain has."""

from __future__ import annotations

from typing import Any

from pykueue.api.objects import ObjectKey
from pykueue.core.explain.facts import FewerPods, MissingResource, StopWorkloads, Tenant, WorkloadExplanation
from pykueue.views.explanation import workload_text
from support.nodes import BLOCK, GPU, HOST, RACK, node, nodes
from support.world import World, admits


def pod_sets(count: int, gpu: int, level: str = RACK, name: str = "main") -> list[dict[str, Any]]:
    spec = {"containers": [{"name": "c", "resources": {"requests": {GPU: str(gpu)}}}]}
    return [{"name": name, "count": count, "template": {"spec": spec}, "topologyRequest": {"required": level}}]


def world(drawing: str = "b1{r1{x1,x2:8/4} r2{x3,x4:8/4}}") -> World:
    """Racks of two hosts with four GPUs each, and quota for many more."""
    found = World()
    found.topology("default", BLOCK, RACK, HOST)
    found.flavor("tas", topologyName="default")
    found.nodes(nodes(drawing))
    found.queue("cq", "tas:gpu100")
    return found


def explain(it: World, name: str) -> WorkloadExplanation:
    told = it.engine.explainer(it.now).workload(it.workloads[name].key)
    assert told is not None
    return told


def admit(it: World, name: str, sets: list[dict[str, Any]], priority: int = 0) -> None:
    """Let the engine place a Workload."""
    it.workload(name, "cq", "1", priority, pod_sets=sets)
    result = it.cycle()
    for decision in result.decisions:
        it.write(decision)
    assert name in admits(result)


def test_the_largest_domain_of_each_level() -> None:
    """Four pods of two GPUs need a whole rack; of one there is room for three."""
    it = world()
    admit(it, "a", pod_sets(1, 2), priority=5)
    admit(it, "b", pod_sets(2, 3, BLOCK), priority=1)
    it.workload("w", "cq", "1", pod_sets=pod_sets(4, 2))
    told = explain(it, "w")
    places = told.places
    assert places is not None
    assert (places.pod_set, places.flavor, places.topology, places.strictness, places.level, places.pods) == (
        "main", "tas", "default", "Required", RACK, 4,
    )  # fmt: skip
    assert [(each.level, each.domains, each.largest, each.fits, each.all_fit) for each in places.levels] == [
        (BLOCK, 1, "b1", 3, 3),
        (RACK, 2, "b1/r1", 3, 3),
        (HOST, 4, "b1/r1/x2", 2, 3),
    ]
    (gpu,) = [r for r in places.levels[1].resources if r.resource == GPU]
    assert gpu == MissingResource(GPU, asked="8", capacity="8", free="6", missing="2")
    assert places.levels[1].tenants == (Tenant("ns/a", 1, {GPU: "2"}),)
    assert told.remedies == (StopWorkloads(("ns/a",)), FewerPods("main", 4, 3))
    assert "a node that comes, changes or gets free" in told.wakes_on
    page = workload_text(told)
    assert "4 pods of pod set main, required at level cloud.com/topology-rack of topology default, on the nodes" in page
    assert "cloud.com/topology-rack          2   b1/r1         3         3   2 example.com/gpu (of 8; it has 8)" in page
    assert "held in b1/r1: 2 example.com/gpu by ns/a (1 pod)" in page


def test_who_holds_the_domain_and_who_must_end() -> None:
    """Both racks are taken; the one to end is in the rack that is nearest to room, and fewer pods would not do."""
    it = world("b1{r1{x1:8/4} r2{x2:8/4}}")
    admit(it, "keeps", pod_sets(1, 4), priority=1)
    admit(it, "goes", pod_sets(1, 3), priority=9)
    it.workload("w", "cq", "1", pod_sets=pod_sets(2, 2))
    told = explain(it, "w")
    assert told.places is not None
    rack = next(level for level in told.places.levels if level.level == RACK)
    assert {t.workload for t in rack.tenants} <= {"ns/keeps", "ns/goes"}
    assert [r for r in told.remedies if isinstance(r, StopWorkloads)] == [StopWorkloads((rack.tenants[0].workload,))]
    it.workload("small", "cq", "1", pod_sets=pod_sets(3, 1))
    assert FewerPods("main", 3, 1) in explain(it, "small").remedies


def test_pods_beside_topologies_are_told() -> None:
    """What a DaemonSet's pod takes is nobody's to give back."""
    it = world("b1{r1{x1:8/4}}")
    container = {"name": "c", "resources": {"requests": {GPU: "3"}}}
    pod = {
        "metadata": {"name": "d", "namespace": "ns"}, "status": {"phase": "Running"},
        "spec": {"nodeName": "x1", "containers": [container]},
    }  # fmt: skip
    it.engine.set_pod(ObjectKey("ns", "d"), pod, it.now)
    it.workload("w", "cq", "1", pod_sets=pod_sets(2, 1))
    told = explain(it, "w")
    assert told.places is not None
    (rack,) = [level for level in told.places.levels if level.level == RACK]
    assert (rack.largest, rack.fits) == ("b1/r1", 1)
    assert [(t.workload, t.pods, t.amounts[GPU]) for t in rack.tenants] == [("", 0, "3")]
    (facts,) = it.engine.explainer(it.now).topologies_of()
    (gpu,) = [r for r in facts.domains[0].resources if r.resource == GPU]
    assert (gpu.capacity, gpu.others, gpu.workloads, gpu.free, gpu.used_share) == ("4", "3", "0", "1", 0.75)


def test_free_in_pieces() -> None:
    """Nothing is missing in all, and yet no pod fits."""
    it = world("b1{r1{x1,x2:8/4}}")
    for name in ("a", "b"):
        admit(it, name, pod_sets(1, 3))
    it.workload("w", "cq", "1", pod_sets=pod_sets(1, 2))
    told = explain(it, "w")
    assert told.places is not None
    (rack,) = [level for level in told.places.levels if level.level == RACK]
    (gpu,) = [r for r in rack.resources if r.resource == GPU]
    assert (rack.fits, gpu.free, gpu.missing) == (0, "2", "0")
    assert {t.workload for t in rack.tenants} == {"ns/a", "ns/b"}


def test_to_ask_changes_nothing() -> None:
    """The same question has the same answer, and the engine goes on as if it had not been asked."""
    asked, twin = world(), world()
    for it in (asked, twin):
        admit(it, "a", pod_sets(3, 2))
        it.workload("w", "cq", "1", pod_sets=pod_sets(4, 2), t=1)
        it.workload("x", "cq", "1", pod_sets=pod_sets(8, 1), t=2)
    first = [explain(asked, name) for name in ("w", "x")]
    assert [explain(asked, name) for name in ("w", "x")] == first
    assert asked.settle() == twin.settle()
    assert asked.engine.explainer(asked.now).topologies_of() == twin.engine.explainer(twin.now).topologies_of()


def test_what_each_domain_has() -> None:
    """Capacity, holders and free of each level; wider domains are sums, and hosts of other flavors are left out."""
    it = world("b1{r1{x1,x2:8/4} r2{x3:8/4}}")
    it.flavor("plain")
    it.nodes([node("lonely", {HOST: "lonely"}, {"cpu": "1"})])
    it.nodes([node("cordoned", {BLOCK: "b1", RACK: "r1", HOST: "cordoned"}, {"cpu": "1"}, unschedulable=True)])
    admit(it, "a", pod_sets(2, 3))
    explainer = it.engine.explainer(it.now)
    (facts,) = explainer.topologies_of("default")
    assert (facts.topology, facts.flavor, facts.levels) == ("default", "tas", (BLOCK, RACK, HOST))
    assert facts.left_out == ("cordoned", "lonely")
    (block,) = facts.domains
    assert (block.name, block.nodes, [(w.workload, w.pods) for w in block.workloads]) == ("b1", 3, [("ns/a", 2)])
    assert [(d.name, d.nodes, [h.name for h in d.domains]) for d in block.domains] == [
        ("r1", 2, ["x1", "x2"]),
        ("r2", 1, ["x3"]),
    ]
    shares = {d.name: r.used_share for d in block.domains for r in d.resources if r.resource == GPU}
    assert shares == {"r1": 0.75, "r2": 0.0}
    assert explainer.topologies_of("other") == ()
