"""What people do to a cluster, drawn by lot: they create, scale, roll out, finish and delete, and change queues meanwhile."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.kinds import (
    CLUSTER_QUEUE,
    JOB,
    LEADER_WORKER_SET,
    LOCAL_QUEUE,
    POD,
    RESOURCE_FLAVOR,
    STATEFUL_SET,
    WORKLOAD,
    WORKLOAD_PRIORITY_CLASS,
    Kind,
)
from support.simulated import SimulatedCluster, attempt

QUEUES = ("red", "blue", "lone")
"""The first two share a cohort."""
_PREFIX = "kueue.x-k8s.io/"


class User:
    """One person, or a few, with a seed."""

    def __init__(self, cluster: SimulatedCluster, seed: int) -> None:
        self.cluster, self.dice = cluster, random.Random(seed)
        self._n_made = 0
        self._strategy = {queue: self.dice.choice(("BestEffortFIFO", "StrictFIFO")) for queue in QUEUES}
        self._preemption = {
            queue: {
                "withinClusterQueue": self.dice.choice(("Never", "LowerPriority", "LowerOrNewerEqualPriority")),
                "reclaimWithinCohort": self.dice.choice(("Never", "LowerPriority", "Any")),
            }
            for queue in QUEUES
        }

    async def set_up(self) -> None:
        """Queues, a flavor, priorities."""
        await self.cluster.create(RESOURCE_FLAVOR, {"metadata": {"name": "default"}, "spec": {}})
        for name, value in (("low", 100), ("high", 1000)):
            await self.cluster.create(WORKLOAD_PRIORITY_CLASS, {"metadata": {"name": name}, "value": value})
        for queue in QUEUES:
            spec = {
                "namespaceSelector": {},
                "queueingStrategy": self._strategy[queue],
                "preemption": self._preemption[queue],
                "resourceGroups": _quotas(self.dice.randint(1, 4)),
                **({"cohortName": "team"} if queue != "lone" else {}),
            }
            await self.cluster.create(CLUSTER_QUEUE, {"metadata": {"name": queue}, "spec": spec})
            await self.cluster.create(LOCAL_QUEUE, {"metadata": {"name": queue}, "spec": {"clusterQueue": queue}})

    async def act(self) -> None:
        """Do one thing."""
        acts = (
            (5, self._create_set), (3, self._create_pod_group), (2, self._create_pod), (3, self._create_job),
            (2, self._create_stateful_set), (5, self._scale), (3, self._roll_out), (3, self._delete_owner),
            (3, self._delete_pod), (2, self._finish_pods), (2, self._change_quota), (2, self._stop_queue),
            (2, self._start_queues), (1, self._deactivate), (1, self._delete_workload),
        )  # fmt: skip
        (act,) = self.dice.choices([act for _, act in acts], [weight for weight, _ in acts])
        await act()

    async def open_queues(self) -> None:
        """Every queue admits again."""
        for queue in QUEUES:
            await self._try(f"open {queue}", self.cluster.patch(CLUSTER_QUEUE, queue, {"spec": {"stopPolicy": "None"}}))
            await self._try(f"open {queue}", self.cluster.patch(LOCAL_QUEUE, queue, {"spec": {"stopPolicy": "None"}}))

    async def crowd(self) -> None:
        """More jobs than there is quota for, in every queue: somebody waits everywhere."""
        for queue in QUEUES:
            change = self.cluster.patch(CLUSTER_QUEUE, queue, {"spec": {"resourceGroups": _quotas(2)}})
            await self._try(f"quota of {queue} becomes 2", change)
            for _ in range(4):
                template = {"spec": {**_template(self.dice, cpu="1")["spec"], "restartPolicy": "Never"}}
                obj = {
                    "metadata": {"labels": {_PREFIX + "queue-name": queue}},
                    "spec": {"suspend": True, "template": template},
                }
                await self._create(JOB, self._name("crowd"), obj)

    async def make_room(self) -> None:
        """The jobs of the crowd that run go: whoever waits has room, and must be told."""
        for job in self.cluster.list(JOB):
            if objects.name(job).startswith("crowd") and not job["spec"].get("suspend"):
                await self._try(f"delete {_told(JOB, job)}", self.cluster.delete(JOB, objects.name(job)))

    async def delete_everything(self) -> None:
        """All that asks for quota; then whatever a person would still find."""
        for kind in (LEADER_WORKER_SET, STATEFUL_SET, JOB):
            for obj in self.cluster.list(kind):
                if objects.controller_of(obj) is None:
                    await self._try(f"delete {_told(kind, obj)}", self.cluster.delete(kind, objects.name(obj)))
        # Deleted pods of a group wait for others that replace them, until their Workload goes.
        for workload in self.cluster.list(WORKLOAD):
            if objects.controller_of(workload) is None:
                await self._try(
                    f"delete {_told(WORKLOAD, workload)}", self.cluster.delete(WORKLOAD, objects.name(workload))
                )
        for pod in self.cluster.list(POD):
            if objects.controller_of(pod) is None:
                await self._try(f"delete {_told(POD, pod)}", self.cluster.delete(POD, objects.name(pod)))

    async def delete_queues(self) -> None:
        """What is left."""
        for queue in QUEUES:
            await self._try(f"delete {queue}", self.cluster.delete(LOCAL_QUEUE, queue))
            await self._try(f"delete {queue}", self.cluster.delete(CLUSTER_QUEUE, queue))
        await self._try("delete the flavor", self.cluster.delete(RESOURCE_FLAVOR, "default"))

    # Creating.

    async def _create_set(self) -> None:
        dice, name = self.dice, self._name("lws")
        templates = {"workerTemplate": _template(dice)}
        if dice.random() < 0.4:
            templates["leaderTemplate"] = _template(dice)
        spec = {
            "replicas": dice.randint(0, 3),
            "startupPolicy": dice.choice(("LeaderCreated", "LeaderReady")),
            "leaderWorkerTemplate": {"size": dice.randint(1, 3), **templates},
        }
        if dice.random() < 0.3:
            spec["rolloutStrategy"] = {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": dice.randint(0, 1)},
            }
        await self._create(LEADER_WORKER_SET, name, {"spec": spec})

    async def _create_stateful_set(self) -> None:
        name = self._name("sts")
        labels = {"app": name}
        spec = {
            "replicas": self.dice.randint(0, 3),
            "serviceName": name,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, **_template(self.dice)},
        }
        await self._create(STATEFUL_SET, name, {"spec": spec})

    async def _create_job(self) -> None:
        n_pods = self.dice.randint(1, 3)
        spec = {
            "parallelism": n_pods,
            "completions": n_pods,
            "suspend": True,
            "template": {"spec": {**_template(self.dice)["spec"], "restartPolicy": "Never"}},
        }
        await self._create(JOB, self._name("job"), {"spec": spec})

    async def _create_pod(self) -> None:
        await self._create(POD, self._name("pod"), _template(self.dice))

    async def _create_pod_group(self) -> None:
        name, n_pods = self._name("group"), self.dice.randint(1, 3)
        labels, template = self._labels(), _template(self.dice)
        made = n_pods if self.dice.random() < 0.8 else n_pods - 1
        for i in range(made):
            meta = {
                "labels": {**labels, _PREFIX + "pod-group-name": name},
                "annotations": {_PREFIX + "pod-group-total-count": str(n_pods)},
            }
            await self._create(POD, f"{name}-{i}", {**template, "metadata": meta})
            if self.dice.random() < 0.3:
                await self.cluster.advance(self.dice.random() * 2)

    # Changing.

    async def _scale(self) -> None:
        kind = self.dice.choice((LEADER_WORKER_SET, LEADER_WORKER_SET, STATEFUL_SET))
        if (obj := self._any(kind, is_own=True)) is not None:
            n = self.dice.randint(0, 4)
            change = self.cluster.patch(kind, objects.name(obj), {"spec": {"replicas": n}})
            await self._try(f"scale {_told(kind, obj)} to {n}", change)

    async def _roll_out(self) -> None:
        if (obj := self._any(LEADER_WORKER_SET)) is None:
            return
        cpu = self.dice.choice(("250m", "500m", "1")) if self.dice.random() < 0.3 else None
        template = _template(self.dice, image=f"app:{self.dice.randint(2, 9)}", cpu=cpu)
        body = {"spec": {"leaderWorkerTemplate": {"workerTemplate": template}}}
        change = self.cluster.patch(LEADER_WORKER_SET, objects.name(obj), body)
        await self._try(f"roll out {_told(LEADER_WORKER_SET, obj)}", change)

    async def _change_quota(self) -> None:
        queue, cpu = self.dice.choice(QUEUES), self.dice.randint(0, 5)
        change = self.cluster.patch(CLUSTER_QUEUE, queue, {"spec": {"resourceGroups": _quotas(cpu)}})
        await self._try(f"quota of {queue} becomes {cpu}", change)

    async def _stop_queue(self) -> None:
        kind, queue = self.dice.choice((CLUSTER_QUEUE, LOCAL_QUEUE)), self.dice.choice(QUEUES)
        policy = self.dice.choice(("Hold", "HoldAndDrain"))
        change = self.cluster.patch(kind, queue, {"spec": {"stopPolicy": policy}})
        await self._try(f"{policy} {kind.kind} {queue}", change)

    async def _start_queues(self) -> None:
        await self.open_queues()

    async def _deactivate(self) -> None:
        if (obj := self._any(WORKLOAD)) is not None:
            is_active = not objects.get_path(obj, "spec", "active")
            change = self.cluster.patch(WORKLOAD, objects.name(obj), {"spec": {"active": is_active}})
            await self._try(f"active={is_active} of {_told(WORKLOAD, obj)}", change)

    async def _finish_pods(self) -> None:
        """All running pods of one job or group, or one pod, come to an end."""
        running = [p for p in self.cluster.list(POD) if objects.get_path(p, "status", "phase") == "Running"]
        bare = [p for p in running if _may_end(p)]
        if not bare:
            return
        pod = self.dice.choice(bare)
        mates = [p for p in bare if _crowd(p) == _crowd(pod)] if self.dice.random() < 0.7 else [pod]
        phase = "Succeeded" if self.dice.random() < 0.8 else "Failed"
        for mate in mates:
            change = self.cluster.patch(POD, objects.name(mate), {"status": {"phase": phase}}, "status")
            await self._try(f"{_told(POD, mate)} {phase}", change)

    # Deleting.

    async def _delete_owner(self) -> None:
        kind = self.dice.choice((LEADER_WORKER_SET, LEADER_WORKER_SET, STATEFUL_SET, JOB))
        await self._delete(kind)

    async def _delete_pod(self) -> None:
        await self._delete(POD)

    async def _delete_workload(self) -> None:
        await self._delete(WORKLOAD)

    async def _delete(self, kind: Kind) -> None:
        if (obj := self._any(kind)) is not None:
            await self._try(f"delete {_told(kind, obj)}", self.cluster.delete(kind, objects.name(obj)))

    # How.

    async def _create(self, kind: Kind, name: str, obj: Mapping[str, Any]) -> None:
        meta = {"labels": self._labels(), **obj.get("metadata", {}), "name": name}
        labels = meta["labels"]
        told = f"create {kind.kind} {name} in {labels[_PREFIX + 'queue-name']} {labels.get(_PREFIX + 'priority-class', '')}"
        await self._try(f"{told} {_summary(obj)}", self.cluster.create(kind, {**obj, "metadata": meta}))

    def _labels(self) -> dict[str, str]:
        labels = {_PREFIX + "queue-name": self.dice.choice(QUEUES)}
        if self.dice.random() < 0.6:
            labels[_PREFIX + "priority-class"] = self.dice.choice(("low", "high"))
        return labels

    def _name(self, prefix: str) -> str:
        self._n_made += 1
        return f"{prefix}{self._n_made}"

    def _any(self, kind: Kind, *, is_own: bool = False) -> objects.Obj | None:
        """One object of a kind; one that no controller made, if it is to be the user's own."""
        there = [obj for obj in self.cluster.list(kind) if not is_own or objects.controller_of(obj) is None]
        return self.dice.choice(there) if there else None

    async def _try(self, what: str, action: Any) -> None:
        await attempt(self.cluster, what, action)


