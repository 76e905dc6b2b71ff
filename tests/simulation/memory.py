"""What a manager still remembers of objects that are gone.

A manager runs for months, so whatever it keeps by the name or UID of an object must go with the object, or be bounded. The check walks over
everything that is reachable from a manager and looks at the keys of its tables. What is bounded otherwise is listed here, with its bound.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import msgspec

from pykueue.api import objects
from pykueue.api.objects import ObjectKey
from pykueue.ports.reader import Indexer
from simulation.user import QUEUES
from support.simulated import SimulatedCluster

BOUNDED = {
    "Indexer._deleted",  # UIDs of the last 10,000 deleted objects of a kind
    "GarbageCollector._gone",  # UIDs of the last 100,000 deleted owners
    "Recorder._series",  # the last 2,000 Events
    "StatusPace._told",  # queues that were due within a second of the last that was
}
_UID = re.compile(r"uid-\d{6}")


def faults_of_memory(cluster: SimulatedCluster) -> Iterator[str]:
    """Tables in which something is left of an object that is not there any more; queues must be gone."""
    alive = [obj for r in cluster.server.registry for obj in cluster.server.store.storage(r.storage_name).list()]
    keys, uids = {objects.key(obj) for obj in alive}, {objects.uid(obj) for obj in alive}
    for manager in cluster.managers:
        found: dict[str, str] = {}
        for where, key in _keys(manager):
            for part in _parts(key):
                is_known = part in keys if isinstance(part, ObjectKey) else part in uids or not _is_name(part)
                if not is_known and where not in BOUNDED:
                    found.setdefault(where, str(part))
        yield from (f"{where} remembers {key}" for where, key in found.items())


def _is_name(text: str) -> bool:
    """Whether a text says which object is meant: a UID, or the name of a queue; other names may be words."""
    return text in QUEUES or _UID.fullmatch(text) is not None


def _parts(key: Any) -> Iterator[ObjectKey | str]:
    if isinstance(key, ObjectKey | str):
        yield key
    elif isinstance(key, tuple):
        for part in key:
            yield from _parts(part)


def _keys(root: object) -> Iterator[tuple[str, Any]]:
    """Keys of all tables that are reachable, with the class and attribute that they belong to."""
    seen: set[int] = set()
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        where, value = stack.pop()
        if id(value) in seen or isinstance(
            value, str | bytes | int | float | type | ModuleType | msgspec.Struct | None
        ):
            continue
        seen.add(id(value))
        match value:
            case Mapping():
                yield from ((where, key) for key in value)
                stack += [(where, each) for each in value.values()]
            case set() | frozenset():
                yield from ((where, key) for key in value)
            case list() | tuple() | deque():
                stack += [(where, each) for each in value]
            case Indexer():
                stored = {id(obj) for table in value._objects.values() for obj in table.values()}
                stale = [obj for obj, _ in value._decoded.values() if id(obj) not in stored]
                yield from (("Indexer._decoded", ObjectKey("a former", str(objects.key(obj)))) for obj in stale)
                stack += _attributes(value)
            case _ if type(value).__module__.startswith("pykueue"):
                stack += _attributes(value)
            case _ if hasattr(value, "__self__"):
                stack.append((where, value.__self__))


def _attributes(value: object) -> list[tuple[str, Any]]:
    slots = [name for cls in type(value).__mro__ for name in getattr(cls, "__slots__", ())]
    names = [*getattr(value, "__dict__", {}), *slots]
    return [(f"{type(value).__name__}.{name}", getattr(value, name, None)) for name in names]
