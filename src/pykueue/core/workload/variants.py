"""Parents and variants of concurrent admission: what they are, and which flavor is liked better.

In a ClusterQueue with `concurrentAdmissionPolicy` the Workload of a job is a *parent*: it never waits itself. For each flavor a *variant* waits
in its place, a Workload that the parent owns and that may use that flavor alone. The first flavor of the queue is the most favorable.

Source: scheduling.md §15.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.api.constants import Annotation
from pykueue.api.kinds import WORKLOAD
from pykueue.api.v1beta2 import ClusterQueue, OwnerRef, Workload

PREEMPTION_GATE = "kueue.x-k8s.io/concurrent-admission"
PARENT = "true"
"""Value of the label `concurrent-admission-parent`."""


def parent_of(workload: Workload) -> OwnerRef | None:
    """The parent of a variant; None for other Workloads."""
    return next((ref for ref in workload.metadata.owner_references if WORKLOAD.is_kind_of(ref)), None)


def flavor_of(variant: Workload) -> str:
    """The one flavor that a variant may use."""
    return variant.metadata.annotations.get(Annotation.ALLOWED_RESOURCE_FLAVORS, "")


def flavors_of(queue: ClusterQueue) -> Sequence[str]:
    """The flavors of a ClusterQueue, the most favorable first."""
    return [flavor.name for group in queue.spec.resource_groups for flavor in group.flavors]


def rank(queue: ClusterQueue, flavor: str) -> int:
    """0 for the most favorable flavor; a flavor that is not the queue's comes last."""
    known = flavors_of(queue)
    return known.index(flavor) if flavor in known else len(known)


def last_acceptable(queue: ClusterQueue) -> int:
    """Rank of the last flavor that a Workload may move to."""
    policy = queue.spec.concurrent_admission_policy
    constraints = policy.migration.constraints if policy is not None else None
    last = constraints.last_acceptable_flavor_name if constraints is not None else ""
    return rank(queue, last) if last else len(flavors_of(queue)) - 1


def retains_first(queue: ClusterQueue) -> bool:
    """Whether an admitted Workload stays where it is."""
    policy = queue.spec.concurrent_admission_policy
    return policy is not None and policy.migration.mode == "RetainFirstAdmission"
