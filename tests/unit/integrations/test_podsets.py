"""Pod sets from templates, and what admission adds to pods (jobs.md §5, §10)."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.kinds import RESOURCE_FLAVOR
from pykueue.api.v1beta2 import (
    Admission,
    AdmissionCheckState,
    ObjectMeta,
    PodSet,
    PodSetAssignment,
    PodSetUpdate,
    TopologyAssignment,
    TopologyRequest,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
)
from pykueue.core.features import Features, Gate
from pykueue.integrations.podset_info import FlavorMissing, PodSetConflict, PodSetInfo, pod_set_infos, started_pod
from pykueue.integrations.podsets import topology_request, with_unique_env, without_prefixed_metadata
from pykueue.ports.reader import Indexer

K = "kueue.x-k8s.io/"
L = "leaderworkerset.sigs.k8s.io"


def test_last_of_repeated_variables_counts() -> None:
    """Each environment variable is kept once, in place of the last."""
    env = [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "A", "value": "2"}]
    template = {"spec": {"containers": [{"name": "c", "env": env}]}}
    assert with_unique_env(template)["spec"]["containers"][0]["env"] == [{"name": "B"}, {"name": "A", "value": "2"}]
    assert len(env) == 3


def test_keys_of_another_controller_are_dropped() -> None:
    """All but the one that is kept."""
    template = {
        "metadata": {
            "labels": {f"{L}/name": "x", f"{L}/group-index": "0", "a": "b"},
            "annotations": {f"{L}/size": "3", "c": "d"},
        }
    }
    kept = without_prefixed_metadata(template, L, keep=(f"{L}/name",))
    assert kept["metadata"] == {"labels": {f"{L}/name": "x", "a": "b"}, "annotations": {"c": "d"}}


@pytest.mark.parametrize(
    ("annotations", "index", "want"),
    [
        ({}, "", None),
        ({}, "i", {"podIndexLabel": "i"}),
        ({K + "podset-required-topology": "rack"}, "", {"required": "rack"}),
        ({K + "podset-unconstrained-topology": "true"}, "", {"unconstrained": True}),
        (
            {K + "podset-preferred-topology": "rack", K + "podset-group-name": "g"},
            "",
            {"preferred": "rack", "podSetGroupName": "g"},
        ),
        ({K + "podset-group-name": "g"}, "i", {"podIndexLabel": "i"}),
        (
            {K + "podset-slice-required-topology": "host", K + "podset-slice-size": "2"},
            "",
            {"podSetSliceRequiredTopology": "host", "podSetSliceSize": 2},
        ),
        (
            {K + "podset-slice-required-topology-constraints": '[{"topology":"rack","size":4}]'},
            "",
            {"podsetSliceRequiredTopologyConstraints": [{"topology": "rack", "size": 4}]},
        ),
    ],
)
def test_topology_requests(annotations: dict[str, str], index: str, want: dict[str, Any] | None) -> None:
    """What annotations ask for, and nothing else."""
    assert topology_request(annotations, pod_index_label=index) == want


def make_workload(
    *, checks: tuple[AdmissionCheckState, ...] = (), topology: bool = False, request: TopologyRequest | None = None
) -> Workload:
    assigned = TopologyAssignment(levels=("host",)) if topology else None
    assignment = PodSetAssignment(flavors={"cpu": "f", "memory": "f"}, count=2, topology_assignment=assigned)
    return Workload(
        metadata=ObjectMeta(name="wl", namespace="ns"),
        spec=WorkloadSpec(queue_name="lq", pod_sets=(PodSet(count=2, topology_request=request),)),
        status=WorkloadStatus(
            admission=Admission(cluster_queue="cq", pod_set_assignments=(assignment,)), admission_checks=checks
        ),
    )


def make_reader() -> Indexer:
    reader = Indexer()
    toleration = {"key": "k", "operator": "Exists"}
    reader.apply(
        RESOURCE_FLAVOR, {"metadata": {"name": "f"}, "spec": {"nodeLabels": {"pool": "a"}, "tolerations": [toleration]}}
    )
    return reader


def test_flavor_and_queue_reach_the_pods() -> None:
    """Each flavor once; labels of the queues; the Workload's name."""
    (info,) = pod_set_infos(make_workload(), make_reader(), Features())
    assert info == PodSetInfo(
        "main",
        2,
        {K + "podset": "main", K + "local-queue-name": "lq", K + "cluster-queue-name": "cq"},
        {K + "workload": "wl"},
        {"pool": "a"},
        [{"key": "k", "operator": "Exists"}],
        [],
    )


def test_implied_topology() -> None:
    """A placement that nobody asked for is told to the pods; the gate stays until the place is set."""
    (info,) = pod_set_infos(make_workload(topology=True), make_reader(), Features())
    assert info.annotations[K + "podset-unconstrained-topology"] == "true"
    assert info.scheduling_gates == [K + "topology"]
    asked = TopologyRequest(required="rack")
    (info,) = pod_set_infos(make_workload(topology=True, request=asked), make_reader(), Features())
    assert K + "podset-unconstrained-topology" not in info.annotations
    (info,) = pod_set_infos(
        make_workload(topology=True), make_reader(), Features({Gate.TOPOLOGY_AWARE_SCHEDULING: False})
    )
    assert info.scheduling_gates == []


def test_updates_of_checks() -> None:
    """They are merged; a contradiction names the check and the key."""
    fine = AdmissionCheckState(name="a", state="Ready", pod_set_updates=(PodSetUpdate(name="main", labels={"x": "y"}),))
    (info,) = pod_set_infos(make_workload(checks=(fine,)), make_reader(), Features())
    assert info.labels["x"] == "y"
    bad = AdmissionCheckState(
        name="a", state="Ready", pod_set_updates=(PodSetUpdate(name="main", node_selector={"pool": "b"}),)
    )
    with pytest.raises(PodSetConflict) as conflict:
        pod_set_infos(make_workload(checks=(bad,)), make_reader(), Features())
    assert str(conflict.value) == (
        'in admission check "a": invalid admission check PodSetUpdate: conflict for nodeSelector: '
        "conflict for key=pool, value1=a, value2=b"
    )


def test_missing_flavor() -> None:
    """It may come back: an error of its own."""
    with pytest.raises(FlavorMissing, match='"f" not found'):
        pod_set_infos(make_workload(), Indexer(), Features())


def test_start_keeps_what_is_not_ours() -> None:
    """Foreign gates and equal tolerations stay; ours go, but for the topology gate of a placed pod."""
    pod = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {
            "schedulingGates": [{"name": "x"}, {"name": K + "admission"}, {"name": K + "topology"}],
            "tolerations": [{"key": "k"}],
        },
    }
    info = PodSetInfo("main", 1, {"l": "1"}, {}, {"pool": "a"}, [{"key": "k"}], [K + "topology"])
    assert started_pod(pod, info) == {
        "metadata": {"labels": {"l": "1"}},
        "spec": {"schedulingGates": [{"name": "x"}, {"name": K + "topology"}], "nodeSelector": {"pool": "a"}},
    }
