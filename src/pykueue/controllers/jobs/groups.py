"""Pod groups: which of their pods count, which are too many, which can go, and what Workload stands for them.

Pure questions about the pods of one group; `pods.py` asks them and acts. A pod is active unless it failed, or was deleted before it had a
node; a role is the pods that look alike, and becomes a pod set of the role's name.

Source: jobs.md §18.3, leaderworkerset.md A9.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pykueue.api import objects
from pykueue.api.constants import POD_FINALIZER, Annotation, Label, WorkloadCondition
from pykueue.api.instant import Instant, parse_time
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import PodSet, ReclaimablePod, Workload
from pykueue.core.features import Features, Gate
from pykueue.integrations import pod as pods
from pykueue.integrations.identity import pod_group_name
from pykueue.integrations.members import fits_pod_sets
from pykueue.integrations.pod import pod_pod_set
from pykueue.integrations.podsets import PodSetWire
from pykueue.integrations.settings import JobSettings, queue_name

ROLES_MAX = 18
FOR_EVER = Instant(2**62)


class GroupError(ValueError):
    """The pods of a group do not make a Workload, or not yet; only a change of the pods helps."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What an existing Workload means for the pods of its group.

    Attributes:
        kept: pods that the group consists of.
        excess: pods that nobody needs: deleted.
        replaced: inactive pods that others have replaced: let go.
        n_absent: pods that the Workload counts on and that are not there.
    """

    kept: Sequence[Obj]
    excess: Sequence[Obj]
    replaced: Sequence[Obj]
    n_absent: int


def is_fast(members: Sequence[Obj]) -> bool:
    """Whether the group is admitted before all of its pods exist."""
    return objects.annotations(members[0]).get(Annotation.POD_GROUP_FAST_ADMISSION) == "true"


def total_count(members: Sequence[Obj]) -> int:
    """The number of pods the group shall have, as the first pod says.

    Raises:
        GroupError: it does not say a number.
    """
    total = pods.group_total(members[0])
    if total is None:
        raise GroupError(f"pod '{objects.name(members[0])}' has no number in '{Annotation.POD_GROUP_TOTAL_COUNT}'")
    return total


def is_retriable(members: Iterable[Obj]) -> bool:
    """Whether failed pods of the group may be replaced."""
    return all(objects.annotations(pod).get(Annotation.RETRIABLE_IN_GROUP) != "false" for pod in members)


def active_until(members: Iterable[Obj], features: Features, now: Instant) -> Instant | None:
    """Until when the group still uses its quota, if nothing else happens: None for no longer; `FOR_EVER` for running pods."""
    until: Instant | None = None
    for pod in members:
        if pods.phase(pod) != "Running":
            continue
        lost = pods.lost_at(pod)
        if lost is None:
            return FOR_EVER
        if features[Gate.FAST_QUOTA_RELEASE_IN_POD_INTEGRATION] or lost < now:
            continue
        until = lost if until is None else max(until, lost)
    return until


def finish_message(members: Sequence[Obj], total: int) -> str | None:
    """What is said of a group that is over; None while it is not. Serving groups never are."""
    if pods.is_serving(members[0]):
        return None
    n_succeeded = sum(pods.phase(pod) == "Succeeded" for pod in members)
    if n_succeeded == total or (not is_retriable(members) and all(pods.is_terminated(pod) for pod in members)):
        return f"Pods succeeded: {n_succeeded}/{total}."
    return None


def reclaimable(members: Sequence[Obj], workload: Workload) -> tuple[ReclaimablePod, ...]:
    """Succeeded pods by role, as far as the Workload has pods of that role; none for serving groups."""
    if pods.is_serving(members[0]):
        return ()
    counts = _count(pods.role_of(pod) for pod in members if pods.phase(pod) == "Succeeded")
    granted = {pod_set.name: pod_set.count for pod_set in workload.spec.pod_sets}
    return tuple(
        ReclaimablePod(name=role, count=min(n, granted[role])) for role, n in sorted(counts.items()) if role in granted
    )


def compose(members: Sequence[Obj], settings: JobSettings) -> tuple[Sequence[Obj], Sequence[PodSetWire]]:
    """The pods beyond the group's number, and the pod sets of the others.

    Raises:
        GroupError: the pods are too few yet, or contradict each other.
    """
    group = pod_group_name(members[0], settings.features)
    total = total_count(members)
    _check_indices(members, total)
    active = [pod for pod in members if pods.is_runnable(pod)]
    if not is_fast(members) and len(active) < total:
        raise GroupError(f"'{group}' group has fewer runnable pods than expected")
    _check_agreement(members)
    excess = _tail(active, len(active) - total)
    excess_uids = {objects.uid(pod) for pod in excess}
    counted = [pod for pod in active if objects.uid(pod) not in excess_uids]
    if is_fast(members):
        if not counted:
            raise GroupError("failed to find a runnable pod in the group")
        return excess, [pod_pod_set(pods.role_of(counted[0]), counted[0], total, settings.features)]
    return excess, role_pod_sets(counted, settings)


def role_pod_sets(members: Iterable[Obj], settings: JobSettings) -> Sequence[PodSetWire]:
    """One pod set per role, by name.

    Raises:
        GroupError: more roles than a Workload can have pod sets.
    """
    by_role: dict[str, list[Obj]] = {}
    for pod in members:
        by_role.setdefault(pods.role_of(pod), []).append(pod)
    if len(by_role) > ROLES_MAX:
        raise GroupError(f"pod group can't include more than {ROLES_MAX} roles")
    return [pod_pod_set(role, ps[0], len(ps), settings.features) for role, ps in sorted(by_role.items())]


def copied_group_labels(members: Sequence[Obj], settings: JobSettings) -> dict[str, str]:
    """Labels that the configuration says to copy, over all pods.

    Raises:
        GroupError: two pods have different values.
    """
    result: dict[str, str] = {}
    for pod in members:
        for key in settings.config.integrations.label_keys_to_copy:
            value = objects.labels(pod).get(key)
            if value is not None and result.setdefault(key, value) != value:
                raise GroupError("constructing workload: pods have different label values")
    return result


def match(members: Sequence[Obj], workload: Workload, now: Instant) -> Cleanup:
    """Compare the pods of a group with its Workload, role by role."""
    fast = is_fast(members)
    excess: list[Obj] = []
    replaced: list[Obj] = []
    n_absent = 0
    for pod_set in workload.spec.pod_sets:
        of_role = [pod for pod in members if pods.role_of(pod) == pod_set.name]
        active = [pod for pod in of_role if pods.is_runnable(pod)]
        inactive = [pod for pod in of_role if not pods.is_runnable(pod)]
        n_absent += _absent(pod_set, len(active), fast=fast)
        excess += _tail(active, len(active) - pod_set.count)
        n_surplus = min(len(inactive), len(inactive) + len(active) - pod_set.count)
        if n_surplus > 0:
            replaced += sorted(inactive, key=lambda pod: _inactive_order(pod, now))[-n_surplus:]
    gone = {objects.uid(pod) for pod in (*excess, *replaced)}
    return Cleanup([pod for pod in members if objects.uid(pod) not in gone], excess, replaced, n_absent)


def is_equivalent(kept: Sequence[Obj], workload: Workload) -> bool:
    """Whether the Workload still stands for these pods; of a finished one only the roles count."""
    roles = _count(pods.role_of(pod) for pod in kept)
    if is_fast(kept):
        # Pods that look different from the first one are in no pod set, and wait for ever.
        return any(pod_set.name in roles for pod_set in workload.spec.pod_sets)
    if not workload.is_true(WorkloadCondition.FINISHED):
        return fits_pod_sets((pods.role_of(pod) for pod in kept), workload)
    names = [pod_set.name for pod_set in workload.spec.pod_sets]
    return all(role in names for role in roles)


def _absent(pod_set: PodSet, n_active: int, *, fast: bool) -> int:
    if fast:
        return 1 if pod_set.count > 0 and n_active == 0 else 0
    return max(0, pod_set.count - n_active)


def _tail(active: Sequence[Obj], n: int) -> Sequence[Obj]:
    """The pods that go first: without finalizer, gated, young."""
    return sorted(active, key=_excess_order)[len(active) - n :] if n > 0 else ()


def _excess_order(pod: Obj) -> tuple[bool, bool, int, str]:
    has_finalizer = POD_FINALIZER in objects.finalizers(pod)
    return (not has_finalizer, pods.is_gated(pod), objects.created_at(pod), objects.name(pod))


def _inactive_order(pod: Obj, now: Instant) -> tuple[bool, int, int, str]:
    has_finalizer = POD_FINALIZER in objects.finalizers(pod)
    return (not has_finalizer, now - _last_active(pod), objects.created_at(pod), objects.name(pod))


def _last_active(pod: Obj) -> Instant:
    """When a pod was last alive: it was deleted, or ceased to be ready, or was made."""
    if deleted := objects.metadata(pod).get("deletionTimestamp"):
        return parse_time(deleted)
    ready = objects.condition(pod, "Ready") or {}
    moved = ready.get("lastTransitionTime")
    return parse_time(moved) if moved else objects.created_at(pod)


def _check_indices(members: Sequence[Obj], total: int) -> None:
    for pod in members:
        text = objects.labels(pod).get(Label.POD_GROUP_POD_INDEX)
        if text is not None and not (text.isdecimal() and int(text) < total):
            raise GroupError(
                f"pod '{objects.name(pod)}' has the label '{Label.POD_GROUP_POD_INDEX}={text}': "
                f"it should be a number from 0 to {total - 1}"
            )


def _check_agreement(members: Sequence[Obj]) -> None:
    alive = [pod for pod in members if pods.phase(pod) != "Failed"]
    for pod in alive[1:]:
        first = alive[0]
        pair = f"pods '{objects.name(first)}' and '{objects.name(pod)}'"
        if queue_name(pod) != queue_name(first):
            raise GroupError(f"{pair} has different queue names: {queue_name(first)}!={queue_name(pod)}")
        totals = [objects.annotations(p).get(Annotation.POD_GROUP_TOTAL_COUNT, "") for p in (first, pod)]
        if totals[0] != totals[1]:
            raise GroupError(
                f"{pair} has different '{Annotation.POD_GROUP_TOTAL_COUNT}' values: {totals[0]}!={totals[1]}"
            )


def _count(roles: Iterable[str]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for role in roles:
        counts[role] = counts.get(role, 0) + 1
    return counts
