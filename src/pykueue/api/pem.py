"""PEM, as Python's TLS takes it."""

from __future__ import annotations


def ascii_pem(pem: bytes) -> str:
    """Certificates as text. Only names in comments between them are not ASCII; `ssl` would refuse all for that."""
    return pem.decode("ascii", "backslashreplace")
