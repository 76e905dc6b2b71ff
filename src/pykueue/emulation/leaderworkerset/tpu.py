"""The environment that TPU containers of a group find each other by (spec: leaderworkerset.md B3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykueue.api import objects
from pykueue.api.objects import Obj
from pykueue.emulation.leaderworkerset import names

_PORT = 8476


def with_tpu_environment(pod: Obj) -> Obj:
    """The pod with TPU variables appended to its TPU containers; unchanged without such containers, or if it brings its own."""
    spec = pod["spec"]
    asking = [c for c in spec.get("containers") or () if names.tpu_container(c)]
    own = {e.get("name") for c in asking for e in c.get("env") or ()}
    if not asking or own & {"TPU_WORKER_HOSTNAMES", "TPU_WORKER_ID"}:
        return pod
    leader, index = _place(pod)
    hosts, rank = _hosts(pod, leader, index)
    subdomain = spec.get("subdomain") or ""
    addresses = [f"{host}.{subdomain}" for host in hosts]
    containers, position = [], 0
    for container in spec["containers"]:
        if not names.tpu_container(container):
            containers.append(container)
            continue
        containers.append(_with_variables(container, leader, addresses, len(asking), rank=rank, position=position))
        position += 1
    return {**pod, "spec": {**spec, "containers": containers}}


def _place(pod: Obj) -> tuple[str, int]:
    """Name of the leader, and the pod's worker index."""
    if objects.labels(pod).get(names.WORKER_INDEX) == "0":
        return objects.name(pod), 0
    return names.split_ordinal(objects.name(pod))


def _hosts(pod: Obj, leader: str, index: int) -> tuple[list[str], int]:
    """Names of the pods with TPUs in the pod's (sub-)group, and its own place among them."""
    annotations, labels = objects.annotations(pod), objects.labels(pod)
    size = int(annotations[names.SIZE])
    with_leader = index == 0 or annotations.get(names.LEADER_REQUESTS_TPUS) == "true"
    members = list(range(0 if with_leader else 1, size))
    if (subgroup := labels.get(names.SUBGROUP_INDEX)) is not None and names.SUBGROUP_SIZE in annotations:
        step, first = int(annotations[names.SUBGROUP_SIZE]), 0
        if (size - 1) % step == 0 and size % step != 0:
            first = 1
        begin = first + int(subgroup) * step
        of_leader = 0 if first and with_leader and subgroup == "0" else begin
        members = [m for m in members if of_leader <= m < begin + step]
    hosts = [leader if m == 0 else f"{leader}-{m}" for m in members]
    return hosts, members.index(index) if index in members else 0


def _with_variables(
    container: Mapping[str, Any], leader: str, addresses: list[str], n_containers: int, *, rank: int, position: int
) -> dict[str, Any]:
    ports = [_PORT + i for i in range(n_containers)]
    added = {
        "TPU_WORKER_HOSTNAMES": ",".join(a for a in addresses for _ in ports),
        "TPU_WORKER_ID": str(rank * n_containers + position),
        "TPU_NAME": leader,
        "TPU_PROCESS_ADDRESSES": ",".join(f"{a}:{port}" for a in addresses for port in ports),
        "TPU_PROCESS_PORT": str(ports[position]),
    }
    own = {e.get("name") for e in container.get("env") or ()}
    variables = [{"name": k, "value": v} for k, v in added.items() if k not in own]
    return {**container, "env": [*(container.get("env") or ()), *variables]}
