"""Who waits in a queue, in order: the answers of the visibility API.

Positions count from 0 in the order of the whole ClusterQueue, and in that order among the Workloads of one LocalQueue; where an answer begins does not
move them. The kinds of both versions are the same but for their names.

Not here: how it is asked and who may ask (`apiserver/extension.py`, `cli/visibility.py`); the order itself (`core/queue/heads.py`).

Source: observability.md §3.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pykueue.api.errors import BadRequest, NotFound
from pykueue.api.kinds import VISIBILITY_GROUP
from pykueue.api.objects import ObjectKey
from pykueue.core.workload.info import Info

LIMIT_DEFAULT, LIMIT_MAX = 1000, 100_000
_INT64 = 1 << 63
_INTEGER = re.compile(r"[+-]?[0-9]+")
_CHARS_MAX = 1000
"""Of a number that is looked at: Python refuses to read one of some thousands."""


class _Struct(msgspec.Struct, frozen=True, rename="camel"):
    pass


class Owner(_Struct, frozen=True):
    """`metadata.ownerReferences[*]`, as far as it is told."""

    api_version: str
    kind: str
    name: str
    uid: str


class PendingMeta(_Struct, frozen=True, omit_defaults=True):
    """`metadata`, as far as it is told."""

    name: str
    namespace: str
    creation_timestamp: str | None = None
    owner_references: tuple[Owner, ...] = ()


class PendingWorkload(_Struct, frozen=True):
    """One Workload that waits; `priority` is without boost."""

    metadata: PendingMeta
    priority: int
    local_queue_name: str
    position_in_cluster_queue: int
    position_in_local_queue: int


class PendingWorkloadsSummary(_Struct, frozen=True):
    """The answer."""

    kind: str
    api_version: str
    metadata: dict[str, str]
    items: list[PendingWorkload]


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a list is asked for.

    Attributes:
        offset: how many are left out before it; not negative.
        limit: how many there are at most; not negative.
    """

    offset: int = 0
    limit: int = LIMIT_DEFAULT

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Slice:
        """Read the parameters `offset` and `limit`.

        Raises:
            BadRequest: one of them is not an integer of 64 bits.
        """
        offset, limit = _integer(query.get("offset", "0")), _integer(query.get("limit", "0"))
        return cls(max(offset, 0), min(max(limit or LIMIT_DEFAULT, 0), LIMIT_MAX))


def of_cluster_queue(name: str, order: Sequence[Info] | None, part: Slice, version: str) -> PendingWorkloadsSummary:
    """Who waits for a ClusterQueue.

    Args:
        name: of the ClusterQueue.
        order: everybody who waits for it, in order; None if there is no such queue.
        part: of the list.
        version: of the API.

    Raises:
        NotFound: there is no such queue.
    """
    if order is None:
        raise _not_found("clusterqueue", name)
    return _summary(version, itertools.islice(_placed(order), part.offset, part.offset + part.limit))


def of_local_queue(key: ObjectKey, order: Sequence[Info] | None, part: Slice, version: str) -> PendingWorkloadsSummary:
    """Who of a LocalQueue waits; arguments and errors as of `of_cluster_queue`, with the order of its ClusterQueue."""
    if order is None:
        raise _not_found("localqueue", key.name)
    own = ((place, at, info) for place, at, info in _placed(order) if info.local_queue == key)
    return _summary(version, itertools.islice(own, part.offset, part.offset + part.limit))


def _placed(order: Iterable[Info]) -> Iterator[tuple[int, int, Info]]:
    """Each with its positions in the ClusterQueue and in its LocalQueue."""
    n_before: dict[ObjectKey, int] = {}
    for place, info in enumerate(order):
        at = n_before.get(info.local_queue, 0)
        n_before[info.local_queue] = at + 1
        yield place, at, info


def _summary(version: str, placed: Iterable[tuple[int, int, Info]]) -> PendingWorkloadsSummary:
    items = [_item(*one) for one in placed]
    return PendingWorkloadsSummary("PendingWorkloadsSummary", f"{VISIBILITY_GROUP}/{version}", {}, items)


def _item(place: int, at: int, info: Info) -> PendingWorkload:
    meta = info.workload.metadata
    owners = tuple(Owner(owner.api_version, owner.kind, owner.name, owner.uid) for owner in meta.owner_references)
    told = PendingMeta(meta.name, meta.namespace, meta.creation_timestamp, owners)
    return PendingWorkload(told, info.base_priority, info.local_queue.name, place, at)


def _integer(text: str) -> int:
    fault = ""
    if not _INTEGER.fullmatch(text):
        fault = "invalid syntax"
    elif len(text) > _CHARS_MAX or not -_INT64 <= int(text) < _INT64:
        fault = "value out of range"
    if fault:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": {fault}')
    return int(text)


def _not_found(kind: str, name: str) -> NotFound:
    details = {"name": name, "group": VISIBILITY_GROUP, "kind": kind}
    return NotFound(f'{kind}.{VISIBILITY_GROUP} "{name}" not found', details=details)
