"""`pykueue manager`: the manager against a Kubernetes API server.

Order of start, as Kueue's: configuration, certificates, caches, webhooks, readiness; then reconcilers and scheduler once this replica
leads. SIGTERM ends it gracefully: no new work is begun, what is under way may end, the lease is handed back.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pykueue import __version__
from pykueue.api.configuration import Configuration, dump_effective, unsupported
from pykueue.api.configuration.types import LeaderElection
from pykueue.api.conversion import convert
from pykueue.api.errors import ConfigError
from pykueue.api.kinds import Kind
from pykueue.cli import logs
from pykueue.cli.webhook_manifests import TARGETS, webhook_configurations
from pykueue.cli.wiring import CACHED_KINDS, WEBHOOK_CONFIGURATION, Product, assemble, read_configuration
from pykueue.client.http import HttpTransport, user_agent
from pykueue.client.kubeconfig import is_in_cluster, load_access
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.admission import WebhookSet
from pykueue.runtime.certificates import CertificateRotator
from pykueue.runtime.clock import SystemClock
from pykueue.runtime.lease import LeaseElector, LeaseSettings
from pykueue.runtime.manager import Manager, ManagerOptions
from pykueue.runtime.serving import Server, metrics, parse_address, probes
from pykueue.runtime.webhook_server import at_url, webhook_application

_log = logging.getLogger(__name__)
_FIELD_MANAGER = "kueue"


@dataclass(frozen=True, slots=True)
class ManagerFlags:
    """Flags of `pykueue manager`; see its help."""

    config: Path | None = None
    kubeconfig: Path | None = None
    feature_gates: str = ""
    webhook_url: str = ""
    verbose: int = 0


async def manage(options: ManagerFlags) -> int:
    """Run until SIGTERM or SIGINT; 0 after a graceful end.

    Raises:
        ConfigError: the configuration, kubeconfig or an address cannot be used.
        PykueueError: the cluster cannot be reached, or the lease was lost.
    """
    logs.set_up(options.verbose)
    access = load_access(options.kubeconfig)
    namespace = access.namespace if is_in_cluster() else "kueue-system"
    config, features = read_configuration(options.config, options.feature_gates, namespace)
    for warning in unsupported(config):
        _log.warning("configuration: %s", warning)
    _log.info("Configuration loaded\n%s", dump_effective(config))
    transport = HttpTransport(
        access, agent=user_agent(__version__), qps=config.client_connection.qps, burst=config.client_connection.burst
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        process = _Process(config, assemble(config, features), transport, options.webhook_url, stack)
        await process.run()
    return 0


class _Process:
    """The manager with the servers around it."""

    def __init__(
        self, config: Configuration, product: Product, transport: Transport, webhook_url: str, stack: AsyncExitStack
    ) -> None:
        self._config, self._product, self._transport = config, product, transport
        self._webhook_url, self._stack = webhook_url, stack
        self._clock = SystemClock()
        self._in_cluster = is_in_cluster()
        self._webhooks_ready = False
        self._rotator: CertificateRotator | None = None
        self._manager = Manager(
            transport, product.reconcilers, engine=product.controller, clock=self._clock, lease=self._lease(),
            options=ManagerOptions(
                name=_FIELD_MANAGER, more_kinds=CACHED_KINDS, freeze_after_sync=True,
                cache_sync_timeout_us=config.controller.cache_sync_timeout_us,
            ),
        )  # fmt: skip

    async def run(self) -> None:
        """Start everything in order, and wait for the end."""
        await self._serve_probes_and_metrics()
        context = await self._certificates()
        running = asyncio.create_task(self._manager.run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._manager.stop)
        synced = asyncio.create_task(self._manager.wait_until_synced())
        await asyncio.wait((running, synced), return_when=asyncio.FIRST_COMPLETED)
        if synced.done():
            await self._serve_webhooks(context)
            _log.info("ready")
        else:
            synced.cancel()
        await running

    def _lease(self) -> LeaseElector | None:
        election: LeaderElection = self._config.leader_election
        if not election.leader_elect:
            return None
        settings = LeaseSettings.from_configuration(election, self._config.namespace)
        return LeaseElector(self._transport, self._clock, settings, f"{socket.gethostname()}_{uuid.uuid4()}")

    async def _serve_probes_and_metrics(self) -> None:
        health = self._config.health
        checks = {
            "certificates": lambda: self._rotator.readiness() if self._rotator else "",
            "webhooks": lambda: "" if self._webhooks_ready else "webhooks are not served yet",
        }
        app = probes(
            checks,
            liveness=(health.liveness_endpoint_name or "healthz").lstrip("/"),
            readiness=(health.readiness_endpoint_name or "readyz").lstrip("/"),
        )
        await self._serve(app, health.health_probe_bind_address)
        await self._serve(metrics(self._manager.metrics.registry), self._config.metrics.bind_address)

    async def _serve(self, app: Any, address: str) -> None:
        parsed = parse_address(address, in_cluster=self._in_cluster)
        if parsed is not None:
            await self._start(Server(app, *parsed))

    async def _start(self, server: Server) -> None:
        await server.start()
        self._stack.push_async_callback(server.stop)

    async def _certificates(self) -> ssl.SSLContext:
        """Certificates of our own making, or the files of `webhook.certDir`."""
        management = self._config.internal_cert_management
        if not management.enable:
            folder = Path(self._config.webhook.cert_dir)
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            try:
                context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
            except OSError as error:
                fault = f"cannot load tls.crt and tls.key: {error}; provide them or set internalCertManagement.enable"
                raise ConfigError(str(folder), [fault]) from error
            return context
        host = urlsplit(self._webhook_url).hostname
        self._rotator = CertificateRotator(
            self._transport, self._clock, namespace=self._config.namespace, secret=management.webhook_secret_name,
            service=management.webhook_service_name, names=(host,) if host else (),
        )  # fmt: skip
        pair = await self._rotator.ensure()
        if self._webhook_url:
            await self._register_by_url(pair.ca_cert)
        rotation = asyncio.create_task(self._rotator.run())
        self._stack.callback(rotation.cancel)
        assert self._rotator.context is not None
        return self._rotator.context

    async def _register_by_url(self, ca_cert: bytes) -> None:
        """Register the webhooks under a URL: this manager runs outside of the cluster."""
        for configuration in webhook_configurations(self._config.namespace):
            body = at_url(configuration, self._webhook_url, ca_cert)
            plural = f"{body['kind'].lower()}s"
            path = f"/apis/{body['apiVersion']}/{plural}/{body['metadata']['name']}"
            query = {"fieldManager": _FIELD_MANAGER, "force": "true"}
            await self._transport.request(ApiRequest("PATCH", path, query, body, "application/apply-patch+yaml"))

    async def _serve_webhooks(self, context: ssl.SSLContext) -> None:
        own = WebhookSet(
            WEBHOOK_CONFIGURATION, self._product.webhooks, self._manager.reader, ("kube-system", self._config.namespace)
        )
        idle: list[Kind] = [target.kind for target in TARGETS]
        server = self._config.webhook
        app = webhook_application([own], convert, idle)
        host = server.host or ("0.0.0.0" if self._in_cluster else "127.0.0.1")  # noqa: S104 - in a pod, behind its Service
        await self._start(Server(app, host, server.port, context))
        self._webhooks_ready = True
