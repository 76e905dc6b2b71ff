"""Kueue's manager `Configuration`: the typed value, its decoding, its validation, what of it has no effect."""

from pykueue.api.configuration.load import decode, dump_effective, parse_gates_flag
from pykueue.api.configuration.types import Configuration
from pykueue.api.configuration.unsupported import unsupported
from pykueue.api.configuration.validate import validate

__all__ = ["Configuration", "decode", "dump_effective", "parse_gates_flag", "unsupported", "validate"]
