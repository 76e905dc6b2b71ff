"""Which Workloads stand for an object."""

from __future__ import annotations

from typing import Any

from pykueue.api.configuration.types import Configuration
from pykueue.api.kinds import DEPLOYMENT, JOB, LEADER_WORKER_SET, POD, REPLICA_SET, WORKLOAD, Kind
from pykueue.core.features import Features
from pykueue.integrations.deployment import Deployment
from pykueue.integrations.job import Job
from pykueue.integrations.leaderworkerset import LeaderWorkerSet
from pykueue.integrations.owned import workloads_of_job, workloads_of_pod
from pykueue.integrations.settings import JobSettings
from pykueue.ports.reader import Indexer

SETTINGS = JobSettings(Configuration(), Features({}))


def an(kind: Kind, name: str, owner: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    found = {"apiVersion": kind.api_version, "kind": kind.kind}
    meta: dict[str, Any] = {"name": name, "namespace": "ns", "uid": f"{kind.plural}/{name}", **metadata}
    if owner is not None:
        made_by = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
        meta["ownerReferences"] = [made_by | {"uid": owner["metadata"]["uid"], "controller": True}]
    return {**found, "metadata": meta}


def known(*objs: dict[str, Any]) -> Indexer:
    reader = Indexer()
    for obj in objs:
        kind = next(k for k in (WORKLOAD, POD, REPLICA_SET) if k.kind == obj["kind"])
        reader.apply(kind, obj)
    return reader


def names(keys: Any) -> list[str]:
    return [key.name for key in keys]


def test_those_that_it_owns() -> None:
    """By the UID of the owner reference: a namesake of the past owns nothing here."""
    job, past = an(JOB, "j"), an(JOB, "j", uid="jobs/old")
    reader = known(an(WORKLOAD, "a", job), an(WORKLOAD, "b", past), an(WORKLOAD, "c"))
    assert names(workloads_of_job(Job(), job, reader, SETTINGS)) == ["a"]


def test_one_built_before() -> None:
    """By the name that the job gives."""
    job = an(JOB, "j", labels={"kueue.x-k8s.io/prebuilt-workload-name": "c"})
    assert names(workloads_of_job(Job(), job, known(an(WORKLOAD, "c")), SETTINGS)) == ["c"]


def test_those_of_its_units() -> None:
    """By the names of the units, whoever owns them."""
    lws = an(LEADER_WORKER_SET, "s") | {"spec": {"replicas": 2}}
    units = [unit.workload for unit in LeaderWorkerSet().units(lws, SETTINGS)]
    reader = known(*(an(WORKLOAD, name) for name in units), an(WORKLOAD, "other"))
    assert names(workloads_of_job(LeaderWorkerSet(), lws, reader, SETTINGS)) == sorted(units)


def test_those_of_its_pods() -> None:
    """A Deployment's pods are made by its ReplicaSets, and each has a Workload."""
    deployment = an(DEPLOYMENT, "d")
    replicas, others = an(REPLICA_SET, "rs", deployment), an(REPLICA_SET, "other")
    pod, stranger = an(POD, "p", replicas), an(POD, "q", others)
    reader = known(replicas, others, pod, stranger, an(WORKLOAD, "a", pod), an(WORKLOAD, "b", stranger))
    assert names(workloads_of_job(Deployment(), deployment, reader, SETTINGS)) == ["a"]


def test_those_of_a_pod() -> None:
    """Its own, its group's, the one that it names, or its job's."""
    job = an(JOB, "j")
    pod = an(POD, "p", job, labels={"kueue.x-k8s.io/pod-group-name": "g"}, annotations={"kueue.x-k8s.io/workload": "w"})
    reader = known(
        an(WORKLOAD, "own", pod), an(WORKLOAD, "g"), an(WORKLOAD, "w"), an(WORKLOAD, "of-job", job), an(WORKLOAD, "x")
    )
    assert names(workloads_of_pod(pod, reader, SETTINGS)) == ["g", "of-job", "own", "w"]
