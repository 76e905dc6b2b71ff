"""The embedded API server, assembled: store, registry, built-in kinds, custom resources, discovery, HTTP.

`EmbeddedApiServer` is what `cli/serve.py` and tests make. It works without a socket (`transport()`), or on one (`listen()`), or
both at once. With a data directory it keeps its state and its certificates there; without one (`--memory`) it forgets.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pykueue.api.errors import AddressError
from pykueue.api.instant import Instant
from pykueue.api.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from pykueue.api.objects import Obj, ObjectKey
from pykueue.apiserver.backend import AdmitAll, Backend
from pykueue.apiserver.builtins.table import builtin_resources
from pykueue.apiserver.crd import CustomResources, definition_resource
from pykueue.apiserver.discovery import KUBERNETES_VERSION, Discovery
from pykueue.apiserver.durable import SqliteJournal
from pykueue.apiserver.extension import Page
from pykueue.apiserver.handler import ApiHandler
from pykueue.apiserver.http import Authenticator, HttpServer
from pykueue.apiserver.inprocess import InProcessTransport
from pykueue.apiserver.messages import HttpRequest, User
from pykueue.apiserver.openapi import OpenApi
from pykueue.apiserver.resources import Converter, Resource, ResourceRegistry
from pykueue.apiserver.store import Store
from pykueue.apiserver.tls import Identity, kubeconfig, load_identity
from pykueue.apiserver.writes import create_object
from pykueue.ports.admission import AdmissionChain

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SYSTEM = User("system:apiserver", ("system:masters", "system:authenticated"))


def system_clock() -> Instant:
    """The machine's time."""
    return Instant(time.time_ns() // 1000)


def random_suffix() -> str:
    """Five characters as Kubernetes ends generated names with: no vowels, no look-alikes."""
    return "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(5))


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time and chance come from; tests and simulations bring their own."""

    clock: Callable[[], Instant] = system_clock
    new_uid: Callable[[], str] = lambda: str(uuid.uuid4())
    random_suffix: Callable[[], str] = random_suffix


class EmbeddedApiServer:
    """One API server in this process."""

    def __init__(
        self,
        resources: Sequence[Resource] | None = None,
        *,
        converters: Mapping[str, Converter] | None = None,
        data_dir: Path | None = None,
        sources: Sources | None = None,
        admission: AdmissionChain | None = None,
        pages: Sequence[Page] = (),
    ) -> None:
        """Load the state, and make what every cluster has.

        Args:
            resources: what is served from the start; Kubernetes' built-in kinds unless told otherwise.
            converters: by API group, between versions of custom resources whose definitions ask for a webhook.
            data_dir: where state and certificates are kept; None keeps nothing.
            sources: of time and chance.
            admission: webhooks; see also `set_admission`.
            pages: more paths that are no resources.

        Raises:
            DataError: the data directory is in use or damaged.
        """
        sources = sources or Sources()
        self._data_dir = data_dir
        self._http: HttpServer | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self.registry = ResourceRegistry()
        for resource in (*builtin_resources(), definition_resource()) if resources is None else resources:
            self.registry.add(resource)
        self.store = Store(SqliteJournal(data_dir) if data_dir is not None else None)
        self.backend = Backend(
            self.store, self.registry, sources.clock, sources.new_uid, sources.random_suffix, admission or AdmitAll()
        )
        self.handler = ApiHandler(
            self.backend,
            (Discovery(self.registry).page, OpenApi(self.registry, version=KUBERNETES_VERSION).page, *pages),
        )
        if self.registry.for_kind(CUSTOM_RESOURCE_DEFINITION) is not None:
            self.custom_resources = CustomResources(self.backend, converters=converters, later=self._later)
        self._make_system_objects()

    def set_admission(self, admission: AdmissionChain) -> None:
        """Call these webhooks from now on."""
        self.backend.admission = admission

    def transport(self, *, user: User | None = None, user_agent: str = "pykueue") -> InProcessTransport:
        """Ask this server from within the process."""
        return InProcessTransport(self.handler, user=user, user_agent=user_agent)

    async def listen(self, host: str = "127.0.0.1", port: int = 0, *, names: Sequence[str] = ()) -> str:
        """Serve HTTPS.

        Args:
            host: address to listen on.
            port: 0 for any free one.
            names: more names and addresses under which clients know the server.

        Returns:
            A kubeconfig for the administrator.

        Raises:
            AddressError: the address is in use.
            DataError: the certificates cannot be read.
        """
        identity = self.identity(host, *names)
        self._http = HttpServer(self.handler, Authenticator(identity.token), host, port, identity.server_context())
        try:
            await self._http.start()
        except OSError as error:
            raise AddressError(
                f"{host}:{port}", [f"cannot listen: {os.strerror(error.errno or 0)}; choose another port"]
            ) from error
        return kubeconfig(identity, self._http.url)

    @property
    def url(self) -> str:
        """Where it listens; empty if it does not."""
        return self._http.url if self._http is not None else ""

    async def close(self) -> None:
        """Stop listening, and close the store."""
        if self._http is not None:
            await self._http.stop()
            self._http = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None
        self.store.close()

    @staticmethod
    def _later(task: Callable[[], None]) -> None:
        """Run a task after the present one; without a loop there is no write under way, so at once."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            task()
        else:
            loop.call_soon(task)

    def identity(self, *addresses: str) -> Identity:
        """Certificates and token; made when first asked for. Without a data directory they last as long as the server.

        Raises:
            DataError: they cannot be read.
        """
        if self._data_dir is None and self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="pykueue-")
        home = self._data_dir or Path(self._scratch.name if self._scratch else "")
        return load_identity(home, addresses, dt.datetime.now(dt.UTC))

    def _make_system_objects(self) -> None:
        namespaces = self.registry.for_kind(NAMESPACE)
        if namespaces is None:
            return
        for name in SYSTEM_NAMESPACES:
            if self.store.storage(namespaces.storage_name).get(ObjectKey("", name)) is None:
                self._make(namespaces, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def _make(self, resource: Resource, obj: Obj) -> None:
        create_object(
            self.backend, HttpRequest("POST", resource.kind.path(), user=_SYSTEM, user_agent="apiserver"), resource, obj
        )
