"""An outlook answers without counting where what changed cannot matter."""

from __future__ import annotations

from pykueue.api.conversion.topology import Domain
from pykueue.api.objects import ObjectKey
from pykueue.core.tas.capacity import room_of
from pykueue.core.tas.demand import PodDemand, demand_of_pod
from pykueue.core.tas.ledger import Ledger, Places
from pykueue.core.tas.outlook import Outlook
from pykueue.core.tas.place import Placer, make_placer
from pykueue.core.tas.request import Layout, Strictness
from pykueue.core.tas.topology import NodeBook
from support.nodes import HOST, RACK, node

LEVELS = (RACK, HOST)
PER_POD = demand_of_pod({"cpu": 1000})


class Stage:
    """Two racks of two hosts of one cpu, each host held by the Workload of its name."""

    def __init__(self, layout: Layout, count: int) -> None:
        self.ledger, book = Ledger(), NodeBook()
        for name in ("a1", "a2", "b1", "b2"):
            book.set_node(name, node(name, {RACK: name[0], HOST: name}, {"cpu": 1}))
            self.ledger.hold(self.key(name), [Places("f", (HOST,), (Domain((name,), 1),), PER_POD)])
        tree, workers = book.tree(LEVELS, {}), PodDemand("main", count, PER_POD, {})
        room, blank = room_of(tree, self.ledger, "f"), room_of(tree, self.ledger.blank, "f")
        placer = make_placer("t", room, layout, workers, None, is_mixed=True)
        assert isinstance(placer, Placer)
        self.placer = placer
        self.outlook = Outlook(placer, room, blank.counts(layout, workers, None))

    def key(self, name: str) -> ObjectKey:
        return ObjectKey("ns", name)

    def asks(self) -> tuple[bool, bool]:
        """The answer, and whether it was counted."""
        before = self.placer.counts.seen
        return self.outlook.fits(), self.placer.counts.seen != before


def test_one_rack_for_all() -> None:
    """Hosts of different racks do not help each other; what is put back elsewhere does not hurt."""
    stage = Stage(Layout(Strictness.REQUIRED, 0, 1, 1, {}), 2)
    with stage.ledger.trial():
        assert stage.asks() == (False, False)
        stage.ledger.lift(stage.key("a1"))
        stage.ledger.lift(stage.key("b1"))
        assert stage.asks() == (False, False)
        stage.ledger.lift(stage.key("b2"))
        assert stage.asks() == (True, True)
        stage.ledger.put_back(stage.key("a1"))
        assert stage.asks() == (True, False)
        stage.ledger.put_back(stage.key("b1"))
        assert stage.asks() == (False, True)


def test_any_hosts() -> None:
    """Where a preference may give way, all hosts count together."""
    stage = Stage(Layout(Strictness.PREFERRED, 0, 1, 1, {}), 2)
    with stage.ledger.trial():
        stage.ledger.lift(stage.key("a1"))
        assert stage.asks() == (False, False)
        stage.ledger.lift(stage.key("b1"))
        assert stage.asks() == (True, True)
        stage.ledger.lift(stage.key("b2"))
        assert stage.asks() == (True, False)


def test_an_undone_trial_is_a_change() -> None:
    """The outlook sees undoing like anything else."""
    stage = Stage(Layout(Strictness.REQUIRED, 0, 1, 1, {}), 2)
    with stage.ledger.trial():
        stage.ledger.lift(stage.key("a1"))
        stage.ledger.lift(stage.key("a2"))
        assert stage.outlook.fits()
    assert not stage.outlook.fits()
