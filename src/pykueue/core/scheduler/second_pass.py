"""A Workload that holds quota, seen as an assignment that only lacks places.

Flavors and counts are those of its admission and ask for no more quota; places that it has stay, unless a node under them is lost. So the same
steps of a cycle that decide about new Workloads decide about its places, and only what these take beyond what it holds is looked for.

Source: scheduling.md §3.8, tas.md §3, §8, §9.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pykueue.api.v1beta2 import Admission, Workload
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.assignment import Assignment, FlavorChoice, Mode, PodSetResult, ScanProgress
from pykueue.core.tas.ledger import Places, placed_names, places_of
from pykueue.core.workload.info import Info, PodSetInfo

_NO_PROGRESS = ScanProgress((), 0, 0, "")


def standing_assignment(info: Info, queue: ClusterQueueState, cache: Cache) -> Assignment:
    """The assignment that a Workload with quota has."""
    admission = info.workload.status.admission
    assert admission is not None
    held = held_places(info.workload, cache)
    results = []
    usage: dict[int, int] = {}
    for given in admission.pod_set_assignments:
        pod_set = next((ps for ps in info.pod_sets if ps.name == given.name), None)
        if pod_set is None:
            continue
        number = queue.node.tree.number
        flavors = {
            name: FlavorChoice(flavor, Mode.FIT, 0, -1, number(FlavorResource(flavor, name)))
            for name, flavor in given.flavors.items()
        }
        # Nothing more is asked for, yet these are the amounts that victims would have to hold.
        usage |= {choice.item: 0 for choice in flavors.values()}
        result = PodSetResult(given.name, given.count or pod_set.count, pod_set.requests, flavors)
        result.places = result.held = held.get(given.name)
        result.is_kept = result.places is not None
        results.append(result)
    return Assignment(results, usage, 0, _NO_PROGRESS)


def held_places(workload: Workload, cache: Cache) -> dict[str, Places]:
    """Pod set to the places that the Workload's admission gives it."""
    return dict(zip(placed_names(workload), places_of(workload, cache.has_topology), strict=True))


def with_check_updates(info: Info) -> Info:
    """The Workload with what its ready admission checks say about nodes: selectors and tolerations of the pods (tas.md §3)."""
    updates = [u for c in info.workload.status.admission_checks if c.state == "Ready" for u in c.pod_set_updates]
    if not updates:
        return info
    pod_sets = []
    for pod_set in info.pod_sets:
        selector, tolerations = dict(pod_set.spec.get("nodeSelector") or {}), [*(pod_set.spec.get("tolerations") or ())]
        for update in updates:
            if update.name == pod_set.name:
                selector |= update.node_selector
                tolerations += update.tolerations
        pod_sets.append(_with_spec(pod_set, {"nodeSelector": selector, "tolerations": tolerations}))
    return msgspec.structs.replace(info, pod_sets=tuple(pod_sets))


def renewed_admission(admission: Admission, assignment: Assignment, *, by_hostname_prefix: bool) -> Admission:
    """The admission with the places that were found; the rest is as it was."""
    found = {result.name: result.places for result in assignment.pod_sets if not result.is_kept}
    renewed = []
    for given in admission.pod_set_assignments:
        places = found.get(given.name)
        if places is not None:
            is_due = given.delayed_topology_request is not None
            given = msgspec.structs.replace(
                given,
                topology_assignment=places.assignment(by_hostname_prefix=by_hostname_prefix),
                delayed_topology_request="Ready" if is_due else None,
            )
        renewed.append(given)
    return msgspec.structs.replace(admission, pod_set_assignments=tuple(renewed))


def _with_spec(pod_set: PodSetInfo, changes: Mapping[str, Any]) -> PodSetInfo:
    return msgspec.structs.replace(pod_set, spec={**pod_set.spec, **changes})
