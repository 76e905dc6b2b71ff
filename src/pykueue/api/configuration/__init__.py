"""Kueue's manager `Configuration`: the typed value, its defaults, its validation, its loading."""

from pykueue.api.configuration.types import Configuration

__all__ = ["Configuration"]
