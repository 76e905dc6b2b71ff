#!/usr/bin/env python3
"""The visibility API of `pykueue manager` through a real API server, by kubectl, and asked directly.

    visibility.py

Starts etcd and kube-apiserver, and the manager beside them with the gate VisibilityOnDemand on; it registers itself by host, as it does outside of a
cluster. Each check is a line; one that fails ends the run. The binaries come from `controlplane/build.sh`.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "controlplane"))

from cluster import TOKEN  # noqa: E402
from golden import free_ports  # noqa: E402
from restart import DEFAULT, Home, stop, terminate  # noqa: E402

GROUP = "/apis/visibility.kueue.x-k8s.io"
OF_CQ = f"{GROUP}/v1beta2/clusterqueues/team/pendingworkloads"
OF_LQ = f"{GROUP}/v1beta2/namespaces/default/localqueues/team/pendingworkloads"
PATIENCE_S = 60.0
KUEUE = "kueue.x-k8s.io/v1beta2"
ANSWER_S_MAX = 10


class Cluster:
    """A home with the manager in it, and kubectl."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def kubectl(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [self.home.kubectl, f"--kubeconfig={self.home.kubeconfig}", *args]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def apply(self, *objects: dict[str, Any]) -> None:
        done = self.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(objects))
        assert done.returncode == 0, done.stderr

    def raw(self, path: str, *args: str) -> str:
        """What kubectl prints: the answer, or the error."""
        done = self.kubectl("get", "--raw", path, *args)
        return done.stdout or done.stderr.strip()

    def names(self, path: str) -> list[tuple[str, int, int]]:
        """Names and positions of an answer; nothing if it is none."""
        try:
            items = json.loads(self.raw(path))["items"]
        except (ValueError, KeyError):
            return []
        return [(i["metadata"]["name"], i["positionInClusterQueue"], i["positionInLocalQueue"]) for i in items]

    def direct(self, path: str, **headers: str) -> int:
        """Status of a request that goes to the manager itself."""
        url = f"https://127.0.0.1:{self.home.port + 13}{path}"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, context=context, timeout=ANSWER_S_MAX) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def workload(name: str, queue: str, priority: int) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "4"}}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"queueName": queue, "priority": priority, "podSets": [{"name": "main", "count": 1, "template": template}]}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": KUEUE, "kind": "Workload", "metadata": meta, "spec": spec}


def queues() -> list[dict[str, Any]]:
    quota = {"name": "f", "resources": [{"name": "cpu", "nominalQuota": "1"}]}
    groups = [{"coveredResources": ["cpu"], "flavors": [quota]}]
    return [
        {"apiVersion": KUEUE, "kind": "ResourceFlavor", "metadata": {"name": "f"}},
        {"apiVersion": KUEUE, "kind": "ClusterQueue", "metadata": {"name": "team"},
         "spec": {"namespaceSelector": {}, "resourceGroups": groups}},
        *({"apiVersion": KUEUE, "kind": "LocalQueue", "metadata": {"name": name, "namespace": "default"},
           "spec": {"clusterQueue": "team"}} for name in ("team", "other")),
    ]  # fmt: skip


