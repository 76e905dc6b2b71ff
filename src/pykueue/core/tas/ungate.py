"""Which waiting pod goes into which domain of its pod set's assignment.

Pods with an index go where their rank says: the domains, each as often as it has pods, in order, are the places of ranks 0, 1, 2, ... Ranks
count only if every live pod has a sound one and those that were let go sit where their ranks say; else places are filled in order with
whoever waits.

Knows no objects: `controllers/tas.py` reads pods and writes what is decided here.

Source: tas.md §11.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pykueue.api.conversion.topology import Domain
from pykueue.core.tas.nodes import Path


@dataclass(frozen=True, slots=True)
class Member:
    """One live pod of a pod set.

    Attributes:
        name: of the pod.
        place: values of the assignment's levels in its node selector, of a pod that was let go; None while it waits.
        index: its index label, None if there is none or it is no number.
        sub_index: its sub-group index label, likewise.
        offset: what its annotation takes off the index; None without the annotation.
    """

    name: str
    place: Path | None
    index: int | None = None
    sub_index: int | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """How ranks follow from indexes.

    Attributes:
        count: pods of the pod set.
        group_offset: size of the smaller pod set of the group, for the larger one; else 0.
        has_sub_groups: whether the pods have a sub-group index.
        sub_group_count: sub-groups that share the count.
    """

    count: int
    group_offset: int = 0
    has_sub_groups: bool = False
    sub_group_count: int = 0


def ungate(
    domains: Sequence[Domain], members: Sequence[Member], ranking: Ranking | None, unhealthy: Sequence[str] = ()
) -> dict[str, Path]:
    """The pods to let go now, and where to.

    Args:
        domains: of the assignment, in order.
        members: live pods of the pod set.
        ranking: None if the pod set has no index label.
        unhealthy: nodes that no pod is sent to.
    """
    seats = [domain.values for domain in domains for _ in range(domain.n_pods)]
    ranks = _ranks(members, ranking, seats) if ranking is not None else None
    if ranks is not None:
        found = {m.name: seats[ranks[m.name]] for m in members if m.place is None}
    else:
        found = _greedy(domains, members)
    return {name: place for name, place in found.items() if place[-1] not in unhealthy}


def _ranks(members: Sequence[Member], ranking: Ranking, seats: Sequence[Path]) -> dict[str, int] | None:
    """Ranks by pod; None if any is not sound."""
    ranks: dict[str, int] = {}
    taken: Counter[int] = Counter()
    for member in members:
        rank = _rank(member, ranking)
        if rank is None or not 0 <= rank < min(ranking.count, len(seats)):
            return None
        taken[rank] += 1
        if taken[rank] > 1 or (member.place is not None and member.place != seats[rank]):
            return None
        ranks[member.name] = rank
    return ranks


def _rank(member: Member, ranking: Ranking) -> int | None:
    offset = member.offset if member.offset is not None else ranking.group_offset
    if member.index is None or not 0 <= member.index < ranking.count + offset:
        return None
    if not ranking.has_sub_groups:
        return member.index - offset
    if member.sub_index is None or ranking.sub_group_count <= 0:
        return None
    size = ranking.count // ranking.sub_group_count
    return member.index + member.sub_index * size - offset if member.index < size else None


def _greedy(domains: Sequence[Domain], members: Sequence[Member]) -> dict[str, Path]:
    there: Mapping[Path | None, int] = Counter(member.place for member in members)
    waiting = iter(sorted(member.name for member in members if member.place is None))
    found: dict[str, Path] = {}
    for domain in domains:
        for _ in range(domain.n_pods - there.get(domain.values, 0)):
            name = next(waiting, None)
            if name is None:
                return found
            found[name] = domain.values
    return found
