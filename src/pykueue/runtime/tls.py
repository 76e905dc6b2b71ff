"""TLS of the servers: the `tls` part of the configuration, and certificates from files that may be renewed.

Files are looked at every ten seconds, as those who renew them (cert-manager, a Secret's volume) tell nobody. A pair that cannot be loaded, because one
file of it was replaced and the other was not yet, is tried again at the next look; the old one is served meanwhile. Open
connections keep what they were opened with.

Source: config.md §7.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

from pykueue.api.configuration.types import TLSOptions
from pykueue.api.errors import ConfigError
from pykueue.api.instant import SECOND_US
from pykueue.runtime.clock import Clock, sleep

LOOK_INTERVAL_US = 10 * SECOND_US
_VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "": ssl.TLSVersion.TLSv1_2,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
_OPENSSL_CIPHERS: Mapping[str, str] = {
    f"TLS_ECDHE_{key}_WITH_{name}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for name, openssl in (
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    )
}
"""Go's names to OpenSSL's. Those of TLS 1.3 are not here: there, all are allowed, as in Go."""
_log = logging.getLogger(__name__)


def apply_options(context: ssl.SSLContext, options: TLSOptions | None) -> None:
    """Bring a server's context in line with the configuration, which was validated before.

    Raises:
        ConfigError: OpenSSL on this machine has none of the cipher suites.
    """
    context.minimum_version = _VERSIONS[options.min_version if options is not None else ""]
    names = [_OPENSSL_CIPHERS[name] for name in (options.cipher_suites if options else ()) if name in _OPENSSL_CIPHERS]
    if names:
        try:
            context.set_ciphers(":".join(names))
        except ssl.SSLError as error:
            detail = f"cipherSuites: {', '.join(names)} are not known to {ssl.OPENSSL_VERSION}; name others or none"
            raise ConfigError("tls", [detail]) from error


class CertificateFiles:
    """A context that serves `tls.crt` and `tls.key` of a folder, whatever they are at the time."""

    def __init__(self, folder: Path, option: str, options: TLSOptions | None) -> None:
        """Load them.

        Args:
            folder: where they are.
            option: what to set when they are not to be had, for the error.
            options: `tls` of the configuration.

        Raises:
            ConfigError: they cannot be loaded.
        """
        self._cert, self._key = folder / "tls.crt", folder / "tls.key"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        apply_options(self.context, options)
        self._seen: tuple[bytes, bytes] | None = None
        try:
            self._load()
        except (OSError, ssl.SSLError) as error:
            fault = f"cannot load tls.crt and tls.key: {error}; provide them, or {option}"
            raise ConfigError(str(folder), [fault]) from error

    def look(self) -> bool:
        """Load the files again if they changed; whether another certificate is served from now on."""
        try:
            return self._load()
        except (OSError, ssl.SSLError) as error:
            _log.warning("%s and %s cannot be loaded, the old ones are served: %s", self._cert, self._key, error)
            return False

    async def watch(self, clock: Clock) -> None:
        """Look again and again, for ever."""
        while True:
            await sleep(clock, LOOK_INTERVAL_US)
            if self.look():
                _log.info("%s was renewed", self._cert)

    def _load(self) -> bool:
        content = (self._cert.read_bytes(), self._key.read_bytes())
        if content == self._seen:
            return False
        # A half-replaced pair must not touch the context that serves: OpenSSL takes the certificate before it sees the key.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert, self._key)
        self.context.load_cert_chain(self._cert, self._key)
        self._seen = content
        return True
