"""The whole product without a server: every reconciler and the engine in a world of `support.reconciling`, and a clock set by hand."""

from __future__ import annotations

from typing import Any

from pykueue.api.commands import Command
from pykueue.api.configuration.types import Configuration
from pykueue.api.errors import Conflict, PykueueError
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time
from pykueue.api.kinds import (
    ADMISSION_CHECK,
    CLUSTER_QUEUE,
    LOCAL_QUEUE,
    NAMESPACE,
    RESOURCE_FLAVOR,
    WORKLOAD,
    Kind,
)
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.cli.wiring import assemble
from pykueue.core.features import Features, Gate
from pykueue.ports.admission import AdmissionRequest, Operation
from support.reconciling import World
from support.world import pod_set, quota_groups

TURNS_MAX = 200


class ProductWorld(World):
    """Objects, all that pykueue does about them, and time."""

    def __init__(self, gates: dict[Gate, bool] | None = None, **config: Any) -> None:
        self.parts = assemble(Configuration(**config), Features(gates or {}))
        self._controller = self.parts.controller
        super().__init__(*self.parts.reconcilers)
        self._by_name = {reconciler.name: reconciler for reconciler in self.parts.reconcilers}
        self._due: list[tuple[Instant, str, ObjectKey]] = []
        self.put(NAMESPACE, {"metadata": {"name": "ns", "labels": {"kubernetes.io/metadata.name": "ns"}}})

    # Objects as tests write them.

    def flavor(self, name: str = "default", **spec: Any) -> None:
        self.put(RESOURCE_FLAVOR, {"metadata": {"name": name}, "spec": spec})

    def queue(self, name: str, quotas: str, **spec: Any) -> None:
        """A ClusterQueue, its flavors where they are missing, and a LocalQueue of the same name."""
        groups = quota_groups(quotas)
        for flavor in (f["name"] for group in groups for f in group["flavors"]):
            if self.get(RESOURCE_FLAVOR, flavor) is None:
                self.flavor(flavor)
        whole = {"namespaceSelector": {}, "resourceGroups": groups, **spec}
        self.put(CLUSTER_QUEUE, {"metadata": {"name": name, "generation": 1}, "spec": whole})
        self.put(LOCAL_QUEUE, {"metadata": {"name": name}, "spec": {"clusterQueue": name}})

    def check(self, name: str, controller: str = "example.com/checker") -> None:
        """An AdmissionCheck whose controller runs."""
        active = {"type": "Active", "status": "True", "reason": "Active", "message": "", "lastTransitionTime": ""}
        self.put(
            ADMISSION_CHECK,
            {
                "metadata": {"name": name},
                "spec": {"controllerName": controller},
                "status": {"conditions": [{**active, "lastTransitionTime": format_time(self.now)}]},
            },
        )

    def submit(self, name: str, queue: str, requests: str = "1", **parts: Any) -> None:
        """A Workload as a job makes it; `requests` as `support.world.World.workload` reads them."""
        meta = {"name": name, "uid": name, "generation": 1, **parts.pop("metadata", {})}
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": f"job-{name}"}
        meta.setdefault("ownerReferences", [owner])
        pod_sets = [pod_set(text.strip(), {}) for text in requests.split("|")]
        spec = {"podSets": pod_sets, "queueName": queue, "active": True, **parts}
        self.put(WORKLOAD, {"metadata": meta, "spec": spec})

    def set_spec(self, kind: Kind, name: str, **changes: Any) -> None:
        """Change fields of a spec, as a user does."""
        old = self.get(kind, name)
        meta = {"generation": (old["metadata"].get("generation") or 1) + 1}
        self.change(kind, name, spec={**old["spec"], **changes}, metadata=meta)

    def set_check(self, workload: str, name: str, state: str, message: str = "", **more: Any) -> None:
        """A check's controller says how far it is."""
        status = self.get(WORKLOAD, workload)["status"]
        states = [c for c in status["admissionChecks"] if c["name"] != name]
        states.append(
            {"name": name, "state": state, "message": message, "lastTransitionTime": format_time(self.now), **more}
        )
        self.change(
            WORKLOAD, workload, status={**status, "admissionChecks": sorted(states, key=lambda each: each["name"])}
        )

    def set_pods_ready(self, workload: str, status: str, reason: str) -> None:
        """A job says how its pods are."""
        self.set_condition(workload, "PodsReady", status, reason)

    def set_condition(self, workload: str, type_: str, status: str, reason: str, message: str = "") -> None:
        old = self.get(WORKLOAD, workload)
        conditions = [c for c in old.get("status", {}).get("conditions", ()) if c["type"] != type_]
        new = {"type": type_, "status": status, "reason": reason, "message": message}
        conditions.append({**new, "lastTransitionTime": format_time(self.now)})
        self.change(WORKLOAD, workload, status={**old.get("status", {}), "conditions": conditions})

    def admit_object(self, kind: Kind, obj: Obj) -> Obj:
        """Create an object through its webhook."""
        webhook = next(webhook for webhook in self.parts.webhooks if webhook.kind == kind)
        request = AdmissionRequest(Operation.CREATE, kind, "ns", obj["metadata"]["name"], obj)
        return self.put(kind, webhook.default(request, self.reader))

    # What one asks.

    def workload(self, name: str) -> Workload:
        return self.reader.typed(Workload, self.get(WORKLOAD, name))

    def condition(self, name: str, type_: str) -> tuple[str, str, str] | None:
        found = self.workload(name).condition(type_)
        return (found.status, found.reason, found.message) if found else None

    def has_quota(self, name: str) -> bool:
        return self.workload(name).status.admission is not None

    def events_of(self, name: str) -> list[str]:
        """`<type> <reason>: <note>` of a Workload, in order."""
        return [told.split(" ", 1)[1] for told in self.events if told.startswith(f"Workload/{name} ")]

    # How it runs.

    def settle(self, seconds: float = 0) -> None:
        """Let this time pass, and everything happen that falls due, in order of time."""
        end = Instant(self.now + int(seconds * SECOND_US))
        for _ in range(TURNS_MAX):
            self._turn()
            if self._queue:
                continue
            due = min((at for at in self._times() if at <= end), default=None)
            if due is None:
                self.now = end
                return
            self.now = Instant(max(self.now, due))
        raise AssertionError("the product does not come to rest")

    def _times(self) -> list[Instant]:
        cycle = self._controller.next_cycle_at(self.now)
        return [at for at, _, _ in self._due] + ([cycle] if cycle is not None else [])

    def _turn(self) -> None:
        """Reconcile what is woken or due, then run a cycle if one is."""
        due = [item for item in self._due if item[0] <= self.now]
        self._due = [item for item in self._due if item[0] > self.now]
        self._queue += [(self._by_name[name], key) for _, name, key in due]
        self._wake()
        for _ in range(TURNS_MAX * 10):
            if not self._queue:
                break
            reconciler, key = self._queue.pop(0)
            result = reconciler.reconcile(self.reader, key, self.now)
            self._due = [item for item in self._due if item[1:] != (reconciler.name, key)]
            self._carry_out(result)
            if result.requeue_after_us is not None:
                self._due.append((Instant(self.now + max(1, result.requeue_after_us)), reconciler.name, key))
            self._wake()
        assert not self._queue, "reconcilers do not come to rest"
        due_cycle = self._controller.next_cycle_at(self.now)
        if due_cycle is not None and due_cycle <= self.now:
            for effect in self._controller.cycle(self.reader, self.now):
                self._perform(effect.token, effect.commands)
            self._wake()

    def _perform(self, token: int, commands: tuple[Command, ...]) -> None:
        error: PykueueError | None = None
        try:
            self.do(*commands)
        except Conflict as conflict:
            error = conflict
        self._controller.finished(token, error, self.now)

    def _wake(self) -> None:
        for name, key in self._controller.take_woken():
            item = (self._by_name[name], key)
            if item not in self._queue:
                self._queue.append(item)

    def _hear(self, event: ObjectEvent) -> None:
        if event.kind in self._controller.kinds():
            self._controller.apply(event, self.reader, self.now)
