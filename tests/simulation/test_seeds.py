"""A few seeds of the whole product under faults; `make sim` plays many more, and any one again with its story."""

from __future__ import annotations

import pytest

from simulation.play import play


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_world_recovers_from_faults(seed: int) -> None:
    """Managers crash, writes fail, watches break; afterwards all is as the objects ask, and nothing is left when they go."""
    assert play(seed) >= 1
