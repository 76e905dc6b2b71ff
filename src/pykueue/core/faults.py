"""Bugs as values.

An error in our own code that shows with one object must not stop the others. This is the one place in the pure packages that catches
every error; whoever asks says what becomes of the object, and hands the error on to the shell, which logs it.
"""

from __future__ import annotations

from collections.abc import Callable


def fault_of(step: Callable[[], object]) -> Exception | None:
    """Take a step; the error that ended it early, None if it came to its end."""
    try:
        step()
    except Exception as error:
        return error
    return None
