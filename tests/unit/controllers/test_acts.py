"""One write at a time on a Workload: what is decided meanwhile is written after it, on what it left, if it still holds."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api import kinds
from pykueue.api.commands import Apply, Command
from pykueue.api.errors import Conflict
from pykueue.api.events import Change, ObjectEvent
from unit.controllers.test_admission import Stage, events
from unit.controllers.test_preemptions import Preemptions, workload

Turn = list[tuple[int, tuple[Command, ...]]]


class Waiting(Stage):
    """`w` wants 4 cpu, all that there is; the word that it waits for `owner` is being written when `owner` goes, so that it is admitted."""

    def __init__(self) -> None:
        super().__init__()
        self.put(kinds.RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": {}})
        self.queue(cpu=4)
        owner = workload("owner", "4", 0, is_reserved=True)
        self.put(kinds.WORKLOAD, owner)
        self.put(kinds.WORKLOAD, workload("w", "4", 0))
        [(self.token, [self.word, *_])] = self.turn()
        event = ObjectEvent(kinds.WORKLOAD, Change.DELETED, owner)
        self.reader.apply(kinds.WORKLOAD, owner, deleted=True)
        self.controller.apply(event, self.reader, self.now)

    def told(self, **spec: Any) -> None:
        """The word on `w` is written; `spec` is what somebody else changed at the same time."""
        old = self.reader.get(kinds.WORKLOAD, "ns", "w")
        assert old is not None
        assert isinstance(self.word, Apply)
        meta = {**old["metadata"], "resourceVersion": "2"}
        self.put(
            kinds.WORKLOAD,
            {**old, "metadata": meta, "spec": {**old["spec"], **spec}, "status": self.word.obj["status"]},
        )
        self.controller.finished(self.token, None, self.now)


def applied(turn: Turn) -> list[tuple[str, str]]:
    """Name and resource version of what is applied."""
    found = [c.obj["metadata"] for _, commands in turn for c in commands if isinstance(c, Apply)]
    return [(meta["name"], meta["resourceVersion"]) for meta in found]


def test_an_admission_waits_for_the_word_that_is_being_written() -> None:
    """It is written on the version that the word left, once."""
    stage = Waiting()
    assert stage.turn() == []
    stage.told()
    turn = stage.turn()
    assert applied(turn) == [("w", "2")]
    [(_, commands)] = turn
    assert ("Normal", "Admitted") in events(commands)
    assert stage.turn() == []


def test_what_changed_otherwise_is_decided_anew() -> None:
    """The quota that the admission assumed is given back first."""
    stage = Waiting()
    assert stage.turn() == []
    stage.told(priority=7)
    assert [version for _, version in applied([*stage.turn(), *stage.turn()])] == ["2"]
    assert stage.controller.engine.cluster_queue_status("cq").reserving == 1  # type: ignore[union-attr]


def test_who_is_gone_is_not_admitted() -> None:
    """The quota is free for others."""
    stage = Waiting()
    assert stage.turn() == []
    gone = workload("w", "4", 0)
    stage.reader.apply(kinds.WORKLOAD, gone, deleted=True)
    stage.controller.apply(ObjectEvent(kinds.WORKLOAD, Change.DELETED, gone), stage.reader, stage.now)
    stage.controller.finished(stage.token, Conflict("changed"), stage.now)
    stage.put(kinds.WORKLOAD, workload("next", "4", 0))
    assert applied([*stage.turn(), *stage.turn()]) == [("next", "1")]


@pytest.mark.parametrize("is_written", [True, False])
def test_an_eviction_waits_for_the_admission_of_its_victim(is_written: bool) -> None:
    """There is nothing to evict if that fails."""
    stage = Preemptions()
    for name in ("v1", "v2", "p"):
        gone = stage.reader.get(kinds.WORKLOAD, "ns", name)
        assert gone is not None
        stage.reader.apply(kinds.WORKLOAD, gone, deleted=True)
        stage.controller.apply(ObjectEvent(kinds.WORKLOAD, Change.DELETED, gone), stage.reader, stage.now)
    stage.put(kinds.WORKLOAD, workload("low", "4", 0))
    [(token, commands)] = stage.turn()
    stage.put(kinds.WORKLOAD, workload("high", "4", 1))
    assert [name for name, _ in applied(stage.turn())] == ["high"]
    if is_written:
        stage.see(commands)
    stage.controller.finished(token, None if is_written else Conflict("changed"), stage.now)
    assert applied(stage.turn())[:1] == ([("low", "2")] if is_written else [])
