#!/usr/bin/env python3
"""(Re)start the manager under test with another configuration: `restart.py STATE FILE`.

`STATE` is a folder that `golden.py` prepared; it remembers which home is meant. The command returns when webhooks answer:

* embedded: `pykueue up` is stopped and started again on the same data and port, so every restart also tests the journal;
* real: `pykueue manager` is stopped and started again beside the same control plane.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "controlplane"))

PYKUEUE = Path(sys.executable).parent / "pykueue"
START_S_MAX = 60
FRAMEWORKS = ["batch/job", "pod", "deployment", "statefulset", "leaderworkerset.x-k8s.io/leaderworkerset"]
DEFAULT = {
    "apiVersion": "config.kueue.x-k8s.io/v1beta2",
    "kind": "Configuration",
    "integrations": {"frameworks": FRAMEWORKS},
}


@dataclass
class Home:
    """Where the product under test lives."""

    kind: str
    state: Path
    port: int
    is_bare: bool = False
    """Of a real control plane, only etcd and the API server."""
    manifest_flags: tuple[str, ...] = ()
    has_own_account: bool = False
    """Of a real control plane: the manager asks under its service account, as when it is installed, and not as the user does."""

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig" if self.kind == "embedded" else self.state / "plane" / "kubeconfig"

    @property
    def manager_kubeconfig(self) -> Path:
        return self.state / "plane" / "manager.kubeconfig" if self.has_own_account else self.kubeconfig

    @property
    def kubectl(self) -> str:
        marker = self.state / "kubectl"
        return marker.read_text() if marker.exists() else ""

    def prepare(self) -> None:
        """Bring up what stays up through all restarts."""
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / "home.json").write_text(
            json.dumps({"kind": self.kind, "port": self.port, "has_own_account": self.has_own_account})
        )
        if self.kind == "real":
            from cluster import HERE as CONTROLPLANE
            from cluster import ControlPlane

            built = subprocess.run([str(CONTROLPLANE / "build.sh")], check=True, stdout=subprocess.PIPE, text=True)
            binaries = Path(built.stdout.strip().splitlines()[-1])
            (self.state / "kubectl").write_text(str(binaries / "kubectl"))
            manifests = subprocess.run(
                [str(PYKUEUE), "manifests", *self.manifest_flags], check=True, stdout=subprocess.PIPE
            )
            # The Deployment would need an image, the manager runs beside the control plane; it registers itself.
            left_out = ("Deployment", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService")
            loaded = yaml.load_all(manifests.stdout, yaml.CSafeLoader)
            ControlPlane(self.state / "plane", self.port, binaries).up(
                [d for d in loaded if d and d["kind"] not in left_out], is_bare=self.is_bare
            )

    def restart(self, config: Path | None) -> None:
        """Stop the manager if it runs, and start it with this configuration."""
        terminate(self.state / "manager.pid")
        document = yaml.safe_load(config.read_text()) if config else DEFAULT
        if self.kind == "real":
            document |= {
                "webhook": {"port": self.port + 10, "host": "127.0.0.1", "certDir": str(self.state / "webhook-certs")},
                "health": {"healthProbeBindAddress": f"127.0.0.1:{self.port + 11}"},
                "metrics": {"bindAddress": f"127.0.0.1:{self.port + 12}"},
                "leaderElection": {"leaderElect": False},
                "visibilityServer": {"bindAddress": "127.0.0.1", "bindPort": self.port + 13},
            }
            # As when the scenarios were recorded; and an API group that is away while the manager restarts holds up namespaces.
            document["featureGates"] = {"VisibilityOnDemand": False} | (document.get("featureGates") or {})
        path = self.state / "config.yaml"
        path.write_text(yaml.safe_dump(document))
        if self.kind == "embedded":
            command = [
                str(PYKUEUE), "up", "--config", str(path), "--data", str(self.state / "data"), "--port", str(self.port),
                "--kubeconfig", str(self.kubeconfig), "--nodes", "none",
            ]  # fmt: skip
            ready = ["kubectl", f"--kubeconfig={self.kubeconfig}", "get", "--raw", "/readyz"]
        else:
            command = [
                str(PYKUEUE), "manager", "--config", str(path), "--kubeconfig", str(self.manager_kubeconfig),
                "--webhook-url", f"https://127.0.0.1:{self.port + 10}",
            ]  # fmt: skip
            ready = ["curl", "--silent", "--fail", f"http://127.0.0.1:{self.port + 11}/readyz"]
        with (self.state / "manager.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, cwd=self.state
            )
        (self.state / "manager.pid").write_text(str(process.pid))
        self._wait(process, ready)

    def _wait(self, process: subprocess.Popen[bytes], ready: list[str]) -> None:
        deadline = time.monotonic() + START_S_MAX
        while subprocess.run(ready, capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = (self.state / "manager.log").read_text(errors="replace")[-4000:]
                raise SystemExit(f"restart.py: the manager did not become ready:\n{tail}")
            time.sleep(0.2)


def load(state: Path) -> Home:
    """The home that a state folder belongs to."""
    data = json.loads((state / "home.json").read_text())
    return Home(data["kind"], state, data["port"], has_own_account=data["has_own_account"])


def terminate(pid_file: Path) -> None:
    """Stop one process by its id: SIGTERM, then SIGKILL after 15 seconds."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    pid_file.unlink()
    for sig, patience_s in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            stat = Path(f"/proc/{pid}/stat")
            if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return
            time.sleep(0.05)


def stop(state: Path) -> None:
    """Stop everything that belongs to a state folder."""
    terminate(state / "manager.pid")
    if (state / "plane").exists():
        from cluster import down

        down(state / "plane")


if __name__ == "__main__":
    load(Path(sys.argv[1])).restart(Path(sys.argv[2]))
