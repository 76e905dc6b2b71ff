"""`pykueue explain`: why a Workload or a queue is where it is, and the smallest changes that would admit it.

The facts are the engine's (`core/explain`), asked of a snapshot (`cli/snapshot.py`); here the question is understood. Only one thing is added:
when the scheduler last spoke of a Workload. Its condition moves its time with its status alone, so the newest of the Events about the Workload is
looked at too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click
import msgspec

from pykueue.api import objects
from pykueue.api.constants import Label
from pykueue.api.errors import NotFound
from pykueue.api.kinds import CLUSTER_QUEUE, CORE_EVENT, LOCAL_QUEUE, POD, REPLICA_SET, WORKLOAD, Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.cli.snapshot import Snapshot, connect, list_all, take_snapshot
from pykueue.core.explain.facts import Facts, LastTried, QueueExplanation, WorkloadExplanation
from pykueue.integrations.base import GatedPods, JobIntegration
from pykueue.integrations.owned import workloads_of_job, workloads_of_pod
from pykueue.integrations.registry import INTEGRATIONS
from pykueue.integrations.settings import queue_name
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.views.explanation import queue_text, workload_text

POD_GROUP = "podgroup"
Subject: TypeAlias = JobIntegration | Kind | str
"""What can be explained: a kind of job, a kind of ours, pods, or pod groups (which are no kind of the API)."""
_OURS: Mapping[str, Subject] = {
    "workload": WORKLOAD, "workloads": WORKLOAD, "wl": WORKLOAD,
    "clusterqueue": CLUSTER_QUEUE, "clusterqueues": CLUSTER_QUEUE, "cq": CLUSTER_QUEUE,
    "localqueue": LOCAL_QUEUE, "localqueues": LOCAL_QUEUE, "queue": LOCAL_QUEUE, "lq": LOCAL_QUEUE,
    "pod": POD, "pods": POD, "po": POD,
    POD_GROUP: POD_GROUP,
}  # fmt: skip
SUBJECTS: Mapping[str, Subject] = dict(_OURS) | {
    name: integration
    for integration in INTEGRATIONS
    for name in (integration.kind.kind.lower(), integration.kind.plural, *integration.short_names)
}
"""By all names that `kubectl` takes."""
EVENTS_MAX = 20
"""Workloads whose Events are looked at."""


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """Flags of `pykueue explain`; see its help."""

    kind: str
    name: str
    namespace: str = "default"
    kubeconfig: Path | None = None
    config: Path | None = None
    output: str = "text"
    limit: int = 20


class Explained(Facts, frozen=True):
    """The JSON of `pykueue explain -o json`.

    Attributes:
        version: of this shape; it changes only if a field goes or changes its meaning.
        workloads: that were asked for; empty if a queue was.
        queue: that was asked for; null if Workloads were.
    """

    version: str = "v1"
    workloads: tuple[WorkloadExplanation, ...] = ()
    queue: QueueExplanation | None = None


async def explain(options: ExplainOptions) -> int:
    """Print explanations; 0 if there was something to explain.

    Raises:
        NotFound: no such object, or no Workload of it.
        PykueueError: the cluster cannot be reached, or the configuration is wrong.
    """
    transport = connect(options.kubeconfig)
    try:
        found = await explained(transport, options)
    finally:
        await transport.close()
    if options.output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif found.queue is not None:
        click.echo(queue_text(found.queue))
    else:
        click.echo("\n\n".join(map(workload_text, found.workloads)))
    return 0


async def explained(transport: Transport, options: ExplainOptions) -> Explained:
    """Explain the named queue or Workload, or all Workloads of the named object.

    Raises:
        NotFound: there is none.
    """
    snapshot = await take_snapshot(transport, options.config)
    explainer = snapshot.engine.explainer(snapshot.now)
    subject, name = SUBJECTS[options.kind], options.name
    if subject is CLUSTER_QUEUE:
        queue = explainer.cluster_queue(name, n_told=options.limit)
    elif subject is LOCAL_QUEUE:
        queue = explainer.local_queue(ObjectKey(options.namespace, name), n_told=options.limit)
    else:
        keys = await _workloads(snapshot, subject, ObjectKey(options.namespace, name))
        told = [each for key in keys if (each := explainer.workload(key)) is not None]
        if isinstance(subject, JobIntegration) and any(each.pods for each in told):
            told = await _with_trouble(transport, subject.kind, ObjectKey(options.namespace, name), told)
        return Explained(workloads=await _with_events(transport, told))
    if queue is None:
        where = f"{options.namespace}/{name}" if subject is LOCAL_QUEUE else name
        raise NotFound(f"{'LocalQueue' if subject is LOCAL_QUEUE else 'ClusterQueue'} {where} was not found")
    return Explained(queue=queue)


async def _workloads(snapshot: Snapshot, subject: Subject, key: ObjectKey) -> Sequence[ObjectKey]:
    """The Workloads of an object.

    Raises:
        NotFound: there are none; says what is amiss.
    """
    if not isinstance(subject, JobIntegration) and subject is not POD:
        if snapshot.reader.get(WORKLOAD, *key) is None:
            raise NotFound(f"{'pod group' if subject == POD_GROUP else 'Workload'} {key} was not found")
        return [key]
    kind = subject.kind if isinstance(subject, JobIntegration) else POD
    obj: Obj = await snapshot.transport.request(ApiRequest("GET", kind.path(*key)))
    if isinstance(subject, JobIntegration):
        if isinstance(subject.hold, GatedPods) and not subject.hold.grouped:
            await asyncio.gather(*(snapshot.read(each, key.namespace) for each in (POD, REPLICA_SET)))
        keys = workloads_of_job(subject, obj, snapshot.reader, snapshot.settings)
    else:
        keys = workloads_of_pod(obj, snapshot.reader, snapshot.settings)
    if not keys:
        why = (
            "the manager has not made one yet, or found a fault in it: see its Events"
            if queue_name(obj)
            else f"it names no queue (label {Label.QUEUE_NAME.value})"
        )
        raise NotFound(f"{kind.kind} {key} has no Workload: {why}")
    return keys


async def _with_events(transport: Transport, told: Sequence[WorkloadExplanation]) -> tuple[WorkloadExplanation, ...]:
    """With the newest Event where it is newer than the condition."""
    waiting = [each for each in told if each.position is not None][:EVENTS_MAX]
    keys = (ObjectKey(*each.workload.split("/")) for each in waiting)
    newest = await asyncio.gather(*(_newest_event(transport, WORKLOAD, key) for key in keys))
    found = {each.workload: event for each, event in zip(waiting, newest, strict=True) if event is not None}
    return tuple(
        msgspec.structs.replace(each, last_tried=found[each.workload])
        if each.workload in found and (each.last_tried is None or each.last_tried.at < found[each.workload].at)
        else each
        for each in told
    )


async def _with_trouble(
    transport: Transport, kind: Kind, job: ObjectKey, told: Sequence[WorkloadExplanation]
) -> list[WorkloadExplanation]:
    """With the last Warning about the job, where pods are not ready: they may never have been made."""
    last = await _newest_event(transport, kind, job)
    trouble = f"; {kind.kind} {job} was told {last.reason}: {last.message}" if last is not None else ""
    return [msgspec.structs.replace(each, pods=each.pods + trouble) if each.pods else each for each in told]


async def _newest_event(transport: Transport, kind: Kind, key: ObjectKey) -> LastTried | None:
    """The last Warning about an object."""
    about = f"involvedObject.kind={kind.kind},involvedObject.name={key.name}"
    events = await list_all(transport, CORE_EVENT, key.namespace, about)
    timed = [(_last_seen(event), event) for event in events if event.get("type") == "Warning"]
    at, event = max(timed, key=lambda pair: pair[0], default=("", {}))
    return LastTried(at, str(event.get("reason")), str(event.get("message")), "event") if at else None


def _last_seen(event: Obj) -> str:
    """When an Event happened last, in whole seconds."""
    series = objects.get_path(event, "series", "lastObservedTime")
    at = str(series or event.get("lastTimestamp") or event.get("eventTime") or "")
    return at.partition(".")[0].removesuffix("Z") + "Z" if at else ""
