"""Logging of the command line: one line a record, on stderr."""

from __future__ import annotations

import logging
import sys


def set_up(verbosity: int) -> None:
    """Warnings by default, information with one `-v`, everything with two."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
    root = logging.getLogger("pykueue")
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncio").addHandler(handler)
