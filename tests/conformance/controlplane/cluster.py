#!/usr/bin/env python3
"""Start and stop a real Kubernetes control plane on loopback, for the conformance stage and the benchmarks.

    cluster.py up DIR [--port N] [--bin FOLDER]     etcd, kube-apiserver, controller manager, scheduler, LWS, kwok
    cluster.py down DIR                             stop what `up` started, by process id

`up` prints the path of the administrator's kubeconfig on its last line. The binaries come from `build.sh`.
Nothing is shared between two clusters with different folders and ports. What was learned of these programs:

* LWS reaches its webhooks by service in its manifests; on one machine each `service` becomes a `url` with our CA.
* kwok plays kubelet with the stages pod-ready, pod-delete, node-initialize and node-heartbeat-with-lease: it never
  completes a pod by itself.
* nodes made by hand lose their not-ready taint only when the node life-cycle controller runs; its grace period is a day.
* the API server's default limits of requests in flight throttle load tests; they are raised here.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from pykueue.api.schema import leaderworkerset_crd

HERE = Path(__file__).resolve().parent
TOKEN = "admintoken"
MANAGER_TOKEN, MANAGER_ACCOUNT = "managertoken", "system:serviceaccount:kueue-system:kueue-controller-manager"
FRONT_PROXY = "front-proxy-client"
PARTS = ("kwok", "lws-controller", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")


class Pki:
    """A CA and the certificates it signs, as files in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "conformance-ca")])
        self.certificate = self._build(self.name, self.key.public_key(), ca=True)
        self._write("ca.crt", self.certificate.public_bytes(serialization.Encoding.PEM))

    def serving(self, stem: str) -> None:
        """Write `<stem>.crt` and `<stem>.key` for 127.0.0.1 and the names of the API service."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        certificate = self._build(subject, key.public_key(), ca=False)
        self._write(f"{stem}.crt", certificate.public_bytes(serialization.Encoding.PEM))
        self.write_key(f"{stem}.key", key)

    def client(self, stem: str, name: str) -> None:
        """Write `<stem>.crt` and `<stem>.key` for a client of this name."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), ca=False)
        self._write(f"{stem}.crt", certificate.public_bytes(serialization.Encoding.PEM))
        self.write_key(f"{stem}.key", key)

    def write_key(self, name: str, key: rsa.RSAPrivateKey) -> None:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        self._write(name, pem)

    def _write(self, name: str, data: bytes) -> None:
        (self.folder / name).write_bytes(data)

    def _build(self, subject: x509.Name, public_key: rsa.RSAPublicKey, *, ca: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        names = [x509.DNSName(n) for n in ("localhost", "kubernetes", "kubernetes.default.svc")]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names_and_ip = [*names, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names_and_ip), critical=False)
        return builder.sign(self.key, hashes.SHA256())