def check(what: str, seen: Callable[[], Any], want: Any) -> None:
    """One line; waits until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := seen()) != want:
        if time.monotonic() > deadline:
            raise SystemExit(f"FAIL {what}\n  want {want!r}\n  seen {found!r}")
        time.sleep(0.3)
    print(f"ok   {what}", flush=True)


def play(cluster: Cluster) -> None:
    """All checks."""
    check_services(cluster)
    cluster.apply(*queues())
    cluster.apply(*(workload(*one) for one in (("low", "team", 0), ("high", "other", 9), ("middle", "team", 5))))
    order = [("high", 0, 0), ("middle", 1, 0), ("low", 2, 1)]
    check("a ClusterQueue, in order", lambda: cluster.names(OF_CQ), order)
    check("a LocalQueue, with its places in both", lambda: cluster.names(OF_LQ), order[1:])
    check("a part of it", lambda: cluster.names(f"{OF_CQ}?limit=1&offset=1"), order[1:2])
    check("the older version", lambda: cluster.names(OF_CQ.replace("v1beta2", "v1beta1")), order)
    missing = 'Error from server (NotFound): {}.visibility.kueue.x-k8s.io "x" not found'
    of_none = (
        ("clusterqueue", f"{GROUP}/v1beta2/clusterqueues/x"),
        ("localqueue", f"{GROUP}/v1beta2/namespaces/default/localqueues/x"),
    )
    for kind, path in of_none:
        check(f"a {kind} that is not there", lambda p=path: cluster.raw(f"{p}/pendingworkloads"), missing.format(kind))
    bad = 'Error from server (BadRequest): strconv.ParseInt: parsing "x": invalid syntax'
    check("a limit that is none", lambda: cluster.raw(f"{OF_CQ}?limit=x"), bad)
    check_rights(cluster)
    check_direct(cluster)


def check_services(cluster: Cluster) -> None:
    def available() -> list[str]:
        listed = cluster.kubectl("get", "apiservices", "--no-headers").stdout.splitlines()
        return [" ".join(line.split()[:3]) for line in listed if "visibility" in line]

    wanted = [
        f"{v}.visibility.kueue.x-k8s.io kueue-system/kueue-visibility-server True" for v in ("v1beta1", "v1beta2")
    ]
    check("kubectl get apiservices", available, wanted)
    versions = ["visibility.kueue.x-k8s.io/v1beta1", "visibility.kueue.x-k8s.io/v1beta2"]
    check(
        "kubectl api-versions",
        lambda: [v for v in cluster.kubectl("api-versions").stdout.split() if "visib" in v],
        versions,
    )
    check("kubectl api-resources is whole", lambda: cluster.kubectl("api-resources").returncode, 0)
    check(
        "clusterqueues are still Kueue's",
        lambda: cluster.kubectl("get", "clusterqueues").stderr,
        "No resources found\n",
    )
    for path in (f"/openapi/v3{GROUP}/v1beta2", "/openapi/v2"):
        check(f"{path} has it", lambda p=path: "v1beta2.PendingWorkloadsSummary" in cluster.raw(p), want=True)


def check_rights(cluster: Cluster) -> None:
    """A user without roles may not; one with the shipped role may; the batch user sees LocalQueues alone."""
    refused = 'User "bob" cannot get resource "clusterqueues/pendingworkloads" in API group "visibility.kueue.x-k8s.io"'
    check("nobody without a role", lambda: refused in cluster.raw(OF_CQ, "--as=bob"), want=True)
    cluster.kubectl(
        "create", "clusterrolebinding", "ann", "--clusterrole=kueue-pending-workloads-cq-viewer-role", "--user=ann"
    )
    cluster.kubectl(
        "create", "rolebinding", "zoe", "--clusterrole=kueue-pending-workloads-lq-viewer-role", "--user=zoe"
    )
    check("with the shipped role", lambda: '"items":[{' in cluster.raw(OF_CQ, "--as=ann"), want=True)
    check("with the role of one namespace", lambda: '"items":[{' in cluster.raw(OF_LQ, "--as=zoe"), want=True)
    check("and no more", lambda: "is forbidden" in cluster.raw(OF_CQ, "--as=zoe"), want=True)
    asked = ("can-i", "get", "configmaps/extension-apiserver-authentication", "--namespace=kube-system")
    account = "--as=system:serviceaccount:kueue-system:kueue-controller-manager"
    check("the manager's account reads whom to trust", lambda: cluster.kubectl("auth", *asked, account).stdout, "yes\n")


def check_direct(cluster: Cluster) -> None:
    """The manager's own port: it trusts tokens that the API server vouches for, and no header without the proxy's certificate."""
    check("probes for everybody", lambda: [cluster.direct(p) for p in ("/healthz", "/livez", "/readyz")], [200] * 3)
    check("a token", lambda: cluster.direct(OF_CQ, Authorization=f"Bearer {TOKEN}"), 200)
    check("a wrong token", lambda: cluster.direct(OF_CQ, Authorization="Bearer wrong"), 401)
    check("nobody", lambda: cluster.direct(OF_CQ), 403)
    spoofed = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
    check("somebody who claims to be the proxy", lambda: cluster.direct(OF_CQ, **spoofed), 403)


def main() -> int:
    state = Path(tempfile.mkdtemp(prefix="pykueue-visibility-"))
    home = Home("real", state, free_ports(), is_bare=True)
    config = state / "gate.yaml"
    config.write_text(yaml.safe_dump({**DEFAULT, "featureGates": {"VisibilityOnDemand": True}}))
    cluster = Cluster(home)
    try:
        home.prepare()
        home.restart(config)
        play(cluster)
        terminate(state / "manager.pid")
        left = lambda: "visibility" in cluster.kubectl("get", "apiservices").stdout  # noqa: E731
        check("a manager that ended leaves no API group that does not answer", left, want=False)
    finally:
        stop(state)
    shutil.rmtree(state, ignore_errors=True)  # after a failure its log is of use
    return 0


if __name__ == "__main__":
    sys.exit(main())
