"""The set's half of the LeaderWorkerSet controller: revision, leader StatefulSet, shared Service, status.

The groups' half (worker StatefulSets, restarts) is `groups.py`, which is woken by pods. Deleting a set is the garbage collector's
business alone: a set that is being deleted is left as it is.

Source: leaderworkerset.md B5, B6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pykueue.api import objects
from pykueue.api.commands import Apply, Command, Create, Delete, Emit
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.kinds import CONTROLLER_REVISION, LEADER_WORKER_SET, POD, SERVICE, STATEFUL_SET
from pykueue.api.objects import Obj, ObjectKey, get_path
from pykueue.emulation import parts
from pykueue.emulation.leaderworkerset import names
from pykueue.emulation.leaderworkerset.leader_set import differs, leader_stateful_set, shared_service
from pykueue.emulation.leaderworkerset.revision import SetRevision, new_revision, revision_data, revisions
from pykueue.emulation.leaderworkerset.rollout import LeaderSet, Pace, Replica, Rollout, plan
from pykueue.emulation.leaderworkerset.status import Observed, status
from pykueue.ports.reader import Reader
from pykueue.ports.reconcile import DONE, Index, Result, Watch

_BATCH_US = 5_000
_DELETING_RETRY_US = 5 * SECOND_US


@dataclass(frozen=True, slots=True)
class _Revised:
    """The revision to work with.

    Attributes:
        revision: the newest.
        writes: what makes it.
        updated: it was made because the set changed.
        known: those that are stored.
    """

    revision: SetRevision
    writes: tuple[Command, ...]
    updated: bool
    known: Sequence[SetRevision]


class LeaderWorkerSetController:
    """Reconciles LeaderWorkerSets."""

    name = names.REPORTER

    def watches(self) -> Sequence[Watch]:
        """Sets, and pods and StatefulSets that carry a set's name."""
        return (
            parts.own_watch(LEADER_WORKER_SET),
            Watch(STATEFUL_SET, _set_of, _BATCH_US),
            Watch(POD, _set_of, _BATCH_US),
            parts.owned_watch(SERVICE, LEADER_WORKER_SET),
        )

    def indexes(self) -> Sequence[Index]:
        """Revisions by owner."""
        return (parts.owned_index(CONTROLLER_REVISION),)

    def reconcile(self, reader: Reader, key: ObjectKey, now: Instant) -> Result:
        """See `Reconciler.reconcile`."""
        lws = reader.get(LEADER_WORKER_SET, *key)
        if lws is None or objects.is_deleting(lws):
            return DONE
        stored = reader.get(STATEFUL_SET, *key)
        if stored is not None and objects.is_deleting(stored):
            return Result(requeue_after_us=_DELETING_RETRY_US)
        revised = _revise(reader, lws, stored)
        n_groups = max(_replicas(stored), names.replicas_of(lws))
        groups = [_group(reader, lws, index, revised.revision.hash) for index in range(n_groups)]
        pace = pace_of(lws)
        rollout = plan(pace, _leader_set(lws, stored), [g or Replica() for g in groups], updated=revised.updated)
        wanted = leader_stateful_set(lws, revised.revision, rollout, pace)
        commands: list[Command] = [*revised.writes]
        if stored is None or differs(wanted, stored):
            commands.append(Apply(STATEFUL_SET, wanted, names.FIELD_MANAGER))
            commands += _rollout_events(lws, stored, rollout, updated=revised.updated)
        if names.subdomain_policy(lws) == "Shared" and reader.get(SERVICE, *key) is None:
            commands.append(Create(SERVICE, shared_service(lws), exists_ok=True))
        seen = Observed(groups, pace.partition, int(get_path(stored, "status", "replicas") or 0))
        commands += status(lws, seen, now)
        commands += _surplus_revisions(revised, groups, names.replicas_of(lws), rollout)
        return Result(tuple(commands))


def pace_of(lws: Obj) -> Pace:
    """The set's rollout configuration, scaled."""
    replicas = names.replicas_of(lws)
    rolling = get_path(lws, "spec", "rolloutStrategy", "rollingUpdateConfiguration") or {}
    surge = parts.scaled(rolling.get("maxSurge") or 0, replicas, up=True)
    unavailable = rolling.get("maxUnavailable")
    return Pace(
        replicas,
        min(surge, replicas),
        parts.scaled(1 if unavailable is None else unavailable, replicas, up=False),
        int(rolling.get("partition") or 0),
    )


def is_worker_set_ready(workers: Obj) -> bool:
    """All replicas available, and of one revision."""
    seen = workers.get("status") or {}
    wanted = get_path(workers, "spec", "replicas")
    return bool(
        seen.get("availableReplicas", 0) == (1 if wanted is None else wanted)
        and seen.get("currentRevision") == seen.get("updateRevision")
    )


