"""Topology inside of the scheduling cycle: may a flavor be used, and where do the pods of an assignment go.

Flavors are assigned first, by quota alone but for what `refuses` says. `place` comes last: where quota fits, the pods must find room beside
everybody else; where they do not, or where quota needs victims anyway, they must find room on nodes empty of other Workloads with topology, for
then preemption can help. `fitter` asks the same for victims one by one. Where nodes come only with an admission check, or are a worker cluster's,
pods have no place yet: a second pass calls `place` again, or nobody does.

A Workload is placed group by group; each is held in a ledger before the next one is placed, and all is undone at the end: in the
real ledger where there must be room beside everybody, in the blank one where others are thought away.

Neighbours: `place.py` (one pod set), `ledger.py` (what is held), `scheduler/flavor_assigner.py` and `preemption/` (who ask). Those that work on
arrays are imported when the first pod is placed.

Source: tas.md §3, §5, §8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from pykueue.api.constants import Annotation, Reason
from pykueue.api.conversion.topology import Domain
from pykueue.api.v1beta2 import ResourceFlavor, TopologyRequest
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.assignment import Assignment, Mode, PodSetResult
from pykueue.core.tas.demand import PodDemand, demand_of_pod, preferences_of
from pykueue.core.tas.elastic import first, grown, refusal
from pykueue.core.tas.ledger import Ledger, Places
from pykueue.core.tas.nodes import Path, levels_of
from pykueue.core.tas.request import Layout, asked_levels, is_requested, resolve
from pykueue.core.tas.topology import NodeBook
from pykueue.core.workload.info import Info, PodSetInfo
from pykueue.core.workload.lifecycle import has_quota
from pykueue.core.workload.requests import pod_requests

if TYPE_CHECKING:
    from pykueue.core.tas.capacity import Room
    from pykueue.core.tas.outlook import Outlook
    from pykueue.core.tas.place import Placer
    from pykueue.core.tas.tree import Tree

_NO_TREE = "workload requires Topology, but there is no TAS cache information"


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why an assignment has no place: the pod set that is told, and the text."""

    pod_set: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class _Group:
    """Pods that are placed together, on the nodes of one flavor.

    Attributes:
        flavor: its name.
        pod_sets: one, or the two of a pod set group.
        request: of the workers.
        workers: the pods that are many.
        leader: the single pod that goes with them.
    """

    flavor: str
    pod_sets: Sequence[PodSetInfo]
    request: TopologyRequest | None
    workers: PodDemand
    leader: PodDemand | None


