"""A whole cluster in one process: API server, emulated parts, manager.

The order of start keeps promises: the state is loaded and the definitions are there before anyone looks; webhooks look at caches that are
filled before anyone outside can write; the port opens last. Everything inside speaks to the server in process; only users come
through the socket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pykueue.api import objects
from pykueue.api.configuration import Configuration, unsupported
from pykueue.api.conversion import convert
from pykueue.api.errors import AlreadyExists, ConfigError
from pykueue.api.kinds import CUSTOM_RESOURCE_DEFINITION, KUEUE_GROUP, NAMESPACE, NODE, Kind
from pykueue.api.objects import Obj
from pykueue.api.schema import CONVERTED_KINDS, all_crds, leaderworkerset_crd, with_conversion
from pykueue.apiserver.server import EmbeddedApiServer
from pykueue.cli.manifest_files import apply_manifests, read_manifests
from pykueue.cli.manifests import shipped_configuration
from pykueue.cli.visibility import visibility_resources
from pykueue.cli.wiring import CACHED_KINDS, WEBHOOK_CONFIGURATION, assemble, read_configuration
from pykueue.core.configuration import load
from pykueue.core.features import Features, Gate, without_effect
from pykueue.emulation.setup import emulated_kinds, emulated_reconcilers, emulated_webhooks, node_objects
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.admission import InProcessAdmission, WebhookSet
from pykueue.runtime.manager import Manager, ManagerOptions

_log = logging.getLogger(__name__)
_LWS_CONFIGURATION = "lws-mutating-webhook-configuration"
_OWN_MANAGER = "pykueue-up"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """Flags of `pykueue up`; see its help."""

    files: Sequence[Path] = ()
    nodes: str = "default"
    config: Path | None = None
    feature_gates: str = ""
    data: Path = Path(".pykueue")
    memory: bool = False
    port: int = 6443
    kubeconfig: Path | None = None
    verbose: int = 0


@dataclass(slots=True)
class EmbeddedCluster:
    """A running cluster.

    Attributes:
        server: the API server.
        transport: an administrator's way in, without sockets.
        product: the manager.
        emulation: what stands for the rest of a cluster.
        kubeconfig: text of the administrator's kubeconfig.
        warnings: about the configuration.
    """

    server: EmbeddedApiServer
    transport: Transport
    product: Manager
    emulation: Manager
    kubeconfig: str
    warnings: Sequence[str]
    _running: list[asyncio.Task[None]]

    @classmethod
    @asynccontextmanager
    async def start(
        cls, options: UpOptions, progress: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[EmbeddedCluster]:
        """Start a cluster; it ends with the context.

        Args:
            options: flags.
            progress: called with what is being done.

        Raises:
            ConfigError: configuration, manifests, nodes, data directory or port cannot be used.
        """
        config, features = _configuration(options)
        documents, nodes = read_manifests(options.files), node_objects(options.nodes, _read_nodes(options.nodes))
        async with AsyncExitStack() as stack:
            progress("loading the state" if not options.memory else "starting with an empty state")
            data = None if options.memory else options.data
            server = EmbeddedApiServer(data_dir=data, converters={KUEUE_GROUP: convert})
            stack.push_async_callback(server.close)
            transport = server.transport(user_agent=_OWN_MANAGER)
            await _install_definitions(transport)
            await _create_missing(transport, NODE, nodes)
            await _create_missing(transport, NAMESPACE, [{"metadata": {"name": config.namespace}}])
            progress(f"starting controllers and manager, for jobs of {', '.join(config.integrations.frameworks)}")
            cluster = _wire(server, transport, config, features)
            stack.push_async_callback(cluster.stop)
            await cluster.synced()
            progress("opening the port")
            cluster.kubeconfig = await server.listen("127.0.0.1", options.port)
            if documents:
                progress(f"applying {len(documents)} objects")
                await apply_manifests(transport, documents)
            yield cluster

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return self.server.url

    @property
    def n_nodes(self) -> int:
        """How many nodes there are."""
        return len(self.emulation.reader.list(NODE))

    async def synced(self) -> None:
        """Wait until both managers see everything; their failure is ours."""
        waits = [asyncio.create_task(m.wait_until_synced()) for m in (self.product, self.emulation)]
        both = asyncio.ensure_future(asyncio.gather(*waits))
        either: set[asyncio.Future[Any]] = {both, *self._running}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in self._running:
            if task.done():
                task.result()

    async def wait(self) -> None:
        """Wait until a part ends, which it only does by failing or by `stop`."""
        done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """End the managers: ours first, then what it is used to."""
        for manager, task in zip((self.product, self.emulation), self._running, strict=True):
            manager.stop()
            await asyncio.gather(task, return_exceptions=True)


def _configuration(options: UpOptions) -> tuple[Configuration, Features]:
    """The given file, or what Kueue is shipped with: all frameworks are on."""
    if options.config is not None:
        return read_configuration(options.config, options.feature_gates)
    return load(shipped_configuration(), "the shipped configuration", feature_gates=options.feature_gates)


def _wire(
    server: EmbeddedApiServer, transport: Transport, config: Configuration, features: Features
) -> EmbeddedCluster:
    parts = assemble(config, features)
    for resource in visibility_resources(parts.engine) if features[Gate.VISIBILITY_ON_DEMAND] else ():
        server.registry.add(resource)
    product = Manager(
        server.transport(user_agent="kueue"), parts.reconcilers, engine=parts.controller,
        options=ManagerOptions(name="kueue", more_kinds=CACHED_KINDS, rewrite=parts.rewrite),
    )  # fmt: skip
    emulation = Manager(
        server.transport(user_agent="kube-controller-manager"), emulated_reconcilers(),
        options=ManagerOptions(name="kube-controller-manager", more_kinds=emulated_kinds()),
    )  # fmt: skip
    server.set_admission(
        InProcessAdmission(
            [
                WebhookSet(WEBHOOK_CONFIGURATION, parts.webhooks, product.reader, ("kube-system", config.namespace)),
                WebhookSet(_LWS_CONFIGURATION, emulated_webhooks(), emulation.reader, ()),
            ]
        )
    )
    warnings = [*unsupported(config, embedded=True), *without_effect(features)]
    running = [asyncio.create_task(manager.run()) for manager in (product, emulation)]
    return EmbeddedCluster(server, transport, product, emulation, "", warnings, running)


async def _install_definitions(transport: Transport) -> None:
    """Our kinds and LeaderWorkerSet; definitions of an older release are brought up to date."""
    client_config = {"service": {"name": "kueue-webhook-service", "namespace": "kueue-system", "path": "/convert"}}
    documents = [
        with_conversion(d, client_config) if d["spec"]["names"]["kind"] in CONVERTED_KINDS else d for d in all_crds()
    ]
    present = {objects.name(o): o for o in await _list(transport, CUSTOM_RESOURCE_DEFINITION)}
    for document in (*documents, leaderworkerset_crd()):
        name = document["metadata"]["name"]
        if name not in present:
            await transport.request(ApiRequest("POST", CUSTOM_RESOURCE_DEFINITION.path(), body=document))
        elif present[name]["spec"] != document["spec"]:
            await apply_manifests(transport, [document])


async def _create_missing(transport: Transport, kind: Kind, wanted: Sequence[Obj]) -> None:
    present = {objects.name(o) for o in await _list(transport, kind)}
    for obj in wanted:
        if objects.name(obj) in present:
            continue
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        try:
            await transport.request(ApiRequest("POST", kind.path(), body=body))
        except AlreadyExists:
            _log.debug("%s %s was made meanwhile", kind.kind, objects.name(obj))


async def _list(transport: Transport, kind: Kind) -> Sequence[Obj]:
    answer: dict[str, Any] = await transport.request(ApiRequest("GET", kind.path()))
    return answer.get("items") or ()


def _read_nodes(nodes: str) -> str:
    """The text of `--nodes FILE`; empty for the words `default` and `none`.

    Raises:
        ConfigError: the file cannot be read.
    """
    if nodes in ("default", "none"):
        return ""
    try:
        return Path(nodes).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("--nodes", [f"{nodes} cannot be read: {error}; give a file, 'none' or 'default'"]) from error
