"""A place for the pods of a node that is lost; everybody else stays where they are.

The lost node's domain is taken out of the assignment and its pods are placed again, as close to the others as the request binds them: inside
the required domain, and inside the slice that would else be broken. The new domain takes the lost one's position, so that ranks keep their
places; pods that come to a domain that is there already are added to it.

Source: tas.md §9.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pykueue.api.conversion.topology import Domain
from pykueue.core.tas.capacity import Room
from pykueue.core.tas.demand import PodDemand
from pykueue.core.tas.nodes import Path
from pykueue.core.tas.place import place
from pykueue.core.tas.request import Layout, Strictness
from pykueue.core.tas.tree import Tree


@dataclass(frozen=True, slots=True)
class Loss:
    """What is lost of one pod set.

    Attributes:
        domains: of its assignment, in order, with the lost one.
        lost: values of the lost domain.
        anchors: domains that others of its pod set group have; they bind like its own.
    """

    domains: Sequence[Domain]
    lost: Path
    anchors: Sequence[Domain] = ()


def replace_node(
    topology: str, room: Room, layout: Layout, loss: Loss, *, pods: PodDemand, is_mixed: bool
) -> tuple[Domain, ...] | str:
    """The domains after the replacement, or why there is none.

    Args:
        topology: its name, for messages.
        room: what is left in the leaves beside all, this Workload too; without the lost node if that is not ready.
        layout: of the request.
        loss: the assignment and what is lost of it.
        pods: of the pod set; the count is not looked at.
        is_mixed: see `place`.
    """
    tree = room.tree
    kept = [d for d in loss.domains if d.values != loss.lost]
    n_pods = sum(d.n_pods for d in loss.domains if d.values == loss.lost)
    for domain in kept:
        if domain.values not in tree.leaf_of:
            value = ",".join(domain.values)
            return (
                "Cannot replace the node, because the existing topologyAssignment is invalid, "
                f"as it contains the stale domain {value}"
            )
    inside = _without(tree, loss.lost, _inside(tree, layout, loss, kept, n_pods))
    reduced = _reduced(layout, len(tree.levels) - 1, n_pods)
    demand = PodDemand(pods.name, n_pods, pods.per_pod, pods.spec, pods.tolerations)
    found = place(topology, room, reduced, demand, None, is_mixed=is_mixed, inside=inside)
    return found if isinstance(found, str) else _merged(loss, found.workers)


def _inside(tree: Tree, layout: Layout, loss: Loss, kept: Sequence[Domain], n_pods: int) -> list[range] | None:
    """Which leaves the request allows; None for all."""
    broken = [(level, size) for level, size in layout.layers if n_pods % size]
    if broken:
        level, size = broken[-1]
        counts: dict[int, int] = {}
        for domain in kept:
            above = tree.ancestor(tree.leaf_of[domain.values], level)
            counts[above] = counts.get(above, 0) + domain.n_pods
        incomplete = [above for above, n in counts.items() if n % size]
        if incomplete:
            return [tree.leaves_below(level, above) for above in incomplete]
    others = [tree.leaf_of[d.values] for d in (*kept, *loss.anchors) if d.values in tree.leaf_of]
    if layout.strictness is Strictness.REQUIRED and others:
        return [tree.leaves_below(layout.main, tree.ancestor(others[0], layout.main))]
    return None


def _without(tree: Tree, lost: Path, inside: list[range] | None) -> list[range] | None:
    """The same leaves but for the lost one, which is there still if pods only had to leave it."""
    leaf = tree.leaf_of.get(lost)
    if leaf is None:
        return inside
    leaves = inside if inside is not None else [range(len(tree.nodes))]
    return [
        part
        for given in leaves
        for part in ((range(given.start, leaf), range(leaf + 1, given.stop)) if leaf in given else (given,))
    ]


def _reduced(layout: Layout, lowest: int, n_pods: int) -> Layout:
    """The layout for fewer pods than a slice: the innermost layer that they fill, else single pods."""
    if n_pods % layout.slice_size == 0:
        return layout
    for level, size in reversed(layout.layers):
        if n_pods % size == 0:
            return replace(layout, slice_level=level, slice_size=size, inner={})
    return replace(layout, slice_level=lowest, slice_size=1, inner={})


def _merged(loss: Loss, new: Sequence[Domain]) -> tuple[Domain, ...]:
    """The domains with the new ones where the lost one was, or added to their equals."""
    more = {d.values: d.n_pods for d in new}
    known = {d.values for d in loss.domains if d.values != loss.lost}
    merged: list[Domain] = []
    for domain in loss.domains:
        if domain.values == loss.lost:
            merged += [d for d in new if d.values not in known]
        else:
            merged.append(Domain(domain.values, domain.n_pods + more.get(domain.values, 0)))
    return tuple(merged)
