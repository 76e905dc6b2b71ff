"""Placement of one Workload: the tables of scheduling-cases.md §12."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pykueue.api.conversion.topology import Domain
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import SliceConstraint, TopologyRequest
from pykueue.core.resources import parse_amount
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import PodDemand, demand_of_pod
from pykueue.core.tas.ledger import Ledger
from pykueue.core.tas.place import Placement, place
from pykueue.core.tas.request import resolve
from pykueue.core.tas.topology import NodeBook
from support.nodes import BLOCK, GPU, HOST, LEVELS, RACK, node, nodes

D = "b1{r1{x3:1} r2{x5:1,x1:1,x6:1}} b2{r1{x2:1} r2{x4:2}}"
S = "b1{r1{x3:4,x5:1,x1:1}} b2{r1{x6:2,x2:1}}"
BT = "b1{r1{x3:1,x5:1} r2{x1:1,x6:1}} b2{r1{x2:1,x4:1} r2{x7:1,x8:1}}"
BTG = BT.replace(":1", ":1/1")


def request_of(text: str) -> TopologyRequest | None:
    """`req B`, `pref R sl(H,2)`, `sl(B,12)/(R,6)`, `unc`, or nothing."""
    fields: dict[str, Any] = {}
    if match := re.search(r"(req|pref) (\w)", text):
        fields["required" if match.group(1) == "req" else "preferred"] = LEVELS[match.group(2)]
    if "unc" in text:
        fields["unconstrained"] = True
    layers = re.findall(r"\((\w),(\d+)\)", text)
    if len(layers) == 1:
        fields["pod_set_slice_required_topology"] = LEVELS[layers[0][0]]
        fields["pod_set_slice_size"] = int(layers[0][1])
    elif layers:
        fields["podset_slice_required_topology_constraints"] = tuple(
            SliceConstraint(topology=LEVELS[level], size=int(size)) for level, size in layers
        )
    return TopologyRequest(**fields) if fields else None


def demand(amounts: str, count: int, **spec: Any) -> PodDemand:
    """Pods of `cpu`, or `cpu/gpu`, or `name=amount,...`."""
    if "=" in amounts:
        named = dict(part.split("=") for part in amounts.split(","))
    else:
        cpu, _, gpu = amounts.partition("/")
        named = {"cpu": cpu} | ({GPU: gpu} if gpu else {})
    requests = {name: parse_amount(name, amount) for name, amount in named.items() if amount not in ("", "0")}
    return PodDemand("main", count, demand_of_pod(requests), spec)


def book_of(drawing: str | list[dict[str, Any]], levels: tuple[str, ...]) -> NodeBook:
    book = NodeBook()
    for obj in nodes(drawing, levels) if isinstance(drawing, str) else drawing:
        book.set_node(obj["metadata"]["name"], obj)
    return book


def run(
    drawing: str | list[dict[str, Any]] | NodeBook,
    count: int,
    request: str,
    *,
    levels: tuple[str, ...] = (BLOCK, RACK, HOST),
    labelled: tuple[str, ...] | None = None,
    pods: str = "1",
    leader: str | None = None,
    spec: dict[str, Any] | None = None,
    is_mixed: bool = True,
) -> Placement | str:
    book = drawing if isinstance(drawing, NodeBook) else book_of(drawing, labelled or levels)
    tree = book.tree(levels, {})
    layout = resolve(levels, request_of(request))
    if isinstance(layout, str):
        return layout
    workers = demand(pods, count, **(spec or {}))
    head = demand(leader, 1) if leader is not None else None
    return place("default", room_of(tree, Ledger(), "f"), layout, workers, head, is_mixed=is_mixed)


def shown(placement: Placement | str) -> str:
    assert isinstance(placement, Placement), placement
    return " ".join(f"{','.join(d.values)}×{d.n_pods}" for d in placement.workers)


PLACED = {
    "TP-01 one rack before few hosts": (
        "b1{r1{x3:2} r2{x5:2} r3{x1,x6,x2,x4:1}}", 4, "req B", "x1×1 x2×1 x4×1 x6×1",
    ),
    "TP-02 one host before two": ("b1{r1{x3:2,x5:1,x1:1}}", 2, "req B", "x3×2"),
    "TP-03 implied spreads over remains": (S, 6, "", "x1×1 x3×1 x5×1 x2×1 x6×2"),
    "TP-03 unconstrained spreads over remains": (S, 6, "unc", "x1×1 x3×1 x5×1 x2×1 x6×2"),
    "TP-04 the first of equal hosts": (D, 1, "unc", "x3×1"),
    "TP-05 the first of equal blocks": (BT, 4, "req B", "x3×1 x5×1 x1×1 x6×1"),
    "TP-06 one host": (D, 1, "req H", "x3×1"),
    "TP-24 slices on hosts": ("b1{r1{x3:3,x5:3,x1:3}}", 6, "req B sl(H,2)", "x1×2 x3×2 x5×2"),
    "TP-24 slices alone": ("b1{r1{x3:3,x5:3,x1:3}}", 6, "sl(H,2)", "x1×2 x3×2 x5×2"),
    "TP-25 the last slice where it fits best": (
        "b1{r1{x3:6,x5:5,x1:4,x6:2}}", 12, "req B sl(H,2)", "x1×4 x3×6 x6×2",
    ),
    "TP-26 remains before whole": ("b1{r1{x3:3,x5:2,x1:2}}", 4, "req B sl(H,2)", "x1×2 x5×2"),
    "TP-27 many slices first": ("b1{r1{x3:4,x5:3,x1:2}}", 6, "req B sl(H,2)", "x1×2 x3×4"),
    "TP-28 slices on racks": (
        "b1{r1{x3,x5:1} r2{x1,x6,x2:1}} b2{r1{x4,x7:1}}", 4, "req B sl(R,2)", "x3×1 x5×1 x1×1 x2×1",
    ),
    "TP-29 slices over blocks": (D, 4, "pref B sl(R,2)", "x1×1 x5×1 x4×2"),
    "TP-29 slices alone over blocks": (D, 4, "sl(R,2)", "x1×1 x5×1 x4×2"),
    "TP-30 children of all blocks together": (
        "b1{r1{x3,x5,x1:3}} b2{r1{x6:6}}", 12, "pref B sl(H,3)", "x1×3 x3×3 x6×6",
    ),
    "TP-33 racks with remains lose": (
        "b1{r1{x3:2} r2{x5:2} r3{x1:2}} b2{r4{x6:3} r5{x2:3}}", 6, "req B sl(R,3)", "x6×3 x2×3",
    ),
    "TP-34 least free capacity in slices": (S, 6, "sl(H,2)", "x3×4 x6×2"),
    "TM-01 slices in slices": ("b1{r1{x1:1,x2:4} r2{x3:3,x4:4}}", 8, "req B (R,4)(H,2)", "x2×4 x3×2 x4×2"),
    "TM-02 without the inner ones": ("b1{r1{x1:1,x2:4} r2{x3:3,x4:4}}", 8, "req B (R,4)", "x1×1 x2×3 x3×3 x4×1"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACED)
def test_places(name: str) -> None:
    """The pods go to these hosts."""
    drawing, count, request, want = PLACED[name]
    assert shown(run(drawing, count, request)) == want


RACKS = {
    "TP-07 one": (1, "req R", "b1,r1×1"),
    "TP-07 three": (3, "req R", "b1,r2×3"),
    "TP-07 two": (2, "req R", "b2,r2×2"),
    "TP-07 four": (4, "req R", 'topology "default" allows to fit only 3 out of 4 pod(s)'),
    "TP-08 one": (1, "req B", "b2,r1×1"),
    "TP-08 four": (4, "req B", "b1,r1×1 b1,r2×3"),
    "TP-08 five": (5, "req B", 'topology "default" allows to fit only 4 out of 5 pod(s)'),
    "TP-09 four prefer a rack": (4, "pref R", "b1,r1×1 b1,r2×3"),
    "TP-09 six prefer a rack": (6, "pref R", "b1,r1×1 b1,r2×3 b2,r2×2"),
    "TP-09 six prefer a block": (6, "pref B", "b1,r1×1 b1,r2×3 b2,r2×2"),
    "TP-09 ten prefer a block": (10, "pref B", 'topology "default" allows to fit only 7 out of 10 pod(s)'),
}


@pytest.mark.parametrize("name", RACKS)
def test_places_on_racks(name: str) -> None:
    """Where racks are the lowest level, several nodes are one leaf."""
    count, request, want = RACKS[name]
    found = run(D, count, request, levels=(BLOCK, RACK), labelled=(BLOCK, RACK, HOST))
    assert (found if isinstance(found, str) else shown(found)) == want


def test_a_resource_excludes_racks() -> None:
    """TP-10: leaves are counted, not nodes."""
    want = 'topology "default" doesn\'t allow to fit any of 1 pod(s). Total nodes: 4; excluded: resource "cpu": 4'
    assert run(D, 1, "req B", levels=(BLOCK, RACK), labelled=(BLOCK, RACK, HOST), pods="4") == want


def test_pods_limit_a_rack() -> None:
    """TP-11: the smallest rack that suffices, where only the number of pods binds."""
    found = run(D, 4, "req R", levels=(BLOCK, RACK), labelled=(BLOCK, RACK, HOST), pods="memory=1024")
    assert shown(found) == "b1,r1×4"


def test_the_remainder_takes_the_best_fit() -> None:
    """TP-12: of several blocks, the last one is the smallest that suffices."""
    drawing = [node(n, {BLOCK: b}, {"cpu": c}) for n, b, c in (("n1", "b1", 2), ("n2", "b2", 1), ("n3", "b3", 4))]
    assert shown(run(drawing, 5, "pref B", levels=(BLOCK,))) == "b2×1 b3×4"


MESSAGES = {
    "TP-31 no slice": (
        "b1{r1{x3:2} r2{x5:2} r3{x1:2}}", 6, "req B sl(R,3)",
        'topology "default" doesn\'t allow to fit any of 2 slice(s)',
    ),
    "TP-32 one slice": (
        "b1{r1{x3:3} r2{x5:1} r3{x1:1} r4{x6:1}}", 6, "req B sl(R,3)",
        'topology "default" allows to fit only 1 out of 2 slice(s)',
    ),
    "TP-35 slices above": (
        D, 1, "req H sl(B,1)",
        "podset slice topology cloud.com/topology-block is above the podset topology kubernetes.io/hostname",
    ),
    "TM-04 layers": (
        "b1{r1{x1:3,x2:3,x3:0}}", 6, "req B (R,6)(H,2)",
        ('topology "default" doesn\'t allow to fit; 0/1 slice(s) fit on level cloud.com/topology-rack; 2/3 slice(s) fit on '
        'level kubernetes.io/hostname. Total nodes: 3; excluded: resource "cpu": 1'),
    ),
    "TM-05 layers": (
        "b1{r1{x1:7,x2:4} r2{x3:7,x4:3}}", 16, "req B (R,8)(H,4)",
        ('topology "default" doesn\'t allow to fit; 1/2 slice(s) fit on level cloud.com/topology-rack; 3/4 slice(s) fit on '
        "level kubernetes.io/hostname"),
    ),
    "TM-06 layers": (
        "b1{r1{x1:4} r2{x2:4} r3{x3:4}}", 12, "req B (R,6)(H,2)",
        ('topology "default" doesn\'t allow to fit; 0/2 slice(s) fit on level cloud.com/topology-rack; 6/6 slice(s) fit on '
        "level kubernetes.io/hostname"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_says_what_does_not_fit(name: str) -> None:
    """The exact text."""
    drawing, count, request, want = MESSAGES[name]
    assert run(drawing, count, request) == want


def test_three_layers_in_a_message() -> None:
    """TM-07: every layer below the wide level is told."""
    levels = ("dc", BLOCK, RACK, HOST)
    drawing = "dc{b1{r1{a,b:4} r2{c,d:4}} b2{r3{e,f:4} r4{g,h:1}}}"
    LEVELS["D"] = "dc"
    want = (
        'topology "default" doesn\'t allow to fit; 1/2 slice(s) fit on level cloud.com/topology-block; 3/4 slice(s) fit on '
        "level cloud.com/topology-rack; 6/8 slice(s) fit on level kubernetes.io/hostname"
    )
    assert run(drawing, 24, "req D (B,12)(R,6)(H,3)", levels=levels) == want


def test_layers_leave_remains() -> None:
    """TM-03: eighteen fit in a rack, but only whole layers of sixteen count."""
    levels = ("dc", "az", BLOCK, RACK)
    drawing = []
    for rack in range(8):
        labels = {"dc": "dc", "az": f"az{rack // 4}", BLOCK: f"blk{rack // 2}", RACK: f"r{rack}"}
        drawing += [node(f"n{rack}-{i}", labels, {GPU: 2}) for i in range(18)]
    LEVELS.update(D="dc", A="az")
    found = run(drawing, 96, "req D (A,48)(R,16)", levels=levels, pods=f"{GPU}=2")
    assert isinstance(found, Placement)
    assert [(d.values[-1], d.n_pods) for d in found.workers] == [(f"r{i}", 16) for i in (0, 1, 2, 4, 5, 6)]


def test_a_slice_needs_a_size() -> None:
    """TP-36: both faults of a slice request."""
    levels = (BLOCK, RACK, HOST)
    want = "slice topology requested, but slice size not provided"
    assert resolve(levels, TopologyRequest(required=BLOCK, pod_set_slice_required_topology=RACK)) == want
    odd = TopologyRequest(required=BLOCK, pod_set_slice_required_topology="not-existing", pod_set_slice_size=1)
    assert resolve(levels, odd) == "no requested topology level for slices: not-existing"


def on_hosts(**hosts: str) -> list[dict[str, Any]]:
    return nodes("b1{r1{" + ",".join(f"{name}:{amounts}" for name, amounts in hosts.items()) + "}}")


def blocks(*amounts: str) -> list[dict[str, Any]]:
    drawing = []
    for i, text in enumerate(amounts, 1):
        cpu, _, gpu = text.partition("/")
        drawing.append(node(f"n{i}", {BLOCK: f"b{i}"}, {"cpu": cpu, GPU: gpu}))
    return drawing


GROUPS: dict[str, tuple[Any, tuple[str, ...], str, int, str, str, str]] = {
    "TG-01 only one holds both": (blocks("2/2", "5/4", "2/2"), (BLOCK,), "1", 4, "1/1", "req B", "L b2 W b2×4"),
    "TG-02 two devices each": (blocks("2/2", "8/8", "2/2"), (BLOCK,), "1", 4, "1/2", "req B", "L b2 W b2×4"),
    "TG-03 the leader's cpu counts": (blocks("11/8", "4/4"), (BLOCK,), "1", 4, "1/1", "req B", "L b1 W b1×4"),
    "TG-06 the leader where it costs nothing": (
        on_hosts(h1="2", h2="4", h3="3"), (RACK, HOST), "1", 4, "2", "req R", "L h3 W h1×1 h2×2 h3×1",
    ),
    "TG-07 the same in slices": (
        on_hosts(h1="2", h2="4", h3="3"), (RACK, HOST), "1", 8, "1", "req R sl(H,2)", "L h3 W h1×2 h2×4 h3×2",
    ),
    "TG-08 over several hosts": (on_hosts(h1="8", h2="3"), (HOST,), "1", 5, "2", "pref H", "L h2 W h1×4 h2×1"),
    "TG-09 each on its own": (on_hosts(h1="1/0", h2="0/1"), (HOST,), "1", 1, f"{GPU}=1", "unc", "L h1 W h2×1"),
    "TG-10 each on its own host of a rack": (
        on_hosts(h1="1/0", h2="0/1"), (RACK, HOST), "1", 1, f"{GPU}=1", "req R sl(R,1)", "L h1 W h2×1",
    ),
    "TG-12 leader beside workers": (
        nodes("b1{r1{x3,x5,x1:2/1}} b2{r4{x6:1/1} r5{x2:2/1} r6{x4:2/1}}"), (BLOCK, RACK, HOST), "2", 2, "1/1", "req B",
        "L x1 W x3×1 x5×1",
    ),
    "TG-13 leader takes a worker's place": (
        nodes(BTG), (BLOCK, RACK, HOST), "1/1", 2, "1/1", "req B", "L x3 W x5×1 x1×1",
    ),
    "TG-14 slices beside a leader": (
        on_hosts(x1="20/4", x2="20/2", x3="20/2", x4="20/2"), (BLOCK, RACK, HOST), "1", 6, "1/1", "pref B sl(H,2)",
        "L x1 W x1×4 x2×2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_places_groups(name: str) -> None:
    """A leader and its workers."""
    drawing, levels, leader, count, pods, request, want = GROUPS[name]
    found = run(drawing, count, request, levels=levels, pods=pods, leader=leader)
    assert isinstance(found, Placement), found
    assert found.leader is not None
    assert f"L {found.leader.values[-1]} W {shown(found)}" == want


def test_a_group_that_does_not_fit() -> None:
    """TG-04, TG-05: the text counts the workers without the leader (tas.md §13 pitfall 0)."""
    found = run(blocks("1/0", "4/4"), 4, "req B", levels=(BLOCK,), pods="1/1", leader="1")
    head = 'topology "default" allows to fit only 4 out of 4 pod(s)'
    assert found == head + f'. Total nodes: 2; excluded: resource "{GPU}": 1'
    assert run(blocks("4/4", "4/4"), 4, "req B", levels=(BLOCK,), pods="1/1", leader="10") == head


def test_nodes_that_do_not_belong() -> None:
    """TP-13 to TP-15: wrong label, missing level, not ready, cordoned."""
    want = "no topology domains at level: kubernetes.io/hostname"
    for spec in ({"ready": "False"}, {"unschedulable": True}):
        assert run([node("x", {HOST: "x"}, {"cpu": "1"}, **spec)], 1, "req H", levels=(HOST,)) == want
    missing = run([node("x", {RACK: "r"}, {"cpu": "1"})], 1, "req R", levels=(RACK, HOST))
    assert missing == f"no topology domains at level: {RACK}"
    book = book_of([node("x", {HOST: "x", "zone": "a"}, {"cpu": "1"})], (HOST,))
    assert book.tree((HOST,), {"zone": "b"}).nodes == []
    assert len(book.tree((HOST,), {"zone": "a"}).nodes) == 1


def pod(node_name: str | None, phase: str, cpu: str = "600m", **annotations: str) -> dict[str, Any]:
    containers = [{"resources": {"requests": {"cpu": cpu}}}]
    spec: dict[str, Any] = {"containers": containers} | ({"nodeName": node_name} if node_name else {})
    return {"metadata": {"annotations": annotations}, "spec": spec, "status": {"phase": phase}}


def test_pods_without_topology_take_room() -> None:
    """TP-16, TP-17: pods on the node count until they are over; unbound ones do not."""
    book = book_of("x3:1", (HOST,))
    key = ObjectKey("ns", "p")
    for free in (pod(None, "Pending"), pod("x3", "Failed"), pod("x3", "Succeeded")):
        book.set_pod(key, free)
        assert shown(run(book, 1, "req H", levels=(HOST,), pods="600m")) == "x3×1"
    want = 'topology "default" doesn\'t allow to fit any of 1 pod(s). Total nodes: 1; excluded: resource "cpu": 1'
    for busy in (pod("x3", "Pending"), pod("x3", "Running")):
        book.set_pod(key, busy)
        assert run(book, 1, "req H", levels=(HOST,), pods="600m") == want
    book.set_pod(key, None)
    assert shown(run(book, 1, "req H", levels=(HOST,), pods="600m")) == "x3×1"


def test_pods_with_topology_are_counted_elsewhere() -> None:
    """A placed pod's Workload holds its capacity, so the pod itself must not count again."""
    book = book_of("x3:1", (HOST,))
    placed = pod("x3", "Running", **{"kueue.x-k8s.io/podset-unconstrained-topology": "true"})
    assert book.set_pod(ObjectKey("ns", "p"), placed) is None
    assert shown(run(book, 1, "req H", levels=(HOST,))) == "x3×1"


