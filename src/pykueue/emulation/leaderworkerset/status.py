"""Conditions and counts of a LeaderWorkerSet.

Available excludes Progressing and UpdateInProgress: one that becomes True turns the other side False, with its old reason and message.
A condition appears first as True. In one pass at most one condition is set; the next pass sets the other.

Source: leaderworkerset.md B6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Command, Emit
from pykueue.api.instant import Instant, format_time
from pykueue.api.kinds import LEADER_WORKER_SET
from pykueue.api.objects import Obj, get_path
from pykueue.emulation import parts
from pykueue.emulation.leaderworkerset import names
from pykueue.emulation.leaderworkerset.rollout import Replica

AVAILABLE = ("Available", "AllGroupsReady", "All replicas are ready")
UPDATE_IN_PROGRESS = ("UpdateInProgress", "GroupsUpdating", "Rolling Upgrade is in progress")
PROGRESSING = ("Progressing", "GroupsProgressing", "Replicas are progressing")


@dataclass(frozen=True, slots=True)
class Observed:
    """What the status tells of.

    Attributes:
        groups: state of each group with a leader pod and its workers, by index; None where there is none. Surge groups
            included.
        partition: of the set's own rollout configuration.
        leader_set_replicas: `status.replicas` of the leader StatefulSet.
    """

    groups: Sequence[Replica | None]
    partition: int
    leader_set_replicas: int


def status(lws: Obj, seen: Observed, now: Instant) -> tuple[Command, ...]:
    """The status patch and the event of a changed condition; nothing where all is well."""
    existing = [g for g in seen.groups if g is not None]
    n_ready = sum(g.ready for g in existing)
    conditions = get_path(lws, "status", "conditions") or ()
    wanted = _wanted(lws, seen)
    changed = next((new for c in wanted if (new := _set(conditions, c, now)) is not None), None)
    fields: dict[str, Any] = {
        # A count of zero is an absent field.
        "replicas": seen.leader_set_replicas or None,
        "readyReplicas": n_ready or None,
        "updatedReplicas": sum(g.updated for g in existing) or None,
        "observedGeneration": objects.generation(lws),
        "hpaPodSelector": f"{names.SET_NAME}={objects.name(lws)},{names.WORKER_INDEX}=0",
    }
    if changed is not None:
        fields["conditions"] = changed
    patch = parts.status_patch(LEADER_WORKER_SET, lws, fields)
    if changed is None:
        return patch
    _, reason, message = wanted[0]
    note = f"{message}, with {n_ready} groups ready of total {names.replicas_of(lws)} groups"
    return (*patch, Emit(LEADER_WORKER_SET, lws, "Normal", reason, note, names.REPORTER))


def _wanted(lws: Obj, seen: Observed) -> list[tuple[str, str, str]]:
    n_wanted = names.replicas_of(lws)
    regular = list(enumerate(seen.groups[:n_wanted]))
    above = [g for index, g in regular if index >= seen.partition and g is not None]
    if sum(g.updated for g in above) < len(above):
        return [UPDATE_IN_PROGRESS, PROGRESSING]
    n_ready = sum(g is not None and g.ready for _, g in regular)
    if n_ready == n_wanted and all(g.is_done for g in above):
        return [AVAILABLE]
    return [PROGRESSING]


def _set(
    conditions: Sequence[Mapping[str, Any]], wanted: tuple[str, str, str], now: Instant
) -> list[Mapping[str, Any]] | None:
    """Conditions with this one True and those that it excludes False; None where nothing changes."""
    type_, reason, message = wanted
    stamp = format_time(now)
    excluded = ("Progressing", "UpdateInProgress") if type_ == "Available" else ("Available",)
    new: list[Mapping[str, Any]] = []
    for old in conditions:
        if old.get("type") == type_ and old.get("status") != "True":
            new.append({**old, "status": "True", "reason": reason, "message": message, "lastTransitionTime": stamp})
        elif old.get("type") in excluded and old.get("status") == "True":
            new.append({**old, "status": "False", "lastTransitionTime": stamp})
        else:
            new.append(old)
    if all(old.get("type") != type_ for old in conditions):
        fresh = {"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": stamp}
        new.append(fresh)
    return None if new == list(conditions) else new
