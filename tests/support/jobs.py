"""Builders for tests of job kinds, and an admission by hand."""

from __future__ import annotations

from typing import Any

from pykueue.api.configuration.types import Configuration, Integrations
from pykueue.api.kinds import LEADER_WORKER_SET, LOCAL_QUEUE, NAMESPACE, POD, RESOURCE_FLAVOR, STATEFUL_SET, WORKLOAD
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Admission, PodSetAssignment, Workload
from pykueue.controllers.core import transitions
from pykueue.controllers.jobs.setup import job_reconcilers
from pykueue.controllers.workload_status import admission_patch
from pykueue.core.features import Features, Gate
from pykueue.integrations.settings import JobSettings
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.webhooks.jobs.setup import job_webhooks
from support.reconciling import World

UID = "3b2b5f1e-0000-4000-8000-000000000001"
FRAMEWORKS = ("batch/job", "pod", "deployment", "statefulset", "leaderworkerset.x-k8s.io/leaderworkerset")


def make_settings(
    gates: dict[Gate, bool] | None = None, *, frameworks: tuple[str, ...] = FRAMEWORKS, **config: Any
) -> JobSettings:
    return JobSettings(Configuration(integrations=Integrations(frameworks=frameworks), **config), Features(gates or {}))


def make_template(cpu: str = "200m", **meta: Any) -> dict[str, Any]:
    template: dict[str, Any] = {
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}
    }
    return template | ({"metadata": meta} if meta else {})


def make_lws(
    name: str = "lws",
    *,
    replicas: int | None = 1,
    size: int | None = 3,
    leader: Any = None,
    queue: str = "lq",
    **parts: Any,
) -> dict[str, Any]:
    template = {"workerTemplate": make_template(), **({"leaderTemplate": leader} if leader else {})}
    if size is not None:
        template["size"] = size
    spec: dict[str, Any] = {"leaderWorkerTemplate": template}
    if replicas is not None:
        spec["replicas"] = replicas
    labels = {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    meta = {
        "name": name,
        "namespace": "ns",
        "uid": UID,
        "labels": labels | parts.pop("labels", {}),
        **parts.pop("metadata", {}),
    }
    return {
        "apiVersion": LEADER_WORKER_SET.api_version,
        "kind": "LeaderWorkerSet",
        "metadata": meta,
        "spec": spec,
        **parts,
    }


def make_pod(
    name: str,
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    cpu: str = "1",
    **meta: Any,
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "labels": labels or {}, "annotations": annotations or {}, **meta},
        "spec": make_template(cpu)["spec"],
        "status": {"phase": "Pending"},
    }


def group_pod(name: str, group: str = "g", total: int = 2, *, cpu: str = "1", **annotations: str) -> dict[str, Any]:
    """A pod of a plain group as a user writes it."""
    labels = {"kueue.x-k8s.io/queue-name": "lq", "kueue.x-k8s.io/pod-group-name": group}
    extra = {f"kueue.x-k8s.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return make_pod(
        name, labels=labels, annotations={"kueue.x-k8s.io/pod-group-total-count": str(total), **extra}, cpu=cpu
    )


class JobWorld(World):
    """A world with the job reconcilers and webhooks, one namespace, one queue, one flavor."""

    def __init__(self, settings: JobSettings | None = None) -> None:
        self.settings = settings or make_settings()
        super().__init__(*job_reconcilers(self.settings))
        self.webhooks = {webhook.kind: webhook for webhook in job_webhooks(self.settings)}
        self.put(NAMESPACE, {"metadata": {"name": "ns", "labels": {"kubernetes.io/metadata.name": "ns"}}})
        self.put(LOCAL_QUEUE, {"metadata": {"name": "lq"}, "spec": {"clusterQueue": "cq"}})
        self.put(RESOURCE_FLAVOR, {"metadata": {"name": "flavor"}, "spec": {"nodeLabels": {"pool": "a"}}})
        self.settle()
        self.writes.clear()

    def admit_object(self, kind: Any, obj: Obj) -> Obj:
        """Create an object through its webhook."""
        request = AdmissionRequest(Operation.CREATE, kind, "ns", obj["metadata"]["name"], obj)
        defaulted = self.webhooks[kind].default(request, self.reader)
        return self.put(kind, defaulted)

    def lws_pod(self, lws: str, group: int, worker: int = 0) -> str:
        """A pod as the LeaderWorkerSet and StatefulSet controllers make it; the name."""
        name = f"{lws}-{group}" + (f"-{worker}" if worker else "")
        owner = f"{lws}-{group}" if worker else lws
        template = self.get(LEADER_WORKER_SET, lws)["spec"]["leaderWorkerTemplate"]
        template = (
            template["workerTemplate"] if worker else template.get("leaderTemplate") or template["workerTemplate"]
        )
        if self.get(STATEFUL_SET, owner) is None:
            labels = {"leaderworkerset.sigs.k8s.io/name": lws}
            self.put(
                STATEFUL_SET,
                {"metadata": {"name": owner, "labels": labels}, "spec": {"template": template}, "status": {}},
            )
        prefix = "leaderworkerset.sigs.k8s.io"
        labels = {f"{prefix}/name": lws, f"{prefix}/group-index": str(group), f"{prefix}/worker-index": str(worker)}
        marks = {f"{prefix}/leader-name": f"{lws}-{group}"} if worker else {}
        pod = make_pod(
            name,
            labels=labels | template["metadata"].get("labels", {}),
            annotations=marks | template["metadata"]["annotations"],
        )
        pod["metadata"]["ownerReferences"] = [
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "name": owner,
                "uid": self.get(STATEFUL_SET, owner)["metadata"]["uid"],
                "controller": True,
            }
        ]
        self.admit_object(POD, pod)
        return name

    def admit(self, name: str) -> None:
        """Admit a Workload as the scheduler would."""
        workload = self.workload(name)
        assignments = tuple(
            PodSetAssignment(name=p.name, flavors={"cpu": "flavor"}, count=p.count) for p in workload.spec.pod_sets
        )
        reserved = transitions.reserve_quota(
            workload, Admission(cluster_queue="cq", pod_set_assignments=assignments), self.now
        )
        self.do(admission_patch(workload, transitions.sync_admitted(reserved, self.now), self.now))

    def evict(self, name: str, reason: str, message: str) -> None:
        workload = self.workload(name)
        self.do(admission_patch(workload, transitions.evict(workload, reason, message, self.now), self.now))

    def workload(self, name: str) -> Workload:
        return self.reader.typed(Workload, self.get(WORKLOAD, name))

    def condition(self, name: str, type_: str) -> tuple[str, str, str] | None:
        found = self.workload(name).condition(type_)
        return (found.status, found.reason, found.message) if found else None

    def run_pod(self, name: str, *, ready: bool = True, phase: str = "Running") -> None:
        """The pod is on a node, and is in this phase."""
        pod = self.get(POD, name)
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        self.put(
            POD, {**pod, "spec": {**pod["spec"], "nodeName": "n"}, "status": {"phase": phase, "conditions": conditions}}
        )

    def gates(self, name: str) -> list[str]:
        return [gate["name"].rpartition("/")[2] for gate in self.get(POD, name)["spec"].get("schedulingGates", ())]
