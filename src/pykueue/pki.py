"""What the embedded server's certificates and the webhooks' have in common: how one is made, and how it is written.

Keys are on the curve P-256, signatures SHA-256. The time is an argument; serial numbers and keys are random.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

AHEAD = dt.timedelta(hours=1)
"""How long before it was made a certificate is valid: clocks differ."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key that nobody else has."""
    return ec.generate_private_key(ec.SECP256R1())


def authority(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime, valid: dt.timedelta
) -> x509.Certificate:
    """A certificate that signs itself and others, which sign none."""
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        _builder(subject, subject, key, now, valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )


def certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    now: dt.datetime,
    valid: dt.timedelta,
    *,
    names: Sequence[str] = (),
) -> x509.Certificate:
    """A certificate that an authority vouches for: for serving if it covers names, else for a client.

    Args:
        subject: whose it is.
        key: theirs.
        signer: the authority's certificate and key.
        now: when it is made.
        valid: for how long.
        names: DNS names and IP addresses that it covers.
    """
    builder = _builder(subject, signer[0].subject, key, now, valid)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    if names:
        covered = x509.SubjectAlternativeName([general_name(name) for name in names])
        builder = builder.add_extension(covered, critical=False)
    return (
        builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer[1].public_key()), critical=False)
        .sign(signer[1], hashes.SHA256())
    )


def general_name(name: str) -> x509.GeneralName:
    """An IP address or a DNS name, as certificates tell them apart."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def certificate_pem(cert: x509.Certificate) -> bytes:
    """The text of a certificate."""
    return cert.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The text of a key, not encrypted: whoever writes it keeps it from others."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: dt.datetime, valid: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - AHEAD)
        .not_valid_after(now + valid)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
