"""Kubernetes quantities: exact parsing, and the canonical form that the API server prints.

A quantity is a decimal number with a suffix. Its value is kept as an integer of nano-units (Kubernetes' finest unit; finer
input is rounded up, away from zero), with the format of its suffix, which decides how it is printed again.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal

NANO = 10**9
_EXACT = Context(prec=200)
_PATTERN = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}


class Format(enum.Enum):
    """How a quantity is printed."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A parsed quantity.

    Attributes:
        nanos: value × 10⁹.
        format: of the text it came from.
    """

    nanos: int
    format: Format = Format.DECIMAL_SI

    def __str__(self) -> str:
        """Canonical form: the largest suffix that leaves no fraction (upstream `Quantity.CanonicalizeBytes`)."""
        if self.format is Format.BINARY_SI and abs(self.nanos) >= 1024 * NANO and self.nanos % NANO == 0:
            number, suffix = self.nanos // NANO, ""
            for name, factor in _BINARY.items():
                if number % factor == 0:
                    suffix, scaled = name, number // factor
            return f"{scaled}{suffix}" if suffix else str(number)
        exponent, number = -9, self.nanos
        while number and number % 1000 == 0 and exponent < 18:
            exponent, number = exponent + 3, number // 1000
        if number == 0:
            return "0"
        if self.format is Format.DECIMAL_EXPONENT:
            return f"{number}e{exponent}" if exponent else str(number)
        return f"{number}{_DECIMAL_BY_EXPONENT[exponent]}"

    @property
    def milli(self) -> int:
        """Value × 1000, rounded up."""
        return -((-self.nanos) // 10**6)

    @property
    def value(self) -> int:
        """Whole units, rounded up."""
        return -((-self.nanos) // NANO)


def parse_quantity(text: str | float) -> Quantity:
    """Read a quantity from JSON: a string, or a number.

    Raises:
        ValueError: not a quantity; the text is the API server's.
    """
    raw = _plain(text) if isinstance(text, float) else str(text)
    match = _PATTERN.fullmatch(raw)
    if match is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    sign, digits, suffix = match.group(1), match.group(2), match.group(3) or ""
    number = Decimal(digits)
    if suffix in _BINARY:
        format_, number = Format.BINARY_SI, _EXACT.multiply(number, Decimal(_BINARY[suffix]))
    elif suffix in _DECIMAL:
        format_, number = Format.DECIMAL_SI, number.scaleb(_DECIMAL[suffix], _EXACT)
    else:
        exponent = int(suffix[1:])
        if abs(exponent) > 100:
            raise ValueError("unable to parse quantity's suffix")
        format_, number = Format.DECIMAL_EXPONENT, number.scaleb(exponent, _EXACT)
    scaled = _EXACT.multiply(number, Decimal(NANO))
    nanos = int(scaled.to_integral_value(ROUND_CEILING, context=_EXACT))
    return Quantity(-nanos if sign == "-" else nanos, format_)


def format_milli(milli: int) -> str:
    """Canonical text of a number of milli-units, decimal."""
    return str(Quantity(milli * 10**6))


def format_units(units: int, format_: Format = Format.DECIMAL_SI) -> str:
    """Canonical text of a number of whole units."""
    return str(Quantity(units * NANO, format_))


def _plain(number: float) -> str:
    """A JSON number without an exponent that Python would add."""
    return format(Decimal(repr(number)).normalize(_EXACT), "f")


__all__ = ["NANO", "Format", "Quantity", "format_milli", "format_units", "parse_quantity"]
