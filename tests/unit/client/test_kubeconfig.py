"""Kubeconfig files, pods' accounts and credential plugins."""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pykueue.api.errors import ConfigError, TransportError
from pykueue.api.instant import SECOND_US, Instant
from pykueue.client.kubeconfig import ClusterAccess, from_files, from_text, in_cluster
from pykueue.runtime.certificates import make_pair


def document(user: dict[str, Any] | None = None, **cluster: Any) -> str:
    return yaml.safe_dump(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://host:6443", **cluster}}],
            "users": [{"name": "u", "user": user or {}}],
        }
    )


def plugin(answer: str) -> dict[str, Any]:
    return {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"print('''{answer}''')"],
    }


def headers(access: ClusterAccess) -> dict[str, str]:
    return asyncio.run(access.headers())


def test_inline_and_files(tmp_path: Path) -> None:
    """Certificates inline or in files relative to the kubeconfig; the inline one wins."""
    (tmp_path / "cert.pem").write_bytes(b"cert")
    path = tmp_path / "config"
    user = {"client-certificate": "cert.pem", "client-key-data": base64.b64encode(b"key").decode()}
    path.write_text(document(user, **{"certificate-authority-data": base64.b64encode(b"ca").decode()}))
    access = from_files([path])
    assert (access.server, access.ca_data, access.certificate) == ("https://host:6443", b"ca", (b"cert", b"key"))
    assert access.namespace == "n"


def test_authorities_may_be_commented_in_any_language() -> None:
    """What stands beside the certificates is for people; what is no certificate is refused, and not taken for none."""
    authority = make_pair(("host",), Instant(1_800_000_000 * SECOND_US)).ca_cert
    context = ClusterAccess("https://host:6443", ca_data="# Société\n".encode() + authority).ssl_context()
    assert context is not None
    assert len(context.get_ca_certs()) == 1
    with pytest.raises(ConfigError, match="the certificates cannot be used"):
        ClusterAccess("https://host:6443", ca_data=b"\xff").ssl_context()


def test_tokens(tmp_path: Path) -> None:
    """A token, or a file that is read again after a refusal."""
    assert headers(from_text(document({"token": "t"}), "text")) == {"Authorization": "Bearer t"}
    (tmp_path / "token").write_text("one\n")
    path = tmp_path / "config"
    path.write_text(document({"tokenFile": "token"}))
    access = from_files([path])
    assert headers(access) == {"Authorization": "Bearer one"}
    (tmp_path / "token").write_text("two\n")
    assert headers(access) == {"Authorization": "Bearer one"}
    assert asyncio.run(access.refresh())
    assert headers(access) == {"Authorization": "Bearer two"}


def test_files_are_merged(tmp_path: Path) -> None:
    """The first file to name something wins; parts may come from different files."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(yaml.safe_dump({"users": [{"name": "u", "user": {"token": "first"}}]}))
    two.write_text(document({"token": "second"}))
    assert from_files([one, two]).token == "first"


def test_in_cluster(tmp_path: Path) -> None:
    """A pod's account: address from the environment, the rest from files."""
    for name, text in (("token", "t"), ("ca.crt", "ca"), ("namespace", "kueue-system")):
        (tmp_path / name).write_text(text)
    access = in_cluster(tmp_path, {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"})
    assert access.server == "https://[fd00::1]:443"
    assert access.namespace == "kueue-system"
    assert headers(access) == {"Authorization": "Bearer t"}


def test_a_plugin_answers_with_a_token() -> None:
    """The command runs once until its answer expires or is refused."""
    answer = '{"apiVersion":"client.authentication.k8s.io/v1","status":{"token":"fromplugin"}}'
    access = from_text(document({"exec": plugin(answer)}), "text")
    assert headers(access) == {"Authorization": "Bearer fromplugin"}


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ("no json", "did not answer with an ExecCredential"),
        ('{"apiVersion":"client.authentication.k8s.io/v1","status":{}}', "without a token and without a certificate"),
        ('{"apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"t"}}', "answered in"),
    ],
)
def test_plugins_that_fail_are_told(answer: str, want: str) -> None:
    """What is wrong with the answer."""
    with pytest.raises(TransportError, match=want):
        headers(from_text(document({"exec": plugin(answer)}), "text"))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("[]", "not a kubeconfig"),
        ("{}", "current-context: Required value"),
        ("current-context: x", 'contexts: Not found: "x"'),
        (document(server="host"), "a URL is expected"),
        (document({"client-key-data": "%%"}), "client-key-data: not base64"),
        (document({"client-key": "/etc/key"}), "files are not read here"),
        (document({"auth-provider": {"name": "gcp"}}), "auth-provider: not supported"),
        (document({"exec": {"command": "x", "apiVersion": "v0"}}), "exec.apiVersion: Unsupported value"),
    ],
)
def test_faults_name_their_place(text: str, want: str) -> None:
    """Source and field, in one sentence."""
    with pytest.raises(ConfigError, match=want) as caught:
        from_text(text, "secret/name")
    assert str(caught.value).startswith("secret/name: ")
