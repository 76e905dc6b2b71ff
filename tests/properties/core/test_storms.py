"""Storms over the engine with safe preemption: nobody is evicted for nothing, nothing goes in circles, no quota is lost.

`make storm` plays longer ones, and more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pykueue.core.features import Gate
from support.storm import Storm

SAFE = {Gate.PYKUEUE_SAFE_PREEMPTION: True}


def play(seed: int, n_events: int) -> Storm:
    """A storm with safe preemption.

    Raises:
        AssertionError: something that must hold does not; the message has the seed.
    """
    storm = Storm(seed, SAFE)
    storm.rage(n_events)
    storm.rest()
    told = f"seed {seed}, {n_events} events"
    assert storm.faults == [], told
    assert storm.in_vain == [], told
    assert storm.kills == {}, f"{told}: evictions that nothing came of"
    assert storm.most <= 2, f"{told}: a victim was evicted {storm.most} times by one that was not admitted"
    assert storm.loops_on == [], told
    return storm


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 8, 9, 14, 17])
def test_every_eviction_leads_somewhere(seed: int) -> None:
    """Each eviction ends with the preemptor's admission, or with a change of quota, cohorts, nodes or specifications that explains it."""
    assert play(seed, 200).outcomes["admitted"]


def test_without_safe_preemption_workloads_are_evicted_for_nothing() -> None:
    """As Kueue does it, seats are taken while victims leave, and fair sharing goes in circles: the same storm shows both."""
    storm = Storm(41)
    storm.rage(300)
    assert storm.faults == []
    assert storm.in_vain
    assert storm.loops
    play(41, 300)


def test_a_storm_goes_the_same_way_in_every_process() -> None:
    """No decision depends on the order of a set."""
    tests = Path(__file__).resolve().parents[2]
    digests = set()
    for hash_seed in ("0", "42"):
        told = subprocess.run(
            [sys.executable, str(Path(__file__)), "5", "1", "100"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(tests)},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        digests.add(told.stdout)
    assert len(digests) == 1


if __name__ == "__main__":
    first, n_seeds, n_events = (int(argument) for argument in sys.argv[1:4])
    for seed in range(first, first + n_seeds):
        storm = play(seed, n_events)
        print(f"seed {seed}: {dict(sorted(storm.outcomes.items()))}")
