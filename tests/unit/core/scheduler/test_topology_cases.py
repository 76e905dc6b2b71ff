"""Topology in the scheduling cycle: the tables of scheduling-cases.md §13."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, Resources, Transformation
from pykueue.api.conversion.topology import Domain, decode_domains, encode_slices
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Admission
from pykueue.core.features import Features, Gate
from pykueue.core.resources import format_amount, parse_amount
from pykueue.core.scheduler.cycle import NO_LONGER_FITS
from pykueue.core.tas.ledger import Ledger
from support.nodes import BLOCK, HOST, RACK, node, nodes
from support.world import World, admits, pendings, victims

N6 = "b1{r1{x1:1} r2{x2,x3,x4:1}} b2{r1{x5:1} r2{x6:2}}"
LEVELS = (BLOCK, RACK, HOST)


def hosts(**cpu: str) -> list[dict[str, Any]]:
    """Hosts of one topology level; `5` is cpu, `5,1` is cpu and pods."""
    found = []
    for name, text in cpu.items():
        amount, _, pods = text.partition(",")
        found.append(node(name, {HOST: name}, {"cpu": amount, "memory": "5Gi"} | ({"pods": pods} if pods else {})))
    return found


def world_of(drawing: str | list[dict[str, Any]], features: Features | None = None, **options: Any) -> World:
    """One ClusterQueue `cq` with the flavor `tas-default`, unless options say otherwise."""
    world = World(features=features)
    levels = options.pop("levels", LEVELS if isinstance(drawing, str) else (HOST,))
    is_single = levels == (HOST,)
    topology = "tas-single-level" if is_single else "tas-three-level"
    world.topology(topology, *levels)
    world.flavor("tas-default", topologyName=topology)
    world.nodes(nodes(drawing) if isinstance(drawing, str) else drawing)
    if options.pop("queue", True):
        world.queue("cq", options.pop("quota", "tas-default:50"), **options)
    return world


def pod_set(
    name: str, count: int, cpu: str = "1", spec: dict[str, Any] | None = None, **request: Any
) -> dict[str, Any]:
    containers = [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]
    found = {"name": name, "count": count, "template": {"spec": {"containers": containers, **(spec or {})}}}
    return found | ({"topologyRequest": request} if request else {})


def asking(given: dict[str, Any], **amounts: str) -> dict[str, Any]:
    """The pod set with more requests per pod."""
    given["template"]["spec"]["containers"][0]["resources"]["requests"] |= amounts
    return given


def standing(
    world: World,
    name: str,
    queue: str,
    given: dict[str, Any],
    held: dict[str, int],
    flavor: str = "tas-default",
    **options: Any,
) -> None:
    """An admitted Workload of one pod set with its pods on these hosts."""
    domains = [Domain((host,), n) for host, n in held.items()]
    per_pod = given["template"]["spec"]["containers"][0]["resources"]["requests"]
    assignment = {
        "name": given["name"],
        "flavors": dict.fromkeys(per_pod, flavor),
        "resourceUsage": {r: format_amount(r, parse_amount(r, a) * given["count"]) for r, a in per_pod.items()},
        "count": given["count"],
        "topologyAssignment": {"levels": [HOST], "slices": encode_slices([HOST], domains, by_hostname_prefix=True)},
    }
    status = {
        "conditions": [{"type": t, "status": "True"} for t in ("QuotaReserved", "Admitted")],
        "admission": {"clusterQueue": queue, "podSetAssignments": [assignment]},
    }
    world.workload(name, queue, "1", pod_sets=[given], status=status, **options)


def submit(world: World, name: str, *pod_sets: dict[str, Any], queue: str = "cq", **options: Any) -> None:
    world.workload(name, queue, "1", pod_sets=list(pod_sets), **options)


def places(admission: Admission) -> dict[str, dict[str, int]]:
    """Pod set to lowest level value to count."""
    found = {}
    for given in admission.pod_set_assignments:
        if given.topology_assignment is not None:
            domains = decode_domains(msgspec.to_builtins(given.topology_assignment))
            found[given.name] = {d.values[-1]: d.n_pods for d in domains}
    return found


def placed(world: World) -> dict[str, dict[str, dict[str, int]]]:
    return {name: places(decision.admission) for name, decision in admits(world.cycle()).items()}


def hold(world: World, name: str, *pod_sets: dict[str, Any], **options: Any) -> None:
    """Submit, admit in a cycle of its own, and write the admission back."""
    submit(world, name, *pod_sets, **options)
    result = world.cycle()
    assert name in admits(result), result.decisions
    for decision in result.decisions:
        world.write(decision)


def waiting(world: World, name: str) -> tuple[str, str]:
    found = pendings(world.cycle())[name]
    return found.reason.value, found.message


NONE_OF_ONE = (
    "couldn't assign flavors to pod set one: topology \"tas-single-level\" doesn't allow to fit any of 1 pod(s). "
    'Total nodes: 1; excluded: resource "cpu": 1'
)


def test_one_pod_on_one_node() -> None:
    """TS-01: reserved and admitted at once, with its host."""
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("one", 1, required=HOST))
    decision = admits(world.cycle())["w"]
    assert decision.is_admitted
    assert places(decision.admission) == {"one": {"x1": 1}}
    [given] = decision.admission.pod_set_assignments
    assert given.topology_assignment is not None
    assert given.topology_assignment.levels == (HOST,)


def test_memory_of_the_nodes_counts() -> None:
    """TS-02: quota would do for both pods on one node, its memory does not."""
    nodes_ = [node(name, {HOST: name}, {"cpu": "4", "memory": "2Gi"}) for name in ("x1", "x2")]
    world = world_of(nodes_, quota="tas-default:cpu50,mem50Gi")
    submit(world, "w", asking(pod_set("one", 2, preferred=HOST), memory="1536Mi"))
    assert placed(world) == {"w": {"one": {"x1": 1, "x2": 1}}}


def test_pod_sets_without_pods_have_no_place() -> None:
    """TS-03."""
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("launcher", 1, required=HOST), pod_set("worker", 0, required=HOST))
    assert placed(world) == {"w": {"launcher": {"x1": 1}}}


def test_implied_by_the_queue() -> None:
    """TS-10: all flavors have a topology, so pods without annotations are placed too."""
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("one", 1))
    assert placed(world) == {"w": {"one": {"x1": 1}}}


FLAVORS = {
    "TS-11 a flavor without topology is passed over": (
        "default:9→tas-default:9", [pod_set("one", 1, required=HOST)], {"one": "tas-default"},
        'one: default(NoFit;Flavor "default" does not support TopologyAwareScheduling)',
    ),
    "TS-12 a flavor with topology is passed over": (
        "tas-default:9→default:9", [pod_set("one", 1)], {"one": "default"},
        'one: tas-default(NoFit;Flavor "tas-default" supports only TopologyAwareScheduling)',
    ),
    "TS-13 each pod set its own": (
        "tas-default:9→default:9", [pod_set("launcher", 1), pod_set("worker", 1, required=HOST)],
        {"launcher": "default", "worker": "tas-default"},
        'launcher: tas-default(NoFit;Flavor "tas-default" supports only TopologyAwareScheduling)',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAVORS)
def test_flavors_and_topology(name: str) -> None:
    """Which flavor is taken, and what is told of the others."""
    quota, pod_sets, want, considered = FLAVORS[name]
    world = world_of(hosts(x1="1"), quota=quota)
    submit(world, "w", *pod_sets)
    decision = admits(world.cycle())["w"]
    assert {a.name: a.flavors["cpu"] for a in decision.admission.pod_set_assignments} == want
    assert decision.flavors_considered == considered


def test_an_unknown_level() -> None:
    """TS-14, TS-15: a flavor without the level does not match; one that has it is taken."""
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("one", 1, required=RACK))
    want = 'couldn\'t assign flavors to pod set one: Flavor "tas-default" does not contain the requested level'
    assert waiting(world, "w") == ("NoMatchingFlavor", want)
    assert world.is_parked("w")
    world = world_of(N6, queue=False)
    world.topology("flat", HOST)
    world.flavor("flat", topologyName="flat")
    world.queue("cq", "flat:9→tas-default:9")
    submit(world, "w", pod_set("one", 1, required=RACK))
    assert placed(world) == {"w": {"one": {"x1": 1}}}


def test_more_than_the_nodes_hold() -> None:
    """TS-16: no preemption could help."""
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("one", 2, required=HOST))
    want = 'couldn\'t assign flavors to pod set one: topology "tas-single-level" allows to fit only 1 out of 2 pod(s)'
    assert waiting(world, "w") == ("TopologyPlacementFailed", want)


def test_a_node_in_use() -> None:
    """TS-17, TS-18: a Workload with topology may go away, so the reason is quota; a foreign pod may not."""
    world = world_of(hosts(x1="1"))
    hold(world, "held", pod_set("one", 1, required=HOST))
    submit(world, "w", pod_set("one", 1, required=HOST))
    assert waiting(world, "w") == ("WaitingForQuota", NONE_OF_ONE)
    world = world_of(hosts(x1="1"))
    foreign = {"metadata": {}, "spec": {"nodeName": "x1", "containers": [{"resources": {"requests": {"cpu": "1"}}}]}}
    world.engine.set_pod(ObjectKey("ns", "p"), foreign, world.now)
    submit(world, "w", pod_set("one", 1, required=HOST))
    assert waiting(world, "w") == ("TopologyPlacementFailed", NONE_OF_ONE)
    world.engine.set_pod(ObjectKey("ns", "p"), None, world.now)
    assert [sorted(admits(result)) for result in world.settle()] == [["w"]]


def test_beside_another() -> None:
    """TS-20: two halves of a node."""
    world = world_of([node("x1", {HOST: "x1"}, {"cpu": "1", "memory": "1000Mi"})], quota="tas-default:cpu50,mem50Gi")
    half = asking(pod_set("one", 1, "500m", required=HOST), memory="500Mi")
    hold(world, "held", half)
    submit(world, "w", half)
    assert placed(world) == {"w": {"one": {"x1": 1}}}


def test_pods_limit_nodes() -> None:
    """TS-19: the node's number of pods binds, though no quota covers pods."""
    world = world_of(hosts(x1="9,2"))
    hold(world, "held", pod_set("one", 2, required=HOST))
    submit(world, "w", pod_set("one", 1, required=HOST))
    assert waiting(world, "w")[1].endswith('excluded: resource "pods": 1')


