"""The row of a Pod: its status in one word is what people look at most, so every case is as the real server has it.

The word is, in this order: the phase; the status' own reason; `SchedulingGated`; what the first unfinished init container
waits for (`Init:...`); what a container waits for or ended with (`ContainerCreating`, `Error`, ...); `Terminating`.

Source: Kubernetes documentation, "Pod Lifecycle", "Debug Init Containers"; words as a real server prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.instant import Instant
from pykueue.api.objects import Obj, condition, is_condition_true, is_deleting, metadata
from pykueue.apiserver.resources import Column
from pykueue.apiserver.tables.ages import since
from pykueue.apiserver.tables.texts import CREATED

POD_COLUMNS = (
    Column("Ready", "string", description="The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", "string", description="The aggregate status of the containers in this pod."),
    Column("Restarts", "string", description="The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
    Column("Age", "string", description=CREATED),
    Column("IP", "string", description="podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.", priority=1),
    Column("Node", "string", description="NodeName indicates in which node this pod is scheduled.", priority=1),
    Column("Nominated Node", "string", description="nominatedNodeName is set only when this pod preempts other pods on the node.", priority=1),
    Column("Readiness Gates", "string", description="If specified, all readiness gates will be evaluated for pod readiness.", priority=1),
)  # fmt: skip


def pod_cells(pod: Obj, now: Instant) -> Sequence[Any]:
    """Everything but the name."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    found = _Containers(spec, status)
    word = found.word(pod)
    restarts = str(found.restarts)
    if found.restarts and found.restarted_at:
        restarts = f"{restarts} ({since(found.restarted_at, now)} ago)"
    return (
        f"{found.n_ready}/{found.n_all}",
        word,
        restarts,
        since(metadata(pod).get("creationTimestamp"), now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        _readiness_gates(pod),
    )


class _Containers:
    """Counts over a pod's containers, and what they say of it."""

    def __init__(self, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        self._status = status
        self._inits: Sequence[Mapping[str, Any]] = spec.get("initContainers") or ()
        self._sidecars = {c.get("name") for c in self._inits if c.get("restartPolicy") == "Always"}
        self.n_all = len(spec.get("containers") or ()) + len(self._sidecars)
        self.n_ready = 0
        self.restarts = 0
        self.restarted_at = ""
        self._init_word = self._read_inits()
        self._word = self._init_word
        initialized = is_condition_true({"status": status}, "Initialized")
        if not self._init_word or initialized:
            self._word = self._read_containers() or ("" if not self._init_word else self._init_word)

    def word(self, pod: Obj) -> str:
        """The status in one word."""
        reason = str(self._status.get("reason") or "")
        phase = str(self._status.get("phase") or "")
        word = reason or phase
        scheduled = condition(pod, "PodScheduled")
        if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
            word = "SchedulingGated"
        word = self._word or word
        if word == "Completed" and self._has_running:
            word = "Running" if is_condition_true(pod, "Ready") else "NotReady"
        if is_deleting(pod):
            if reason == "NodeLost":
                return "Unknown"
            if phase not in {"Failed", "Succeeded"}:
                return "Terminating"
        return word

    def _read_inits(self) -> str:
        """Count init containers; what the first unfinished one waits for, or nothing."""
        sidecar_restarts = 0
        sidecar_restarted = ""
        word = ""
        for idx, status in enumerate(self._status.get("initContainerStatuses") or ()):
            is_sidecar = status.get("name") in self._sidecars
            self._count_restarts(status)
            if is_sidecar:
                sidecar_restarts += status.get("restartCount") or 0
                sidecar_restarted = max(sidecar_restarted, _last_finished(status))
            state = status.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if terminated is not None and not terminated.get("exitCode"):
                continue
            if is_sidecar and status.get("started"):
                self.n_ready += bool(status.get("ready"))
                continue
            if terminated is not None:
                word = f"Init:{terminated.get('reason') or _ended(terminated)}"
            elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
                word = f"Init:{waiting['reason']}"
            else:
                word = f"Init:{idx}/{len(self._inits)}"
            break
        if not word:
            self.restarts, self.restarted_at = sidecar_restarts, sidecar_restarted
        return word

    _has_running = False

    def _read_containers(self) -> str:
        """Count containers; what the first of those that wait or ended says, or nothing."""
        word = ""
        for status in reversed(self._status.get("containerStatuses") or ()):
            self._count_restarts(status)
            state = status.get("state") or {}
            terminated, waiting = state.get("terminated"), state.get("waiting") or {}
            if waiting.get("reason"):
                word = waiting["reason"]
            elif terminated is not None:
                word = terminated.get("reason") or _ended(terminated)
            elif status.get("ready") and state.get("running") is not None:
                self._has_running = True
                self.n_ready += 1
        return word

    def _count_restarts(self, status: Mapping[str, Any]) -> None:
        self.restarts += status.get("restartCount") or 0
        self.restarted_at = max(self.restarted_at, _last_finished(status))


def _last_finished(status: Mapping[str, Any]) -> str:
    terminated = (status.get("lastState") or {}).get("terminated") or {}
    return str(terminated.get("finishedAt") or "")


def _ended(terminated: Mapping[str, Any]) -> str:
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode') or 0}"


def _readiness_gates(pod: Obj) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return "<none>"
    n_true = sum(is_condition_true(pod, gate.get("conditionType") or "") for gate in gates)
    return f"{n_true}/{len(gates)}"