def test_pods_limit_a_host() -> None:
    """TP-18: every pod takes one of the node's `pods`."""
    book = book_of("x3:100", (HOST,))
    for i in range(2):
        book.set_pod(ObjectKey("ns", f"p{i}"), pod("x3", "Running"))
    assert (
        run(book, 9, "req H", levels=(HOST,), pods="cpu=0") == 'topology "default" allows to fit only 8 out of 9 pod(s)'
    )


def test_every_exclusion_is_told() -> None:
    """TP-20, TP-21, TP-22, TP-40: taints, selectors and resources, sorted."""
    zone = {"zone": "zone-a"}
    drawing = [
        node(
            "x1", {HOST: "x1", **zone}, {"cpu": "2"}, taints=[{"key": "key", "value": "value", "effect": "NoSchedule"}]
        ),
        node("x2", {HOST: "x2"}, {"cpu": "2"}),
        node("x3", {HOST: "x3", "zone": "zone-b"}, {"cpu": "2"}),
        node("x4", {HOST: "x4", **zone}, {"cpu": "100m"}),
    ]
    want = (
        'topology "default" doesn\'t allow to fit any of 1 pod(s). Total nodes: 4; excluded: nodeSelector: 2, '
        'resource "cpu": 1, taint "key=value:NoSchedule": 1'
    )
    assert run(drawing, 1, "req H", levels=(HOST,), spec={"nodeSelector": zone}) == want
    tolerant = {"nodeSelector": zone, "tolerations": [{"key": "key", "operator": "Exists"}]}
    assert shown(run(drawing, 1, "req H", levels=(HOST,), spec=tolerant)) == "x1×1"
    terms = [{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["zone-a"]}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    affine = {"affinity": {"nodeAffinity": required}}
    assert shown(run(drawing, 1, "req H", levels=(HOST,), spec=affine)) == "x2×1"
    tie = run([node("x1", {HOST: "x1"}, {"cpu": "500m", GPU: "0"})], 1, "req H", levels=(HOST,), pods="1/1")
    assert isinstance(tie, str)
    assert tie.endswith('excluded: resource "cpu": 1')


def test_the_order_of_arrival_does_not_show() -> None:
    """TP-41: equal hosts are taken by name."""
    for names in (("x1", "x2"), ("x2", "x1")):
        book = NodeBook()
        for name in names:
            book.set_node(name, node(name, {HOST: name}, {"cpu": "4"}))
        assert shown(run(book, 1, "unc", levels=(HOST,))) == "x1×1"


def test_hosts_are_ranked_by_text() -> None:
    """TX-08: `node-10` comes before `node-2`."""
    found = run(on_hosts(**{"node-2": "1", "node-10": "1"}), 2, "req R", levels=(RACK, HOST))
    assert shown(found) == "node-10×1 node-2×1"


def test_a_heartbeat_is_no_news() -> None:
    """A node that says the same again drops no tree."""
    book = book_of("x1:1", (HOST,))
    tree = book.tree((HOST,), {})
    assert not book.set_node("x1", nodes("x1:1", (HOST,))[0])
    assert book.tree((HOST,), {}) is tree
    assert book.set_node("x1", nodes("x1:2", (HOST,))[0])
    assert book.tree((HOST,), {}).free[0]["cpu"] == 2000
    assert book.set_node("x1", None)
    assert book.tree((HOST,), {}).nodes == []


def test_the_leader_is_one_domain() -> None:
    """A leader has exactly one place, told like any domain."""
    found = run(on_hosts(h1="8"), 1, "req H", levels=(HOST,), leader="1")
    assert isinstance(found, Placement)
    assert found.leader == Domain(("h1",), 1)