@dataclass(frozen=True, slots=True)
class Sought:
    """Pods that find no places, and how many of them would.

    Attributes:
        flavor: its name.
        topology: its name.
        tree: domains.
        layout: of the request.
        workers: the pods that are many.
        leader: the single pod that goes with them.
        fits: [level][domain], workers that it takes in whole slices, beside the leader if it can be there.
    """

    flavor: str
    topology: str
    tree: Tree
    layout: Layout
    workers: PodDemand
    leader: PodDemand | None
    fits: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class NodeTopologies:
    """Answers from the nodes as they are now.

    Attributes:
        cache: flavors, topologies, and the ledger of what is held.
        book: nodes and foreign pods.
        features: gates in force.
    """

    cache: Cache
    book: NodeBook
    features: Features

    def refuses(self, pod_set: PodSetInfo, flavor: ResourceFlavor, queue: ClusterQueueState) -> str | None:
        """Why the pod set cannot use the flavor as far as topology goes; None if it can (§3)."""
        if not self.features[Gate.TOPOLOGY_AWARE_SCHEDULING] or self.cache.is_delegating(queue):
            return None
        asks = is_requested(pod_set.topology)
        if flavor.spec.topology_name is None:
            if not asks:
                return None
            covers = any(
                name in group.covered_resources
                for group in queue.groups
                if any(f.name == flavor.name for f in group.flavors)
                for name in pod_requests(pod_set.spec)
            )
            return f'Flavor "{flavor.name}" does not support TopologyAwareScheduling' if covers else None
        if not asks:
            is_implied = self._is_topology_only(queue)
            return None if is_implied else f'Flavor "{flavor.name}" supports only TopologyAwareScheduling'
        topology = self.cache.topologies.get(flavor.spec.topology_name)
        if topology is None:
            return f'Flavor "{flavor.name}" information missing in TAS cache'
        if not set(asked_levels(pod_set.topology)) <= set(levels_of(topology)):
            return f'Flavor "{flavor.name}" does not contain the requested level'
        return None

    def place(self, info: Info, assignment: Assignment) -> None:
        """Find places for all pod sets, or lower the assignment's modes and tell why (§8 steps 1, 2)."""
        if not self._plays(info, assignment) or assignment.mode is Mode.NO_FIT:
            return
        self._delay(info, assignment)
        ledger = self.cache.ledger
        if assignment.mode is Mode.FIT:
            found = self._find(info, assignment, ledger)
            if not isinstance(found, _Fault):
                _settle(assignment, found)
                return
            self._tell(assignment, found)
            if found.is_error:
                return
        found = self._find(info, assignment, ledger.blank)
        if isinstance(found, _Fault):
            result = next(r for r in assignment.pod_sets if r.name == found.pod_set)
            if not any(reason.startswith("topology ") or reason == found.text for reason in result.reasons):
                self._tell(assignment, found)
            result.no_fit = result.no_fit or Reason.TOPOLOGY_PLACEMENT_FAILED
            return
        _settle(assignment, found)
        for result in assignment.pod_sets:
            if result.name in found:
                result.flavors = {
                    r: msgspec.structs.replace(c, mode=min(c.mode, Mode.PREEMPT)) for r, c in result.flavors.items()
                }

    def fitter(self, info: Info, assignment: Assignment) -> Callable[[], bool]:
        """A question to ask while victims are removed and put back: whether all pods find a place now."""
        if not self._plays(info, assignment):
            return lambda: True
        ledger, held = self.cache.ledger, _held(assignment)
        groups = self._groups(info, assignment)
        if isinstance(groups, _Fault):
            return lambda: False
        if len(groups) != 1 or held:
            return lambda: not isinstance(self._place_groups(groups, held, ledger), _Fault)
        placer = self._placer(groups[0], ledger)
        if isinstance(placer, _Fault):
            return lambda: False
        return placer.fits if placer.has_leader or placer.layout.inner else self._outlook(groups[0], placer).fits

    def _outlook(self, group: _Group, placer: Placer) -> Outlook:
        """Answers of a placer that are mostly had without counting."""
        from pykueue.core.tas.outlook import Outlook

        ledger = self.cache.ledger
        room, blank = self._room(group.flavor, ledger), self._room(group.flavor, ledger.blank)
        assert room is not None
        assert blank is not None
        return Outlook(placer, room, blank.counts(placer.layout, group.workers, None))

    def place_beside(self, info: Info, assignment: Assignment) -> None:
        """Note the places that there are now, to reserve them; keeps the old ones if there are none (§8 step 4)."""
        if self._plays(info, assignment):
            found = self._find(info, assignment, self.cache.ledger)
            if not isinstance(found, _Fault):
                _settle(assignment, found)

    def still_fits(self, assignment: Assignment) -> bool:
        """Whether every domain of the places has room now (§8 step 6)."""
        given = assignment.places
        if not given:
            return True
        ledger = self.cache.ledger
        with ledger.trial():
            ledger.remove(assignment.released_places)
            for i, places in enumerate(given):
                room = self._room(places.flavor, ledger)
                if room is None or not room.holds(places):
                    return False
                if i < len(given) - 1:
                    ledger.add((places,))
        return True

    def sought(self, info: Info, assignment: Assignment) -> Sought | None:
        """The first pods that find no places now, for people who ask why; None if all find some, or need none."""
        if not self._plays(info, assignment):
            return None
        groups, ledger = self._groups(info, assignment), self.cache.ledger
        with ledger.trial():
            for group in () if isinstance(groups, _Fault) else groups:
                placed = self._place_group(group, ledger)
                if isinstance(placed, _Fault):
                    return self._sought(group, ledger)
                ledger.add(tuple(placed.values()))
        return None

    def _sought(self, group: _Group, ledger: Ledger) -> Sought | None:
        import numpy as np

        room = self._room(group.flavor, ledger)
        layout = resolve(room.tree.levels, group.request) if room is not None else ""
        if room is None or isinstance(layout, str):
            return None
        counts = room.counts(layout, group.workers, group.leader)
        fits = []
        for level in range(len(room.tree.levels)):
            has_slices = level <= layout.slice_level
            beside = counts.slices_beside_leader if has_slices else counts.pods_beside_leader
            whole = (counts.slices if has_slices else counts.pods)[level]
            units = whole if group.leader is None else np.where(counts.leaders[level] > 0, beside[level], whole)
            fits.append([n * (layout.slice_size if has_slices else 1) for n in units.tolist()])
        topology = self.cache.flavors[group.flavor].spec.topology_name or ""
        return Sought(group.flavor, topology, room.tree, layout, group.workers, group.leader, fits)

    def replace_nodes(self, info: Info, assignment: Assignment, nodes: Sequence[str]) -> None:
        """Find other places for the pods on lost hosts; a pod set that has none does not fit, and tells why (§9.2).

        Args:
            info: holds quota.
            assignment: with the places that it has.
            nodes: hosts that are lost.
        """
        results = {result.name: result for result in assignment.pod_sets}
        held = {name: result.places for name, result in results.items() if result.places is not None}
        with self.cache.ledger.trial():
            for pod_set in info.pod_sets:
                for node in nodes:
                    places = held.get(pod_set.name)
                    if places is None or all(d.values != (node,) for d in places.domains):
                        continue
                    result = results[pod_set.name]
                    moved = self._move(pod_set, places, (node,), self._anchors(info, pod_set, held, (node,)))
                    if isinstance(moved, str):
                        result.reasons.append(moved)
                        result.no_fit = Reason.TOPOLOGY_PLACEMENT_FAILED
                        return
                    held[pod_set.name] = result.places = moved
                    result.is_kept = False

    def _anchors(self, info: Info, pod_set: PodSetInfo, held: Mapping[str, Places], lost: Path) -> list[Domain]:
        """Domains that the others of the pod set's group keep."""
        group = _group_of(pod_set)
        others = [ps.name for ps in info.pod_sets if group and ps.name != pod_set.name and _group_of(ps) == group]
        return [d for name in others if name in held for d in held[name].domains if d.values != lost]

    def _move(self, pod_set: PodSetInfo, places: Places, lost: Path, anchors: Sequence[Domain]) -> Places | str:
        """One pod set's places without the lost one; holds what they use more than before."""
        from pykueue.core.tas.replace import Loss, replace_node

        ledger = self.cache.ledger
        room, flavor = self._room(places.flavor, ledger), self.cache.flavors.get(places.flavor)
        if room is None or flavor is None:
            return _NO_TREE
        layout = resolve(room.tree.levels, pod_set.topology)
        if isinstance(layout, str):
            return layout
        domains = replace_node(
            flavor.spec.topology_name or "",
            room,
            layout,
            Loss(places.domains, lost, anchors),
            pods=self._demand(pod_set, flavor),
            is_mixed=self.features[Gate.TAS_PROFILE_MIXED],
        )
        if isinstance(domains, str):
            return domains
        moved = replace(places, domains=domains)
        ledger.add((moved.beyond(places),))
        return moved

    def _is_topology_only(self, queue: ClusterQueueState) -> bool:
        flavors = (self.cache.flavors.get(name) for name in queue.uses_flavors)
        return all(f is not None and f.spec.topology_name for f in flavors)

    def _plays(self, info: Info, assignment: Assignment) -> bool:
        """Whether some pod set needs a place."""
        if not self.features[Gate.TOPOLOGY_AWARE_SCHEDULING]:
            return False
        for pod_set in info.pod_sets:
            if pod_set.topology is not None and is_requested(pod_set.topology):
                return True
        return self.cache.has_topologies and any(self._flavors_of(result) for result in assignment.pod_sets)

    def _flavors_of(self, result: PodSetResult) -> list[str]:
        """The pod set's flavors that have a topology, by name."""
        names = sorted({choice.flavor for choice in result.flavors.values()})
        known = ((name, self.cache.flavors.get(name)) for name in names)
        return [name for name, flavor in known if flavor is not None and flavor.spec.topology_name]

    def _inherited(self, pod_set: PodSetInfo, pod_sets: Mapping[str, PodSetInfo], assignment: Assignment) -> list[str]:
        """Flavors of the others in the pod set's group, for one that requests nothing itself."""
        name = _group_of(pod_set)
        others = [r for r in assignment.pod_sets if name and _group_of(pod_sets[r.name]) == name]
        return sorted({flavor for result in others for flavor in self._flavors_of(result)})

    def _delay(self, info: Info, assignment: Assignment) -> None:
        """Leave out the pods whose nodes are not there yet, or are another cluster's (§3)."""
        queue = self.cache.queue(info.cluster_queue)
        if queue is None:
            return
        is_delegated, is_first_pass = self.cache.is_delegating(queue), not has_quota(info.workload)
        pod_sets = {ps.name: ps for ps in info.pod_sets}
        for result in assignment.pod_sets:
            pod_set = pod_sets[result.name]
            flavors = self._flavors_of(result) or self._inherited(pod_set, pod_sets, assignment)
            if is_delegated:
                result.is_delayed = bool(flavors) or is_requested(pod_set.topology)
            elif is_first_pass:
                result.is_delayed = any(self.cache.is_provisioned(queue, flavor) for flavor in flavors)

    def _find(self, info: Info, assignment: Assignment, ledger: Ledger) -> dict[str, Places] | _Fault:
        """Places by pod set, beside what the ledger holds."""
        groups = self._groups(info, assignment)
        return groups if isinstance(groups, _Fault) else self._place_groups(groups, _held(assignment), ledger)

    def _groups(self, info: Info, assignment: Assignment) -> list[_Group] | _Fault:
        """What is to be placed, in order (§5): flavors by name, in each the pod set groups."""
        pod_sets = {ps.name: ps for ps in info.pod_sets}
        by_flavor: dict[str, dict[str, list[PodSetInfo]]] = {}
        is_elastic = self._is_elastic(info)
        for i, result in enumerate(assignment.pod_sets):
            pod_set = pod_sets[result.name]
            flavors = self._flavors_of(result) or self._inherited(pod_set, pod_sets, assignment)
            if result.is_kept or result.is_delayed:
                continue
            if result.count == 0 or not (flavors or is_requested(pod_set.topology)):
                continue
            if not flavors:
                return _Fault(result.name, "no TAS flavor assigned", is_error=True)
            if len(flavors) > 1:
                text = f"more than one TAS flavor assigned: {', '.join(flavors)}"
                return _Fault(result.name, text, is_error=True)
            refused = refusal(pod_set.topology) if is_elastic else None
            if refused is not None:
                return _Fault(result.name, refused)
            name = _group_of(pod_set)
            scaled = pod_set if pod_set.count == result.count else pod_set.scaled_to(result.count)
            by_flavor.setdefault(flavors[0], {}).setdefault(f"group/{name}" if name else f"{i}", []).append(scaled)
        return [self._group(flavor, members) for flavor in sorted(by_flavor) for members in by_flavor[flavor].values()]

    def _group(self, flavor: str, pod_sets: Sequence[PodSetInfo]) -> _Group:
        """Pods to place together: the larger of two pod sets works, the other leads."""
        workers, leader = pod_sets[0], pod_sets[1] if len(pod_sets) > 1 else None
        if leader is not None and leader.count > workers.count:
            workers, leader = leader, workers
        found = self.cache.flavors[flavor]
        head = self._demand(leader, found) if leader is not None else None
        return _Group(flavor, pod_sets, workers.topology, self._demand(workers, found), head)

    def _place_groups(
        self, groups: Sequence[_Group], held: Mapping[str, Places], ledger: Ledger
    ) -> dict[str, Places] | _Fault:
        """Places by pod set; each group sees those placed before."""
        found: dict[str, Places] = {}
        with ledger.trial():
            for group in groups:
                placed = self._place_slice(group, held, ledger) if held else None
                if placed is None:
                    placed = self._place_group(group, ledger)
                    if not isinstance(placed, _Fault) and group is not groups[-1]:
                        ledger.add(tuple(placed.values()))
                if isinstance(placed, _Fault):
                    return placed
                found |= placed
        return found

    def _is_elastic(self, info: Info) -> bool:
        gate = Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES_WITH_TAS
        return self.features[gate] and info.workload.metadata.annotations.get(Annotation.ELASTIC_JOB) == "true"

    def _place_slice(
        self, group: _Group, held: Mapping[str, Places], ledger: Ledger
    ) -> dict[str, Places] | _Fault | None:
        """Begin with the places of the replaced slice (§10), and hold what is added; None if there are none to begin with."""
        room = self._room(group.flavor, ledger)
        mine = [held[pod_set.name] for pod_set in group.pod_sets if pod_set.name in held]
        if room is None or not mine:
            return None
        is_whole = len(mine) == len(group.pod_sets)
        if not is_whole or any(d.values not in room.tree.leaf_of for places in mine for d in places.domains):
            if ledger is self.cache.ledger:
                # Its pods will leave the places that are counted for them.
                ledger.remove(mine)
            return None
        if ledger is not self.cache.ledger:
            ledger.add(mine)
        found: dict[str, Places] = {}
        for pod_set in group.pod_sets:
            kept = held[pod_set.name]
            more = pod_set.count - sum(domain.n_pods for domain in kept.domains)
            if more <= 0:
                found[pod_set.name] = replace(kept, domains=first(kept.domains, pod_set.count))
                continue
            placed = self._place_group(self._group(group.flavor, [pod_set.scaled_to(more)]), ledger)
            if isinstance(placed, _Fault):
                return placed
            ledger.add(tuple(placed.values()))
            found[pod_set.name] = replace(kept, domains=grown(kept.domains, placed[pod_set.name].domains))
        return found

    def _place_group(self, group: _Group, ledger: Ledger) -> dict[str, Places] | _Fault:
        """Place one pod set, or a leader with its workers."""
        workers, leader = group.workers, group.leader
        placer = self._placer(group, ledger)
        placed = placer if isinstance(placer, _Fault) else placer.run()
        if isinstance(placed, _Fault):
            return placed
        if isinstance(placed, str):
            return _Fault(workers.name, placed)
        found = {workers.name: Places(group.flavor, placed.levels, placed.workers, workers.per_pod)}
        if leader is not None and placed.leader is not None:
            found[leader.name] = Places(group.flavor, placed.levels, (placed.leader,), leader.per_pod)
        return found

    def _placer(self, group: _Group, ledger: Ledger) -> Placer | _Fault:
        """What finds places for a group, now and later."""
        from pykueue.core.tas.place import make_placer

        room, flavor = self._room(group.flavor, ledger), self.cache.flavors[group.flavor]
        if room is None:
            return _Fault(group.workers.name, _NO_TREE, is_error=True)
        layout = resolve(room.tree.levels, group.request)
        if isinstance(layout, str):
            return _Fault(group.workers.name, layout)
        placer = make_placer(
            flavor.spec.topology_name or "",
            room,
            layout,
            group.workers,
            group.leader,
            is_mixed=self.features[Gate.TAS_PROFILE_MIXED],
            is_balanced=self.features[Gate.TAS_BALANCED_PLACEMENT],
        )
        return _Fault(group.workers.name, placer) if isinstance(placer, str) else placer

    def _room(self, name: str, ledger: Ledger) -> Room | None:
        """What is left on a flavor's nodes; None if it has no topology, or that is not known."""
        from pykueue.core.tas.capacity import room_of

        flavor = self.cache.flavors.get(name)
        topology = self.cache.topologies.get(flavor.spec.topology_name or "") if flavor is not None else None
        if flavor is None or topology is None:
            return None
        return room_of(self.book.tree(levels_of(topology), flavor.spec.node_labels), ledger, name)

    def _demand(self, pod_set: PodSetInfo, flavor: ResourceFlavor) -> PodDemand:
        spec, counts_affinity = pod_set.spec, self.features[Gate.TAS_RESPECT_NODE_AFFINITY_PREFERRED]
        return PodDemand(
            pod_set.name,
            pod_set.count,
            demand_of_pod(pod_requests(spec)),
            spec,
            flavor.spec.tolerations,
            preferences_of(spec) if counts_affinity else (),
        )

    @staticmethod
    def _tell(assignment: Assignment, fault: _Fault) -> None:
        result = next(r for r in assignment.pod_sets if r.name == fault.pod_set)
        if fault.is_error:
            result.error = fault.text
        else:
            result.reasons.append(fault.text)


def _group_of(pod_set: PodSetInfo) -> str | None:
    return pod_set.topology.pod_set_group_name if pod_set.topology is not None else None


def _held(assignment: Assignment) -> dict[str, Places]:
    """Places that a replaced slice is counted with, of the pod sets that begin with them."""
    return {r.name: r.held for r in assignment.pod_sets if r.held is not None and not r.is_kept}


def _settle(assignment: Assignment, found: Mapping[str, Places]) -> None:
    for result in assignment.pod_sets:
        if not result.is_kept:
            result.places = found.get(result.name)
