"""Bugs as values."""

from __future__ import annotations

import pytest

from pykueue.core.faults import fault_of


def test_an_error_is_a_value() -> None:
    """A step that ends well has none; what asks the process to end is no bug."""
    seen: list[int] = []
    assert fault_of(lambda: seen.append(1)) is None
    assert seen == [1]
    assert repr(fault_of(lambda: seen[1])) == "IndexError('list index out of range')"

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fault_of(interrupted)
