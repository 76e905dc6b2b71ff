"""Quantities: exact values and Kubernetes' canonical text."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykueue.api.quantity import NANO, Format, format_milli, format_units, parse_quantity


@pytest.mark.parametrize(
    ("text", "canonical", "nanos"),
    [
        ("0", "0", 0),
        ("100m", "100m", 10**8),
        ("1500m", "1500m", 15 * 10**8),
        ("1000m", "1", NANO),
        ("0.5", "500m", 5 * 10**8),
        ("1.5Gi", "1536Mi", 3 * 2**29 * NANO),
        ("1024Mi", "1Gi", 2**30 * NANO),
        ("1023Ki", "1023Ki", 1023 * 1024 * NANO),
        ("36Gi", "36Gi", 36 * 2**30 * NANO),
        ("1e3", "1e3", 1000 * NANO),
        ("12e6", "12e6", 12_000_000 * NANO),
        ("1E", "1E", 10**18 * NANO),
        ("-1", "-1", -NANO),
        ("+2", "2", 2 * NANO),
        (".5", "500m", 5 * 10**8),
        ("0.1n", "1n", 1),
        (3, "3", 3 * NANO),
        (0.1, "100m", 10**8),
    ],
)
def test_texts_have_a_value_and_a_canonical_form(text: str | float, canonical: str, nanos: int) -> None:
    """What the API server prints for a quantity, and what it is worth."""
    quantity = parse_quantity(text)
    assert (str(quantity), quantity.nanos) == (canonical, nanos)


@pytest.mark.parametrize("text", ["", "x", "1Zi", "1 Gi", "1e", "--1", "1.2.3", "1e101", "١"])
def test_what_is_not_a_quantity_is_refused(text: str) -> None:
    """A text that Kubernetes refuses is a ValueError."""
    with pytest.raises(ValueError, match="quantit"):
        parse_quantity(text)


def test_fractions_round_up() -> None:
    """cpu counts in milli-units and the rest in units, both rounded up."""
    assert parse_quantity("1.5m").milli == 2
    assert parse_quantity("100m").value == 1
    assert parse_quantity("-1500m").value == -1


@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_the_canonical_form_has_the_same_value(number: int, suffix: str) -> None:
    """Printing and reading again changes nothing."""
    quantity = parse_quantity(f"{number}{suffix}")
    again = parse_quantity(str(quantity))
    assert again.nanos == quantity.nanos
    assert str(again) == str(quantity)


@given(st.integers(0, 10**12))
def test_numbers_are_written_as_quantities(number: int) -> None:
    """Sums are written back exactly."""
    assert Fraction(parse_quantity(format_milli(number)).nanos, NANO) == Fraction(number, 1000)
    assert parse_quantity(format_units(number, Format.BINARY_SI)).value == number
