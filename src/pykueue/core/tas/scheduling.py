"""Topology inside of the scheduling cycle: may a flavor be used, and where do the pods of an assignment go.

Flavors are assigned first, by quota alone but for what `refuses` says. `place` comes last: where quota fits, the pods must find room beside
everybody else; where they do not, or where quota needs victims anyway, they must find room on nodes empty of other Workloads with topology, for
then preemption can help. `fits` asks the same for victims one by one. Where nodes come only with an admission check, or are a worker cluster's,
pods have no place yet: a second pass calls `place` again, or nobody does.

Neighbours: `place.py` (one pod set), `ledger.py` (what is held), `scheduler/flavor_assigner.py` and `preemption/` (who ask).

Source: tas.md §3, §5, §8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from pykueue.api.constants import Annotation, Reason
from pykueue.api.conversion.topology import Domain
from pykueue.api.v1beta2 import ResourceFlavor, Topology
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.features import Features, Gate
from pykueue.core.scheduler.assignment import Assignment, Mode, PodSetResult
from pykueue.core.tas.capacity import PodDemand, demand_of_pod, fit
from pykueue.core.tas.elastic import first, grown, refusal
from pykueue.core.tas.ledger import Places, Spot
from pykueue.core.tas.place import place
from pykueue.core.tas.replace import Loss, replace_node
from pykueue.core.tas.request import asked_levels, is_requested, resolve
from pykueue.core.tas.topology import NodeBook, Path, Tree
from pykueue.core.workload.info import Info, PodSetInfo
from pykueue.core.workload.lifecycle import has_quota
from pykueue.core.workload.requests import pod_requests

Held = dict[Spot, dict[str, int]]


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why an assignment has no place: the pod set that is told, and the text."""

    pod_set: str
    text: str
    is_error: bool = False


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
        if not set(asked_levels(pod_set.topology)) <= set(_levels(topology)):
            return f'Flavor "{flavor.name}" does not contain the requested level'
        return None

    def place(self, info: Info, assignment: Assignment) -> None:
        """Find places for all pod sets, or lower the assignment's modes and tell why (§8 steps 1, 2)."""
        if not self._plays(info, assignment) or assignment.mode is Mode.NO_FIT:
            return
        self._delay(info, assignment)
        if assignment.mode is Mode.FIT:
            found = self._find(info, assignment, is_empty=False)
            if not isinstance(found, _Fault):
                _settle(assignment, found)
                return
            self._tell(assignment, found)
            if found.is_error:
                return
        found = self._find(info, assignment, is_empty=True)
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

    def fits(self, info: Info, assignment: Assignment) -> bool:
        """Whether all pods find a place now; call it where victims are removed already."""
        if not self._plays(info, assignment):
            return True
        return not isinstance(self._find(info, assignment, is_empty=False), _Fault)

    def place_beside(self, info: Info, assignment: Assignment) -> None:
        """Note the places that there are now, to reserve them; keeps the old ones if there are none (§8 step 4)."""
        if self._plays(info, assignment):
            found = self._find(info, assignment, is_empty=False)
            if not isinstance(found, _Fault):
                _settle(assignment, found)

    def still_fits(self, assignment: Assignment) -> bool:
        """Whether every domain of the places has room now (§8 step 6)."""
        used: Held = {}
        self._use_all(used, assignment.released_places, -1)
        for places in assignment.places:
            tree = self._tree(places.flavor)
            for domain in places.domains:
                leaf = tree.leaf_of.get(domain.values) if tree is not None else None
                if tree is None or leaf is None:
                    return False
                spot = self.cache.ledger.spot(places.flavor, places.levels, domain.values)
                taken = _sum(self.cache.ledger.held(spot), used.get(spot, {}))
                left = {name: amount - taken.get(name, 0) for name, amount in tree.free[leaf].items()}
                if fit(left, places.per_pod) < domain.n_pods:
                    return False
                _use(used, spot, places.per_pod, domain.n_pods)
        return True

    def replace_nodes(self, info: Info, assignment: Assignment, nodes: Sequence[str]) -> None:
        """Find other places for the pods on lost hosts; a pod set that has none does not fit, and tells why (§9.2).

        Args:
            info: holds quota.
            assignment: with the places that it has.
            nodes: hosts that are lost.
        """
        results = {result.name: result for result in assignment.pod_sets}
        held = {name: result.places for name, result in results.items() if result.places is not None}
        used: Held = {}
        for pod_set in info.pod_sets:
            for node in nodes:
                places = held.get(pod_set.name)
                if places is None or all(d.values != (node,) for d in places.domains):
                    continue
                result = results[pod_set.name]
                moved = self._move(pod_set, places, (node,), self._anchors(info, pod_set, held, (node,)), used)
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

    def _move(
        self, pod_set: PodSetInfo, places: Places, lost: Path, anchors: Sequence[Domain], used: Held
    ) -> Places | str:
        """One pod set's places without the lost one; adds what they use more than before."""
        tree, flavor = self._tree(places.flavor), self.cache.flavors.get(places.flavor)
        if tree is None or flavor is None:
            return "workload requires Topology, but there is no TAS cache information"
        layout = resolve(tree.levels, pod_set.topology)
        if isinstance(layout, str):
            return layout
        domains = replace_node(
            flavor.spec.topology_name or "",
            tree,
            layout,
            Loss(places.domains, lost, anchors),
            pods=_demand(pod_set, flavor),
            taken=self._taken(places.flavor, tree, used, is_empty=False),
            is_mixed=self.features[Gate.TAS_PROFILE_MIXED],
        )
        if isinstance(domains, str):
            return domains
        before = {domain.values: domain.n_pods for domain in places.domains}
        for domain in domains:
            more = domain.n_pods - before.get(domain.values, 0)
            if more:
                spot = self.cache.ledger.spot(places.flavor, places.levels, domain.values)
                _use(used, spot, places.per_pod, more)
        return replace(places, domains=domains)

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

    def _find(self, info: Info, assignment: Assignment, *, is_empty: bool) -> dict[str, Places] | _Fault:
        """Places by pod set (§5): flavors by name, in each the groups in order; each sees those placed before."""
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
            group_name = _group_of(pod_set)
            scaled = pod_set if pod_set.count == result.count else pod_set.scaled_to(result.count)
            by_flavor.setdefault(flavors[0], {}).setdefault(f"group/{group_name}" if group_name else f"{i}", []).append(
                scaled
            )
        found: dict[str, Places] = {}
        held = {r.name: r.held for r in assignment.pod_sets if r.held is not None and not r.is_kept}
        used: Held = {}
        for flavor in sorted(by_flavor):
            for group in by_flavor[flavor].values():
                placed = self._place_slice(flavor, group, held, used, is_empty=is_empty)
                if placed is None:
                    placed = self._place_group(flavor, group, used, is_empty=is_empty)
                if isinstance(placed, _Fault):
                    return placed
                found |= placed
        return found

    def _is_elastic(self, info: Info) -> bool:
        gate = Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES_WITH_TAS
        return self.features[gate] and info.workload.metadata.annotations.get(Annotation.ELASTIC_JOB) == "true"

    def _place_slice(
        self, name: str, group: Sequence[PodSetInfo], held: Mapping[str, Places], used: Held, *, is_empty: bool
    ) -> dict[str, Places] | _Fault | None:
        """Begin with the places of the replaced slice (§10); None if there are none to begin with."""
        tree, mine = self._tree(name), [held[ps.name] for ps in group if ps.name in held]
        if tree is None or not mine:
            return None
        is_whole = len(mine) == len(group)
        if not is_whole or any(d.values not in tree.leaf_of for places in mine for d in places.domains):
            if not is_empty:
                # Its pods will leave the places that are counted for them.
                self._use_all(used, mine, -1)
            return None
        if is_empty:
            self._use_all(used, mine, 1)
        found: dict[str, Places] = {}
        for pod_set in group:
            kept = held[pod_set.name]
            more = pod_set.count - sum(domain.n_pods for domain in kept.domains)
            if more <= 0:
                found[pod_set.name] = replace(kept, domains=first(kept.domains, pod_set.count))
                continue
            placed = self._place_group(name, [pod_set.scaled_to(more)], used, is_empty=is_empty)
            if isinstance(placed, _Fault):
                return placed
            found[pod_set.name] = replace(kept, domains=grown(kept.domains, placed[pod_set.name].domains))
        return found

    def _use_all(self, used: Held, parts: Sequence[Places], sign: int) -> None:
        for places in parts:
            for domain in places.domains:
                spot = self.cache.ledger.spot(places.flavor, places.levels, domain.values)
                _use(used, spot, places.per_pod, sign * domain.n_pods)

    def _place_group(
        self, name: str, group: Sequence[PodSetInfo], used: Held, *, is_empty: bool
    ) -> dict[str, Places] | _Fault:
        """Place one pod set, or a leader with its workers; adds what they use."""
        workers, leader = group[0], group[1] if len(group) > 1 else None
        if leader is not None and leader.count > workers.count:
            workers, leader = leader, workers
        tree, flavor = self._tree(name), self.cache.flavors[name]
        if tree is None:
            text = "workload requires Topology, but there is no TAS cache information"
            return _Fault(workers.name, text, is_error=True)
        layout = resolve(tree.levels, workers.topology)
        if isinstance(layout, str):
            return _Fault(workers.name, layout)
        crowd = _demand(workers, flavor)
        head = _demand(leader, flavor) if leader is not None else None
        taken = self._taken(name, tree, used, is_empty=is_empty)
        is_mixed = self.features[Gate.TAS_PROFILE_MIXED]
        placed = place(flavor.spec.topology_name or "", tree, layout, crowd, head, taken=taken, is_mixed=is_mixed)
        if isinstance(placed, str):
            return _Fault(workers.name, placed)
        found = {workers.name: Places(name, placed.levels, placed.workers, crowd.per_pod)}
        if leader is not None and head is not None and placed.leader is not None:
            found[leader.name] = Places(name, placed.levels, (placed.leader,), head.per_pod)
        self._use_all(used, list(found.values()), 1)
        return found

    def _taken(self, flavor: str, tree: Tree, used: Held, *, is_empty: bool) -> Callable[[int], Mapping[str, int]]:
        ledger = self.cache.ledger
        shown = ledger.spot(flavor, tree.stored_levels, ()).flavor
        width = len(tree.stored_levels)
        paths = tree.paths[-1]
        nothing: Mapping[str, int] = {}

        def taken(leaf: int) -> Mapping[str, int]:
            spot = Spot(shown, paths[leaf][-width:])
            own = used.get(spot, nothing)
            return own if is_empty else _sum(ledger.held(spot), own)

        return taken

    def _tree(self, name: str) -> Tree | None:
        flavor = self.cache.flavors.get(name)
        topology = self.cache.topologies.get(flavor.spec.topology_name or "") if flavor is not None else None
        if flavor is None or topology is None:
            return None
        return self.book.tree(_levels(topology), flavor.spec.node_labels)

    @staticmethod
    def _tell(assignment: Assignment, fault: _Fault) -> None:
        result = next(r for r in assignment.pod_sets if r.name == fault.pod_set)
        if fault.is_error:
            result.error = fault.text
        else:
            result.reasons.append(fault.text)


def _group_of(pod_set: PodSetInfo) -> str | None:
    return pod_set.topology.pod_set_group_name if pod_set.topology is not None else None


def _settle(assignment: Assignment, found: Mapping[str, Places]) -> None:
    for result in assignment.pod_sets:
        if not result.is_kept:
            result.places = found.get(result.name)


def _levels(topology: Topology) -> tuple[str, ...]:
    return tuple(level.node_label for level in topology.spec.levels)


def _demand(pod_set: PodSetInfo, flavor: ResourceFlavor) -> PodDemand:
    per_pod = demand_of_pod(pod_requests(pod_set.spec))
    return PodDemand(pod_set.name, pod_set.count, per_pod, pod_set.spec, flavor.spec.tolerations)


def _sum(a: Mapping[str, int], b: Mapping[str, int]) -> Mapping[str, int]:
    if not b:
        return a
    return {name: a.get(name, 0) + b.get(name, 0) for name in {**a, **b}}


def _use(used: Held, spot: Spot, per_pod: Mapping[str, int], n_pods: int) -> None:
    held = used.setdefault(spot, {})
    for name, amount in per_pod.items():
        held[name] = held.get(name, 0) + amount * n_pods
