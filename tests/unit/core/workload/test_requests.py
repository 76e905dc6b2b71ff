"""What a pod set requests: the table of scheduling-cases.md §9."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration, Resources, Transformation
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features, Gate
from pykueue.core.resources import UNLIMITED
from pykueue.core.workload.info import InfoMaker, PodSetInfo
from pykueue.core.workload.requests import effective_requests, pod_requests

MAKER = InfoMaker(Configuration(), Features({}), lambda _: (), lambda _: None)
KI = 1024


def container(requests: Mapping[str, str], **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": requests}, **more}


def pod(**requests: str) -> dict[str, Any]:
    return {"containers": [container(requests)]}


def workload(count: int, requests: Mapping[str, str], **status: Any) -> Workload:
    """One pod set `main`."""
    main = {"name": "main", "count": count, "template": {"spec": {"containers": [container(requests)]}}}
    obj = {"metadata": {"name": "w", "namespace": "ns", "uid": "w"}, "spec": {"podSets": [main]}, "status": status}
    return msgspec.convert(obj, Workload)


def reclaimable(count: int) -> list[dict[str, Any]]:
    return [{"name": "main", "count": count}]


PENDING = {
    "ER-01 units": ((1, {"cpu": "10m", "memory": "512Ki"}, 0), (1, {"cpu": 10, "memory": 512 * KI})),
    "ER-02 negative amounts": ((2, {"cpu": "-10m"}, 0), (2, {"cpu": 0})),
    "ER-03 pods that are given back": ((5, {"cpu": "10m"}, 2), (3, {"cpu": 30})),
    "ER-04 more than 64 bits": ((2147483647, {"cpu": "4300000"}, 0), (2147483647, {"cpu": UNLIMITED})),
}


def total(pod_set: PodSetInfo) -> tuple[int, dict[str, int]]:
    return pod_set.count, dict(pod_set.requests)


@pytest.mark.parametrize("name", PENDING)
def test_a_pending_pod_set(name: str) -> None:
    """Count and totals of a Workload that waits."""
    (count, requests, freed), want = PENDING[name]
    [main] = MAKER.pending(workload(count, requests, reclaimablePods=reclaimable(freed)), "cq").pod_sets
    assert total(main) == want


def test_reclaimable_pods_are_a_gate() -> None:
    """ER-03: without the gate all pods count."""
    maker = InfoMaker(Configuration(), Features({Gate.RECLAIMABLE_PODS: False}), lambda _: (), lambda _: None)
    [main] = maker.pending(workload(5, {"cpu": "10m"}, reclaimablePods=reclaimable(2)), "cq").pod_sets
    assert total(main) == (5, {"cpu": 50})


ADMITTED = {
    "ER-05 fewer pods than given back": (5, 2, (3, "30m"), (3, {"cpu": 30})),
    "ER-05 later": (5, 3, (3, "30m"), (2, {"cpu": 20})),
    "ER-06 scaled down below what was given back": (2, 5, (5, "50m"), (0, {"cpu": 0})),
    "PA-10 admitted in part": (5, 0, (3, "30m"), (3, {"cpu": 30})),
}


@pytest.mark.parametrize("name", ADMITTED)
def test_an_admitted_pod_set(name: str) -> None:
    """Count and usage of a Workload with quota: what was admitted, less the pods that are given back."""
    count, freed, (admitted, usage), want = ADMITTED[name]
    given = {"name": "main", "flavors": {"cpu": "f"}, "resourceUsage": {"cpu": usage}, "count": admitted}
    admission = {"clusterQueue": "cq", "podSetAssignments": [given]}
    held = workload(count, {"cpu": "10m"}, reclaimablePods=reclaimable(freed), admission=admission)
    [main] = MAKER.reserving(held).pod_sets
    assert total(main) == want


def change(input_: str, outputs: Mapping[str, str], strategy: str = "Retain", multiply_by: str = "") -> Transformation:
    return Transformation(input=input_, strategy=strategy, multiply_by=multiply_by, outputs=outputs)


GPU, MIG1, MIG2 = "example.com/gpu", "nvidia.com/mig-1g.5gb", "nvidia.com/mig-2g.10gb"
OVER = (
    change("gpumem", {"over": "1"}, "Replace", multiply_by="gpu"),
    change("gpu", {"over": "-1024"}),
)
TRANSFORMED: dict[str, tuple[dict[str, str], tuple[Transformation, ...], dict[str, int]]] = {
    "ER-08 inputs that are replaced": (
        {MIG1: "2", MIG2: "1"},
        (
            change(MIG1, {"memory": "5Ki", "credits": "10"}, "Replace"),
            change(MIG2, {"memory": "10Ki", "credits": "15"}, "Replace"),
        ),
        {"memory": 20 * KI, "credits": 35},
    ),
    "ER-09 an input that is kept": (
        {GPU: "1"}, (change(GPU, {"memory": "40Ki", "credits": "100"}),),
        {"memory": 40 * KI, "credits": 100, GPU: 1},
    ),
    "ER-10 multiplied by another resource": (
        {"vgpucores": "20", "vgpu": "2"}, (change("vgpucores", {"total-vgpucores": "1"}, "Replace", "vgpu"),),
        {"total-vgpucores": 40, "vgpu": 2},
    ),
    "ER-11 more than an allowance": ({"gpu": "2", "gpumem": "2048"}, OVER, {"gpu": 2, "over": 2048}),
    "ER-11 as much as an allowance": ({"gpu": "2", "gpumem": "1024"}, OVER, {"gpu": 2, "over": 0}),
    "ER-11 less than an allowance": ({"gpu": "2", "gpumem": "512"}, OVER, {"gpu": 2, "over": 0}),
    "ER-12 a negative output takes nothing away": (
        {"credit": "3", "gpu": "8"}, (change("credit", {"gpu": "-1"}, "Replace"),), {"gpu": 8},
    ),
    "ER-13 an output that is requested too": (
        {"credit": "1", "gpu": "1"}, (change("credit", {"gpu": "1"}, "Replace"),), {"gpu": 2},
    ),
    "ER-14 an output of its own name": ({"gpu": "1"}, (change("gpu", {"gpu": "5"}),), {"gpu": 6}),
    "ER-14 the multiplier scales outputs alone": (
        {"gpu": "1", "node": "2"}, (change("gpu", {"gpu": "1"}, multiply_by="node"),), {"gpu": 3, "node": 2},
    ),
    "ER-15 a fraction as multiplier": (
        {"gpumem": "1024", "cpu": "500m"}, (Transformation(input="gpumem", multiply_by="cpu", outputs={"quota": "1"}),),
        {"gpumem": 1024, "quota": 512, "cpu": 500},
    ),
    "ER-16 more than 64 bits": (
        {"credit": "10000000000"}, (change("credit", {"gpu": "10000000000"}, "Replace"),), {"gpu": UNLIMITED},
    ),
    "ER-17 milli-units on both sides": (
        {"cpu": "100m", "memory": "100M"},
        (change("cpu", {"credits": "3000"}, "Replace"), change("memory", {"storage": "3m"}, "Replace")),
        {"credits": 300, "storage": 300_000},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformations(name: str) -> None:
    """Requests of one pod after the configured transformations, whatever their order."""
    requests, transformations, want = TRANSFORMED[name]
    for given in (transformations, transformations[::-1]):
        assert effective_requests(pod(**requests), Resources(transformations=given)) == want


def test_transformed_pods_are_multiplied() -> None:
    """ER-09: the outputs of two pods are twice those of one."""
    resources = Resources(transformations=(change(GPU, {"memory": "40Ki", "credits": "100"}),))
    maker = InfoMaker(Configuration(resources=resources), Features({}), lambda _: (), lambda _: None)
    [main] = maker.pending(workload(2, {GPU: "1"}), "cq").pod_sets
    assert total(main) == (2, {"memory": 80 * KI, "credits": 200, GPU: 2})


def test_excluded_prefixes() -> None:
    """ER-07: resources with a configured prefix are not counted."""
    config = Resources(exclude_resource_prefixes=("dummyPrefix", "networking.example.com/"))
    spec = pod(**{"cpu": "1", "networking.example.com/vpc1": "1"})
    assert effective_requests(spec, config) == {"cpu": 1000}


def test_init_containers() -> None:
    """ER-22: the peak of an init container with the sidecars before it, or the sum of all that run on."""
    sidecar = container({"cpu": "1"}, restartPolicy="Always")
    containers = [container({"cpu": "1"}), container({"cpu": "2"})]
    init = container({"cpu": "5"})
    assert pod_requests({"containers": containers, "initContainers": [sidecar, init]}) == {"cpu": 6000}
    assert pod_requests({"containers": containers, "initContainers": [init, sidecar]}) == {"cpu": 5000}
    assert pod_requests({"containers": containers, "initContainers": [sidecar]}) == {"cpu": 4000}
