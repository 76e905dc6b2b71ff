"""TLS options, and certificates from files that are renewed."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from pykueue.api.configuration.types import TLSOptions
from pykueue.api.configuration.validate import SECURE_CIPHERS
from pykueue.api.errors import ConfigError
from pykueue.api.instant import SECOND_US
from pykueue.runtime.certificates import CertificatePair, make_pair
from pykueue.runtime.clock import ManualClock, SystemClock
from pykueue.runtime.serving import Server
from pykueue.runtime.tls import LOOK_INTERVAL_US, CertificateFiles, apply_options


def new_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def write(folder: Path) -> CertificatePair:
    pair = make_pair(("127.0.0.1",), SystemClock().now())
    (folder / "tls.crt").write_bytes(pair.cert)
    (folder / "tls.key").write_bytes(pair.key)
    return pair


@pytest.mark.parametrize(
    ("options", "want"),
    [
        (None, ssl.TLSVersion.TLSv1_2),
        (TLSOptions(), ssl.TLSVersion.TLSv1_2),
        (TLSOptions(min_version="VersionTLS13"), ssl.TLSVersion.TLSv1_3),
    ],
    ids=["no stanza", "no version", "TLS 1.3"],
)
def test_the_least_version(options: TLSOptions | None, want: ssl.TLSVersion) -> None:
    """1.2 unless more is asked for."""
    context = new_context()
    apply_options(context, options)
    assert context.minimum_version == want


def test_every_cipher_suite_that_may_be_named_is_known() -> None:
    """One at a time, each leaves itself alone beside those of TLS 1.3, which cannot be chosen."""
    for name in SECURE_CIPHERS:
        context = new_context()
        before = {cipher["name"] for cipher in context.get_ciphers()}
        apply_options(context, TLSOptions(cipher_suites=(name,)))
        after = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
        assert len(after) == 1 or (not name.startswith("TLS_ECDHE") and {*after} < before), name


def test_files_that_are_not_there_are_told_with_the_way_out() -> None:
    """Folder, files and the option that makes them unnecessary."""
    with pytest.raises(ConfigError, match=r"(?s)/nowhere.*tls\.crt and tls\.key.*set internalCertManagement\.enable"):
        CertificateFiles(Path("/nowhere"), "set internalCertManagement.enable", None)


def test_renewed_files_are_served(tmp_path: Path) -> None:
    """Half a pair is not taken; once both files are new, new connections get them, without a restart."""

    async def served_to(server: Server) -> bytes:
        trust_all = ssl.create_default_context()
        trust_all.check_hostname, trust_all.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust_all)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return ssl.DER_cert_to_PEM_cert(der).encode()

    async def main() -> None:
        first = write(tmp_path)
        files, clock = CertificateFiles(tmp_path, "", None), ManualClock()
        server = Server(web.Application(), "127.0.0.1", 0, files.context)
        await server.start()
        watching = asyncio.create_task(files.watch(clock))
        assert await served_to(server) == first.cert
        second = make_pair(("127.0.0.1",), SystemClock().now())
        (tmp_path / "tls.crt").write_bytes(second.cert)
        await clock.advance(LOOK_INTERVAL_US + SECOND_US)
        assert await served_to(server) == first.cert
        (tmp_path / "tls.key").write_bytes(second.key)
        await clock.advance(LOOK_INTERVAL_US + SECOND_US)
        assert await served_to(server) == second.cert
        watching.cancel()
        await server.stop()

    asyncio.run(main())


def test_a_look_without_news_changes_nothing(tmp_path: Path) -> None:
    """Only other contents are news; files that went away leave what is served."""
    write(tmp_path)
    files = CertificateFiles(tmp_path, "", None)
    assert not files.look()
    write(tmp_path)
    assert files.look()
    (tmp_path / "tls.key").unlink()
    assert not files.look()
