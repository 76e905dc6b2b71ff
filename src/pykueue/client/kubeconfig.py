"""Finding out how to reach a cluster: kubeconfig files, or the account of a pod.

`load_access` answers with a `ClusterAccess`: server, TLS and credentials. Credentials are certificates and keys (in files or inline),
a token, a file with a token (read again every minute), or a command that answers with either (client-go's exec plugins,
v1 and v1beta1), which is run again when what it gave expires or is refused. Several files in `$KUBECONFIG` are merged as
kubectl does: the first to name something wins. Every fault is a `ConfigError` that says which file and field.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import ssl
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pykueue.api.errors import ConfigError, TransportError
from pykueue.api.instant import SECOND_US, parse_time
from pykueue.api.pem import ascii_pem

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_FILE_MAX_AGE_S = 60.0
EXEC_TIMEOUT_S = 60.0
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_EXPIRES_BEFORE_S = 30.0


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A command that answers with an `ExecCredential`.

    Attributes:
        command: program; relative paths with a slash are relative to the kubeconfig.
        args: its arguments.
        env: more environment.
        api_version: of the ExecCredential.
        install_hint: told when the command is missing.
        cluster: what `KUBERNETES_EXEC_INFO` tells about the cluster; None if not asked for.
    """

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    api_version: str
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = None


