"""Concurrent admission: one variant of a Workload for each flavor of its ClusterQueue, all waiting at the same time.

The Workload that a job made is the parent. It never waits; its variants do, and what becomes of the best of them becomes of the parent:
admission, readiness of pods the other way round, eviction, end. A pass looks at one parent and does, in this order, what is due: mark it,
make and delete variants, bring their specs in line, end them with it, then admit or evict one for the other, put less favorable
variants to rest, and open the preemption gate of one of them. What it writes wakes the next pass.

Where each variant may run is decided by the scheduler (`core/scheduler/cycle.py`), as for every other Workload; nothing here looks at quota.

Source: scheduling.md §15.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Create, Delete, Emit, Patch
from pykueue.api.constants import Annotation, Label, Reason, WorkloadCondition
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, format_time, parse_time
from pykueue.api.kinds import CLUSTER_QUEUE, LOCAL_QUEUE, WORKLOAD
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.v1beta2 import ClusterQueue, LocalQueue, PreemptionGateState, Workload
from pykueue.controllers.core import transitions
from pykueue.controllers.core.workload import of_cluster_queue, of_local_queue, queue_indexes
from pykueue.controllers.workload_status import admission_patch
from pykueue.core.features import Features, Gate
from pykueue.core.workload.lifecycle import has_closed_gate, has_quota, is_finished
from pykueue.core.workload.variants import (
    PARENT,
    PREEMPTION_GATE,
    flavor_of,
    flavors_of,
    last_acceptable,
    parent_of,
    rank,
    retains_first,
)
from pykueue.integrations.naming import variant_name
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

NAME = "concurrent-admission-controller"
GATE_INTERVAL_US = 300 * SECOND_US
"""Between two preemption gates of one parent that are opened."""
_BY_PARENT = "variantsOf"
_SHARED = {
    "podSets": "pod_sets",
    "queueName": "queue_name",
    "priority": "priority",
    "priorityClassRef": "priority_class_ref",
}
"""What of a parent's spec its variants have too: in the API, and of `WorkloadSpec`."""
_REQUEUED_AT_ONCE = (Reason.PREEMPTED, Reason.NODE_FAILURES, Reason.FLAVOR_MIGRATION, Reason.VARIANT_EVICTED)


@dataclass(frozen=True, slots=True)
class Family:
    """A parent and its variants, the most favorable first, in a queue that asks for them."""

    obj: Obj
    parent: Workload
    variants: Sequence[Workload]
    queue: ClusterQueue
    features: Features

    @property
    def standing(self) -> Workload | None:
        """The variant that is admitted, and not on its way out."""
        return next((v for v in self.variants if _stands(v)), None)

    @property
    def holding(self) -> Sequence[Workload]:
        """The variants that hold quota."""
        return [variant for variant in self.variants if has_quota(variant)]


class ConcurrentAdmissionReconciler:
    """Keeps parents and variants in line."""

    name = NAME

    def __init__(self, features: Features) -> None:
        self._features = features

    def watches(self) -> Sequence[Watch]:
        """Parents, their variants, and the queues that say which variants there are."""
        return (
            Watch(WORKLOAD, _family_of),
            Watch(LOCAL_QUEUE, of_local_queue),
            Watch(CLUSTER_QUEUE, of_cluster_queue),
        )

    def indexes(self) -> Sequence[Index]:
        """Variants by the UID of their parent, Workloads and LocalQueues by the queue they lead to."""
        return (Index(WORKLOAD, _BY_PARENT, _parent_uids), *queue_indexes())

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """One pass over one parent; nothing for other Workloads."""
        family = _family(reader, key, self._features)
        if family is None:
            return DONE
        if family.parent.metadata.labels.get(Label.CONCURRENT_ADMISSION_PARENT) != PARENT:
            labels = {"labels": {Label.CONCURRENT_ADMISSION_PARENT.value: PARENT}}
            return Result((Patch(WORKLOAD, key, {"metadata": labels}, missing_ok=True),))
        if is_finished(family.parent):
            return Result(_finish(family, now))
        commands = (*_missing(family), *_foreign(family), *_out_of_line(family))
        if commands:
            return Result(commands)
        for step in (_follow_eviction, _follow_admission, _follow_readiness, _release, _activate):
            if commands := step(family, now):
                return Result(commands)
        return _open_gate(family, now)


