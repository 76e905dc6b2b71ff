"""Kueue's series, from events and cycles to the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pykueue.api import kinds
from pykueue.api.configuration.types import Configuration
from pykueue.api.errors import InvariantError
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.series import SERIES, Sample, SeriesType, doubling
from pykueue.controllers.admission import AdmissionController
from pykueue.core.engine import AdmissionEngine
from pykueue.core.features import Features
from pykueue.ports.reader import Indexer
from pykueue.runtime.kueue_metrics import MeteredEngine
from pykueue.runtime.series import SeriesCollector

START = Instant(1_700_000_000 * SECOND_US)
CONDITION_TIME = format_time(START)


class Cluster:
    """A metered engine, its cache, and the role of its replica."""

    def __init__(self, role: str = "leader") -> None:
        self.role = role
        features = Features({})
        controller = AdmissionController(AdmissionEngine(Configuration(), features), features)
        self.engine = MeteredEngine(controller, Configuration(), features, lambda: self.role, {"git_version": "v1"})
        self.reader = Indexer()
        self.now = START
        self.registry = CollectorRegistry()
        self.registry.register(self.engine.collector)

    def put(self, kind: Kind, obj: Obj, *, deleted: bool = False) -> None:
        event = self.reader.apply(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **obj}, deleted=deleted)
        assert event is not None
        assert (event.change is Change.DELETED) == deleted
        self.engine.apply(event, self.reader, self.now)

    def queue(self, name: str, cpu: str, **spec: Any) -> None:
        self.put(kinds.NAMESPACE, named("ns"))
        self.put(kinds.RESOURCE_FLAVOR, {**named("f"), "spec": {}})
        flavor = {"name": "f", "resources": [{"name": "cpu", "nominalQuota": cpu}]}
        groups = [{"coveredResources": ["cpu"], "flavors": [flavor]}]
        self.put(
            kinds.CLUSTER_QUEUE, {**named(name), "spec": {"resourceGroups": groups, "namespaceSelector": {}, **spec}}
        )
        self.put(kinds.LOCAL_QUEUE, {**named(name, "ns"), "spec": {"clusterQueue": name}})

    def workload(self, name: str, queue: str, cpu: str, version: int = 1, **more: Any) -> None:
        container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
        pod_set = {"name": "main", "count": 1, "template": {"spec": {"containers": [container]}}}
        spec = {"queueName": queue, "podSets": [pod_set], "priority": more.get("priority", 0)}
        meta = {**named(name, "ns")["metadata"], "resourceVersion": str(version), **more.get("metadata", {})}
        self.put(kinds.WORKLOAD, {"metadata": meta, "spec": spec, "status": more.get("status", {})})

    def admit(self, name: str, queue: str, cpu: str, *conditions: Mapping[str, Any], version: int = 2) -> None:
        """Write what an admission leaves, with further conditions."""
        assignment = {"name": "main", "count": 1, "flavors": {"cpu": "f"}, "resourceUsage": {"cpu": cpu}}
        status = {
            "admission": {"clusterQueue": queue, "podSetAssignments": [assignment]},
            "conditions": [condition("QuotaReserved"), condition("Admitted"), *conditions],
            "schedulingStats": {"evictions": [{"reason": "Preempted", "underlyingCause": "", "count": 1}]},
        }
        if not conditions:
            del status["schedulingStats"]
        self.workload(name, queue, cpu, version, status=status)

    def read(self) -> dict[str, float]:
        """Samples of the text by name and labels, without buckets."""
        found = {}
        for family in text_string_to_metric_families(generate_latest(self.registry).decode()):
            for sample in family.samples:
                if not sample.name.endswith("_bucket"):
                    labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
                    found[f"{sample.name}{{{labels}}}"] = sample.value
        return found

    def told(self, name: str) -> list[str]:
        return sorted(line for line in self.read() if line.startswith(f"kueue_{name}{{"))


def named(name: str, namespace: str = "") -> dict[str, Any]:
    meta = {"name": name, "uid": f"uid-{name}", "generation": 1, "creationTimestamp": CONDITION_TIME}
    return {"metadata": meta | ({"namespace": namespace} if namespace else {})}


def condition(type_: str, reason: str = "x") -> dict[str, Any]:
    return {"type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": CONDITION_TIME}


def test_a_cycle_is_an_attempt() -> None:
    """One per cycle with heads; it succeeds if something was admitted."""
    cluster = Cluster()
    cluster.queue("cq", "2")
    cluster.engine.cycle(cluster.reader, cluster.now)
    assert cluster.told("admission_attempts_total") == []
    cluster.workload("fits", "cq", "1")
    cluster.engine.cycle(cluster.reader, cluster.now)
    cluster.workload("big", "cq", "5")
    cluster.engine.cycle(cluster.reader, cluster.now)
    found = cluster.read()
    for result in ("success", "inadmissible"):
        labels = f"replica_role=leader,result={result}"
        assert found[f"kueue_admission_attempts_total{{{labels}}}"] == 1
        assert found[f"kueue_admission_attempt_duration_seconds_count{{{labels}}}"] == 1


def test_an_admission_is_counted_when_it_is_seen_to_be_written() -> None:
    """Not when it was decided on; and the gauges follow."""
    cluster = Cluster()
    cluster.queue("cq", "2")
    cluster.workload("w", "cq", "1")
    cluster.engine.cycle(cluster.reader, cluster.now)
    assert cluster.told("admitted_workloads_total") == []
    cluster.now = Instant(START + 3 * SECOND_US)
    cluster.admit("w", "cq", "1")
    found = cluster.read()
    labels = "cluster_queue=cq,priority_class=,replica_role=leader"
    assert found[f"kueue_admitted_workloads_total{{{labels}}}"] == 1
    assert found[f"kueue_admission_wait_time_seconds_sum{{{labels}}}"] == 3
    assert found["kueue_admitted_active_workloads{cluster_queue=cq,replica_role=leader}"] == 1
    assert found["kueue_local_queue_admitted_workloads_total{name=cq,namespace=ns,priority_class=,replica_role=leader}"]


def test_a_preemption_names_the_queue_that_preempts() -> None:
    """The victim's status does not say for whom it was preempted; the decision did."""
    cluster = Cluster()
    cluster.queue("cq", "2", preemption={"withinClusterQueue": "LowerPriority"})
    cluster.workload("low", "cq", "2")
    cluster.admit("low", "cq", "2")
    cluster.workload("high", "cq", "2", priority=1)
    cluster.engine.cycle(cluster.reader, cluster.now)
    preempted = (condition("Evicted", "Preempted"), condition("Preempted", "InClusterQueue"))
    cluster.admit("low", "cq", "2", *preempted, version=3)
    assert cluster.told("preempted_workloads_total") == [
        "kueue_preempted_workloads_total{preempting_cluster_queue=cq,reason=InClusterQueue,replica_role=leader}"
    ]
    assert len(cluster.told("evicted_workloads_total")) == 1


