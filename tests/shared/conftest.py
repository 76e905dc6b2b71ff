"""Tests against reference data that is not part of this repository.

The data is looked for in `$PYKUEUE_SHARED`, else in `shared` beside the checkout. Without it nothing here is collected.
"""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("PYKUEUE_SHARED") or Path(__file__).resolve().parents[3] / "shared")

if not SHARED.is_dir():
    collect_ignore_glob = ["*"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Root of the reference data."""
    return SHARED
