"""The visibility API, put together: who waits in which queue, as resources of an API server.

The embedded cluster serves them beside its other resources; a manager beside a real API server serves them on a port of its own, to which APIServices
lead (`manage.py`). Answers come from the engine of this process, leader or not. Both read it between two turns of the loop that owns it, and take as
long as it takes to sort the queue (see docs/performance.md).

Source: observability.md §3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from pykueue.api.kinds import VISIBILITY_GROUP, Kind
from pykueue.api.objects import ObjectKey
from pykueue.api.schema.visibility import QUEUE, SUMMARY
from pykueue.apiserver.messages import parse_target
from pykueue.apiserver.resources import Computed, Resource
from pykueue.apiserver.schema.types import Schema, from_crd
from pykueue.core.engine import AdmissionEngine
from pykueue.runtime.reviews import Access
from pykueue.views.pending_workloads import Slice, of_cluster_queue, of_local_queue

TITLE = "Kueue visibility-server"
VERSIONS = ("v1beta2", "v1beta1")
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PARAMETERS = (("limit", "integer"), ("offset", "integer"))
_encode = msgspec.json.Encoder().encode


def visibility_resources(engine: AdmissionEngine) -> list[Resource]:
    """The resources of the visibility API, in both versions."""
    queue, summary = from_crd(QUEUE), from_crd(SUMMARY)
    return [
        resource
        for version in VERSIONS
        for resource in (
            _cluster_queues(engine, version, queue, summary),
            _local_queues(engine, version, queue, summary),
        )
    ]


def access_of(method: str, path: str) -> Access:
    """What a request wants to do, for authorization."""
    target = parse_target(path)
    if target is None:
        return Access(method.lower(), path)
    return Access(
        _VERBS.get(method, method.lower()), "", target.group, target.version, target.plural, target.subresource,
        target.namespace, target.name,
    )  # fmt: skip


def _cluster_queues(engine: AdmissionEngine, version: str, queue: Schema, summary: Schema) -> Resource:
    def read(_: str, name: str, query: Mapping[str, str]) -> bytes:
        part = Slice.of_query(query)
        return _encode(of_cluster_queue(name, engine.waiting(name), part, version))

    kind = Kind(VISIBILITY_GROUP, version, "ClusterQueue", "clusterqueues", namespaced=False)
    return Resource(kind, verbs=(), schema=queue, computed=(_computed(version, summary, read),))


def _local_queues(engine: AdmissionEngine, version: str, queue: Schema, summary: Schema) -> Resource:
    def read(namespace: str, name: str, query: Mapping[str, str]) -> bytes:
        part, key = Slice.of_query(query), ObjectKey(namespace, name)
        home = engine.cluster_queue_of(key)
        return _encode(of_local_queue(key, engine.waiting(home) if home is not None else None, part, version))

    kind = Kind(VISIBILITY_GROUP, version, "LocalQueue", "localqueues")
    return Resource(kind, verbs=(), schema=queue, computed=(_computed(version, summary, read),))


def _computed(version: str, schema: Schema, answer: Callable[[str, str, Mapping[str, str]], bytes]) -> Computed:
    kind = Kind(VISIBILITY_GROUP, version, "PendingWorkloadsSummary", "pendingworkloads")
    return Computed("pendingworkloads", kind, schema, _PARAMETERS, answer)