def test_a_worker_too_large_for_any_node() -> None:
    """TS-21: the pod set that has no place is named."""
    world = world_of(hosts(x1="3", y1="3"))
    submit(world, "w", pod_set("launcher", 1, required=HOST), pod_set("worker", 1, "7", required=HOST))
    want = (
        "couldn't assign flavors to pod set worker: topology \"tas-single-level\" doesn't allow to fit any of 1 pod(s). "
        'Total nodes: 2; excluded: resource "cpu": 2'
    )
    assert waiting(world, "w") == ("TopologyPlacementFailed", want)


def test_pod_sets_share_nodes() -> None:
    """TS-22: what the first takes is not there for the second."""
    world = world_of(hosts(x1="8", y1="8"), quota="tas-default:16")
    submit(world, "w", pod_set("launcher", 1, required=HOST), pod_set("worker", 15, preferred=HOST))
    assert placed(world) == {"w": {"launcher": {"x1": 1}, "worker": {"x1": 7, "y1": 8}}}


def test_usage_of_a_lost_node_is_ignored() -> None:
    """TS-23: who sits on a deleted node takes nothing from others."""
    world = world_of(hosts(x1="1", y1="1"))
    hold(world, "held", pod_set("one", 1, required=HOST))
    world.engine.set_node("x1", None, world.now)
    submit(world, "w", pod_set("one", 1, required=HOST))
    assert placed(world) == {"w": {"one": {"y1": 1}}}


