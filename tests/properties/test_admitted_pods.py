"""Pods that are started when they are made, against pods that are gated first and started by the reconcilers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api import objects
from pykueue.api.kinds import LEADER_WORKER_SET, POD, RESOURCE_FLAVOR, WORKLOAD
from pykueue.core.features import Gate
from pykueue.ports.admission import AdmissionRequest, Operation
from support.jobs import JobWorld, make_lws, make_pod, make_settings, make_template

GROUPS, SIZE = 2, 3
LWS = "leaderworkerset.sigs.k8s.io/"
GATES = (Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS, Gate.TOPOLOGY_AWARE_SCHEDULING, Gate.ASSIGN_QUEUE_LABELS_FOR_PODS)
TAINTED = {"nodeLabels": {"pool": "b"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}

acts = st.lists(
    st.tuples(
        st.sampled_from(("admit", "evict", "pod", "pod", "pod", "run", "remove")),
        st.integers(0, GROUPS - 1),
        st.integers(0, SIZE - 1),
    ),
    max_size=14,
)


class Story:
    """One LeaderWorkerSet, with the switch on or off."""

    def __init__(self, gates: dict[Gate, bool], *, has_leader: bool, is_tainted: bool) -> None:
        self.world = JobWorld(make_settings(gates))
        if is_tainted:
            self.world.put(RESOURCE_FLAVOR, {"metadata": {"name": "flavor"}, "spec": TAINTED})
        leader = make_template("100m") if has_leader else None
        self.world.admit_object(LEADER_WORKER_SET, make_lws(replicas=GROUPS, size=SIZE, leader=leader))
        self.world.settle()
        self.workloads = self.world.names(WORKLOAD)

    def act(self, act: str, group: int, worker: int) -> None:
        """Do one thing if it can be done, and let everything come to rest."""
        world, name = self.world, f"lws-{group}" + (f"-{worker}" if worker else "")
        workload, pod = world.workload(self.workloads[group]), world.get(POD, name)
        is_admitted = workload.is_true("Admitted")
        if act == "admit" and not is_admitted and not workload.is_true("QuotaReserved"):
            world.admit(workload.name)
        elif act == "evict" and is_admitted and not workload.is_true("Evicted"):
            world.evict(workload.name, "Preempted", "make room")
        elif act == "pod" and pod is None:
            world.lws_pod("lws", group, worker)
        elif act == "run" and pod is not None and not world.gates(name):
            world.run_pod(name)
        elif act == "remove" and pod is not None:
            world.remove(POD, name)
        world.settle(6)

    def seen(self) -> dict[str, Any]:
        """All that users see of it, without what is counted by the server."""
        pods = self.world.reader.list(POD)
        return {
            "pods": {objects.name(pod): [_told(pod), pod["spec"], pod["status"]] for pod in pods},
            "workloads": {w: self.world.workload(w).status for w in self.workloads},
            "owners": {w: _owners(self.world.get(WORKLOAD, w)) for w in self.workloads},
            "events": {event for event in self.world.events if "OwnerReferencesAdded" not in event},
        }


def _told(pod: dict[str, Any]) -> dict[str, Any]:
    return {key: pod["metadata"].get(key) for key in ("labels", "annotations", "deletionTimestamp", "finalizers")}


def _owners(workload: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted((ref.kind, ref.name) for ref in objects.owner_references(workload))


@settings(max_examples=60, deadline=None)
@given(acts, st.sets(st.sampled_from(GATES)), st.booleans(), st.booleans())
def test_starting_pods_at_creation_changes_no_state_of_rest(
    done: Sequence[tuple[str, int, int]], off: set[Gate], has_leader: bool, is_tainted: bool
) -> None:
    """Whatever happens to a set, its pods and Workloads end up the same with the switch on and off, and the same is told."""
    gates = {gate: gate not in off for gate in GATES}
    stories = [
        Story(gates | {Gate.PYKUEUE_START_ADMITTED_PODS: is_on}, has_leader=has_leader, is_tainted=is_tainted)
        for is_on in (True, False)
    ]
    for act in done:
        for story in stories:
            story.act(*act)
    on, off_ = (story.seen() for story in stories)
    assert on == off_
    started = Counter(event for event in stories[0].world.events if "Started" in event and event.startswith("Pod/"))
    assert started == Counter(e for e in stories[1].world.events if "Started" in e and e.startswith("Pod/"))


claims = st.lists(
    st.tuples(
        st.sampled_from(
            ("lws-0", "lws-0-0", "lws-0-1", "lws-0-2", "lws-0-3", "lws-0-01", "lws-1", "lws-1-1", "x", "x-1", "lws-00")
        ),
        st.sampled_from((None, "lws-0", "lws-1", "x")),
        st.sampled_from((None, "0", "1")),
    ),
    unique_by=lambda claim: claim[0],
    max_size=11,
)


@given(claims, st.booleans())
def test_never_more_pods_start_than_were_admitted(
    claimed: Sequence[tuple[str, str | None, str | None]], has_leader: bool
) -> None:
    """Pods made at the same moment, of which none is in the cache yet, whatever they claim to be: each place is given once."""
    story = Story({}, has_leader=has_leader, is_tainted=False)
    world = story.world
    world.admit(story.workloads[0])
    world.settle()
    marks = {"kueue.x-k8s.io/pod-suspending-parent": "leaderworkerset.x-k8s.io/leaderworkerset"}
    marks["kueue.x-k8s.io/pod-group-serving"] = "true"
    roles: Counter[tuple[str, str]] = Counter()
    for name, leader, group in claimed:
        labels = {LWS + "name": "lws", "kueue.x-k8s.io/queue-name": "lq"}
        labels |= {LWS + "group-index": group} if group is not None else {}
        pod = make_pod(name, labels=labels, annotations=marks | ({LWS + "leader-name": leader} if leader else {}))
        made = world.webhooks[POD].default(AdmissionRequest(Operation.CREATE, POD, "ns", name, pod), world.reader)
        if not made["spec"].get("schedulingGates"):
            told = made["metadata"]["annotations"]
            roles[told["kueue.x-k8s.io/workload"], told["kueue.x-k8s.io/role-hash"]] += 1
    admitted = world.workload(story.workloads[0])
    granted = {(admitted.name, pod_set.name): pod_set.count for pod_set in admitted.spec.pod_sets}
    assert all(n <= granted.get(role, 0) for role, n in roles.items()), roles
