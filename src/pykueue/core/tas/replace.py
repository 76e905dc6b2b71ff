"""A place for the pods of a node that is lost; everybody else stays where they are.

The lost node's domain is taken out of the assignment and its pods are placed again, as close to the others as the request binds them: inside
the required domain, and inside the slice that would else be broken. The new domain takes the lost one's position, so that ranks keep their
places; pods that come to a domain that is there already are added to it.

Source: tas.md §9.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pykueue.api.conversion.topology import Domain
from pykueue.core.tas.capacity import PodDemand, Taken
from pykueue.core.tas.place import place
from pykueue.core.tas.request import Layout, Strictness
from pykueue.core.tas.topology import Path, Tree


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
    topology: str, tree: Tree, layout: Layout, loss: Loss, *, pods: PodDemand, taken: Taken, is_mixed: bool
) -> tuple[Domain, ...] | str:
    """The domains after the replacement, or why there is none.

    Args:
        topology: its name, for messages.
        tree: of the flavor, without the lost node if that is not ready.
        layout: of the request.
        loss: the assignment and what is lost of it.
        pods: of the pod set; the count is not looked at.
        taken: what is in use in each leaf, by this Workload too.
        is_mixed: see `place`.
    """
    kept = [d for d in loss.domains if d.values != loss.lost]
    n_pods = sum(d.n_pods for d in loss.domains if d.values == loss.lost)
    for domain in kept:
        if domain.values not in tree.leaf_of:
            value = ",".join(domain.values)
            return (
                "Cannot replace the node, because the existing topologyAssignment is invalid, "
                f"as it contains the stale domain {value}"
            )
    is_inside = _without(tree, loss.lost, _inside(tree, layout, loss, kept, n_pods))
    reduced = _reduced(layout, len(tree.levels) - 1, n_pods)
    demand = PodDemand(pods.name, n_pods, pods.per_pod, pods.spec, pods.tolerations)
    found = place(topology, tree, reduced, demand, None, taken=taken, is_mixed=is_mixed, is_inside=is_inside)
    return found if isinstance(found, str) else _merged(loss, found.workers)


def _inside(
    tree: Tree, layout: Layout, loss: Loss, kept: Sequence[Domain], n_pods: int
) -> Callable[[int], bool] | None:
    """Which leaves the request allows; None for all."""
    paths = tree.paths[-1]
    broken = [(level, size) for level, size in layout.layers if n_pods % size]
    if broken:
        level, size = broken[-1]
        counts: dict[Path, int] = {}
        for domain in kept:
            path = paths[tree.leaf_of[domain.values]][: level + 1]
            counts[path] = counts.get(path, 0) + domain.n_pods
        incomplete = {path for path, n in counts.items() if n % size}
        if incomplete:
            return lambda leaf: paths[leaf][: level + 1] in incomplete
    others = [tree.leaf_of[d.values] for d in (*kept, *loss.anchors) if d.values in tree.leaf_of]
    if layout.strictness is Strictness.REQUIRED and others:
        anchor = paths[others[0]][: layout.main + 1]
        return lambda leaf: paths[leaf][: layout.main + 1] == anchor
    return None


def _without(tree: Tree, lost: Path, is_inside: Callable[[int], bool] | None) -> Callable[[int], bool] | None:
    """The same leaves but for the lost one, which is there still if pods only had to leave it."""
    leaf = tree.leaf_of.get(lost)
    if leaf is None:
        return is_inside
    return lambda other: other != leaf and (is_inside is None or is_inside(other))


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