def test_tolerations_of_the_flavor_count() -> None:
    """TS-24."""
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    world = world_of([node("x1", {HOST: "x1"}, {"cpu": "1"}, taints=[taint])])
    world.flavor("tas-default", topologyName="tas-single-level", tolerations=[{"key": "k", "operator": "Exists"}])
    submit(world, "w", pod_set("one", 1, required=HOST))
    assert placed(world) == {"w": {"one": {"x1": 1}}}


def test_a_tainted_flavor_on_the_same_hosts() -> None:
    """TS-25: the quota of one flavor is used up, and the host that it fills is no place for the other's pods."""
    world = world_of(hosts(x1="400m", x2="400m"), queue=False)
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    bearing = [{"key": "k", "operator": "Exists"}]
    world.flavor("b", topologyName="tas-single-level", nodeTaints=[taint], tolerations=bearing)
    world.queue("cq", "tas-default:400m→b:1")
    hold(world, "held", pod_set("one", 1, "400m", required=HOST))
    submit(world, "w", pod_set("one", 1, "100m", required=HOST))
    [(_, decision)] = admits(world.cycle()).items()
    [given] = decision.admission.pod_set_assignments
    assert (given.flavors["cpu"], places(decision.admission)) == ("b", {"one": {"x2": 1}})


