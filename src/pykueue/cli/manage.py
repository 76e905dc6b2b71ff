"""`pykueue manager`: the manager against a Kubernetes API server.

Order of start, as Kueue's: configuration, certificates, caches, webhooks, readiness; then reconcilers and scheduler once this replica
leads. SIGTERM ends it gracefully: no new work is begun, what is under way may end, the lease is handed back.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import socket
import ssl
import sys
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import ProcessCollector

from pykueue import __version__
from pykueue.api.configuration import Configuration, dump_effective, unsupported
from pykueue.api.configuration.types import LeaderElection
from pykueue.api.conversion import convert
from pykueue.api.errors import ConfigError
from pykueue.cli import logs
from pykueue.cli.webhook_manifests import webhook_configurations
from pykueue.cli.wiring import CACHED_KINDS, WEBHOOK_CONFIGURATION, Product, assemble, read_configuration
from pykueue.client.http import HttpTransport, user_agent
from pykueue.client.kubeconfig import is_in_cluster, load_access
from pykueue.core.features import without_effect
from pykueue.ports.transport import Transport
from pykueue.runtime.admission import WebhookSet
from pykueue.runtime.certificates import CONVERTED, CertificateRotator, make_pair
from pykueue.runtime.clock import SystemClock
from pykueue.runtime.kueue_metrics import FOLLOWER, MeteredEngine
from pykueue.runtime.lease import LeaseElector, LeaseSettings
from pykueue.runtime.manager import Manager, ManagerOptions
from pykueue.runtime.registration import own_account, register_by_url
from pykueue.runtime.scrape_auth import ScrapeAuthorizer
from pykueue.runtime.serving import Server, is_loopback, metrics, parse_address, probes
from pykueue.runtime.tls import CertificateFiles, apply_options
from pykueue.runtime.webhook_server import webhook_application

_log = logging.getLogger(__name__)
_FIELD_MANAGER = "kueue"
_METRICS_CERTIFICATES = Path("/etc/kueue/metrics/certs")


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
    for warning in (*unsupported(config), *without_effect(features)):
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
        self._metered = MeteredEngine(product.controller, config, product.features, self._role, build_labels())
        self._manager = Manager(
            transport, product.reconcilers, engine=self._metered, clock=self._clock, lease=self._lease(),
            options=ManagerOptions(
                name=_FIELD_MANAGER, more_kinds=CACHED_KINDS, freeze_after_sync=True,
                cache_sync_timeout_us=config.controller.cache_sync_timeout_us, rewrite=product.rewrite,
            ),
        )  # fmt: skip

    async def run(self) -> None:
        """Start everything in order, and wait for the end."""
        await self._serve_probes()
        await self._serve_metrics()
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

    def _role(self) -> str:
        """What this replica is, for metrics."""
        if not self._config.leader_election.leader_elect:
            return "standalone"
        return "leader" if self._manager.is_leading() else FOLLOWER

    def _lease(self) -> LeaseElector | None:
        election: LeaderElection = self._config.leader_election
        if not election.leader_elect:
            return None
        settings = LeaseSettings.from_configuration(election, self._config.namespace)
        return LeaseElector(self._transport, self._clock, settings, f"{socket.gethostname()}_{uuid.uuid4()}")

    async def _serve_probes(self) -> None:
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
        address = parse_address(health.health_probe_bind_address, in_cluster=self._in_cluster)
        if address is not None:
            await self._start(Server(app, *address))

    async def _serve_metrics(self) -> None:
        """HTTPS to whom the API server vouches for; plain to the own machine, outside of a cluster."""
        registry = self._manager.metrics.registry
        registry.register(self._metered.collector)
        ProcessCollector(registry=registry)
        address = parse_address(self._config.metrics.bind_address, in_cluster=self._in_cluster)
        if address is None:
            return
        if not self._in_cluster and is_loopback(address[0]):
            await self._start(Server(metrics(registry), *address))
            return
        authorizer = ScrapeAuthorizer(self._transport, self._clock)
        app = metrics(registry, (authorizer.middleware,))
        await self._start(Server(app, *address, self._metrics_context()))

    def _metrics_context(self) -> ssl.SSLContext:
        if not self._config.internal_cert_management.enable:
            return self._from_files(_METRICS_CERTIFICATES)
        # Nobody is told of its authority, as with Kueue: scrapers do not verify it, the token is what counts.
        context = make_pair((socket.gethostname(), "localhost"), self._clock.now()).server_context()
        apply_options(context, self._config.tls)
        return context

    def _from_files(self, folder: Path) -> ssl.SSLContext:
        files = CertificateFiles(folder, "set internalCertManagement.enable", self._config.tls)
        watching = asyncio.create_task(files.watch(self._clock))
        self._stack.callback(watching.cancel)
        return files.context

    async def _start(self, server: Server) -> None:
        await server.start()
        self._stack.push_async_callback(server.stop)

    async def _certificates(self) -> ssl.SSLContext:
        """Certificates of our own making, or the files of `webhook.certDir`."""
        management = self._config.internal_cert_management
        if not management.enable:
            if self._webhook_url:
                raise ConfigError(
                    "--webhook-url", ["needs internalCertManagement.enable: the API server is told its authority"]
                )
            return self._from_files(Path(self._config.webhook.cert_dir))
        host = urlsplit(self._webhook_url).hostname
        self._rotator = CertificateRotator(
            self._transport, self._clock, namespace=self._config.namespace, secret=management.webhook_secret_name,
            service=management.webhook_service_name, names=(host,) if host else (),
        )  # fmt: skip
        await self._rotator.ensure()
        rotation = asyncio.create_task(self._rotator.run())
        self._stack.callback(rotation.cancel)
        assert self._rotator.context is not None
        apply_options(self._rotator.context, self._config.tls)
        return self._rotator.context

    async def _serve_webhooks(self, context: ssl.SSLContext) -> None:
        own = WebhookSet(
            WEBHOOK_CONFIGURATION, self._product.webhooks, self._manager.reader, ("kube-system", self._config.namespace)
        )
        server = self._config.webhook
        app = webhook_application([own], convert)
        host = server.host or ("0.0.0.0" if self._in_cluster else "127.0.0.1")  # noqa: S104 - in a pod, behind its Service
        await self._start(Server(app, host, server.port, context))
        if self._webhook_url:
            await self._register()
        self._webhooks_ready = True

    async def _register(self) -> None:
        """Register the webhooks under a URL: this manager runs outside of the cluster."""
        assert self._rotator is not None
        assert self._rotator.pair is not None
        configurations = webhook_configurations(self._config.namespace, await own_account(self._transport))
        authority = self._rotator.pair.ca_cert
        await register_by_url(self._transport, configurations, CONVERTED, self._webhook_url, authority)


def build_labels() -> Mapping[str, str]:
    """Labels of `kueue_build_info`; the one for Go's version tells Python's."""
    return {
        "git_version": f"v{__version__}",
        "go_version": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{sys.platform}/{platform.machine()}",
    }
