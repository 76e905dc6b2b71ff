"""What is done to pods: started, stopped, let go. Each is one command, so that the pods of a group are handled side by side.

Names of pods come back after a restart, UIDs do not: every write names the UID it means.

Source: jobs.md §10, §11, §18, leaderworkerset.md A9.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Apply, Chain, Command, Delete, Emit, Patch, Together
from pykueue.api.constants import POD_FINALIZER, SchedulingGate
from pykueue.api.instant import Instant, format_time
from pykueue.api.kinds import POD
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Workload
from pykueue.integrations import pod as pods
from pykueue.integrations.members import Membership
from pykueue.integrations.podset_info import PodSetInfo, started_pod

REPORTER = "pod-kueue-controller"
_OUR_GATES = (SchedulingGate.ADMISSION, SchedulingGate.TOPOLOGY)

NO_MATCHING_WORKLOAD = "NoMatchingWorkload"
WORKLOAD_DELETED = "WorkloadDeleted"
NOT_ADMITTED = "NotAdmitted"


def together(commands: Iterable[Command]) -> tuple[Command, ...]:
    """The commands side by side; nothing for none."""
    listed = tuple(commands)
    return listed if len(listed) < 2 else (Together(listed),)


def in_order(commands: Iterable[Command]) -> tuple[Command, ...]:
    """The commands as one, in order; nothing for none."""
    listed = tuple(commands)
    return listed if len(listed) < 2 else (Chain(listed),)


def patch(pod: Obj, body: Mapping[str, Any]) -> Patch:
    """A merge patch of exactly this pod."""
    uid = {"uid": objects.uid(pod)} if objects.uid(pod) else {}
    meta = {**uid, **(body.get("metadata") or {})}
    return Patch(POD, objects.key(pod), {**body, **({"metadata": meta} if meta else {})}, missing_ok=True)


def start(pod: Obj, info: PodSetInfo, member: Membership | None = None) -> Patch:
    """Start a gated pod with what its pod set was granted, in one patch; `started` tells of it.

    Args:
        pod: gated.
        info: of its pod set.
        member: what the pod is told by the same patch.

    Raises:
        PodSetConflict: contradicting values.
    """
    if member is None:
        return patch(pod, started_pod(pod, info))
    body = started_pod(member.told(pod), info)
    meta = body.get("metadata") or {}
    told = {"labels": member.labels, "annotations": member.annotations}
    marks = {key: {**values, **meta.get(key, {})} for key, values in told.items() if values}
    return patch(pod, {"metadata": marks, "spec": body["spec"]})


def started(pod: Obj, workload: Workload) -> Emit:
    """The news that a pod was started; one of many where there are many pods."""
    admission = workload.status.admission
    note = f"Admitted by clusterQueue {admission.cluster_queue if admission else ''}"
    return Emit(POD, pod, "Normal", "Started", note, REPORTER, is_routine=True)


def ungate(pod: Obj) -> tuple[Command, ...]:
    """Let a pod go: our gates are taken away, all else stays."""
    names = pods.gate_names(pod)
    left = [{"name": name} for name in names if name not in _OUR_GATES]
    return (patch(pod, {"spec": {"schedulingGates": left or None}}),) if len(left) < len(names) else ()


def stop(pod: Obj, reason: str, message: str, now: Instant) -> Command:
    """Tell a pod why it ends, and end it."""
    target = {
        "type": "TerminationTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": format_time(now),
    }
    meta = {"name": objects.name(pod), "namespace": objects.namespace(pod), "uid": objects.uid(pod)}
    told = Apply(
        POD,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {k: v for k, v in meta.items() if v},
            "status": {"conditions": [target]},
        },
        "kueue",
        subresource="status",
        missing_ok=True,
    )
    gone = Delete(POD, objects.key(pod), uid=objects.uid(pod))
    return Chain((told, gone, Emit(POD, pod, "Normal", "Stopped", message, REPORTER)))


def stop_all(members: Iterable[Obj], reason: str, message: str, now: Instant) -> list[Command]:
    """Stop the pods that run; where the Workload is deleted, the waiting ones as well, and nothing holds them any more."""
    members = list(members)
    all_of_them = reason == WORKLOAD_DELETED
    commands: list[Command] = [
        stop(pod, reason, message, now)
        for pod in members
        if not objects.is_deleting(pod) and (all_of_them or not pods.is_suspended(pod))
    ]
    if all_of_them:
        commands.extend(command for pod in members for command in finalize(pod))
    return commands


def finalize(pod: Obj) -> tuple[Command, ...]:
    """Take our finalizer off a pod; nothing if it has none."""
    finalizers = objects.finalizers(pod)
    if POD_FINALIZER not in finalizers:
        return ()
    return (patch(pod, {"metadata": {"finalizers": [f for f in finalizers if f != POD_FINALIZER] or None}}),)


def remove_excess(pod: Obj) -> Command:
    """Delete a pod that its group does not need."""
    steps = finalize(pod)
    if objects.is_deleting(pod):
        return Chain(steps)
    gone = Delete(POD, objects.key(pod), uid=objects.uid(pod))
    return Chain((*steps, gone, Emit(POD, pod, "Normal", "ExcessPodDeleted", "Excess pod deleted", REPORTER)))
