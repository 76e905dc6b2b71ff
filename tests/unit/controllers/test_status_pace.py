"""Statuses of queues: soon after a rest, seldom in a rush, and never later than a second after the last change."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey
from pykueue.controllers.status_pace import DELAY_US, INTERVAL_US, QUIET_US, StatusPace

CQ, LQ = ("clusterqueue", ObjectKey("", "cq")), ("localqueue", ObjectKey("ns", "lq"))
START = 1_000 * SECOND_US


def at(seconds: float) -> Instant:
    return Instant(START + round(seconds * SECOND_US))


def told(changes: list[float]) -> list[float]:
    """When one queue is told that changes at these times, in seconds."""
    pace, found, left = StatusPace(), [], sorted(changes)
    while left or pace.next_due() is not None:
        due = pace.next_due()
        if left and (due is None or at(left[0]) <= due):
            pace.note(CQ, at(left.pop(0)))
        elif due is not None and pace.take(due):
            found.append(round((due - START) / SECOND_US, 3))
    return found


def test_after_a_rest_it_is_soon() -> None:
    """With what comes in the meantime; and again after a second without a change."""
    assert told([0, 0.1, 5]) == [0.2, 5.2]


def test_while_changes_come_it_waits_for_quiet() -> None:
    """Each change puts it off."""
    assert told([0, 0.5, 1.2, 1.9]) == [0.2, 2.9]


def test_a_rush_is_told_in_between() -> None:
    """Once in five seconds, and a second after its end."""
    assert told([n / 10 for n in range(130)]) == [0.2, 5.2, 10.2, 13.9]


def test_queues_are_told_in_order_of_their_changes() -> None:
    """Each by its own times; before anything is due nothing is taken."""
    pace = StatusPace()
    pace.note(LQ, at(0))
    pace.note(CQ, at(0.1))
    assert pace.take(at(0.1)) == []
    assert pace.take(at(0.2)) == [LQ]
    assert pace.take(pace.next_due() or at(9)) == [CQ]
    assert pace.next_due() is None


@given(st.lists(st.integers(0, 12_000), min_size=1))
def test_every_change_is_told_and_none_twice(changes_ms: list[int]) -> None:
    """Within the interval after it, within quiet after the last one, and not more often than changes come."""
    changes = sorted({ms / 1000 for ms in changes_ms})
    found = told(changes)
    assert len(found) <= len(changes)
    assert changes[-1] <= found[-1] <= changes[-1] + QUIET_US / SECOND_US + 0.001
    for change in changes:
        assert any(change <= moment <= change + INTERVAL_US / SECOND_US + 0.001 for moment in found)
    assert all(
        later - former >= (QUIET_US - DELAY_US) / SECOND_US - 0.001 for former, later in itertools.pairwise(found)
    )
