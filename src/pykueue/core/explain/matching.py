"""What keeps pods off a flavor, and the flavor as it would have to be: without those taints, without those labels.

The scheduler compares pods with the flavor's own taints and labels only, so a flavor without the obstacle is judged just as pods that tolerate
the taint, or ask for the label's value.

Source: scheduling.md §6.2 steps 4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pykueue.api.v1beta2 import ResourceFlavor
from pykueue.core.scheduler.affinity import matches_affinity, untolerated_taint
from pykueue.core.workload.info import PodSetInfo


@dataclass(frozen=True, slots=True)
class Match:
    """A flavor that the pods may use.

    Attributes:
        flavor: without what keeps them off.
        changes: what its pods would have to say instead, one sentence each.
    """

    flavor: ResourceFlavor
    changes: tuple[str, ...]


def closest_match(flavor: ResourceFlavor, pod_sets: Sequence[PodSetInfo]) -> Match | None:
    """The flavor with as little taken away as lets all pod sets use it; None if nothing keeps them off."""
    changes: dict[str, None] = {}
    for pod_set in pod_sets:
        while untolerated_taint(flavor, pod_set.spec) is not None:
            flavor = _without_taint(flavor, pod_set, changes)
        if not matches_affinity(flavor, pod_set.spec):
            flavor = _without_labels(flavor, pod_set, changes)
    return Match(flavor, tuple(changes)) if changes else None


def _without_taint(flavor: ResourceFlavor, pod_set: PodSetInfo, changes: dict[str, None]) -> ResourceFlavor:
    """Without the first taint that the pods do not tolerate."""
    for taint in flavor.spec.node_taints:
        only = _with_spec(flavor, node_taints=(taint,))
        if untolerated_taint(only, pod_set.spec) is not None:
            shown = (
                f"{taint.get('key', '')}{'=' + taint['value'] if taint.get('value') else ''}:{taint.get('effect', '')}"
            )
            changes[f"pod set {pod_set.name} tolerates the taint {shown}"] = None
            rest = tuple(other for other in flavor.spec.node_taints if other is not taint)
            return _with_spec(flavor, node_taints=rest)
    raise AssertionError(f"flavor {flavor.name} has no taint that is in the way")


def _without_labels(flavor: ResourceFlavor, pod_set: PodSetInfo, changes: dict[str, None]) -> ResourceFlavor:
    """Without the labels that the node selector contradicts, and if need be without all that the affinity names."""
    labels = dict(flavor.spec.node_labels)
    selector: Mapping[str, str] = pod_set.spec.get("nodeSelector") or {}
    for key, value in selector.items():
        if key in labels and labels[key] != value:
            changes[f"pod set {pod_set.name} selects {key}={labels.pop(key)}, not {key}={value}"] = None
    freed = _with_spec(flavor, node_labels=labels)
    if matches_affinity(freed, pod_set.spec):
        return freed
    for key in _affinity_keys(pod_set.spec):
        if key in labels:
            changes[f"the node affinity of pod set {pod_set.name} allows {key}={labels.pop(key)}"] = None
    return _with_spec(flavor, node_labels=labels)


def _affinity_keys(spec: Mapping[str, Any]) -> Iterator[str]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for expression in term.get("matchExpressions") or ():
            yield str(expression.get("key"))


def _with_spec(flavor: ResourceFlavor, **changes: Any) -> ResourceFlavor:
    return msgspec.structs.replace(flavor, spec=msgspec.structs.replace(flavor.spec, **changes))