def test_pod_sets_of_one_workload_share_hosts_too() -> None:
    """TS-26: on two flavors of the same hosts, each sees what the other takes."""
    world = world_of(hosts(x1="400m", x2="400m"), queue=False)
    world.flavor("tas-other", topologyName="tas-single-level")
    world.queue("cq", "tas-default:300m→tas-other:300m")
    submit(world, "w", pod_set("one", 1, "300m", required=HOST), pod_set("two", 1, "300m", required=HOST))
    assert placed(world) == {"w": {"one": {"x1": 1}, "two": {"x2": 1}}}


def test_an_affinity_that_no_node_has() -> None:
    """TS-27: the flavor knows nothing of the label, the nodes do not have it."""
    term = {"matchExpressions": [{"key": "foreign", "operator": "Exists"}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("one", 1, spec={"affinity": {"nodeAffinity": required}}, required=HOST))
    reason, message = waiting(world, "w")
    assert (reason, world.is_parked("w")) == ("TopologyPlacementFailed", True)
    assert message.endswith("Total nodes: 1; excluded: affinity: 1")


@pytest.mark.parametrize("request_", [{"unconstrained": True}, {"preferred": RACK}, {"required": RACK}])
def test_a_full_node_takes_nothing(request_: dict[str, Any]) -> None:
    """TS-28."""
    world = world_of("b1{r1{x1:0,x2:1,x3:1}}")
    submit(world, "w", pod_set("one", 2, **request_))
    assert placed(world) == {"w": {"one": {"x2": 1, "x3": 1}}}


def credits_world(n_credits: int) -> World:
    """Quota of cpu on nodes with a topology, and of what cpu is made into, which no node has."""
    made = Transformation(input="cpu", strategy="Retain", multiply_by="", outputs={"compute": "1"})
    world = World(Configuration(resources=Resources(transformations=(made,))))
    world.topology("tas-single-level", HOST)
    world.flavor("tas-default", topologyName="tas-single-level")
    world.nodes(hosts(x1="9"))
    world.queue("cq", f"tas-default:9 ∥ credits:compute{n_credits}")
    return world


def test_a_resource_that_only_quota_knows() -> None:
    """TS-29, TS-30: its flavor needs no topology; its quota counts."""
    world = credits_world(1)
    submit(world, "w", pod_set("one", 1, required=HOST))
    [(_, decision)] = admits(world.cycle()).items()
    [given] = decision.admission.pod_set_assignments
    assert given.flavors == {"cpu": "tas-default", "compute": "credits"}
    assert places(decision.admission) == {"one": {"x1": 1}}
    world = credits_world(1)
    submit(world, "w", pod_set("one", 1, "2", required=HOST))
    want = (
        "couldn't assign flavors to pod set one: insufficient quota for compute in flavor credits, previously considered "
        "podsets requests (0) + current podset request (2) > maximum capacity (1)"
    )
    assert waiting(world, "w") == ("ExceedsMaxQuota", want)


def test_nothing_asked_of_a_resource() -> None:
    """TS-31."""
    world = world_of(hosts(x1="1"), quota="tas-default:cpu50,mem50Gi")
    submit(world, "w", asking(pod_set("one", 1, "0", required=HOST), memory="10Mi"))
    assert placed(world) == {"w": {"one": {"x1": 1}}}


def test_flavors_that_share_hosts() -> None:
    """TS-25, TP-42: what one flavor's Workloads take of a host is not there for the other's."""
    world = world_of(hosts(x1="1", x2="1"), queue=False)
    world.flavor("other", topologyName="tas-single-level")
    world.queue("cq", "tas-default:9")
    world.queue("cq2", "other:9")
    hold(world, "held", pod_set("one", 1, required=HOST))
    submit(world, "w", pod_set("one", 1, required=HOST), queue="cq2")
    assert placed(world) == {"w": {"one": {"x2": 1}}}


def test_two_topologies_in_one_pod_set() -> None:
    """FA-48: a hard error."""
    world = world_of(hosts(x1="1"), queue=False)
    for name in ("a", "b"):
        world.flavor(name, topologyName="tas-single-level")
    world.queue("cq", "a:cpu9 ∥ b:mem9Gi")
    world.workload("w", "cq", "cpu1,mem1Gi")
    want = "failed to assign flavors to pod set main: more than one TAS flavor assigned: a, b"
    assert waiting(world, "w")[1] == want


def test_preemption_makes_room_on_a_node() -> None:
    """TQ-01: quota would do, the node would not; the text is that of the node."""
    world = world_of(hosts(x1="5"), WCQ="L")
    hold(world, "low", pod_set("one", 1, "5", required=HOST), priority=1)
    submit(world, "foo", pod_set("one", 1, "2", required=HOST), priority=3)
    result = world.cycle()
    assert victims(result) == {"low": "InClusterQueue"}
    found = pendings(result)["foo"]
    assert (found.reason.value, found.message) == (
        "WaitingForPreemptedWorkloads", f"{NONE_OF_ONE}. Pending the preemption of 1 workload(s)",
    )  # fmt: skip
    world.write(next(d for d in result.decisions))
    world.delete("low")
    assert "foo" in {name for r in world.settle() for name in admits(r)}


def test_only_victims_that_make_room() -> None:
    """TQ-02, TQ-03: the lowest that suffices; the one on the right node."""
    world = world_of(hosts(x1="5"), WCQ="L")
    hold(world, "mid", pod_set("one", 1, "2", required=HOST), priority=2)
    hold(world, "low", pod_set("one", 1, "2", required=HOST), priority=1)
    submit(world, "foo", pod_set("one", 1, "2", required=HOST), priority=3)
    assert victims(world.cycle()) == {"low": "InClusterQueue"}
    world = world_of(hosts(x1="5", y1="5"), WCQ="L")
    hold(world, "mid", pod_set("one", 1, "4", required=HOST), priority=2)
    hold(world, "low", pod_set("one", 1, "4", required=HOST), priority=1)
    submit(world, "foo", pod_set("one", 2, required=HOST), priority=3)
    result = world.cycle()
    assert victims(result) == {"low": "InClusterQueue"}
    assert pendings(result)["foo"].message.endswith(
        "allows to fit only 1 out of 2 pod(s). Pending the preemption of 1 workload(s)"
    )


def test_victims_for_what_a_node_lacks() -> None:
    """TQ-05, TQ-06: its number of pods, its memory."""
    world = world_of(hosts(x1="9,1"), WCQ="L")
    hold(world, "low", pod_set("one", 1, "5", required=HOST), priority=1)
    submit(world, "foo", pod_set("one", 1, required=HOST), priority=3)
    assert victims(world.cycle()) == {"low": "InClusterQueue"}
    world = world_of(hosts(x1="5"), quota="tas-default:cpu50,mem50Gi", WCQ="L")
    hold(world, "low", asking(pod_set("one", 1, required=HOST), memory="2Gi"), priority=1)
    submit(world, "foo", asking(pod_set("one", 1, required=HOST), memory="4Gi"), priority=3)
    result = world.cycle()
    assert victims(result) == {"low": "InClusterQueue"}
    assert 'excluded: resource "memory": 1. Pending' in pendings(result)["foo"].message


def test_a_victim_on_a_lost_node() -> None:
    """TQ-07: it holds quota still, though no place."""
    world = world_of(hosts(x1="5", y1="5"), quota="tas-default:10", WCQ="L")
    standing(world, "low", "cq", pod_set("one", 5), {"gone": 5}, priority=1)
    submit(world, "foo", pod_set("one", 10, preferred=HOST), priority=3)
    result = world.cycle()
    assert victims(result) == {"low": "InClusterQueue"}
    want = (
        "couldn't assign flavors to pod set one: insufficient unused quota for cpu in flavor tas-default, 5 more needed. "
        "Pending the preemption of 1 workload(s)"
    )
    assert pendings(result)["foo"].message == want


def test_nobody_lower_to_preempt() -> None:
    """TQ-04: the place is kept for who waits with the higher priority, and the next one is not served before."""
    world = world_of(hosts(x1="5"), WCQ="L")
    hold(world, "held", pod_set("one", 1, "4", required=HOST), priority=2)
    submit(world, "mid", pod_set("one", 2, required=HOST), priority=2)
    submit(world, "low", pod_set("one", 1, required=HOST), priority=1)
    result = world.cycle()
    assert pendings(result)["mid"].reason.value == "WaitingForQuota"
    assert admits(result) == {}
    assert world.is_parked("mid")
    assert not world.is_parked("low")


def two_queues(features: Features | None = None) -> World:
    world = world_of(hosts(x1="3", y1="5"), features, queue=False)
    for name in ("a", "b"):
        world.queue(name, "tas-default:4", "all", RWC="A")
    return world


def test_a_place_that_was_taken_is_looked_for_again() -> None:
    """TC-03: judged alone both want the same node; the second is placed elsewhere, or skipped without the gate."""
    world = two_queues()
    submit(world, "a1", pod_set("one", 1, preferred=HOST), queue="a", priority=2)
    submit(world, "b1", pod_set("one", 3, preferred=HOST), queue="b", priority=1)
    assert placed(world) == {"a1": {"one": {"x1": 1}}, "b1": {"one": {"y1": 3}}}
    gate = Gate.TAS_RECOMPUTE_ASSIGNMENT_WITHIN_SCHEDULING_CYCLE
    world = two_queues(Features({gate: False}))
    submit(world, "a1", pod_set("one", 1, preferred=HOST), queue="a", priority=2)
    submit(world, "b1", pod_set("one", 3, preferred=HOST), queue="b", priority=1)
    result = world.cycle()
    assert sorted(admits(result)) == ["a1"]
    assert pendings(result)["b1"].message == NO_LONGER_FITS


def test_queues_without_a_cohort_share_nodes() -> None:
    """Capacity belongs to nodes: a release in one ClusterQueue wakes the others that use the flavor."""
    world = world_of(hosts(x1="1"))
    world.queue("other", "tas-default:9")
    hold(world, "held", pod_set("one", 1, required=HOST))
    submit(world, "w", pod_set("one", 1, required=HOST), queue="other")
    assert waiting(world, "w") == ("WaitingForQuota", NONE_OF_ONE)
    world.delete("held")
    assert [sorted(admits(result)) for result in world.settle()] == [["w"]]


def test_a_new_node_wakes() -> None:
    """A Workload that no node could take is admitted when one comes."""
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("one", 2, required=HOST))
    world.cycle()
    assert world.is_parked("w")
    world.nodes(hosts(x2="2"))
    assert [{n: places(d.admission) for n, d in admits(r).items()} for r in world.settle()] == [
        {"w": {"one": {"x2": 2}}}
    ]