def test_counting_keeps_no_old_versions() -> None:
    """However often a Workload changes, the reader remembers the present one alone."""
    cluster = Cluster()
    cluster.queue("cq", "2")
    for version in range(1, 30):
        status = {"conditions": [condition("PodsReady")]} if version % 2 else {}
        cluster.workload("w", "cq", "1", version, status=status)
    assert sum(obj["kind"] == "Workload" for obj, _ in cluster.reader._decoded.values()) == 1


def test_a_follower_measures_and_does_not_count() -> None:
    """It sees the leader's writes: gauges follow, counters stay at zero; elected, all its series change their role."""
    cluster = Cluster("follower")
    cluster.queue("cq", "2")
    cluster.workload("w", "cq", "1")
    cluster.admit("w", "cq", "1")
    assert cluster.told("admitted_workloads_total") == []
    assert cluster.told("admitted_active_workloads") == [
        "kueue_admitted_active_workloads{cluster_queue=cq,replica_role=follower}"
    ]
    cluster.role = "leader"
    assert not [line for line in cluster.read() if "replica_role=follower" in line]


def test_a_new_job_is_timed_to_its_workload() -> None:
    """Jobs of the first generation, and only if the Workload came while this process ran."""
    cluster = Cluster()
    cluster.queue("cq", "2")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "uid-j", "controller": True}
    later = format_time(Instant(START + 2 * SECOND_US))
    cluster.reader.apply(kinds.JOB, {"apiVersion": "batch/v1", "kind": "Job", **named("j", "ns")})
    cluster.workload("w", "cq", "1", metadata={"ownerReferences": [owner], "creationTimestamp": later})
    old = format_time(Instant(START - SECOND_US))
    cluster.workload("v", "cq", "1", metadata={"ownerReferences": [owner], "creationTimestamp": old})
    set_kind = kinds.LEADER_WORKER_SET
    set_ = {"apiVersion": set_kind.api_version, "kind": set_kind.kind, "name": "s", "uid": "uid-s"}
    cluster.reader.apply(set_kind, {**set_, **named("s", "ns")})
    cluster.workload("s-0", "cq", "1", metadata={"ownerReferences": [set_], "creationTimestamp": later})
    found = cluster.read()
    assert found["kueue_workload_creation_latency_seconds_sum{job_kind=LeaderWorkerSet,replica_role=leader}"] == 2
    assert found["kueue_workload_creation_latency_seconds_sum{job_kind=Job,replica_role=leader}"] == 2
    assert found["kueue_workload_creation_latency_seconds_count{job_kind=Job,replica_role=leader}"] == 1