class ControlPlane:
    """One control plane in one folder."""

    def __init__(self, folder: Path, port: int, binaries: Path) -> None:
        self.folder, self.port, self.bin = folder.resolve(), port, binaries
        self.log = self.folder / "log"
        self.kubeconfig = self.folder / "kubeconfig"
        self.manager_kubeconfig = self.folder / "manager.kubeconfig"
        self.pki = self.folder / "pki"

    def up(self, documents: Sequence[dict[str, Any]] = (), *, is_bare: bool = False) -> None:
        """Start everything.

        Args:
            is_bare: only etcd and the API server, for benchmarks that need no pods.
            documents: applied before the controllers start. The garbage collector looks for new kinds only every half minute, so
                definitions that are there when it starts save everybody that wait.
        """
        self.log.mkdir(parents=True, exist_ok=True)
        self._credentials()
        self._core()
        self._wait_ready()
        self._definitions(documents)
        if is_bare:
            return
        self._controllers()
        self._lws()
        self._kwok()

    def _credentials(self) -> None:
        pki = Pki(self.pki)
        pki.serving("apiserver")
        Pki(self.pki / "front-proxy").client("client", FRONT_PROXY)
        (self.pki / "lws").mkdir(exist_ok=True)
        pki.serving("lws/tls")
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pki.write_key("sa.key", key)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.pki / "sa.pub").write_bytes(public)
        accounts = ((TOKEN, "admin", self.kubeconfig), (MANAGER_TOKEN, MANAGER_ACCOUNT, self.manager_kubeconfig))
        rows = (f'{token},{name},{name}-uid,"system:masters"\n' for token, name, _ in accounts)
        (self.pki / "tokens.csv").write_text("".join(rows))
        for token, _, kubeconfig in accounts:
            self._access(token, kubeconfig)

    def _access(self, token: str, kubeconfig: Path) -> None:
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.pki / "ca.crt")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        kubeconfig.write_text(yaml.safe_dump(config))

    def _core(self) -> None:
        client, peer = (f"http://127.0.0.1:{self.port + i}" for i in (1, 2))
        self._start(
            "etcd", f"--data-dir={self.folder}/etcd", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )  # fmt: skip
        self._start(
            "kube-apiserver", f"--etcd-servers={client}", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--tls-cert-file={self.pki}/apiserver.crt",
            f"--tls-private-key-file={self.pki}/apiserver.key", f"--client-ca-file={self.pki}/ca.crt",
            f"--service-account-key-file={self.pki}/sa.pub", f"--service-account-signing-key-file={self.pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc", f"--token-auth-file={self.pki}/tokens.csv",
            "--authorization-mode=RBAC", "--allow-privileged=true", "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount",
            f"--requestheader-client-ca-file={self.pki}/front-proxy/ca.crt",
            f"--requestheader-allowed-names={FRONT_PROXY}", "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={self.pki}/front-proxy/client.crt",
            f"--proxy-client-key-file={self.pki}/front-proxy/client.key",
            "--max-requests-inflight=3000", "--max-mutating-requests-inflight=1500",
        )  # fmt: skip

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + 90
        while self.kubectl("get", "--raw", "/readyz", check=False).returncode:
            if time.monotonic() > deadline:
                raise SystemExit(f"cluster.py: the API server did not become ready; see {self.log}")
            time.sleep(0.5)

    def _definitions(self, documents: Sequence[dict[str, Any]]) -> None:
        bases = Path(self._module_folder("lws", "sigs.k8s.io/lws")) / "config/crd/bases"
        self.kubectl("apply", "--server-side", "-f", str(bases))
        # The scenarios were recorded with the newer LeaderWorkerSet definition, which limits more fields; ours equals it.
        for listed in ([leaderworkerset_crd()], documents):
            if listed:
                text = json.dumps({"apiVersion": "v1", "kind": "List", "items": listed})
                self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

        wanted = {"leaderworkersets"} | {
            d["spec"]["names"]["plural"] for d in documents if "names" in d.get("spec", {})
        }
        deadline = time.monotonic() + 60
        while not wanted <= set(
            self.kubectl("api-resources", "--cached=false", "--no-headers", check=False).stdout.split()
        ):
            if time.monotonic() > deadline:
                raise SystemExit(f"cluster.py: the API server does not serve all of {', '.join(sorted(wanted))}")
            time.sleep(0.5)

    def _controllers(self) -> None:
        fast = ("--kube-api-qps=1000", "--kube-api-burst=2000", "--leader-elect=false", "--secure-port=0")
        self._start(
            "kube-controller-manager", f"--kubeconfig={self.kubeconfig}", f"--root-ca-file={self.pki}/ca.crt",
            f"--service-account-private-key-file={self.pki}/sa.key", "--use-service-account-credentials=false",
            "--controllers=*,-nodeipam", "--node-monitor-grace-period=24h", *fast,
        )  # fmt: skip
        self._start("kube-scheduler", f"--kubeconfig={self.kubeconfig}", *fast)

    def _lws(self) -> None:
        module = Path(self._module_folder("lws", "sigs.k8s.io/lws"))
        self.kubectl("create", "namespace", "lws-system", check=False)
        port = self.port + 3
        ca = base64.b64encode((self.pki / "ca.crt").read_bytes()).decode()
        hooks = []
        for doc in yaml.safe_load_all((module / "config/webhook/manifests.yaml").read_text()):
            doc["metadata"]["name"] = "lws-" + doc["metadata"]["name"]
            doc["webhooks"] = [hook for hook in doc["webhooks"] if "disaggregatedset" not in hook["name"]]
            for hook in doc["webhooks"]:
                path = hook["clientConfig"].pop("service")["path"]
                hook["clientConfig"] |= {"url": f"https://127.0.0.1:{port}{path}", "caBundle": ca}
                if "pod" in hook["name"]:
                    # As LWS ships it: only pods that it made.
                    hook["objectSelector"] = {
                        "matchExpressions": [{"key": "leaderworkerset.sigs.k8s.io/name", "operator": "Exists"}]
                    }
            hooks.append(doc)
        config = {
            "apiVersion": "config.lws.x-k8s.io/v1alpha1",
            "kind": "Configuration",
            "leaderElection": {"leaderElect": False},
            "internalCertManagement": {"enable": False},
            "webhook": {"port": port, "host": "127.0.0.1", "certDir": str(self.pki / "lws")},
            "metrics": {"bindAddress": "0"},
            "health": {"healthProbeBindAddress": f"127.0.0.1:{self.port + 4}"},
            "clientConnection": {"qps": 1000, "burst": 2000},
        }
        (self.folder / "lws.yaml").write_text(yaml.safe_dump(config))
        self._start(
            "lws-controller", f"--config={self.folder}/lws.yaml", f"--kubeconfig={self.kubeconfig}",
            "--zap-log-level=error", env={"KUBECONFIG": str(self.kubeconfig)},
        )  # fmt: skip
        self._wait_port(port)
        listed = {"apiVersion": "v1", "kind": "List", "items": hooks}
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(listed))

    def _kwok(self) -> None:
        stages = Path(self._module_folder("kwok", "sigs.k8s.io/kwok")) / "kustomize/stage"
        files = ("pod/fast/pod-ready", "pod/fast/pod-delete", "node/fast/node-initialize",
                 "node/heartbeat-with-lease/node-heartbeat-with-lease")  # fmt: skip
        self._start(
            "kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true", "--enable-crds=",
            "--node-lease-duration-seconds=40", "--server-address=",
            *(f"--config={stages}/{file}.yaml" for file in files),
        )  # fmt: skip

    def _module_folder(self, pin: str, module: str) -> str:
        command = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module]
        return subprocess.run(command, cwd=HERE / pin, check=True, capture_output=True, text=True).stdout.strip()

    def _wait_port(self, port: int) -> None:
        import socket

        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if time.monotonic() > deadline:
                raise SystemExit(f"cluster.py: nothing listens on 127.0.0.1:{port}; see {self.log}")
            time.sleep(0.3)

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / "kubectl"), f"--kubeconfig={self.kubeconfig}", *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise SystemExit(f"cluster.py: {' '.join(args)}: {done.stderr.strip()}")
        return done

    def _start(self, part: str, *args: str, env: dict[str, str] | None = None) -> None:
        with (self.log / f"{part}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(self.bin / part), *args], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                env={**os.environ, **(env or {})},
            )  # fmt: skip
        (self.folder / f"{part}.pid").write_text(str(process.pid))


def down(folder: Path) -> None:
    """Stop the processes whose ids `up` wrote down, in reverse order of dependence."""
    for part in PARTS:
        pid_file = folder / f"{part}.pid"
        if not pid_file.exists():
            continue
        pid = int(pid_file.read_text())
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                break
            for _ in range(50):
                if not _alive(pid):
                    break
                time.sleep(0.1)
        pid_file.unlink()


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up")
    up.add_argument("folder", type=Path)
    up.add_argument("--port", type=int, default=16443)
    up.add_argument("--bin", type=Path)
    verbs.add_parser("down").add_argument("folder", type=Path)
    options: Any = parser.parse_args()
    if options.verb == "down":
        down(options.folder)
        return 0
    binaries = options.bin
    if binaries is None:
        built = subprocess.run([str(HERE / "build.sh")], check=True, stdout=subprocess.PIPE, text=True)
        binaries = Path(built.stdout.strip().splitlines()[-1])
    plane = ControlPlane(options.folder, options.port, binaries)
    plane.up()
    print(plane.kubeconfig)
    return 0


if __name__ == "__main__":
    sys.exit(main())