def test_a_cycle_leaves_the_ledger_as_it_was() -> None:
    """What a cycle tries on nodes is undone; what it admits is held once."""
    world = world_of(hosts(x1="5", y1="5"), WCQ="L")
    hold(world, "low", pod_set("one", 1, "4", required=HOST), priority=1)
    hold(world, "mid", pod_set("one", 1, "4", required=HOST), priority=2)
    before = copy.deepcopy(world.engine._cache.ledger._held)
    submit(world, "foo", pod_set("one", 2, "2", required=HOST), priority=3)
    assert victims(world.cycle()) == {"low": "InClusterQueue"}
    assert world.engine._cache.ledger._held == before
    world.delete("mid")
    world.delete("low")
    world.delete("foo")
    assert world.engine._cache.ledger._held == {}


def test_trials_of_a_ledger_nest() -> None:
    """Every block undoes its own."""
    world = world_of(hosts(x1="5"))
    hold(world, "w", pod_set("one", 1, "4", required=HOST))
    ledger: Ledger = world.engine._cache.ledger
    held = ledger.of(ObjectKey("ns", "w"))
    before = copy.deepcopy(ledger._held)
    with ledger.trial():
        ledger.remove(held)
        assert ledger._held == {}
        with ledger.trial():
            ledger.add(held)
            ledger.add(held)
        assert ledger._held == {}
    assert ledger._held == before