def _set_of(event: ObjectEvent, reader: Reader) -> list[ObjectKey]:
    del reader
    set_name = objects.labels(event.new).get(names.SET_NAME)
    return [ObjectKey(objects.namespace(event.new), set_name)] if set_name else []


def _replicas(stored: Obj | None) -> int:
    replicas = get_path(stored, "spec", "replicas")
    return 0 if stored is None else 1 if replicas is None else int(replicas)


def _revise(reader: Reader, lws: Obj, stored: Obj | None) -> _Revised:
    """Find or make the revision of the set as it is."""
    known = revisions(reader, lws)
    data = revision_data(lws)
    number = max((r.number for r in known), default=0)
    hash_ = objects.labels(stored).get(names.REVISION, "") if stored is not None else ""
    current = next((r for r in reversed(known) if r.hash == hash_), None) if hash_ else None
    if current is None:
        current = next((r for r in reversed(known) if r.data == data), None)
    if current is not None and current.data == data:
        return _Revised(current, (), updated=False, known=known)
    fresh = new_revision(lws, number + 1)
    updated = current is not None
    what = "updated LWS" if updated else "a newly created LeaderWorkerSet"
    note = f"Creating revision with key {fresh.hash} for {what}"
    said = Emit(LEADER_WORKER_SET, lws, "Normal", "CreatingRevision", note, names.REPORTER)
    same_content = next((r for r in reversed(known) if r.data == data), None)
    if same_content is not None:
        return _Revised(same_content, (said,), updated=updated, known=known)
    return _Revised(fresh, (Create(CONTROLLER_REVISION, fresh.obj, exists_ok=True), said), updated, known)


def _leader_set(lws: Obj, stored: Obj | None) -> LeaderSet | None:
    if stored is None:
        return None
    partition = get_path(stored, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
    resized = objects.annotations(stored).get(names.REPLICAS) != str(names.replicas_of(lws))
    return LeaderSet(_replicas(stored), int(partition), resized)


def _group(reader: Reader, lws: Obj, index: int, hash_: str) -> Replica | None:
    """State of a group; None if it has no leader pod, or not yet the workers that belong to it."""
    namespace, leader_name = objects.namespace(lws), f"{objects.name(lws)}-{index}"
    leader = reader.get(POD, namespace, leader_name)
    if leader is None or objects.labels(leader).get(names.WORKER_INDEX) != "0":
        return None
    ready = parts.is_pod_ready(leader) and not objects.is_deleting(leader)
    updated = objects.labels(leader).get(names.REVISION) == hash_
    if names.size_of(lws) == 1:
        return Replica(ready, updated)
    workers = reader.get(STATEFUL_SET, namespace, leader_name)
    if workers is None or parts.controller_uid(workers) != objects.uid(leader):
        return None
    return Replica(
        ready and is_worker_set_ready(workers),
        updated and objects.labels(workers).get(names.REVISION) == hash_,
    )


def _rollout_events(lws: Obj, stored: Obj | None, rollout: Rollout, *, updated: bool) -> list[Command]:
    name = objects.name(lws)

    def emit(reason: str, note: str) -> Command:
        return Emit(LEADER_WORKER_SET, lws, "Normal", reason, note, names.REPORTER)

    if stored is None:
        return [emit("GroupsProgressing", f"Created leader statefulset {name}")]
    said: list[Command] = []
    before, wanted = _replicas(stored), names.replicas_of(lws)
    if before > rollout.replicas >= wanted:
        last, first = before - 1, rollout.replicas
        note = (
            f"deleting surge replica {name}-{first}"
            if first == last
            else f"deleting surge replicas from {name}-{first} to {name}-{last}"
        )
        said.append(emit("GroupsProgressing", note))
    old = int(get_path(stored, "spec", "updateStrategy", "rollingUpdate", "partition") or 0)
    if not updated and old > rollout.partition:
        first, last = rollout.partition, old - 1
        what = f"replica {first}" if first == last else f"replicas {first} to {last} (inclusive)"
        said.append(emit("GroupsUpdating", f"Updating {what}"))
    return said


def _surplus_revisions(
    revised: _Revised, groups: Sequence[Replica | None], n_wanted: int, rollout: Rollout
) -> tuple[Command, ...]:
    """Old revisions go once the update is done."""
    done = rollout.partition == 0 and all(g is not None and g.is_done for g in groups[:n_wanted])
    if not done or len(groups) > n_wanted:
        return ()
    return tuple(
        Delete(CONTROLLER_REVISION, objects.key(r.obj), objects.uid(r.obj))
        for r in revised.known
        if r.hash != revised.revision.hash
    )
