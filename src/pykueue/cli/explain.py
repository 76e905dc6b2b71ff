"""`pykueue explain`: why a Workload waits, and the smallest quota that would admit it.

The engine is pure, so no manager is asked and nothing is written: the same engine is built here from what the API server shows, and is asked
about the Workload. What only a running manager knows (who was tried last, stickiness of preemptors) is not told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from pykueue import __version__
from pykueue.api import kinds, objects
from pykueue.api.errors import ConfigError, NotFound
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import WORKLOAD, Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.cli.manifests import shipped_configuration
from pykueue.cli.wiring import assemble, read_configuration
from pykueue.client.http import HttpTransport, user_agent
from pykueue.client.kubeconfig import load_access
from pykueue.core.configuration import load
from pykueue.core.explain import Explanation
from pykueue.ports.reader import Indexer
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.views.explanation import explanation_text

OWNERS: Mapping[str, Kind | None] = {
    "workload": None,
    "lws": kinds.LEADER_WORKER_SET,
    "leaderworkerset": kinds.LEADER_WORKER_SET,
    "job": kinds.JOB,
    "statefulset": kinds.STATEFUL_SET,
    "pod": kinds.POD,
}
PAGE = "500"


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """Flags of `pykueue explain`; see its help."""

    kind: str
    name: str
    namespace: str = "default"
    kubeconfig: Path | None = None
    config: Path | None = None
    output: str = "text"


async def explain(options: ExplainOptions) -> int:
    """Print explanations; 0 if there was something to explain.

    Raises:
        NotFound: no such Workload, or no Workload of such an owner.
        PykueueError: the cluster cannot be reached, or the configuration is wrong.
    """
    transport = HttpTransport(load_access(options.kubeconfig), agent=user_agent(__version__), qps=0)
    try:
        found = await explanations(transport, options)
    finally:
        await transport.close()
    if options.output == "json":
        listed = [{"workload": str(key), **msgspec.to_builtins(told)} for key, told in found]
        click.echo(msgspec.json.format(msgspec.json.encode(listed)).decode())
    else:
        click.echo("\n\n".join(explanation_text(key, told) for key, told in found))
    return 0


async def explanations(transport: Transport, options: ExplainOptions) -> Sequence[tuple[ObjectKey, Explanation]]:
    """Explain the named Workload, or all Workloads of the named owner.

    Raises:
        NotFound: there is none.
    """
    if options.config is not None:
        config, features = read_configuration(options.config, "")
    else:
        config, features = load(shipped_configuration(), "the shipped configuration")
    parts = assemble(config, features)
    reader, now = Indexer(), Instant(time.time_ns() // 1000)
    wanted = parts.controller.kinds()
    lists = await asyncio.gather(*(_list(transport, kind) for kind in wanted))
    for kind, listed in zip(wanted, lists, strict=True):
        for obj in listed:
            reader.apply(kind, obj)
    for kind in wanted:
        for obj in reader.list(kind):
            parts.controller.apply(ObjectEvent(kind, Change.ADDED, obj), reader, now)
    keys = _keys(reader, options)
    if not keys:
        raise NotFound(f"no Workload of {options.kind} {options.namespace}/{options.name} was found")
    told = ((key, parts.engine.explain_workload(key, now)) for key in keys)
    return [(key, explanation) for key, explanation in told if explanation is not None]


def _keys(reader: Indexer, options: ExplainOptions) -> Sequence[ObjectKey]:
    if options.kind not in OWNERS:
        raise ConfigError("explain", [f"kind {options.kind!r} is not one of {', '.join(OWNERS)}"])
    owner = OWNERS[options.kind]
    workloads = reader.list(WORKLOAD, options.namespace)
    if owner is None:
        return [objects.key(w) for w in workloads if objects.name(w) == options.name]
    return [objects.key(w) for w in workloads if _is_owned(w, owner, options.name)]


def _is_owned(workload: Obj, owner: Kind, name: str) -> bool:
    return any((ref.kind, ref.name) == (owner.kind, name) for ref in objects.owner_references(workload))


async def _list(transport: Transport, kind: Kind) -> Sequence[Obj]:
    """All objects of a kind, page by page; none where the cluster does not serve it."""
    found: list[Obj] = []
    query = {"limit": PAGE}
    while True:
        try:
            answer: dict[str, Any] = await transport.request(ApiRequest("GET", kind.path(), query))
        except NotFound:
            return found
        found += answer.get("items") or ()
        following = (answer.get("metadata") or {}).get("continue")
        if not following:
            return found
        query = {"limit": PAGE, "continue": str(following)}
