"""The arithmetic of rolling updates (leaderworkerset.md B5)."""

from __future__ import annotations

import pytest

from pykueue.emulation.leaderworkerset.rollout import LeaderSet, Pace, Replica, Rollout, plan

DONE, OLD, DOWN, STARTING = Replica(True, True), Replica(True, False), Replica(False, False), Replica(False, True)
ALL_OLD, ALL_DONE = [OLD] * 4, [DONE] * 4


@pytest.mark.parametrize(
    ("pace", "present", "groups", "updated", "want"),
    [
        pytest.param(Pace(4), None, [], False, Rollout(0, 4), id="the first write has all replicas and no partition"),
        pytest.param(Pace(4), LeaderSet(2, 0), ALL_OLD[:2], True, Rollout(2, 4), id="an update while growing keeps the old ones"),
        pytest.param(Pace(4), LeaderSet(4, 0), ALL_OLD, True, Rollout(4, 4), id="an update begins with nothing updated"),
        pytest.param(Pace(4, 2), LeaderSet(4, 0), ALL_OLD, True, Rollout(4, 6), id="an update begins with the surge"),
        pytest.param(Pace(4), LeaderSet(4, 0), ALL_DONE, False, Rollout(0, 4), id="at rest nothing moves"),
        pytest.param(Pace(4), LeaderSet(2, 0), ALL_OLD[:2], False, Rollout(0, 4), id="growing takes the wanted number at once"),
        pytest.param(Pace(4), LeaderSet(4, 4), ALL_OLD, False, Rollout(3, 4), id="the last group goes first"),
        pytest.param(Pace(4), LeaderSet(4, 3), [OLD, OLD, OLD, STARTING], False, Rollout(3, 4), id="one at a time waits for the last"),
        pytest.param(Pace(4), LeaderSet(4, 3), [OLD, OLD, OLD, DONE], False, Rollout(2, 4), id="the next follows when the last is done"),
        pytest.param(Pace(4, 0, 2), LeaderSet(4, 4), ALL_OLD, False, Rollout(2, 4), id="two may be missing"),
        pytest.param(Pace(4, 0, 1), LeaderSet(4, 4), [OLD, OLD, OLD, DOWN], False, Rollout(3, 4), id="a group that is down is updated first"),
        pytest.param(Pace(4, 0, 1), LeaderSet(4, 4), [DOWN, OLD, OLD, OLD], False, Rollout(4, 4), id="a group down below uses up what may be missing"),
        pytest.param(Pace(4, 2, 0), LeaderSet(6, 4), [*ALL_OLD, STARTING, STARTING], False, Rollout(4, 6), id="surge groups come up first"),
        pytest.param(Pace(4, 2, 0), LeaderSet(6, 4), [*ALL_OLD, DONE, DONE], False, Rollout(2, 6), id="then as many as the surge are updated"),
        pytest.param(Pace(4, 2, 1), LeaderSet(6, 2), [OLD, OLD, DONE, DONE, DONE, DONE], False, Rollout(0, 5), id="the surge shrinks to what is undone"),
        pytest.param(Pace(4, 2, 0), LeaderSet(6, 0), [DONE] * 6, False, Rollout(0, 4), id="the surge goes when all is done"),
        pytest.param(Pace(3, 2, 1), LeaderSet(6, 4, resized=True), [OLD] * 6, False, Rollout(4, 5), id="a resize in between only bounds"),
        pytest.param(Pace(4, partition=2), LeaderSet(4, 4), [OLD, OLD, DONE, DONE], False, Rollout(2, 4), id="never below the set's own partition"),
    ],
)  # fmt: skip
def test_plan(pace: Pace, present: LeaderSet | None, groups: list[Replica], updated: bool, want: Rollout) -> None:
    """Partition and replicas follow the table of the specification."""
    assert plan(pace, present, groups, updated=updated) == want
