"""Revisions of a LeaderWorkerSet: only `leaderWorkerTemplate` and `networkConfig` take part (spec: leaderworkerset.md B3).

Unlike a StatefulSet's, these are found by a hash label, and their names end in the revision's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.kinds import CONTROLLER_REVISION, LEADER_WORKER_SET
from pykueue.api.objects import Obj, get_path
from pykueue.emulation import parts
from pykueue.emulation.leaderworkerset import names
from pykueue.ports.reader import Reader

_NAME_MAX = 220


@dataclass(frozen=True, slots=True)
class SetRevision:
    """One revision of a set.

    Attributes:
        hash: value of the revision label of everything made of it.
        number: grows with each change.
        data: as it is stored.
        obj: the ControllerRevision, stored or to be made.
    """

    hash: str
    number: int
    data: Mapping[str, Any]
    obj: Obj

    @property
    def leader_worker_template(self) -> Mapping[str, Any]:
        """`spec.leaderWorkerTemplate` of that time."""
        return get_path(self.data, "spec", "leaderWorkerTemplate") or {}

    @property
    def subdomain_policy(self) -> str:
        """`spec.networkConfig.subdomainPolicy` of that time."""
        return str(get_path(self.data, "spec", "networkConfig", "subdomainPolicy") or "Shared")


def revisions(reader: Reader, lws: Obj) -> list[SetRevision]:
    """All revisions of a set, oldest first."""
    found = [
        SetRevision(
            objects.labels(obj).get(names.REVISION, ""), int(obj.get("revision") or 0), obj.get("data") or {}, obj
        )
        for obj in parts.owned(reader, CONTROLLER_REVISION, lws)
    ]
    return sorted(found, key=lambda r: (r.number, objects.name(r.obj)))


def revision_data(lws: Obj) -> dict[str, Any]:
    """What a revision remembers of the set."""
    spec = lws["spec"]
    data = {"leaderWorkerTemplate": {**spec["leaderWorkerTemplate"], "$patch": "replace"}}
    if spec.get("networkConfig") is not None:
        data["networkConfig"] = {**spec["networkConfig"], "$patch": "replace"}
    return {"spec": data}


def new_revision(lws: Obj, number: int) -> SetRevision:
    """A revision of the set as it is, not stored yet."""
    data = revision_data(lws)
    hash_ = parts.content_hash(data)
    meta = {
        "name": f"{objects.name(lws)[:_NAME_MAX]}-{hash_}-{number}",
        "namespace": objects.namespace(lws),
        "labels": {names.SET_NAME: objects.name(lws), names.REVISION: hash_},
        "ownerReferences": [objects.make_owner_reference(LEADER_WORKER_SET, lws, controller=True)],
    }
    obj = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "data": data, "revision": number}
    return SetRevision(hash_, number, data, obj)
