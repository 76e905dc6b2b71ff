"""Certificates: who vouches for whom, for how long, and for what."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pykueue import pki

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def test_an_authority_vouches_for_what_it_signed_and_for_nothing_else() -> None:
    """Another authority of the same name does not."""
    ca_key, key = pki.new_key(), pki.new_key()
    ca = pki.authority(named("ca"), ca_key, NOW, 10 * DAY)
    cert = pki.certificate(named("server"), key, (ca, ca_key), NOW, DAY, names=("localhost", "127.0.0.1"))
    cert.verify_directly_issued_by(ca)
    with pytest.raises(InvalidSignature):
        cert.verify_directly_issued_by(pki.authority(named("ca"), pki.new_key(), NOW, DAY))
    assert (cert.not_valid_before_utc, cert.not_valid_after_utc) == (NOW - pki.AHEAD, NOW + DAY)
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    ("names", "want"), [(("a", "::1"), ExtendedKeyUsageOID.SERVER_AUTH), ((), ExtendedKeyUsageOID.CLIENT_AUTH)]
)
def test_a_certificate_is_for_serving_or_for_a_client(names: tuple[str, ...], want: x509.ObjectIdentifier) -> None:
    """With names it is for serving, and covers them; without it is for a client."""
    ca_key = pki.new_key()
    ca = pki.authority(named("ca"), ca_key, NOW, DAY)
    cert = pki.certificate(named("x"), pki.new_key(), (ca, ca_key), NOW, DAY, names=names)
    assert list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [want]
    covered = [e.value for e in cert.extensions if isinstance(e.value, x509.SubjectAlternativeName)]
    assert [list(c) for c in covered] == ([[pki.general_name(n) for n in names]] if names else [])


def test_texts_are_read_back() -> None:
    """What is written is what was made."""
    key = pki.new_key()
    cert = pki.authority(named("ca"), key, NOW, DAY)
    assert x509.load_pem_x509_certificate(pki.certificate_pem(cert)) == cert
    again = serialization.load_pem_private_key(pki.key_pem(key), None)
    assert again.public_key() == key.public_key()
