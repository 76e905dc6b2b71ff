"""The library of CEL functions: the standard ones, strings, lists, sets, and Kubernetes' own.

`METHODS` are called on a value (`x.f(y)`), `FUNCTIONS` without one (`f(x)`). Each takes plain values and raises `CelError`; a
value of a type that the function does not take is "no such overload". The functions themselves are in `library/`, by subject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pykueue.apiserver.cel.library import conversions, kubernetes, lists, text, times

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **conversions.FUNCTIONS,
    **text.FUNCTIONS,
    **lists.FUNCTIONS,
    **times.FUNCTIONS,
    **kubernetes.FUNCTIONS,
}
"""Functions without a target; namespaced ones by their whole name."""

METHODS: Mapping[str, Callable[..., Any]] = {
    **conversions.METHODS,
    **text.METHODS,
    **lists.METHODS,
    **times.METHODS,
    **kubernetes.METHODS,
}
"""Functions of a value, the value first."""
