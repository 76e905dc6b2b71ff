"""The smallest changes that would admit a Workload now: of quota, of who runs, of what its pods accept, of how many they are.

Each is found by asking the scheduler (`what_if.py`), and told only if the scheduler, asked once more with the whole change, admits the Workload. First
with those ahead in the queue served before; where that leads nowhere, as if nobody were ahead, and the remedy says so.

What is "smallest": no less quota of that flavor would do; no Workload of those to stop can go on; no more pods fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pykueue.core.cache.clusterqueue import Cache
from pykueue.core.explain.amounts import format_quota
from pykueue.core.explain.facts import AddQuota, FewerPods, MatchFlavor, PlaceFacts, Remedy, Start, StopWorkloads
from pykueue.core.explain.matching import Match, closest_match
from pykueue.core.explain.what_if import NOTHING, Answer, Change, WhatIf
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.assignment import Assignment, Attempt, Mode
from pykueue.core.tas.request import slice_layers
from pykueue.core.workload.info import Info, PodSetInfo

ROUNDS_MAX = 32
"""How often quota is added before it is given up: each of those ahead may need its share first."""
SINGLES_MAX = 16
"""Workloads that are tried alone."""
CANDIDATES_MAX = 64
"""Workloads that are tried together."""
ALTERNATIVES_MAX = 3
"""Flavors that are told a remedy each."""


@dataclass(frozen=True, slots=True)
class Found:
    """A change that admits, and what the scheduler said."""

    change: Change
    answer: Answer
    if_first: bool

    @property
    def reduced(self) -> tuple[Start, ...]:
        """Where the scheduler starts with fewer pods than are wanted (§6.9)."""
        assignment = self.answer.entry.assignment
        given = assignment.pod_counts if assignment is not None else {}
        wanted = self.answer.entry.info.pod_sets
        return tuple(Start(ps.name, ps.count, n) for ps in wanted if (n := given.get(ps.name, ps.count)) < ps.count)


def find_remedies(what_if: WhatIf, now: Answer, cache: Cache, places: PlaceFacts | None = None) -> tuple[Remedy, ...]:
    """Everything that would admit the Workload, each kind at most once, quota once per flavor.

    Args:
        what_if: about the Workload.
        now: what the scheduler says of it today.
        cache: what holds quota.
        places: what is missing of the nodes, if that is what says no.
    """
    assignment = now.entry.assignment
    if assignment is None or now.is_admitted:
        return ()
    found: list[Remedy] = [*_quota(what_if, assignment), *_stops(what_if, assignment, cache, places)]
    found += [*_matches(what_if, assignment), *_fewer_pods(what_if)]
    return tuple(found)


# --- quota -----------------------------------------------------------------------------------------------------------


def _quota(what_if: WhatIf, assignment: Assignment) -> Iterator[AddQuota]:
    """More quota of each flavor that lacks nothing else."""
    name = what_if.queue.name
    flavors = dict.fromkeys(a.flavor for ps in assignment.pod_sets for a in ps.attempts if _shortage(a))
    for flavor in list(flavors)[:ALTERNATIVES_MAX]:
        found = _either(what_if, partial(_grow, what_if, flavor))
        if found is not None:
            quotas = format_quota(found.change.quota)
            yield AddQuota(name, quotas, found.answer.goes_first, found.if_first, found.reduced)


def _grow(what_if: WhatIf, flavor: str, with_ahead: bool) -> Change | None:
    """Add what is missing until nothing is, beginning with one flavor; each step adds no more than it must."""
    added: dict[FlavorResource, int] = {}
    for _ in range(ROUNDS_MAX):
        answer = what_if.ask(Change(quota=added), with_ahead=with_ahead)
        if answer.is_admitted:
            # Those ahead may take their share elsewhere then, and one that may start with fewer pods needs less.
            may_do_with_less = answer.goes_first or any(ps.min_count is not None for ps in what_if.item.info.pod_sets)
            return Change(quota=_shrunk(what_if, added, with_ahead) if may_do_with_less else added)
        assignment = answer.entry.assignment
        missing = _missing(assignment, flavor, what_if) if assignment is not None else {}
        if not missing or what_if.is_spent:
            return None
        for item, amount in missing.items():
            added[item] = added.get(item, 0) + amount
    return None


def _shrunk(what_if: WhatIf, added: dict[FlavorResource, int], with_ahead: bool) -> dict[FlavorResource, int]:
    """No more than it takes: where those ahead move to the new quota, what they leave elsewhere may do."""
    what_if.begin()
    for item, most in added.items():

        def admits(amount: int, item: FlavorResource = item) -> bool:
            return what_if.ask(Change(quota={**added, item: amount}), with_ahead=with_ahead).is_admitted

        low, high = (0, most - 1) if admits(most - 1) else (most - 1, most)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if admits(middle) else (middle, high)
        added[item] = high
    return {item: amount for item, amount in added.items() if amount}


def _missing(assignment: Assignment, flavor: str, what_if: WhatIf) -> dict[FlavorResource, int]:
    """What is missing of one flavor per resource group: the wanted one, else the first that lacks nothing but quota."""
    missing: dict[FlavorResource, int] = {}
    group_of = {f.name: i for i, group in enumerate(what_if.queue.groups) for f in group.flavors}
    for pod_set in assignment.pod_sets:
        if pod_set.mode is Mode.FIT:
            continue
        by_group: dict[int, list[Attempt]] = {}
        for attempt in pod_set.attempts:
            by_group.setdefault(group_of[attempt.flavor], []).append(attempt)
        for attempts in by_group.values():
            if any(attempt.mode is Mode.FIT for attempt in attempts):
                continue
            short = [attempt for attempt in attempts if _shortage(attempt)]
            chosen = next((a for a in short if a.flavor == flavor), short[0] if short else None)
            for item, amount in _shortage(chosen).items() if chosen is not None else ():
                missing[item] = max(missing.get(item, 0), amount)
    return missing


def _shortage(attempt: Attempt) -> dict[FlavorResource, int]:
    """What a flavor has too little of."""
    over = {f.item: f.assumed + f.asked - min(f.free, f.potential) for f in attempt.facts if f.mode is not Mode.FIT}
    return {item: amount for item, amount in over.items() if amount > 0}


# --- who runs --------------------------------------------------------------------------------------------------------


def _stops(what_if: WhatIf, assignment: Assignment, cache: Cache, places: PlaceFacts | None) -> Iterator[StopWorkloads]:
    """The fewest others that would have to stop: one, if one suffices."""
    candidates = _candidates(what_if, assignment, cache, places)
    if not candidates:
        return
    found = _either(what_if, partial(_fewest, what_if, candidates))
    if found is not None:
        names = tuple(str(info.key) for info in found.change.gone)
        yield StopWorkloads(names, found.answer.goes_first, found.if_first, found.reduced)


def _fewest(what_if: WhatIf, candidates: Sequence[Info], with_ahead: bool) -> Change | None:
    def admits(gone: Sequence[Info]) -> bool:
        return what_if.ask(Change(gone=tuple(gone)), with_ahead=with_ahead).is_admitted

    for info in candidates[:SINGLES_MAX]:
        if admits([info]):
            return Change(gone=(info,))
    if not admits(candidates):
        return None
    low, high = 1, len(candidates)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if admits(candidates[:middle]) else (middle + 1, high)
    kept = list(candidates[:high])
    # With one more that goes on, somebody ahead may not fit any more: who could not be spared before may be now. So begin anew each time.
    while (
        spare := next((i for i in reversed(kept) if not what_if.is_spent and admits(_but(kept, i))), None)
    ) is not None:
        kept = _but(kept, spare)
    return Change(gone=tuple(kept))


def _but(infos: Sequence[Info], left_out: Info) -> list[Info]:
    return [info for info in infos if info is not left_out]


def _candidates(what_if: WhatIf, assignment: Assignment, cache: Cache, places: PlaceFacts | None) -> list[Info]:
    """Who holds what is missing, those first whose end costs least: low priority, then short time of running.

    Where places are missing, those come before all others that are in the largest domain of the level that is asked for.
    """
    short = {item for ps in assignment.pod_sets for a in ps.attempts for item in _shortage(a)}
    found = [
        info
        for leaf in what_if.queue.node.tree.root.leaves()
        if (queue := cache.queue(leaf.name)) is not None
        for info in queue.workloads.values()
        if any(info.usage.get(item, 0) > 0 for item in short)
    ]
    if not short:
        flavors = {a.flavor for ps in assignment.pod_sets for a in ps.attempts}
        found = [info for info in cache.workloads.values() if _holds_places(info, flavors, cache)]
    asked = [level for level in places.levels if level.level == places.level] if places is not None else []
    near = {tenant.workload for level in asked for tenant in level.tenants}
    found.sort(key=lambda i: (str(i.key) not in near, not i.is_evicted, i.priority, -i.reserved_at, i.uid, i.key))
    return found[:CANDIDATES_MAX]


def _holds_places(info: Info, flavors: set[str], cache: Cache) -> bool:
    """Whether a Workload has places, in a topology that the flavors may share, and its queue is known."""
    has_places = bool(cache.ledger.of(info.key)) and cache.queue(info.cluster_queue) is not None
    return has_places and any(cache.has_topology(flavor) for flavor in flavors)


# --- what its pods accept, and how many they are ---------------------------------------------------------------------


def _matches(what_if: WhatIf, assignment: Assignment) -> Iterator[MatchFlavor]:
    """Flavors that refuse the pods for a taint or a label, and would have had room."""
    flavors = what_if.flavors
    names = dict.fromkeys(a.flavor for ps in assignment.pod_sets for a in ps.attempts if a.mode is Mode.NO_FIT)
    n_told = 0
    for name in names:
        flavor = flavors.get(name)
        match: Match | None = closest_match(flavor, what_if.item.info.pod_sets) if flavor is not None else None
        if match is None or n_told == ALTERNATIVES_MAX:
            continue
        found = _either(what_if, partial(_as_it_is, Change(flavors={name: match.flavor})))
        if found is not None:
            n_told += 1
            yield MatchFlavor(name, match.changes, found.answer.goes_first, found.if_first, found.reduced)


def _fewer_pods(what_if: WhatIf) -> Iterator[FewerPods]:
    """The pod set that could be smaller, the largest first, and the most pods that fit."""
    pod_sets = [ps for ps in what_if.item.info.pod_sets if ps.count > 1]
    for pod_set in sorted(pod_sets, key=lambda ps: -ps.count):
        found = _either(what_if, partial(_most_pods, what_if, pod_set))
        if found is not None:
            fits = found.change.counts[pod_set.name]
            yield FewerPods(pod_set.name, pod_set.count, fits, found.answer.goes_first, found.if_first)
            return


def _most_pods(what_if: WhatIf, pod_set: PodSetInfo, with_ahead: bool) -> Change | None:
    """The largest number of whole slices below the count; fewer pods never fit worse."""
    layers = slice_layers(pod_set.topology) if pod_set.topology is not None else []
    size = (layers[0][1] if layers else None) or 1
    best: Change | None = None
    low, high = 1, (pod_set.count - 1) // size
    while low <= high:
        middle = (low + high) // 2
        change = Change(counts={pod_set.name: middle * size})
        if what_if.ask(change, with_ahead=with_ahead).is_admitted:
            best, low = change, middle + 1
        else:
            high = middle - 1
    return best


def _as_it_is(change: Change, with_ahead: bool) -> Change:
    del with_ahead
    return change


def _either(what_if: WhatIf, find: Callable[[bool], Change | None]) -> Found | None:
    """A change that admits with those ahead served first; else one that admits as if there were nobody. Proved."""
    for with_ahead in (True, False) if what_if.has_ahead else (False,):
        what_if.begin()
        change = find(with_ahead)
        if change is not None and change != NOTHING:
            answer = what_if.ask(change, with_ahead=with_ahead)
            if answer.is_admitted:
                return Found(change, answer, if_first=what_if.has_ahead and not with_ahead)
    return None