def test_a_gate_that_is_removed_is_timed_from_the_admission() -> None:
    """Our gates alone, and whether the pod is one of a group."""
    cluster = Cluster()
    cluster.queue("cq", "2")
    cluster.workload("w", "cq", "1")
    cluster.admit("w", "cq", "1")
    meta = named("p", "ns")["metadata"] | {
        "annotations": {"kueue.x-k8s.io/workload": "w", "kueue.x-k8s.io/pod-group-name": "w"}
    }
    gates = [{"name": "kueue.x-k8s.io/admission"}, {"name": "example.com/other"}]
    cluster.now = Instant(START + 2 * SECOND_US)
    cluster.put(kinds.POD, {"metadata": meta | {"resourceVersion": "1"}, "spec": {"schedulingGates": gates}})
    cluster.put(kinds.POD, {"metadata": meta | {"resourceVersion": "2"}, "spec": {}})
    cluster.put(kinds.POD, {"metadata": meta | {"resourceVersion": "3"}, "spec": {"nodeName": "n"}})
    labels = "cluster_queue=cq,is_group=true,name=kueue.x-k8s.io/admission,replica_role=leader"
    assert cluster.told("pod_scheduling_gate_removal_seconds_sum") == [
        f"kueue_pod_scheduling_gate_removal_seconds_sum{{{labels}}}"
    ]
    found = cluster.read()
    assert found[f"kueue_pod_scheduling_gate_removal_seconds_sum{{{labels}}}"] == 2
    assert found[f"kueue_pod_scheduling_gate_removal_seconds_count{{{labels}}}"] == 1


@pytest.mark.parametrize(
    ("kind", "key"),
    [(kinds.CLUSTER_QUEUE, ObjectKey("", "cq")), (kinds.LOCAL_QUEUE, ObjectKey("ns", "cq"))],
    ids=["ClusterQueue", "LocalQueue"],
)
def test_what_is_deleted_leaves_no_series(kind: Kind, key: ObjectKey) -> None:
    """Counts and gauges of a queue go with it; the other kind's stay."""
    cluster = Cluster()
    cluster.queue("cq", "2")
    cluster.workload("w", "cq", "1")
    cluster.admit("w", "cq", "1")
    obj = cluster.reader.get(kind, *key)
    assert obj is not None
    cluster.put(kind, obj, deleted=True)
    found = cluster.read()
    assert any("cluster_queue=cq" in line and "_total" in line for line in found) == (kind != kinds.CLUSTER_QUEUE)
    assert any("local_queue_" in line and "_total" in line for line in found) == (kind != kinds.LOCAL_QUEUE)


def collector(samples: Sequence[Sample] = ()) -> SeriesCollector:
    return SeriesCollector(lambda: "standalone", lambda: samples, {})


def test_histograms_have_kueues_buckets() -> None:
    """Bounds as Kueue's, counts cumulative, each observation in the bucket that it just fits."""
    counted = collector()
    counted.count([Sample("admission_wait_time_seconds", ("cq", ""), value) for value in (1.0, 4.0, 1e9)])
    registry = CollectorRegistry()
    registry.register(counted)
    lines = generate_latest(registry).decode().splitlines()
    buckets = [line.split(",le=")[1] for line in lines if "_bucket" in line]
    bounds = [bucket.split('"')[1] for bucket in buckets]
    counts = [bucket.rpartition(" ")[2] for bucket in buckets]
    assert bounds[:3] == ["1", "2.5", "5"]
    assert counts[:3] == ["1.0", "1.0", "2.0"]
    assert bounds[-2:] == ["40960", "+Inf"]
    assert counts[-2:] == ["2.0", "3.0"]
    assert doubling(14)[-1] == 10240


def test_samples_that_fit_no_series_are_our_fault() -> None:
    """A name that does not exist, labels too many, a gauge that is counted."""
    for sample in (
        Sample("nothing", ()),
        Sample("admitted_workloads_total", ("cq",)),
        Sample("finished_workloads", ("cq",)),
    ):
        with pytest.raises(InvariantError):
            collector().count([sample])
    with pytest.raises(InvariantError):
        list(collector([Sample("nothing", ())]).collect())


def test_names_say_what_the_series_are() -> None:
    """Counters end in `_total`, and nothing else does."""
    for name, series in SERIES.items():
        assert name.endswith("_total") == (series.type is SeriesType.COUNTER), name
        assert bool(series.buckets) == (series.type is SeriesType.HISTOGRAM), name


def test_build_info_has_no_role() -> None:
    """The one series without `replica_role`; what is not known is said to be."""
    [family] = [f for f in collector().collect() if f.name == "kueue_build_info"]
    assert "replica_role" not in family.samples[0].labels
    assert family.samples[0].labels["git_commit"] == "unknown"


def test_events_of_other_kinds_pass_through() -> None:
    """A kind that the engine does not know changes nothing."""
    cluster = Cluster()
    cluster.engine.apply(ObjectEvent(kinds.POD, Change.ADDED, named("p", "ns")), cluster.reader, cluster.now)
    assert kinds.WORKLOAD in cluster.engine.kinds()
    assert cluster.engine.next_cycle_at(cluster.now) is None
