"""What is left in leaves, and how many pods they take, as usage changes."""

from __future__ import annotations

from pykueue.api.conversion.topology import Domain
from pykueue.api.objects import ObjectKey
from pykueue.core.tas.capacity import Room, room_of
from pykueue.core.tas.counts import Counts
from pykueue.core.tas.demand import PodDemand, demand_of_pod
from pykueue.core.tas.ledger import Ledger, Places
from pykueue.core.tas.request import Layout, Strictness
from pykueue.core.tas.topology import NodeBook
from support.nodes import HOST, node

N_HOSTS = 16
KEY = ObjectKey("ns", "w")
ANY_HOST = Layout(Strictness.UNCONSTRAINED, 0, 0, 1, {})


def book_of(cpu: int | str = 8) -> NodeBook:
    book = NodeBook()
    for i in range(N_HOSTS):
        book.set_node(f"h{i:02}", node(f"h{i:02}", {HOST: f"h{i:02}"}, {"cpu": cpu, "memory": "4Gi"}))
    return book


def pods(cpu_milli: int) -> PodDemand:
    return PodDemand("main", 1, demand_of_pod({"cpu": cpu_milli} if cpu_milli else {}), {})


def on(host: str, cpu_milli: int, n_pods: int = 1, flavor: str = "f") -> Places:
    return Places(flavor, (HOST,), (Domain((host,), n_pods),), demand_of_pod({"cpu": cpu_milli}))


def left(room: Room, leaf: int) -> dict[str, int]:
    room.refresh()
    return dict(zip(room.tree.resources, room.left[:, leaf].tolist(), strict=True))


def test_what_is_held_is_not_left() -> None:
    """Holding, releasing and undone trials show in the leaf, and in no other."""
    ledger = Ledger()
    room = room_of(book_of().tree((HOST,), {}), ledger, "f")
    whole = {"cpu": 8000, "memory": 4 << 30, "pods": 10}
    assert left(room, 3) == whole
    ledger.hold(KEY, [on("h03", 3000, 2)])
    assert left(room, 3) == whole | {"cpu": 2000, "pods": 8}
    with ledger.trial():
        ledger.remove(ledger.of(KEY))
        assert left(room, 3) == whole
    assert left(room, 3) == whole | {"cpu": 2000, "pods": 8}
    assert all(left(room, leaf) == whole for leaf in range(N_HOSTS) if leaf != 3)
    ledger.release(KEY)
    assert left(room, 3) == whole


def test_flavors_share_hosts() -> None:
    """One room for all flavors on the same hosts, unless hosts are not shared."""
    for shares in (True, False):
        ledger, tree = Ledger(shares_hosts=shares), book_of().tree((HOST,), {})
        f, g = room_of(tree, ledger, "f"), room_of(tree, ledger, "g")
        assert (f is g) == shares
        ledger.hold(KEY, [on("h00", 1000, flavor="f")])
        assert left(g, 0)["cpu"] == (7000 if shares else 8000)
        assert left(room_of(tree, ledger.blank, "f"), 0)["cpu"] == 8000


def test_amounts_beyond_64_bits() -> None:
    """A debt, or a surplus, that no array can hold is as large as it gets."""
    ledger = Ledger()
    room = room_of(book_of("9E").tree((HOST,), {}), ledger, "f")
    assert left(room, 0)["cpu"] == 1 << 62
    ledger.hold(KEY, [on("h00", (1 << 63) - 1, 3)])
    assert left(room, 0)["cpu"] == 0
    ledger.hold(KEY, [on("h00", (1 << 63) - 1, 3)])
    assert room.counts(ANY_HOST, pods(1000), None).pods[0][1] == 10
    assert room.counts(ANY_HOST, pods(1000), None).pods[0][0] == 0


def test_places_have_room_or_not() -> None:
    """Every domain counts, and one that is gone has none."""
    book, ledger = book_of(), Ledger()
    room = room_of(book.tree((HOST,), {}), ledger, "f")
    assert room.holds(on("h00", 4000, 2))
    assert not room.holds(on("h00", 4000, 3))
    assert not room.holds(Places("f", (HOST,), (Domain(("h00",), 1),), {"example.com/gpu": 1}))
    book.set_node("h00", None)
    assert not room.holds(on("h00", 4000, 1))


def counted(counts: Counts, leaf: int) -> tuple[int, int, int]:
    counts.refresh()
    return tuple(int(array[0][leaf]) for array in (counts.pods, counts.pods_beside_leader, counts.leaders))


def test_a_leader_that_does_not_fit_any_more() -> None:
    """A change that leaves the number of workers as it was is still seen."""
    ledger = Ledger()
    room = room_of(book_of().tree((HOST,), {}), ledger, "f")
    counts = room.counts(ANY_HOST, pods(3000), pods(5000))
    assert counted(counts, 5) == (2, 1, 1)
    ledger.hold(KEY, [on("h05", 2000)])
    assert counted(counts, 5) == (2, 0, 1)
    ledger.hold(KEY, [on("h05", 4000)])
    assert counted(counts, 5) == (1, 1, 0)


def test_the_same_pods_are_counted_once() -> None:
    """Counts are kept for pods that are alike, and up to date when asked for again."""
    ledger = Ledger()
    room = room_of(book_of().tree((HOST,), {}), ledger, "f")
    counts = room.counts(ANY_HOST, pods(1000), None)
    ledger.hold(KEY, [on("h00", 5000)])
    assert room.counts(ANY_HOST, PodDemand("other", 9, demand_of_pod({"cpu": 1000}), {}), None) is counts
    assert counts.pods[0].tolist() == [3] + [8] * (N_HOSTS - 1)
    assert room.counts(ANY_HOST, pods(2000), None) is not counts