# --- which variants there are ----------------------------------------------------------------------------------------


def _missing(family: Family) -> tuple[Command, ...]:
    """Variants that are not there yet, one for each flavor."""
    known = {flavor_of(variant) for variant in family.variants}
    made = [_make(family, f) for f in flavors_of(family.queue) if f not in known]
    return tuple(
        Chain(
            (
                Create(WORKLOAD, obj, exists_ok=True),
                _told(family, "CreatedVariant", f'Variant Workload "{name}" created'),
            )
        )
        for obj, name in ((obj, objects.key(obj)) for obj in made)
    )


def _make(family: Family, flavor: str) -> dict[str, Any]:
    parent = family.parent
    owner = next((ref for ref in parent.metadata.owner_references if ref.controller), None)
    kind, version = (owner.kind, owner.api_version) if owner is not None else ("", "")
    group = version.rpartition("/")[0]
    name = variant_name(parent.name, parent.uid, kind, group, flavor, short=family.features[Gate.SHORT_WORKLOAD_NAMES])
    spec = {field: family.obj["spec"][field] for field in _SHARED if field in family.obj["spec"]}
    return {
        "apiVersion": WORKLOAD.api_version,
        "kind": WORKLOAD.kind,
        "metadata": {
            "name": name,
            "namespace": parent.metadata.namespace,
            "annotations": {Annotation.ALLOWED_RESOURCE_FLAVORS.value: flavor, **_gated_by(parent)},
            "ownerReferences": [
                {
                    "apiVersion": WORKLOAD.api_version,
                    "kind": WORKLOAD.kind,
                    "name": parent.name,
                    "uid": parent.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {**spec, "active": parent.spec.active, "preemptionGates": [{"name": PREEMPTION_GATE}]},
    }


def _foreign(family: Family) -> tuple[Command, ...]:
    """Variants for flavors that the queue does not have any more."""
    known = flavors_of(family.queue)
    return tuple(
        Chain(
            (
                Delete(WORKLOAD, variant.key, uid=variant.uid),
                _told(
                    family, "DeletedVariant",
                    f'Variant Workload "{variant.key}" deleted; flavor "{flavor_of(variant)}" no longer in ClusterQueue',
                ),
            )
        )
        for variant in family.variants
        if flavor_of(variant) not in known and not variant.is_deleting
    )  # fmt: skip


def _out_of_line(family: Family) -> tuple[Command, ...]:
    """Variants without quota whose spec is not their parent's any more."""
    wanted = family.parent.spec
    patches: list[Command] = []
    for variant in family.variants:
        differs = [f for f, name in _SHARED.items() if getattr(variant.spec, name) != getattr(wanted, name)]
        if has_quota(variant):
            differs = [field for field in differs if field == "priority"]
        body: dict[str, Any] = {"spec": {field: family.obj["spec"].get(field) for field in differs}} if differs else {}
        gates = _gated_by(family.parent).get(Annotation.ADMISSION_GATED_BY.value)
        if variant.metadata.annotations.get(Annotation.ADMISSION_GATED_BY) != gates:
            body["metadata"] = {"annotations": {Annotation.ADMISSION_GATED_BY.value: gates}}
        if body:
            patches.append(Patch(WORKLOAD, variant.key, body, missing_ok=True))
    return tuple(patches)


def _gated_by(parent: Workload) -> dict[str, str]:
    gates = parent.metadata.annotations.get(Annotation.ADMISSION_GATED_BY)
    return {Annotation.ADMISSION_GATED_BY.value: gates} if gates else {}


# --- what happens to one happens to the other ------------------------------------------------------------------------


def _finish(family: Family, now: Instant) -> tuple[Command, ...]:
    """The parent is over, and so are its variants."""
    ended = family.parent.condition(WorkloadCondition.FINISHED)
    assert ended is not None
    return tuple(
        admission_patch(
            variant,
            transitions.with_condition(variant, WorkloadCondition.FINISHED, True, ended.reason, ended.message, now),
            now,
        )
        for variant in family.variants
        if not is_finished(variant)
    )


def _follow_eviction(family: Family, now: Instant) -> tuple[Command, ...]:
    """An eviction of the parent is one of its variant, and the other way round."""
    parent = family.parent
    if not has_quota(parent):
        return ()
    evicted = parent.condition(WorkloadCondition.EVICTED)
    if evicted is None or evicted.status != "True":
        if family.standing is not None:
            return ()
        message = "Admitted variant was evicted"
        gone = transitions.evict(parent, Reason.VARIANT_EVICTED, message, now)
        event = transitions.eviction_event_reason(Reason.VARIANT_EVICTED)
        return (Chain((admission_patch(parent, gone, now), _told(family, event, message))),)
    variant = family.standing
    if variant is None or evicted.reason.startswith(Reason.DEACTIVATED):
        # A variant of an inactive parent is put to rest, so that it can wake up again.
        return ()
    gone = transitions.evict(variant, evicted.reason, evicted.message, now)
    return (admission_patch(variant, gone, now),)


def _follow_admission(family: Family, now: Instant) -> tuple[Command, ...]:
    """The parent gets what its admitted variant got."""
    parent, variant = family.parent, family.standing
    if variant is None or has_quota(parent) or not parent.spec.active or variant.status.admission is None:
        return ()
    checked = transitions.with_checks(parent, variant.status.admission_checks)
    reserved = transitions.reserve_quota(checked, variant.status.admission, now)
    message = f"The variant {variant.name} is admitted"
    admitted = transitions.with_condition(reserved, WorkloadCondition.ADMITTED, True, Reason.ADMITTED, message, now)
    return (admission_patch(parent, admitted, now),)


def _follow_readiness(family: Family, now: Instant) -> tuple[Command, ...]:
    """The pods are the parent's; what is known of them is written on the variant, for whom others may wait."""
    variant, ready = family.standing, family.parent.condition(WorkloadCondition.PODS_READY)
    if variant is None or ready is None or not has_quota(family.parent):
        return ()
    noted = transitions.with_condition(
        variant, WorkloadCondition.PODS_READY, ready.status == "True", ready.reason, ready.message, now
    )
    return (admission_patch(variant, noted, now),) if noted != variant else ()


def _release(family: Family, now: Instant) -> tuple[Command, ...]:
    """Once the parent's job has stopped, evicted variants give their quota back."""
    if has_quota(family.parent):
        return ()
    writes: list[Command] = []
    for variant in family.holding:
        evicted = variant.condition(WorkloadCondition.EVICTED)
        if evicted is None or evicted.status != "True":
            continue
        requeued = transitions.with_condition(
            variant,
            WorkloadCondition.REQUEUED,
            evicted.reason in _REQUEUED_AT_ONCE,
            evicted.reason,
            evicted.message,
            now,
        )
        freed = transitions.release_quota(
            requeued, transitions.pending_evaluation(family.features), evicted.message, now
        )
        writes.append(admission_patch(variant, freed, now))
    return tuple(writes)


# --- who may try -----------------------------------------------------------------------------------------------------


def _activate(family: Family, now: Instant) -> tuple[Command, ...]:
    """Less favorable variants rest while one is admitted; without one all may try."""
    del now
    patches: list[Command] = []
    for variant in family.variants:
        rests = _why_resting(family, variant)
        if rests and variant.spec.active:
            event = _told(family, "DeactivatedVariant", f"Variant Workload deactivated due to {rests}")
        elif not rests and not variant.spec.active and _was_put_to_rest(variant):
            event = _told(
                family, "ActivatedVariant", "Variant Workload activated due to no variant being preferred to it"
            )
        else:
            continue
        patch = Patch(WORKLOAD, variant.key, {"spec": {"active": not rests}}, missing_ok=True)
        patches.append(Chain((patch, event)))
    return tuple(patches)


def _why_resting(family: Family, variant: Workload) -> str:
    if not family.parent.spec.active:
        return "the deactivation of its parent"
    standing = family.standing
    if standing is None or standing.name == variant.name:
        return ""
    mine, best = rank(family.queue, flavor_of(variant)), rank(family.queue, flavor_of(standing))
    if retains_first(family.queue):
        return f"the admission of {standing.name}"
    if mine > best:
        return f"the admission of the more favorable {standing.name}"
    return "its flavor being below LastAcceptableFlavorName" if mine > last_acceptable(family.queue) else ""


def _was_put_to_rest(variant: Workload) -> bool:
    """Whether it is inactive for nothing of its own, as a rejected check is."""
    evicted = variant.condition(WorkloadCondition.EVICTED)
    return evicted is None or not evicted.reason.startswith(f"{Reason.DEACTIVATED}DueTo")


def _open_gate(family: Family, now: Instant) -> Result:
    """Let the first variant that needs it preempt; the next one may only after five minutes."""
    opened = [
        parse_time(gate.last_transition_time)
        for variant in family.variants
        for gate in variant.status.preemption_gates
        if gate.name == PREEMPTION_GATE and gate.position == "Open" and gate.last_transition_time
    ]
    for variant in family.variants:
        if not variant.spec.active or has_quota(variant):
            continue
        if variant.condition(WorkloadCondition.QUOTA_RESERVED) is None:
            return DONE
        blocked = variant.is_true(WorkloadCondition.BLOCKED_ON_PREEMPTION_GATES)
        if not blocked or not has_closed_gate(variant, family.features):
            continue
        left_us = max(opened) + GATE_INTERVAL_US - now if opened else 0
        if left_us > 0:
            return Result(requeue_after_us=left_us)
        gate = PreemptionGateState(name=PREEMPTION_GATE, position="Open", last_transition_time=format_time(now))
        others = tuple(g for g in variant.status.preemption_gates if g.name != PREEMPTION_GATE)
        status = msgspec.structs.replace(variant.status, preemption_gates=(*others, gate))
        note = f'Opened preemption gate for variant workload "{variant.key}"'
        patch = admission_patch(variant, msgspec.structs.replace(variant, status=status), now)
        return Result((Chain((patch, _told(family, "PreemptionUngatedVariant", note))),))
    return DONE


# --- who belongs together --------------------------------------------------------------------------------------------


def _family(reader: Reader, key: ObjectKey, features: Features) -> Family | None:
    obj = reader.get(WORKLOAD, key.namespace, key.name)
    if obj is None or objects.is_deleting(obj):
        return None
    parent = reader.typed(Workload, obj)
    if parent_of(parent) is not None:
        return None
    found = reader.get(LOCAL_QUEUE, key.namespace, parent.spec.queue_name)
    name = reader.typed(LocalQueue, found).spec.cluster_queue if found is not None else ""
    queue_obj = reader.get(CLUSTER_QUEUE, "", name) if name else None
    queue = reader.typed(ClusterQueue, queue_obj) if queue_obj is not None else None
    if queue is None or queue.spec.concurrent_admission_policy is None:
        return None
    variants = [reader.typed(Workload, each) for each in reader.by_index(WORKLOAD, _BY_PARENT, parent.uid)]
    ranked = sorted(variants, key=lambda variant: (rank(queue, flavor_of(variant)), variant.name))
    return Family(obj, parent, ranked, queue, features)


def _stands(variant: Workload) -> bool:
    is_out = variant.is_true(WorkloadCondition.EVICTED) or is_finished(variant)
    return has_quota(variant) and variant.is_true(WorkloadCondition.ADMITTED) and not is_out


def _told(family: Family, reason: str, note: str) -> Command:
    return Emit(WORKLOAD, family.obj, "Normal", reason, note, NAME)


def _family_of(event: ObjectEvent, _reader: Reader) -> Iterable[ObjectKey]:
    """The Workload itself, and its parent."""
    key = objects.key(event.new)
    yield key
    for ref in objects.owner_references(event.new):
        if WORKLOAD.is_kind_of(ref):
            yield ObjectKey(key.namespace, ref.name)


def _parent_uids(obj: Obj) -> Iterable[str]:
    return [ref.uid for ref in objects.owner_references(obj) if WORKLOAD.is_kind_of(ref)]
