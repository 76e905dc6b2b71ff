"""The shapes of Kueue's own scalability scenarios, for the benchmarks here: who arrives when, and what is to be shared.

ClusterQueues of 20 cpu, in cohorts that lend everything; in each queue three classes of Workloads of one pod arrive at fixed intervals, run
for a fixed time once admitted, and preempt each other by priority.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Class:
    """Workloads of one kind, per ClusterQueue."""

    name: str
    cpu: int
    priority: int
    n_workloads: int
    every_ms: int
    runs_ms: int


@dataclass(frozen=True)
class Scenario:
    """A whole scenario.

    Attributes:
        name: of the scenario.
        cohorts: their number.
        queues: ClusterQueues in each.
        classes: what arrives in each of them.
        kueue: what Kueue's CI measures, wall time and API server included: seconds, part of the quota in use, and mean seconds to
            admission by class; empty where it does not say.
    """

    name: str
    cohorts: int
    queues: int
    classes: tuple[Class, ...]
    kueue: dict[str, float]

    def queue_names(self) -> list[str]:
        """Names of the ClusterQueues, which are those of their LocalQueues too."""
        return [f"cq-{cohort}-{n}" for cohort in range(self.cohorts) for n in range(self.queues)]

    def scaled(self, part: float) -> Scenario:
        """As many queues, with a part of the Workloads."""
        classes = tuple(replace(c, n_workloads=max(1, round(c.n_workloads * part))) for c in self.classes)
        return replace(self, classes=classes)


BASELINE = Scenario(
    "baseline", 5, 6,
    (
        Class("small", 1, 50, 350, 100, 200),
        Class("medium", 5, 100, 100, 500, 500),
        Class("large", 20, 200, 50, 1200, 1000),
    ),
    {"s": 351, "usage": 0.559, "large_s": 16.5, "medium_s": 76.8, "small_s": 215.5},
)  # fmt: skip
LARGE = Scenario(
    "large", 10, 100,
    (
        Class("small", 1, 50, 35, 60, 150),
        Class("medium", 5, 100, 11, 300, 350),
        Class("large", 20, 200, 4, 700, 700),
    ),
    {"s": 1179, "usage": 0.386},
)  # fmt: skip


def cluster_queue_spec(cohort: str, cpu: str = "20") -> dict[str, Any]:
    """Quota of one ClusterQueue."""
    quota = {"name": "cpu", "nominalQuota": cpu, "borrowingLimit": "100"}
    return {
        "cohortName": cohort,
        "namespaceSelector": {},
        "preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "LowerPriority"},
        "resourceGroups": [{"coveredResources": ["cpu"], "flavors": [{"name": "default", "resources": [quota]}]}],
    }


def workload_spec(queue: str, cpu: int, priority: int) -> dict[str, Any]:
    """A Workload of one pod."""
    container = {"name": "c", "image": "example.com/bench:1", "resources": {"requests": {"cpu": str(cpu)}}}
    pod_set = {"name": "main", "count": 1, "template": {"spec": {"containers": [container], "restartPolicy": "Never"}}}
    return {"podSets": [pod_set], "queueName": queue, "priority": priority}
