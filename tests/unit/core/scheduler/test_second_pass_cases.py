"""Workloads with quota that need places, or other ones: rows TS-04 to TS-09 and TS-32 to TS-39 of scheduling-cases.md §13."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.constants import Reason
from pykueue.api.conversion.topology import Domain, encode_slices
from pykueue.api.v1beta2 import Admission, AdmissionCheckState, Condition, NamedGate, PodSetUpdate, Workload
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.decisions import CycleResult, Evict, SecondPassFailed
from support.nodes import BLOCK, HOST, RACK, node, nodes
from support.world import SECOND, World, admits, pendings, victims
from unit.core.scheduler.test_topology_cases import LEVELS, hosts, places, pod_set, submit

PROVISIONING = "kueue.x-k8s.io/provisioning-request"
KEEP_TRYING = Features({Gate.TAS_FAILED_NODE_REPLACEMENT_FAIL_FAST: False})


def checked(
    quota: str = "tas-default:50",
    *,
    controller: str = PROVISIONING,
    flavors: tuple[str, ...] = (),
    features: Features | None = None,
) -> World:
    """A ClusterQueue `cq` with the check `prov`, for all flavors or for some; one node."""
    world = World(features=features)
    world.topology("tas-single-level", HOST)
    world.flavor("tas-default", topologyName="tas-single-level")
    world.flavor("tas-other", topologyName="tas-single-level")
    world.nodes(hosts(x1="1", x2="1"))
    world.check("prov", controller)
    strategy = {"admissionChecks": [{"name": "prov", "onFlavors": list(flavors)}]}
    world.queue("cq", quota, spec={"admissionChecksStrategy": strategy})
    return world


def reserve(world: World, name: str, *pod_sets: dict[str, Any]) -> Admission:
    """Submit, and let the first pass be written; what it gave."""
    submit(world, name, *pod_sets)
    [(_, decision)] = admits(world.cycle()).items()
    assert not decision.is_admitted
    world.write(decision)
    return decision.admission


def answer(world: World, name: str, state: str = "Ready", updates: tuple[PodSetUpdate, ...] = ()) -> None:
    """The check says something."""
    check = AdmissionCheckState(name="prov", state=state, last_transition_time="t", pod_set_updates=updates)
    workload = world.workloads[name]
    status = msgspec.structs.replace(workload.status, admission_checks=(check,))
    world.put(msgspec.structs.replace(workload, status=status))


def due(world: World) -> int | None:
    """When the next second pass is."""
    at = world.engine._second_pass.wake_at()
    assert at is None or (world.engine.next_cycle_at(world.now) or at) <= at
    return at


def second_pass(world: World) -> CycleResult:
    """The cycle of a second from now."""
    world.advance(1)
    return world.cycle()


def delays(admission: Admission) -> dict[str, str | None]:
    return {given.name: given.delayed_topology_request for given in admission.pod_set_assignments}


@pytest.mark.parametrize("request_", [{"required": HOST}, {}])
def test_the_first_pass_waits_for_nodes(request_: dict[str, Any]) -> None:
    """TS-04: quota is reserved, places are pending, asked for or implied."""
    admission = reserve(checked(), "w", pod_set("one", 1, **request_))
    assert delays(admission) == {"one": "Pending"}
    assert places(admission) == {}


def test_the_second_pass_finds_places() -> None:
    """TS-05: a second after the check is ready, not before, the pods are placed and the Workload is admitted."""
    world = checked()
    reserve(world, "w", pod_set("one", 1, required=HOST))
    answer(world, "w", "Pending")
    assert due(world) is None
    answer(world, "w")
    assert due(world) == world.now + SECOND
    [(_, decision)] = admits(second_pass(world)).items()
    assert decision.is_second_pass
    assert decision.is_admitted
    assert delays(decision.admission) == {"one": "Ready"}
    assert places(decision.admission) == {"one": {"x1": 1}}
    world.write(decision)
    assert due(world) is None


@pytest.mark.parametrize("quota", ["1", "50"])
def test_quota_is_not_counted_again(quota: str) -> None:
    """TS-06: the quota may be exactly what the Workload holds."""
    world = checked(f"tas-default:{quota}")
    reserve(world, "w", pod_set("one", 1, required=HOST))
    answer(world, "w")
    [(_, decision)] = admits(second_pass(world)).items()
    [given] = decision.admission.pod_set_assignments
    assert given.resource_usage == {"cpu": "1"}


def test_a_check_of_another_flavor_delays_nothing() -> None:
    """TS-07."""
    world = checked("tas-default:9→tas-other:9", flavors=("tas-other",))
    submit(world, "w", pod_set("one", 1, required=HOST))
    [(_, decision)] = admits(world.cycle()).items()
    assert decision.is_admitted
    assert places(decision.admission) == {"one": {"x1": 1}}


def test_places_that_there_are_stay() -> None:
    """TS-08: the second pass only fills in what is pending."""
    world = checked("tas-default:1→tas-other:9", flavors=("tas-other",))
    admission = reserve(world, "w", pod_set("one", 1, required=HOST), pod_set("two", 1, required=HOST))
    assert (places(admission), delays(admission)) == ({"one": {"x1": 1}}, {"one": None, "two": "Pending"})
    answer(world, "w")
    [(_, decision)] = admits(second_pass(world)).items()
    assert places(decision.admission) == {"one": {"x1": 1}, "two": {"x2": 1}}
    assert delays(decision.admission) == {"one": None, "two": "Ready"}


def test_other_checks_delay_no_places() -> None:
    """TS-09: only nodes that are made on demand are waited for."""
    admission = reserve(checked(controller="example.com/mine"), "w", pod_set("one", 1, required=HOST))
    assert (places(admission), delays(admission)) == ({"one": {"x1": 1}}, {"one": None})


def test_what_a_check_says_of_nodes_counts() -> None:
    """tas.md §3: the selector and the tolerations of a ready check take part in the second pass."""
    world = checked()
    taint = {"key": "new", "value": "v", "effect": "NoSchedule"}
    world.nodes([node("x9", {HOST: "x9", "pool": "new"}, {"cpu": "1"}, taints=[taint])])
    reserve(world, "w", pod_set("one", 1, required=HOST))
    update = PodSetUpdate(
        name="one", node_selector={"pool": "new"}, tolerations=({"key": "new", "operator": "Exists"},)
    )
    answer(world, "w", updates=(update,))
    [(_, decision)] = admits(second_pass(world)).items()
    assert places(decision.admission) == {"one": {"x9": 1}}


def failures(result: CycleResult) -> dict[str, str]:
    return {d.key.name: d.message for d in result.decisions if isinstance(d, SecondPassFailed)}


def test_the_second_pass_backs_off() -> None:
    """scheduling.md §3.8: after 1, 2, 4, ... seconds, at most 30; quota stays, and nothing is written but an event."""
    world = checked()
    reserve(world, "w", pod_set("one", 1, "5", required=HOST))
    answer(world, "w")
    want = (
        "couldn't assign flavors to pod set one: topology \"tas-single-level\" doesn't allow to fit any of 1 pod(s). "
        'Total nodes: 2; excluded: resource "cpu": 2'
    )
    waits = []
    for _ in range(7):
        at = due(world)
        assert at is not None
        waits.append((at - world.now) // SECOND)
        world.advance(waits[-1])
        result = world.cycle()
        assert (failures(result), pendings(result), result.is_success) == ({"w": want}, {}, False)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert list(world.holds()) == ["w"]
    world.nodes(hosts(x3="5"))
    world.advance(30)
    assert [places(d.admission) for d in admits(world.cycle()).values()] == [{"one": {"x3": 1}}]


def test_an_eviction_ends_the_wait() -> None:
    """Who gives the quota back is not tried again; who is admitted anew begins with a first pass."""
    world = checked()
    reserve(world, "w", pod_set("one", 1, "5", required=HOST))
    answer(world, "w")
    workload = world.workloads["w"]
    evicted = Condition(type="Evicted", status="True", reason="Preempted", last_transition_time="t")
    status = msgspec.structs.replace(workload.status, conditions=(*workload.status.conditions, evicted))
    world.put(msgspec.structs.replace(workload, status=status))
    assert due(world) is None
    status = msgspec.structs.replace(status, conditions=(evicted,), admission=None, admission_checks=())
    world.put(msgspec.structs.replace(workload, status=status))
    [(_, decision)] = admits(world.cycle()).items()
    assert delays(decision.admission) == {"one": "Pending"}


@pytest.mark.parametrize("is_safe", [False, True])
def test_victims_make_room_for_a_second_pass(is_safe: bool) -> None:
    """tas.md §8 step 2: where places are taken by others who may be preempted, they are, and the second pass comes again."""
    world = checked(features=Features({Gate.PYKUEUE_SAFE_PREEMPTION: is_safe}))
    world.queue(
        "cq",
        "tas-default:50",
        WCQ="L",
        spec={"admissionChecksStrategy": {"admissionChecks": [{"name": "prov"}]}},
    )
    reserve(world, "low", pod_set("one", 2, preferred=HOST))
    answer(world, "low")
    for decision in second_pass(world).decisions:
        world.write(decision)
    submit(world, "high", pod_set("one", 1, required=HOST), priority=1)
    world.write(admits(world.cycle())["high"])
    answer(world, "high")
    result = second_pass(world)
    assert victims(result) == {"low": "InClusterQueue"}
    [decision] = result.decisions
    assert isinstance(decision.pending, SecondPassFailed)
    assert decision.pending.message.endswith('"cpu": 2. Pending the preemption of 1 workload(s)')
    assert sorted(world.holds()) == ["high", "low"]
    world.put(world.workloads["high"])
    world.delete("low")
    world.advance(2)
    [given] = admits(world.cycle()).values()
    assert places(given.admission) == {"one": {"x1": 1}}
    assert not world.engine.take_notices()
    assert not world.engine.take_samples()
    world.write(given)
    assert [sample.labels for sample in world.engine.take_samples()] == [("cq", "admitted")]
    world.delete("high")
    assert not world.holds()


def test_a_failed_write_is_tried_again() -> None:
    """The places are given back, the quota is not."""
    world = checked()
    reserve(world, "w", pod_set("one", 1, required=HOST))
    answer(world, "w")
    [(key, _)] = [(d.key, d) for d in admits(second_pass(world)).values()]
    assert world.engine._cache.ledger.of(key)
    world.engine.forget(key, world.now, requeue=True)
    assert not world.engine._cache.ledger.of(key)
    assert list(world.holds()) == ["w"]
    assert sorted(admits(second_pass(world))) == ["w"]


def test_pods_that_run_elsewhere_have_no_place_here() -> None:
    """tas.md §3: with a MultiKueue check the worker cluster places; flavors need no Topology, and no second pass is made."""
    world = World()
    world.flavor("tas-default", topologyName="missing")
    world.check("prov", "kueue.x-k8s.io/multikueue")
    world.queue("cq", "tas-default:9", spec={"admissionChecksStrategy": {"admissionChecks": [{"name": "prov"}]}})
    admission = reserve(world, "w", pod_set("one", 1, required=RACK))
    assert delays(admission) == {"one": "Pending"}
    answer(world, "w")
    assert due(world) is None


def test_a_second_pass_is_not_held_up() -> None:
    """LC-06: who waits for everybody's pods to be ready does not hold up who has quota already."""
    world = checked()
    reserve(world, "w", pod_set("one", 1, required=HOST))
    answer(world, "w")
    world.engine._waits_for_pods = True
    world.engine._not_ready = dict.fromkeys([world.workloads["w"].key])
    assert sorted(admits(second_pass(world))) == ["w"]


