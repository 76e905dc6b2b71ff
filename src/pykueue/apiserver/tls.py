"""The embedded server's identity: its own certificate authority, serving certificate, and the administrator's credentials.

All of it is generated at first start and kept in the data directory, so that a kubeconfig outlives restarts:

| File | What |
|---|---|
| `pki/ca.crt`, `pki/ca.key` | the authority that signs both certificates below |
| `pki/server.crt`, `pki/server.key` | serving certificate for the addresses that the server listens on |
| `pki/admin.crt`, `pki/admin.key` | client certificate of the administrator, group `system:masters` |
| `pki/token` | bearer token of the administrator |

Keys are readable by their owner alone. A serving certificate that does not cover an address, or expires within a month, is
renewed; the authority is not, for that would end every kubeconfig given out.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pykueue import pki
from pykueue.api.errors import ConfigError, DataError
from pykueue.apiserver.messages import ADMIN_USER, SYSTEM_MASTERS

_TEN_YEARS = dt.timedelta(days=3650)
_RENEW_BEFORE = dt.timedelta(days=30)
_ALWAYS_NAMED = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Identity:
    """Paths of the files, and the token's text."""

    ca_cert: Path
    server_cert: Path
    server_key: Path
    admin_cert: Path
    admin_key: Path
    token: str

    def server_context(self) -> ssl.SSLContext:
        """TLS for the listening socket; clients may, but need not, show a certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca_cert))
        context.load_cert_chain(self.server_cert, self.server_key)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


def load_identity(directory: Path, addresses: Sequence[str], now: dt.datetime) -> Identity:
    """Read the identity of a data directory; make what is missing.

    Args:
        directory: the data directory.
        addresses: names and IP addresses that the serving certificate must cover, besides loopback.
        now: for validity.

    Raises:
        DataError: a file cannot be read.
    """
    folder = directory / "pki"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ca_cert, ca_key = _authority(folder, now)
        wanted = tuple(dict.fromkeys((*_ALWAYS_NAMED, *addresses)))
        if not _is_current(folder / "server.crt", wanted, now):
            key = pki.new_key()
            cert = pki.certificate(_subject("pykueue"), key, (ca_cert, ca_key), now, _TEN_YEARS, names=wanted)
            _write_pair(folder, "server", cert, key)
        if not _is_current(folder / "admin.crt", (), now):
            key = pki.new_key()
            cert = pki.certificate(_subject(ADMIN_USER, SYSTEM_MASTERS), key, (ca_cert, ca_key), now, _TEN_YEARS)
            _write_pair(folder, "admin", cert, key)
        token = folder / "token"
        if not token.exists():
            _write_private(token, secrets.token_urlsafe(32).encode())
        text = token.read_text().strip()
    except (OSError, ValueError, TypeError) as error:
        detail = f"the server's certificates cannot be read: {error}; remove this folder to have new ones made"
        raise DataError(str(folder), [detail]) from error
    return Identity(
        folder / "ca.crt",
        folder / "server.crt",
        folder / "server.key",
        folder / "admin.crt",
        folder / "admin.key",
        text,
    )


def kubeconfig(identity: Identity, server: str, name: str = "pykueue") -> str:
    """A kubeconfig for the administrator, complete in itself."""
    import base64

    def data(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": data(identity.ca_cert)}}
        ],
        "users": [
            {
                "name": f"{name}-admin",
                "user": {
                    "client-certificate-data": data(identity.admin_cert),
                    "client-key-data": data(identity.admin_key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin"}}],
        "current-context": name,
    }
    return yaml.safe_dump(document, sort_keys=False)


def write_kubeconfig(path: Path, text: str) -> None:
    """Write a kubeconfig that only its owner can read; an existing file is replaced at once.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        _write_private(beside, text.encode())
        beside.replace(path)
    except OSError as error:
        raise ConfigError(str(path), [f"the kubeconfig cannot be written: {error.strerror}"]) from error


def _authority(folder: Path, now: dt.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    cert_path, key_path = folder / "ca.crt", folder / "ca.key"
    if cert_path.exists() and key_path.exists():
        key = serialization.load_pem_private_key(key_path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{key_path} is not an elliptic-curve key")
        return x509.load_pem_x509_certificate(cert_path.read_bytes()), key
    key = pki.new_key()
    cert = pki.authority(_subject("pykueue-ca"), key, now, _TEN_YEARS)
    _write_pair(folder, "ca", cert, key)
    return cert, key


def _subject(common_name: str, organization: str = "") -> x509.Name:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(names)


def _is_current(path: Path, addresses: Sequence[str], now: dt.datetime) -> bool:
    if not path.exists():
        return False
    cert = x509.load_pem_x509_certificate(path.read_bytes())
    if cert.not_valid_after_utc - now < _RENEW_BEFORE:
        return False
    if not addresses:
        return True
    covered = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return all(pki.general_name(address) in covered for address in addresses)


def _write_pair(folder: Path, name: str, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _write_private(folder / f"{name}.key", pki.key_pem(key))
    (folder / f"{name}.crt").write_bytes(pki.certificate_pem(cert))


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