@dataclass(slots=True)
class ClusterAccess:
    """How to reach one cluster, and who we are there.

    Attributes:
        server: URL.
        ca_data: PEM of authorities; empty for the system's.
        insecure: accept any certificate.
        tls_server_name: name to expect in the certificate, if not the host's.
        proxy_url: HTTP proxy; empty for the environment's.
        namespace: of the context.
        certificate: PEM of the client certificate and of its key; empty for none.
        token: bearer token; empty for none.
        token_file: read for the token every minute; None for none.
        basic: user and password; None for none.
        plugin: command that answers with credentials.
    """

    server: str
    ca_data: bytes = b""
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    namespace: str = "default"
    certificate: tuple[bytes, bytes] = (b"", b"")
    token: str = ""
    token_file: Path | None = None
    basic: tuple[str, str] | None = None
    plugin: ExecPlugin | None = None
    _expires_s: float = field(default=0.0, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def headers(self) -> dict[str, str]:
        """Headers that say who we are; gets new credentials first if the old ones have expired.

        Raises:
            TransportError: credentials could not be had.
        """
        if self.plugin is not None or self.token_file is not None:
            async with self._lock:
                if time.time() >= self._expires_s:
                    await self._renew()
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.basic is not None:
            pair = base64.b64encode(":".join(self.basic).encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    async def refresh(self) -> bool:
        """The server refused us: get new credentials next time. False if there is no source of new ones."""
        self._expires_s = 0.0
        return self.plugin is not None or self.token_file is not None

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS for connections; None for plain HTTP.

        Raises:
            ConfigError: certificates or keys that are none.
        """
        if not self.server.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cadata=ascii_pem(self.ca_data) if self.ca_data else None)
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if all(self.certificate):
                # The library takes keys from files alone.
                with tempfile.NamedTemporaryFile(suffix=".pem") as file:
                    file.write(b"\n".join(self.certificate))
                    file.flush()
                    context.load_cert_chain(file.name)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(self.server, [f"the certificates cannot be used: {error}"]) from error
        return context

    async def _renew(self) -> None:
        if self.plugin is None:
            assert self.token_file is not None
            try:
                self.token = self.token_file.read_text().strip()
            except OSError as error:
                raise TransportError(f"token file {self.token_file} cannot be read: {error.strerror}") from error
            self._expires_s = time.time() + TOKEN_FILE_MAX_AGE_S
            return
        status = await run_plugin(self.plugin)
        self.token = str(status.get("token") or "")
        pair = (str(status.get("clientCertificateData") or ""), str(status.get("clientKeyData") or ""))
        if all(pair):
            self.certificate = (pair[0].encode(), pair[1].encode())
        expires = status.get("expirationTimestamp")
        self._expires_s = parse_time(expires) / SECOND_US - _EXPIRES_BEFORE_S if expires else float("inf")


async def run_plugin(plugin: ExecPlugin) -> Mapping[str, Any]:
    """Run a credential plugin; the `status` of its answer.

    Raises:
        TransportError: it is not there, fails, takes too long, or answers with something else.
    """
    info: dict[str, Any] = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    if plugin.cluster is not None:
        info["spec"]["cluster"] = dict(plugin.cluster)
    env = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": json.dumps(info)}
    what = f"credential plugin {plugin.command}"
    try:
        process = await asyncio.create_subprocess_exec(
            plugin.command, *plugin.args, env=env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        hint = f"; {plugin.install_hint}" if plugin.install_hint else ""
        raise TransportError(f"{what} cannot be run: {error.strerror}{hint}") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(), EXEC_TIMEOUT_S)
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise TransportError(f"{what} did not answer within {EXEC_TIMEOUT_S:.0f} s") from error
    if process.returncode:
        told = err.decode(errors="replace").strip()[-500:]
        raise TransportError(f"{what} failed with exit code {process.returncode}: {told}")
    try:
        answer = json.loads(out)
        status = answer["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise TransportError(f"{what} did not answer with an ExecCredential") from error
    if answer.get("apiVersion") != plugin.api_version:
        raise TransportError(f"{what} answered in {answer.get('apiVersion')}, not {plugin.api_version}")
    if not isinstance(status, dict) or not (status.get("token") or status.get("clientCertificateData")):
        raise TransportError(f"{what} answered without a token and without a certificate")
    return status


def load_access(path: Path | None = None, context: str = "") -> ClusterAccess:
    """Find the cluster: the given file, else the pod's account, else `$KUBECONFIG`, else `~/.kube/config`.

    Raises:
        ConfigError: none of these is there, or what is there is wrong.
    """
    if path is not None:
        return from_files([path], context)
    if os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
        return in_cluster(SERVICE_ACCOUNT, os.environ)
    named = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    files = named or [Path.home() / ".kube" / "config"]
    present = [file for file in files if file.exists()]
    if not present:
        told = ", ".join(map(str, files))
        raise ConfigError("kubeconfig", [f"no cluster is known: {told} does not exist; pass --kubeconfig"])
    return from_files(present, context)


def is_in_cluster() -> bool:
    """Whether this process runs as a pod with an account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


def in_cluster(account: Path, env: Mapping[str, str]) -> ClusterAccess:
    """The access that a pod's account gives.

    Raises:
        ConfigError: its files cannot be read.
    """
    host, port = env.get("KUBERNETES_SERVICE_HOST", ""), env.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        ca_data = (account / "ca.crt").read_bytes()
        namespace = (account / "namespace").read_text().strip()
    except OSError as error:
        raise ConfigError(str(account), [f"the account of this pod cannot be read: {error.strerror}"]) from error
    shown = f"[{host}]" if ":" in host else host
    return ClusterAccess(
        f"https://{shown}:{port}", ca_data=ca_data, namespace=namespace or "default", token_file=account / "token"
    )


def from_text(text: str, source: str, context: str = "") -> ClusterAccess:
    """The access that one kubeconfig's text gives (a Secret of MultiKueue, say); it must not refer to files.

    Raises:
        ConfigError: the text is wrong.
    """
    return _access([(_parse(text, source), None)], source, context)


def from_files(paths: Sequence[Path], context: str = "") -> ClusterAccess:
    """The access that kubeconfig files give, merged: the first to name something wins.

    Raises:
        ConfigError: a file cannot be read or is wrong.
    """
    documents: list[tuple[Mapping[str, Any], Path | None]] = []
    for path in paths:
        try:
            documents.append((_parse(path.read_text(), str(path)), path.parent))
        except OSError as error:
            raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    return _access(documents, os.pathsep.join(map(str, paths)), context)


def _parse(text: str, source: str) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(source, [f"not YAML: {error}"]) from error
    if not isinstance(document, dict):
        raise ConfigError(source, ["not a kubeconfig: a mapping with clusters, users and contexts is expected"])
    return document


def _access(
    documents: Sequence[tuple[Mapping[str, Any], Path | None]], source: str, context_name: str
) -> ClusterAccess:
    chosen = context_name or next((d["current-context"] for d, _ in documents if d.get("current-context")), "")
    if not chosen:
        raise ConfigError(source, ["current-context: Required value: name a context"])
    context, _ = _named(documents, "contexts", "context", chosen, source)
    cluster, cluster_dir = _named(documents, "clusters", "cluster", str(context.get("cluster") or ""), source)
    user: Mapping[str, Any] = {}
    user_dir: Path | None = None
    if context.get("user"):
        user, user_dir = _named(documents, "users", "user", str(context["user"]), source)
    server = str(cluster.get("server") or "")
    if not server.startswith(("http://", "https://")):
        raise ConfigError(
            source, [f'clusters[{context.get("cluster")}].cluster.server: Invalid value: "{server}": a URL is expected']
        )
    insecure = bool(cluster.get("insecure-skip-tls-verify"))
    for unsupported in ("auth-provider", "as", "as-groups"):
        if user.get(unsupported):
            raise ConfigError(
                source,
                [f"users[{context['user']}].user.{unsupported}: not supported; use exec, a token or a certificate"],
            )
    token_file = None if user.get("token") else _path(user.get("tokenFile"), user_dir)
    return ClusterAccess(
        server=server,
        ca_data=b"" if insecure else _data(cluster, "certificate-authority", cluster_dir, source),
        insecure=insecure,
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        proxy_url=str(cluster.get("proxy-url") or ""),
        namespace=str(context.get("namespace") or "default"),
        certificate=(_data(user, "client-certificate", user_dir, source), _data(user, "client-key", user_dir, source)),
        token=str(user.get("token") or ""),
        token_file=token_file,
        basic=(str(user["username"]), str(user.get("password") or "")) if user.get("username") else None,
        plugin=_plugin(user["exec"], user_dir, cluster, source) if user.get("exec") else None,
    )


def _named(
    documents: Sequence[tuple[Mapping[str, Any], Path | None]], section: str, part: str, wanted: str, source: str
) -> tuple[Mapping[str, Any], Path | None]:
    for document, folder in documents:
        for entry in document.get(section) or ():
            if isinstance(entry, dict) and entry.get("name") == wanted:
                return entry.get(part) or {}, folder
    raise ConfigError(source, [f'{section}: Not found: "{wanted}"'])


def _path(value: Any, folder: Path | None) -> Path | None:
    if not value:
        return None
    path = Path(str(value))
    return path if folder is None else folder / path


def _data(part: Mapping[str, Any], name: str, folder: Path | None, source: str) -> bytes:
    """`<name>-data` inline, else the file `<name>`, else nothing."""
    inline = part.get(f"{name}-data")
    if inline:
        try:
            return base64.b64decode(str(inline), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(source, [f"{name}-data: not base64: {error}"]) from error
    path = _path(part.get(name), folder)
    if path is None:
        return b""
    if folder is None:
        raise ConfigError(source, [f"{name}: Forbidden: files are not read here; use {name}-data"])
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(source, [f"{name}: {path} cannot be read: {error.strerror}"]) from error


def _plugin(spec: Mapping[str, Any], folder: Path | None, cluster: Mapping[str, Any], source: str) -> ExecPlugin:
    version, command = str(spec.get("apiVersion") or ""), str(spec.get("command") or "")
    if version not in _EXEC_VERSIONS:
        raise ConfigError(
            source, [f'exec.apiVersion: Unsupported value: "{version}": supported values: {_EXEC_VERSIONS}']
        )
    if not command:
        raise ConfigError(source, ["exec.command: Required value"])
    if spec.get("interactiveMode") == "Always":
        raise ConfigError(source, ["exec.interactiveMode: Always is not supported: nobody is there to be asked"])
    if "/" in command and folder is not None:
        command = str(folder / command)
    info = None
    if spec.get("provideClusterInfo"):
        fields = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
        info = {name: cluster[name] for name in fields if cluster.get(name)}
    env = tuple((str(one["name"]), str(one.get("value") or "")) for one in spec.get("env") or ())
    args = tuple(map(str, spec.get("args") or ()))
    return ExecPlugin(command, args, env, version, str(spec.get("installHint") or ""), info)
