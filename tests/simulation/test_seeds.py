"""A few seeds of the whole product under faults; `make sim` plays many more, and any one again with its story."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.play import play


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_world_recovers_from_faults(seed: int) -> None:
    """Managers crash, writes fail, watches break; afterwards all is as the objects ask, and nothing is left when they go."""
    assert play(seed).lives >= 1


def test_status_may_be_written_by_merge_patches() -> None:
    """All holds that holds with server-side apply."""
    assert play(1, "WorkloadRequestUseMergePatch=true").lives >= 1


def test_a_seed_goes_the_same_way_in_every_process() -> None:
    """Nothing that is decided or written depends on the order of a set, or on anything else but seed and code."""
    tests = Path(__file__).resolve().parents[1]
    digests = []
    for hash_seed in ("0", "42"):
        told = subprocess.run(
            [sys.executable, str(tests / "simulation" / "play.py"), "8"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(tests)},
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        digests += re.findall(r"digest (\w+)", told.stdout)
    assert len(digests) == 2
    assert len(set(digests)) == 1, "run `make sim SEED=8` under two values of PYTHONHASHSEED, and compare"
