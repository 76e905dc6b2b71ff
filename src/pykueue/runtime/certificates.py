"""The manager's own certificates for webhooks: made, kept in a Secret, renewed, and told to the API server.

All replicas share one authority through the Secret: whoever finds it empty or about to expire writes a new pair, and a Conflict means
that another replica was quicker, so the Secret is read again. The authority's certificate is put into the webhook
configurations and the conversion stanzas of our definitions. Validity: authority 10 years, serving 1 year, renewed when
less than 90 days remain, looked at every 12 hours. Source: webhooks.md §6.
"""

from __future__ import annotations

import base64
import datetime as dt
import logging
import os
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from pykueue import pki
from pykueue.api.errors import AlreadyExists, Conflict, NotFound, PykueueError, TransportError
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import (
    CUSTOM_RESOURCE_DEFINITION,
    KUEUE_GROUP,
    MUTATING_WEBHOOKS,
    SECRET,
    VALIDATING_WEBHOOKS,
    Kind,
)
from pykueue.api.objects import Obj, get_path, resource_version
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.clock import Clock, sleep

CHECK_INTERVAL_US = 12 * 3600 * SECOND_US
_CA_VALID, _SERVING_VALID, _RENEW_BEFORE = dt.timedelta(days=3650), dt.timedelta(days=365), dt.timedelta(days=90)
_RETRY_US = 5 * SECOND_US
CONVERTED = ("localqueues", "clusterqueues", "workloads", "cohorts", "multikueueclusters")
_FILES = ("ca.crt", "ca.key", "tls.crt", "tls.key")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """An authority and a serving certificate that it signed, all in PEM."""

    ca_cert: bytes
    ca_key: bytes
    cert: bytes
    key: bytes

    def server_context(self) -> ssl.SSLContext:
        """TLS for the listening socket."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        load_into(context, self)
        return context


def make_pair(names: Sequence[str], now: Instant) -> CertificatePair:
    """A new authority and a serving certificate for these DNS names and addresses; the first is its common name."""
    at = _date(now)
    ca_key, key = pki.new_key(), pki.new_key()
    ca_name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "kueue"), x509.NameAttribute(NameOID.COMMON_NAME, "kueue-ca")]
    )
    ca = pki.authority(ca_name, ca_key, at, _CA_VALID)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    cert = pki.certificate(subject, key, (ca, ca_key), at, _SERVING_VALID, names=names)
    pem = pki.certificate_pem
    return CertificatePair(pem(ca), pki.key_pem(ca_key), pem(cert), pki.key_pem(key))


def is_current(pair: CertificatePair, names: Sequence[str], now: Instant) -> bool:
    """Whether both certificates are good for a while yet, belong together, and cover these names."""
    try:
        ca, cert = x509.load_pem_x509_certificate(pair.ca_cert), x509.load_pem_x509_certificate(pair.cert)
        cert.verify_directly_issued_by(ca)
        covered = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        key = serialization.load_pem_private_key(pair.key, None)
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        _log.info("the webhook certificates are made anew: %s", error)
        return False
    except Exception as error:  # the library tells a wrong signature by an error of its backend
        _log.info("the webhook certificates are made anew: %r", error)
        return False
    soon = _date(now) + _RENEW_BEFORE
    good = ca.not_valid_after_utc > soon and cert.not_valid_after_utc > soon
    return good and key.public_key() == cert.public_key() and all(pki.general_name(name) in covered for name in names)


def load_into(context: ssl.SSLContext, pair: CertificatePair) -> None:
    """Serve this certificate from now on; connections that are open keep theirs."""
    with tempfile.TemporaryDirectory(prefix="pykueue-") as folder:
        path = Path(folder) / "pair.pem"  # the library takes keys from files alone; the folder is its owner's
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pair.cert + b"\n" + pair.key)
        context.load_cert_chain(path)


class CertificateRotator:
    """Keeps the Secret, the serving context and the API server's knowledge of the authority current."""

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        *,
        namespace: str,
        secret: str,
        service: str,
        names: Sequence[str] = (),
    ) -> None:
        """A rotator that has done nothing yet.

        Args:
            transport: the API server.
            clock: for validity.
            namespace: of the Secret.
            secret: its name.
            service: of the webhooks; gives the DNS name and the names of the webhook configurations.
            names: more names and addresses that the certificate must cover.
        """
        self._transport, self._clock = transport, clock
        self._namespace, self._secret, self._service = namespace, secret, service
        self._names = (f"{service}.{namespace}.svc", *names)
        self.pair: CertificatePair | None = None
        """What is served; None before the first success."""
        self.context: ssl.SSLContext | None = None

    async def ensure(self) -> CertificatePair:
        """Have a current pair in the Secret, load it, and inject the authority.

        Raises:
            PykueueError: the API server refuses.
        """
        pair = await self._current_pair()
        if pair != self.pair:
            if self.context is None:
                self.context = pair.server_context()
            else:
                load_into(self.context, pair)
            self.pair = pair
        await self.inject(pair.ca_cert)
        return pair

    async def run(self) -> None:
        """Look after the certificates, for ever."""
        while True:
            try:
                await self.ensure()
                await sleep(self._clock, CHECK_INTERVAL_US)
            except PykueueError as error:
                _log.warning("webhook certificates: %s", error)
                await sleep(self._clock, _RETRY_US)
            except Exception:
                # Whatever it is, it must not end the renewal: the certificates would run out months later.
                _log.exception("webhook certificates: unexpected error; they are looked at again in 12 hours")
                await sleep(self._clock, CHECK_INTERVAL_US)

    def readiness(self) -> str:
        """For the readiness probe."""
        return "" if self.pair is not None else "certificates are not ready"

    async def inject(self, ca_cert: bytes) -> None:
        """Tell the API server whom to trust, wherever it does not know yet; what is not there is left out.

        Raises:
            PykueueError: the API server refuses.
        """
        bundle = base64.b64encode(ca_cert).decode()
        base = self._service.removesuffix("-webhook-service")
        for kind, name in (
            (MUTATING_WEBHOOKS, f"{base}-mutating-webhook-configuration"),
            (VALIDATING_WEBHOOKS, f"{base}-validating-webhook-configuration"),
        ):
            obj = await self._get(kind, "", name)
            webhooks = [*((obj or {}).get("webhooks") or ())]
            stale = [i for i, one in enumerate(webhooks) if get_path(one, "clientConfig", "caBundle") != bundle]
            await self._patch(
                kind,
                name,
                [{"op": "add", "path": f"/webhooks/{i}/clientConfig/caBundle", "value": bundle} for i in stale],
            )
        for plural in CONVERTED:
            name = f"{plural}.{KUEUE_GROUP}"
            obj = await self._get(CUSTOM_RESOURCE_DEFINITION, "", name)
            config = get_path(obj, "spec", "conversion", "webhook", "clientConfig")
            if config is not None and config.get("caBundle") != bundle:
                path = "/spec/conversion/webhook/clientConfig/caBundle"
                await self._patch(CUSTOM_RESOURCE_DEFINITION, name, [{"op": "add", "path": path, "value": bundle}])

    async def _current_pair(self) -> CertificatePair:
        for _ in range(5):
            secret = await self._get(SECRET, self._namespace, self._secret)
            pair = _from_secret(secret)
            if pair is not None and is_current(pair, self._names, self._clock.now()):
                return pair
            fresh = make_pair(self._names, self._clock.now())
            try:
                await self._store(secret, fresh)
            except (Conflict, AlreadyExists):
                continue  # another replica was quicker: serve what it made
            return fresh
        raise TransportError(f"secret {self._namespace}/{self._secret} changes whenever it is written")

    async def _store(self, secret: Obj | None, pair: CertificatePair) -> None:
        values = (pair.ca_cert, pair.ca_key, pair.cert, pair.key)
        data = {name: base64.b64encode(value).decode() for name, value in zip(_FILES, values, strict=True)}
        if secret is None:
            meta = {"namespace": self._namespace, "name": self._secret}
            body: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
            await self._transport.request(ApiRequest("POST", SECRET.path(self._namespace), body=body))
            return
        body = {"metadata": {"resourceVersion": resource_version(secret)}, "data": data}
        path = SECRET.path(self._namespace, self._secret)
        await self._transport.request(ApiRequest("PATCH", path, {}, body, "application/merge-patch+json"))

    async def _get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        try:
            obj: Obj = await self._transport.request(ApiRequest("GET", kind.path(namespace, name)))
        except NotFound:
            return None
        return obj

    async def _patch(self, kind: Kind, name: str, operations: Sequence[dict[str, Any]]) -> None:
        if operations:
            path = kind.path("", name)
            await self._transport.request(
                ApiRequest("PATCH", path, {}, list(operations), "application/json-patch+json")
            )


def _from_secret(secret: Obj | None) -> CertificatePair | None:
    data = (secret or {}).get("data") or {}
    if not all(data.get(name) for name in _FILES):
        return None
    try:
        return CertificatePair(*(base64.b64decode(data[name]) for name in _FILES))
    except ValueError as error:
        _log.info("the webhook certificates are made anew: the Secret is damaged: %s", error)
        return None


def _date(now: Instant) -> dt.datetime:
    return dt.datetime.fromtimestamp(now // SECOND_US, dt.UTC)
