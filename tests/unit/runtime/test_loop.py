"""The turns of the loop, with an engine that does as it is told."""

import asyncio
from types import SimpleNamespace

from pykueue.api.instant import Instant
from pykueue.api.kinds import WORKLOAD
from pykueue.ports.engine import EngineEffect, Fault
from pykueue.runtime.cache import Cache, Scope
from pykueue.runtime.inbox import Inbox
from pykueue.runtime.loop import DECISIONS_PER_TURN, Loop
from pykueue.runtime.metrics import RuntimeMetrics


class Engine:
    """Has so many cycles to run, each with so many decisions."""

    def __init__(self, n_cycles: int, n_decisions: int = 1) -> None:
        self.left, self.n_decisions, self.n_run = n_cycles, n_decisions, 0

    def next_cycle_at(self, now):
        return now if self.left else None

    def cycle(self, reader, now):
        self.left -= 1
        self.n_run += 1
        return [EngineEffect(i, ()) for i in range(self.n_decisions)]

    def take_faults(self):
        return [Fault("the evaluation of Workload ns/bad", KeyError("gone"))] if self.n_run == 1 else ()

    def take_woken(self):
        return ()


def turned(engine: Engine) -> list[str]:
    """One turn of a leader; what was started."""
    started: list[str] = []
    effects = SimpleNamespace(
        has_room=lambda: False, start=lambda commands, reporter, cause, ended: started.append(cause)
    )
    loop = Loop(
        Inbox(), Cache([Scope(WORKLOAD)]), SimpleNamespace(wake=lambda woken, now: None), engine, effects,
        SimpleNamespace(now=lambda: Instant(1)), RuntimeMetrics(), asyncio.Event(), leading=True,
    )  # fmt: skip
    loop.synced.set()
    loop.turn()
    return started


def test_a_deep_queue_is_drained_in_one_turn():
    """Cycles that are due at once follow each other without waiting for the world."""
    engine = Engine(n_cycles=100)
    assert len(turned(engine)) == 100
    assert engine.left == 0


def test_a_turn_ends_though_the_engine_has_more_to_say():
    """Watches and answers get their turn after so many decisions."""
    engine = Engine(n_cycles=1000, n_decisions=10)
    assert len(turned(engine)) == DECISIONS_PER_TURN
    assert engine.left > 0


def test_cycles_that_decide_nothing_are_not_repeated():
    """What is due for another reason does not keep the loop."""
    engine = Engine(n_cycles=50, n_decisions=0)
    assert turned(engine) == []
    assert engine.n_run == 1


def test_what_failed_in_a_cycle_is_logged_and_the_rest_is_carried_out(caplog):
    """Each fault with its traceback's error, so that somebody can mend it."""
    assert len(turned(Engine(n_cycles=3))) == 3
    [record] = caplog.records
    assert record.getMessage() == "engine: the evaluation of Workload ns/bad was given up"
    assert isinstance(record.exc_info[1], KeyError)