def _quotas(cpu: int) -> Sequence[Mapping[str, Any]]:
    flavor = {"name": "default", "resources": [{"name": "cpu", "nominalQuota": str(cpu)}]}
    return [{"coveredResources": ["cpu"], "flavors": [flavor]}]


def _template(dice: random.Random, image: str = "app:1", cpu: str | None = None) -> dict[str, Any]:
    cpu = cpu or dice.choice(("250m", "500m", "1"))
    return {"spec": {"containers": [{"name": "main", "image": image, "resources": {"requests": {"cpu": cpu}}}]}}


def _may_end(pod: objects.Obj) -> bool:
    owner = objects.controller_of(pod)
    return owner is None or owner.kind == "Job"


def _crowd(pod: objects.Obj) -> str:
    owner = objects.controller_of(pod)
    return owner.uid if owner else objects.labels(pod).get(_PREFIX + "pod-group-name", objects.uid(pod))


def _told(kind: Kind, obj: objects.Obj) -> str:
    return f"{kind.kind} {objects.name(obj)}"


def _summary(obj: Mapping[str, Any]) -> str:
    """The numbers that matter, for the story."""
    spec = obj["spec"]
    numbers = [f"{field}={spec[field]}" for field in ("replicas", "parallelism", "startupPolicy") if field in spec]
    inner = spec.get("leaderWorkerTemplate") or {}
    if inner:
        numbers += [
            f"size={inner['size']}",
            "with a leader" if "leaderTemplate" in inner else "without leader template",
        ]
    for template in (inner.get("leaderTemplate"), inner.get("workerTemplate"), spec.get("template"), obj):
        for container in ((template or {}).get("spec") or {}).get("containers") or ():
            numbers.append(f"cpu={container['resources']['requests']['cpu']}")
    return " ".join(numbers)