# --- replacement of nodes ------------------------------------------------------------------------------------------------

N6 = "b1{r1{x1:1} r2{x2,x3,x4:1}} b2{r1{x5:1} r2{x6:2}}"


def world_of(lost: str, drawing: str = N6, features: Features | None = None) -> World:
    """Nodes without the lost one, in one ClusterQueue."""
    world = World(features=features)
    world.topology("tas-three-level", *LEVELS)
    world.flavor("tas-default", topologyName="tas-three-level")
    for obj in nodes(drawing):
        obj["status"]["allocatable"]["memory"] = "4Gi" if obj["metadata"]["name"] == "x6" else "1Gi"
        if obj["metadata"]["name"] != lost:
            world.nodes([obj])
    world.queue("cq", "tas-default:50")
    return world


def run_on(
    world: World, name: str, pod_sets: list[dict[str, Any]], held: dict[str, dict[str, int]], *unhealthy: str
) -> Workload:
    """An admitted Workload with pods on these hosts."""
    given = []
    for each in pod_sets:
        domains = [Domain((host,), n) for host, n in held[each["name"]].items()]
        assignment = {"levels": [HOST], "slices": encode_slices([HOST], domains, by_hostname_prefix=True)}
        flavors, usage = {"cpu": "tas-default"}, {"cpu": "1"}
        given.append(
            {
                "name": each["name"], "flavors": flavors, "resourceUsage": usage, "count": each["count"],
                "topologyAssignment": assignment,
            }
        )  # fmt: skip
    conditions = [{"type": t, "status": "True"} for t in ("QuotaReserved", "Admitted")]
    status = {
        "conditions": conditions,
        "admission": {"clusterQueue": "cq", "podSetAssignments": given},
        "unhealthyNodes": [{"name": node} for node in unhealthy],
    }
    return world.workload(name, "cq", "1", pod_sets=pod_sets, status=status)