def test_alpha_gates_reach_the_placement() -> None:
    """TB-01, TF-01: two racks are filled equally, and the liked node is taken, once the gates are on."""
    drawing = "b1{r1{x1:15} r2{x2:15}}"
    for is_on, want in ((False, {"x1": 15, "x2": 8}), (True, {"x1": 12, "x2": 11})):
        objs = nodes(drawing)
        for obj in objs:
            obj["status"]["allocatable"]["pods"] = "99"
        world = world_of(objs, Features({Gate.TAS_BALANCED_PLACEMENT: is_on}), levels=LEVELS)
        submit(world, "w", pod_set("one", 23, preferred=RACK))
        assert placed(world) == {"w": {"one": want}}
    term = {"matchExpressions": [{"key": HOST, "operator": "In", "values": ["x2"]}]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}
    for is_on, host in ((False, "x1"), (True, "x2")):
        world = world_of(drawing, Features({Gate.TAS_RESPECT_NODE_AFFINITY_PREFERRED: is_on}))
        submit(world, "w", pod_set("one", 1, spec={"affinity": {"nodeAffinity": preferred}}, preferred=RACK))
        assert placed(world) == {"w": {"one": {host: 1}}}


def test_fewer_pods_where_places_are_missing() -> None:
    """PA-06: a node for one, a Workload for at least one."""
    world = world_of(hosts(x1="1"))
    submit(world, "w", pod_set("main", 5, required=HOST) | {"minCount": 1})
    assert placed(world) == {"w": {"main": {"x1": 1}}}


def test_fewer_pods_and_a_victim() -> None:
    """PA-07: four on one node cannot be, three can once the less important one has left it."""
    world = world_of(hosts(x1="3", y1="5"), queue=False)
    for name in ("A", "B"):
        world.queue(name, "tas-default:4", "co", RWC="L")
    standing(world, "a1", "A", pod_set("one", 5, required=HOST), {"y1": 5}, priority=3)
    standing(world, "a2", "A", pod_set("one", 3, required=HOST), {"x1": 3}, priority=2)
    submit(world, "w", pod_set("main", 4, required=HOST) | {"minCount": 3}, queue="B", priority=3)
    assert victims(world.cycle()) == {"a2": "InCohortReclamation"}
    world.delete("a2")
    (result, *_) = world.settle()
    assert places(admits(result)["w"].admission) == {"main": {"x1": 3}}
