"""PEM, as Python's TLS takes it."""

from __future__ import annotations

from pykueue.api.pem import ascii_pem


def test_comments_may_be_in_any_language() -> None:
    """What is not ASCII is shown as escapes; all else stays as it is."""
    assert ascii_pem("# Société\n-----BEGIN CERTIFICATE-----\n".encode()) == (
        "# Soci\\xc3\\xa9t\\xc3\\xa9\n-----BEGIN CERTIFICATE-----\n"
    )