def memory(pod_sets: list[dict[str, Any]], amount: str) -> list[dict[str, Any]]:
    pod_sets[0]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"] = amount
    return pod_sets


def slices(level: str, size: int, **request: Any) -> dict[str, Any]:
    return {"podSetSliceRequiredTopology": level, "podSetSliceSize": size, **request}


REPLACED: dict[str, tuple[str, list[dict[str, Any]], dict[str, dict[str, int]], dict[str, dict[str, int]]]] = {
    "TS-33 alone": ("x0", [pod_set("one", 1, preferred=HOST)], {"one": {"x0": 1}}, {"one": {"x1": 1}}),
    "TS-33 beside its own": (
        "x0", [pod_set("one", 2, "500m", preferred=RACK)], {"one": {"x0": 1, "x1": 1}}, {"one": {"x1": 2}},
    ),
    "TS-33 where the memory is": (
        "x0", memory([pod_set("one", 1, preferred=HOST)], "2Gi"), {"one": {"x0": 1}}, {"one": {"x6": 1}},
    ),
    "TS-33 in the rack of the others": (
        "x0", [pod_set("one", 2, required=RACK)], {"one": {"x0": 1, "x2": 1}}, {"one": {"x3": 1, "x2": 1}},
    ),
    "TS-33 in any rack, without others": (
        "x0", [pod_set("one", 1, required=RACK)], {"one": {"x0": 1}}, {"one": {"x1": 1}},
    ),
    "TS-37 only the pod set that lost it": (
        "x0", [pod_set("one", 1, preferred=HOST), pod_set("two", 1, preferred=HOST)],
        {"one": {"x0": 1}, "two": {"x1": 1}}, {"one": {"x2": 1}, "two": {"x1": 1}},
    ),
    "TS-38 a slice in one rack": (
        "x2", [pod_set("one", 2, **slices(RACK, 2))], {"one": {"x2": 1, "x3": 1}}, {"one": {"x4": 1, "x3": 1}},
    ),
    "TS-38 half of a slice": (
        "x2", [pod_set("one", 8, "250m", **slices(RACK, 8))], {"one": {"x2": 4, "x3": 4}}, {"one": {"x4": 4, "x3": 4}},
    ),
    "TS-38 a whole slice": (
        "x3", [pod_set("one", 12, "250m", **slices(RACK, 4, required=BLOCK))],
        {"one": {"x2": 4, "x3": 4, "x4": 4}}, {"one": {"x2": 4, "x1": 4, "x4": 4}},
    ),
    "TS-39 the odd pods of a rack": (
        "x1", [pod_set("one", 8, "200m", **slices(RACK, 2, required=BLOCK))],
        {"one": {"x1": 3, "x2": 5}}, {"one": {"x3": 3, "x2": 5}},
    ),
    "TS-39 the smallest rack": (
        "x1", [pod_set("one", 4, "250m", **slices(HOST, 2, required=RACK))], {"one": {"x1": 4}}, {"one": {"x5": 4}},
    ),
    "TS-39 half of a slice in a block": (
        "x7", [pod_set("one", 8, "500m", **slices(BLOCK, 4))],
        {"one": {"x1": 2, "x3": 2, "x5": 2, "x7": 2}}, {"one": {"x1": 2, "x3": 2, "x5": 2, "x6": 2}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLACED)
def test_replacements(name: str) -> None:
    """Where the pods of the lost node go; the others stay, and so does everything else of the admission."""
    lost, pod_sets, held, want = REPLACED[name]
    world = world_of(lost)
    before = run_on(world, "w", pod_sets, held, lost)
    [(_, decision)] = admits(second_pass(world)).items()
    assert places(decision.admission) == want
    assert (decision.is_second_pass, decision.is_admitted) == (True, True)
    assert before.status.admission is not None
    usages = [a.resource_usage for a in decision.admission.pod_set_assignments]
    assert usages == [a.resource_usage for a in before.status.admission.pod_set_assignments]
    assert set(delays(decision.admission).values()) == {None}


def test_a_replacement_comes_before_who_waits() -> None:
    """TS-32: who has quota is placed first."""
    world = world_of("x1", "b1{r1{x1,x2,x3:1}}")
    run_on(world, "lost", [pod_set("one", 1, preferred=HOST)], {"one": {"x1": 1}}, "x1")
    world.advance(1)
    submit(world, "contender", pod_set("one", 1, preferred=HOST))
    found = {name: places(decision.admission) for name, decision in admits(world.cycle()).items()}
    assert found == {"lost": {"one": {"x2": 1}}, "contender": {"one": {"x3": 1}}}


NOWHERE = (
    "couldn't assign flavors to pod set one: topology \"tas-three-level\" doesn't allow to fit any of 1 pod(s). "
    'Total nodes: 6; excluded: resource "cpu": '
)


def test_no_replacement() -> None:
    """TS-34, TS-36: evicted at once, or tried again without the gate."""
    for features in (None, KEEP_TRYING):
        world = world_of("x0", features=features)
        run_on(world, "w", [pod_set("one", 1, "3", preferred=HOST)], {"one": {"x0": 1}}, "x0")
        result = second_pass(world)
        if features is None:
            [decision] = result.decisions
            assert isinstance(decision, Evict)
            text = "Workload was evicted as there was no replacement for unhealthy node(s): x0"
            assert (decision.reason, decision.message) == (Reason.NODE_FAILURES, text)
            assert decision.failed_message == NOWHERE + "6"
            assert due(world) is None
        else:
            assert failures(result) == {"w": NOWHERE + "6"}
            assert due(world) == world.now + 2 * SECOND
    world = world_of("x0", features=KEEP_TRYING)
    run_on(world, "w", [pod_set("one", 2, required=RACK)], {"one": {"x0": 1, "x1": 1}}, "x0")
    assert failures(second_pass(world)) == {"w": NOWHERE + "1, topologyDomain: 5"}


def test_who_lost_no_node_needs_no_second_pass() -> None:
    """A node that is listed but not assigned is nobody's loss."""
    world = world_of("x0")
    run_on(world, "w", [pod_set("one", 1, preferred=HOST)], {"one": {"x1": 1}}, "x0")
    assert due(world) is None


OWNERS = {
    "TR-01 one pod": ([("v1", "Pod")], {}, None, "x1"),
    "TR-01 one pod, without the gate": (
        [("v1", "Pod")], {}, Features({Gate.SKIP_REASSIGNMENT_FOR_POD_OWNED_WORKLOADS: False}), "x2",
    ),
    "TR-01 a Job": ([("batch/v1", "Job")], {}, None, "x2"),
    "TR-01 two pods": ([("v1", "Pod"), ("v1", "Pod")], {}, None, "x2"),
    "TR-01 a group of one": ([("v1", "Pod")], {"kueue.x-k8s.io/is-group-workload": "true"}, None, "x2"),
}  # fmt: skip


@pytest.mark.parametrize("name", OWNERS)
def test_a_plain_pod_cannot_move(name: str) -> None:
    """Whose pods nobody makes again keeps its place; the list of lost nodes is emptied."""
    owners, annotations, features, want = OWNERS[name]
    world = world_of("x1", "b1{r1{x1,x2:1}}", features)
    workload = run_on(world, "w", [pod_set("one", 1, preferred=HOST)], {"one": {"x1": 1}}, "x1")
    references = [{"apiVersion": v, "kind": kind, "name": f"o{i}"} for i, (v, kind) in enumerate(owners)]
    raw = msgspec.to_builtins(workload)
    raw["metadata"] |= {"ownerReferences": references, "annotations": annotations}
    world.put(msgspec.convert(raw, Workload))
    [(_, decision)] = admits(second_pass(world)).items()
    assert places(decision.admission) == {"one": {want: 1}}


def test_a_node_that_its_pods_left_is_not_taken_again() -> None:
    """tas.md §9.1: a taint that was borne only for a time does not keep new pods away, but the node is lost."""
    world = world_of("x0", "b1{r1{x1,x2:1}}")
    taint = {"key": "k", "effect": "NoExecute"}
    world.nodes([node("x1", {BLOCK: "b1", RACK: "r1", HOST: "x1"}, {"cpu": "2"}, taints=[taint])])
    bearing = {"tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 60}]}
    run_on(world, "w", [pod_set("one", 1, spec=bearing, preferred=HOST)], {"one": {"x1": 1}}, "x1")
    [(_, decision)] = admits(second_pass(world)).items()
    assert places(decision.admission) == {"one": {"x2": 1}}


def test_two_replacements_do_not_meet() -> None:
    """tas.md §8 step 5: the place that an earlier second pass took is not there for the next, which looks again."""
    world = world_of("x0", "b1{r1{x2,x3:1}}")
    for name in ("a", "b"):
        run_on(world, name, [pod_set("one", 1, preferred=HOST)], {"one": {"x0": 1}}, "x0")
    found = {name: places(decision.admission) for name, decision in admits(second_pass(world)).items()}
    assert found == {"a": {"one": {"x2": 1}}, "b": {"one": {"x3": 1}}}


def test_the_list_is_emptied_with_the_replacement() -> None:
    """What the engine assumes is what will be written: no lost nodes any more."""
    world = world_of("x0")
    workload = run_on(world, "w", [pod_set("one", 1, preferred=HOST)], {"one": {"x0": 1}}, "x0")
    assert workload.status.unhealthy_nodes == (NamedGate(name="x0"),)
    second_pass(world)
    assert world.engine._cache.workloads[workload.key].workload.status.unhealthy_nodes == ()
