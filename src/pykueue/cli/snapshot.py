"""The cluster as the admission engine sees it, from lists: for verbs that ask and do not act.

The engine is pure, so no manager is asked and nothing is written: the same engine is built here from what the API server shows. What only a
running manager knows is missing: who waits for a victim to go (stickiness), who is parked, what fair sharing charged in advance.

Nodes and pods are most of a cluster, and matter only where there are topologies; they are left out where there are none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykueue import __version__
from pykueue.api import kinds
from pykueue.api.errors import NotFound
from pykueue.api.events import Change, ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.cli.manifests import shipped_configuration
from pykueue.cli.wiring import assemble, read_configuration
from pykueue.client.http import HttpTransport, user_agent
from pykueue.client.kubeconfig import load_access
from pykueue.core.configuration import load
from pykueue.core.engine import AdmissionEngine
from pykueue.integrations.settings import JobSettings
from pykueue.ports.reader import Indexer
from pykueue.ports.transport import ApiRequest, Transport

PAGE = "500"
_PLACING = (kinds.NODE, kinds.POD)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A cluster at one instant.

    Attributes:
        transport: to ask for more.
        engine: with all that it wants to know.
        reader: the same objects.
        settings: of job kinds.
        now: when the lists were asked for.
    """

    transport: Transport
    engine: AdmissionEngine
    reader: Indexer
    settings: JobSettings
    now: Instant

    async def read(self, kind: Kind, namespace: str = "") -> None:
        """Read all objects of one more kind, of one namespace or all."""
        for obj in await list_all(self.transport, kind, namespace):
            self.reader.apply(kind, obj)


def connect(kubeconfig: Path | None) -> Transport:
    """Speak to the cluster of a kubeconfig.

    Raises:
        ConfigError: the kubeconfig cannot be used.
    """
    return HttpTransport(load_access(kubeconfig), agent=user_agent(__version__), qps=0)


async def take_snapshot(transport: Transport, config: Path | None) -> Snapshot:
    """Build an engine from what the API server shows.

    Args:
        transport: to the cluster.
        config: the manager's Configuration; None is the shipped one.

    Raises:
        PykueueError: the cluster cannot be asked, or the configuration is wrong.
    """
    if config is not None:
        configuration, features = read_configuration(config, "")
    else:
        configuration, features = load(shipped_configuration(), "the shipped configuration")
    parts = assemble(configuration, features)
    reader, now = Indexer(), Instant(time.time_ns() // 1000)
    snapshot = Snapshot(transport, parts.engine, reader, JobSettings(configuration, features), now)
    wanted = parts.controller.kinds()
    await asyncio.gather(*(snapshot.read(kind) for kind in wanted if kind not in _PLACING))
    if reader.list(kinds.TOPOLOGY):
        await asyncio.gather(*(snapshot.read(kind) for kind in wanted if kind in _PLACING))
    for kind in wanted:
        for obj in reader.list(kind):
            parts.controller.apply(ObjectEvent(kind, Change.ADDED, obj), reader, now)
    return snapshot


async def list_all(transport: Transport, kind: Kind, namespace: str = "", field_selector: str = "") -> Sequence[Obj]:
    """All objects of a kind, page by page; none where the cluster does not serve it."""
    found: list[Obj] = []
    query = {"limit": PAGE} | ({"fieldSelector": field_selector} if field_selector else {})
    following = ""
    while True:
        page = query | ({"continue": following} if following else {})
        try:
            answer: dict[str, Any] = await transport.request(ApiRequest("GET", kind.path(namespace), page))
        except NotFound:
            return found
        found += answer.get("items") or ()
        following = str((answer.get("metadata") or {}).get("continue") or "")
        if not following:
            return found
