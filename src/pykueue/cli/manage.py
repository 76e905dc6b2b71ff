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
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import ProcessCollector

from pykueue import __version__
from pykueue.api.configuration import Configuration, dump_effective, unsupported
from pykueue.api.configuration.types import LeaderElection
from pykueue.api.conversion import convert
from pykueue.api.errors import ConfigError, PykueueError
from pykueue.apiserver.extension import ExtensionApi
from pykueue.apiserver.http import extension_application
from pykueue.cli import logs
from pykueue.cli.manifests import api_services, visibility_service
from pykueue.cli.visibility import TITLE, access_of, visibility_resources
from pykueue.cli.webhook_manifests import webhook_configurations
from pykueue.cli.wiring import CACHED_KINDS, WEBHOOK_CONFIGURATION, Product, assemble, read_configuration
from pykueue.client.http import HttpTransport, user_agent
from pykueue.client.kubeconfig import is_in_cluster, load_access
from pykueue.core.features import Gate, without_effect
from pykueue.ports.transport import Transport
from pykueue.runtime.admission import WebhookSet
from pykueue.runtime.certificates import CONVERTED, CertificateRotator, make_pair
from pykueue.runtime.clock import SystemClock
from pykueue.runtime.extension_server import ExtensionAuth, ExtensionServer
from pykueue.runtime.front_proxy import FrontProxySource
from pykueue.runtime.kueue_metrics import FOLLOWER, MeteredEngine
from pykueue.runtime.lease import LeaseElector, LeaseSettings
from pykueue.runtime.manager import Manager, ManagerOptions
from pykueue.runtime.registration import own_account, register_by_host, register_by_url, withdraw_by_host
from pykueue.runtime.reviews import Reviews
from pykueue.runtime.scrape_auth import ScrapeAuthorizer
from pykueue.runtime.serving import Server, is_loopback, metrics, parse_address, probes
from pykueue.runtime.tls import CertificateFiles, apply_options
from pykueue.runtime.webhook_server import webhook_application

_log = logging.getLogger(__name__)
_FIELD_MANAGER = "kueue"
_REVIEWS_QPS, _REVIEWS_CONNECTIONS_MAX = 100, 8
_METRICS_CERTIFICATES, _VISIBILITY_CERTIFICATES = Path("/etc/kueue/metrics/certs"), Path("/visibility")


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
    # Whoever asks our servers makes us ask the API server who that is: that must not keep the manager from its own requests.
    asking = HttpTransport(
        access,
        agent=user_agent(__version__),
        qps=_REVIEWS_QPS,
        burst=2 * _REVIEWS_QPS,
        connections_max=_REVIEWS_CONNECTIONS_MAX,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        stack.push_async_callback(asking.close)
        process = _Process(config, assemble(config, features), (transport, asking), options.webhook_url, stack)
        await process.run()
    return 0


def heed_signals(stop: Callable[[], None]) -> None:
    """End on SIGTERM and SIGINT. On SIGUSR2 Kueue writes a dump into its log; that is not there, and must not be the end of us."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    text = "SIGUSR2: there is no dump; `pykueue explain clusterqueue NAME` and `pykueue topology` tell what is held, free and waiting"
    loop.add_signal_handler(signal.SIGUSR2, _log.warning, text)


class _Process:
    """The manager with the servers around it."""

    def __init__(
        self,
        config: Configuration,
        product: Product,
        transports: tuple[Transport, Transport],
        webhook_url: str,
        stack: AsyncExitStack,
    ) -> None:
        """`transports`: for the manager, and for questions about who asks it."""
        transport, asking = transports
        self._config, self._product, self._transport = config, product, transport
        self._webhook_url, self._stack = webhook_url, stack
        self._clock = SystemClock()
        self._in_cluster = is_in_cluster()
        self._webhooks_ready = False
        self._reviews = Reviews(asking, self._clock)
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
        heed_signals(self._manager.stop)
        synced = asyncio.create_task(self._manager.wait_until_synced())
        await asyncio.wait((running, synced), return_when=asyncio.FIRST_COMPLETED)
        if synced.done():
            await self._serve_visibility()
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
        app = metrics(registry, (ScrapeAuthorizer(self._reviews).middleware,))
        await self._start(Server(app, *address, self._own_context(_METRICS_CERTIFICATES)))

    async def _serve_visibility(self) -> None:
        """The visibility API, from this replica's own queues: so not before they are filled."""
        if not self._product.features[Gate.VISIBILITY_ON_DEMAND]:
            return
        source = FrontProxySource(self._transport, self._clock)
        auth = ExtensionAuth(self._reviews, source, access_of)
        app = extension_application(
            ExtensionApi(visibility_resources(self._product.engine), title=TITLE), (auth.middleware,)
        )
        wanted = self._config.visibility_server
        address = (wanted.bind_address or self._default_host(), wanted.bind_port)
        server = ExtensionServer(app, address, lambda: self._own_context(_VISIBILITY_CERTIFICATES), source)
        await self._start(server)
        watching = asyncio.create_task(server.watch())
        self._stack.callback(watching.cancel)
        if self._webhook_url:
            await self._register_visibility(server.port)

    async def _register_visibility(self, port: int) -> None:
        """Lead the API server to this machine, and no more when this manager ends."""
        host = urlsplit(self._webhook_url).hostname or ""
        if ":" in host:
            _log.warning("the visibility API is not registered: a Service cannot lead to the IPv6 address %s", host)
            return
        namespace = self._config.namespace
        objects = (visibility_service(namespace), api_services(namespace), host, port)
        try:
            await register_by_host(self._transport, *objects)
        except PykueueError as error:
            _log.warning("the visibility API is not registered: %s", error)
            return

        async def withdraw() -> None:
            try:
                await withdraw_by_host(self._transport, *objects)
            except PykueueError as error:
                _log.warning("the visibility API stays registered and leads nowhere: %s", error)

        self._stack.push_async_callback(withdraw)

    def _default_host(self) -> str:
        """All interfaces in a pod, behind its Service; outside of a cluster this machine alone."""
        return "0.0.0.0" if self._in_cluster else "127.0.0.1"  # noqa: S104 - in a pod

    def _own_context(self, folder: Path) -> ssl.SSLContext:
        """TLS of a server whose certificate nobody verifies: made here, or from the files of a folder."""
        if not self._config.internal_cert_management.enable:
            return self._from_files(folder)
        # Nobody is told of its authority, as with Kueue: the token is what counts, or the certificate of the caller.
        context = make_pair((socket.gethostname(), "localhost"), self._clock.now()).server_context()
        apply_options(context, self._config.tls)
        return context

    def _from_files(self, folder: Path) -> ssl.SSLContext:
        files = CertificateFiles(folder, "set internalCertManagement.enable", self._config.tls)
        watching = asyncio.create_task(files.watch(self._clock))
        self._stack.callback(watching.cancel)
        return files.context

    async def _start(self, server: Server | ExtensionServer) -> None:
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
        await self._start(Server(app, server.host or self._default_host(), server.port, context))
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
