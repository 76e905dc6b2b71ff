"""Topology without placement: what can be said of flavors and pod sets from their objects alone.

The scheduler asks a `Topologies` (see `scheduler/flavor_assigner.py`) whether a pod set may use a flavor. This one knows no nodes: a flavor
with a topology is answered as Kueue answers one whose nodes it has not seen yet, so nothing is ever admitted without a place.

Source: tas.md §3.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykueue.api.v1beta2 import ResourceFlavor, TopologyRequest
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.workload.info import PodSetInfo


@dataclass(frozen=True, slots=True)
class MissingTopologies:
    """Answers for flavors none of whose nodes are known."""

    cache: Cache

    def refuses(self, pod_set: PodSetInfo, flavor: ResourceFlavor, queue: ClusterQueueState) -> str | None:
        """Why the pod set cannot use the flavor; None if topology plays no part."""
        asks = is_topology_requested(pod_set.topology)
        if flavor.spec.topology_name is None:
            return (
                f'Flavor "{flavor.name}" does not support TopologyAwareScheduling'
                if asks and pod_set.requests
                else None
            )
        if asks or self._is_topology_only(queue):
            return f'Flavor "{flavor.name}" information missing in TAS cache'
        return f'Flavor "{flavor.name}" supports only TopologyAwareScheduling'

    def _is_topology_only(self, queue: ClusterQueueState) -> bool:
        flavors = (self.cache.flavors.get(name) for name in queue.uses_flavors)
        return all(f is not None and f.spec.topology_name for f in flavors)


def is_topology_requested(request: TopologyRequest | None) -> bool:
    """Whether a pod set asks for topology explicitly."""
    return request is not None and bool(
        request.required or request.preferred or request.unconstrained or request.pod_set_slice_required_topology
    )
