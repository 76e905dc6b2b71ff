"""What the shell counts about itself. The product's own series (`kueue_…`) are derived elsewhere from decisions.

Each manager has its own registry, so that several live in one process. Labels are bounded: verbs, kinds and reconciler names,
never names of objects.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class RuntimeMetrics:
    """Counters of the loop, the writes and the watches."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register the series, in a registry of their own unless one is given."""
        self.registry = registry if registry is not None else CollectorRegistry()
        self.requests = Counter(
            "pykueue_api_requests_total", "Writes and lists sent to the API server", ["verb", "kind"],
            registry=self.registry,
        )  # fmt: skip
        self.failures = Counter(
            "pykueue_api_request_failures_total", "Refused or broken requests, by reason", ["verb", "kind", "reason"],
            registry=self.registry,
        )  # fmt: skip
        self.reconciles = Counter(
            "pykueue_reconciles_total", "Passes of reconcilers, by how they ended", ["reconciler", "result"],
            registry=self.registry,
        )  # fmt: skip
        self.faults = Counter(
            "pykueue_faults_total", "Unexpected errors that were contained, by place", ["place"], registry=self.registry
        )
        self.cycles = Histogram(
            "pykueue_cycle_seconds", "Time that one scheduling cycle took", registry=self.registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
        )  # fmt: skip
        self.events_dropped = Counter(
            "pykueue_events_dropped_total", "Events that were not recorded, by cause", ["cause"], registry=self.registry
        )
        self.relists = Counter("pykueue_relists_total", "Lists of a kind", ["kind"], registry=self.registry)
        self.inbox = Gauge("pykueue_inbox_length", "Items that wait for the loop", registry=self.registry)
        self.leader = Gauge("pykueue_leader", "1 if this replica acts, else 0", registry=self.registry)
