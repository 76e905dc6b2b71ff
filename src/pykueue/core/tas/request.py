"""What a topology request means on the levels of one topology: where to look, what must stay together.

Source: tas.md §2.3.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pykueue.api.v1beta2 import TopologyRequest


class Strictness(enum.Enum):
    """How much the main level binds."""

    REQUIRED = enum.auto()
    PREFERRED = enum.auto()
    UNCONSTRAINED = enum.auto()


@dataclass(frozen=True, slots=True)
class Layout:
    """A request, with levels as indexes.

    Attributes:
        strictness: how much `main` binds.
        main: where the search begins.
        slice_level: the level whose domains hold whole slices; not above `main`.
        slice_size: pods in a slice.
        inner: level to size of the layers inside of a slice, outermost first.
    """

    strictness: Strictness
    main: int
    slice_level: int
    slice_size: int
    inner: Mapping[int, int]

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Level and size of the slices and of every layer inside."""
        return [(self.slice_level, self.slice_size), *self.inner.items()]


def is_requested(request: TopologyRequest | None) -> bool:
    """Whether a pod set asks for topology explicitly (§2.1)."""
    return request is not None and bool(
        request.required or request.preferred or request.unconstrained or slice_layers(request)
    )


def slice_layers(request: TopologyRequest) -> list[tuple[str, int | None]]:
    """Level and size of the slices and their layers, in either form of the request."""
    if request.podset_slice_required_topology_constraints:
        return [(c.topology, c.size) for c in request.podset_slice_required_topology_constraints]
    if request.pod_set_slice_required_topology:
        return [(request.pod_set_slice_required_topology, request.pod_set_slice_size)]
    return []


def asked_levels(request: TopologyRequest | None) -> list[str]:
    """Every level that the request names."""
    if request is None:
        return []
    named = [request.required or request.preferred or "", *(level for level, _ in slice_layers(request))]
    return [level for level in named if level]


def resolve(levels: Sequence[str], request: TopologyRequest | None) -> Layout | str:
    """The request on these levels, or why it has no meaning on them.

    Args:
        levels: of the topology, the widest first.
        request: None is implied: anywhere, as an unconstrained one.
    """
    if not levels:
        return "topology level not specified"
    lowest = len(levels) - 1
    strictness, wanted = Strictness.UNCONSTRAINED, levels[lowest]
    layers = slice_layers(request) if request is not None else []
    if request is not None and request.required:
        strictness, wanted = Strictness.REQUIRED, request.required
    elif request is not None and request.preferred:
        strictness, wanted = Strictness.PREFERRED, request.preferred
    elif layers:
        wanted = levels[0]
    if wanted not in levels:
        return f"no requested topology level: {wanted}"
    main = levels.index(wanted)
    if not layers:
        return Layout(strictness, main, lowest, 1, {})
    name, size = layers[0]
    if size is None:
        return "slice topology requested, but slice size not provided"
    if name not in levels:
        return f"no requested topology level for slices: {name}"
    slice_level = levels.index(name)
    if slice_level < main:
        return f"podset slice topology {name} is above the podset topology {wanted}"
    inner = _inner_layers(levels, layers)
    return inner if isinstance(inner, str) else Layout(strictness, main, slice_level, size, inner)


def _inner_layers(levels: Sequence[str], layers: Sequence[tuple[str, int | None]]) -> dict[int, int] | str:
    inner: dict[int, int] = {}
    for (outer_name, outer_size), (name, size) in itertools.pairwise(layers):
        if name not in levels:
            return f"no requested topology level for additional slice layer: {name}"
        if levels.index(name) <= levels.index(outer_name):
            return f"additional slice layer topology {name} must be at a lower level than {outer_name}"
        if not size or (outer_size or 0) % size:
            return f"additional slice layer size {size or 0} must evenly divide parent layer size {outer_size}"
        inner[levels.index(name)] = size
    return inner
