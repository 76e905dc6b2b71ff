"""The priority of a Workload, from the classes that its job names.

Source: jobs.md §6.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykueue.api import objects
from pykueue.api.kinds import KUEUE_GROUP, PRIORITY_CLASS, WORKLOAD_PRIORITY_CLASS
from pykueue.api.objects import Obj
from pykueue.api.v1beta2 import Workload
from pykueue.integrations.settings import priority_class
from pykueue.ports.reader import Reader


class PriorityClassMissing(LookupError):
    """The WorkloadPriorityClass that a job names does not exist (yet)."""

    def __init__(self, name: str) -> None:
        super().__init__(f'WorkloadPriorityClass "{name}" not found')


@dataclass(frozen=True, slots=True)
class Priority:
    """A priority and where it is from."""

    value: int
    ref: Mapping[str, str] | None = None

    def to_spec(self) -> dict[str, Any]:
        """The fields of `Workload.spec`."""
        return {"priority": self.value} | ({"priorityClassRef": dict(self.ref)} if self.ref else {})


def resolve_priority(job: Obj, templates: Iterable[Obj], reader: Reader) -> Priority:
    """The label's class, else the first template's, else the cluster's default, else 0.

    Raises:
        PriorityClassMissing: the label names a class that does not exist.
    """
    if name := priority_class(job):
        return _workload_class(name, reader)
    classes = (objects.get_path(template, "spec", "priorityClassName") for template in templates)
    if name := next((c for c in classes if c), ""):
        found = reader.get(PRIORITY_CLASS, "", name)
        return _from_class(found) if found is not None else Priority(0)
    defaults = [c for c in reader.list(PRIORITY_CLASS) if c.get("globalDefault")]
    # Kubernetes takes the lowest of several defaults, so that nobody gains by the overlap.
    return _from_class(min(defaults, key=lambda c: int(c.get("value") or 0))) if defaults else Priority(0)


def changed_priority(job: Obj, workload: Workload, reader: Reader) -> Priority | None:
    """The new priority of an existing Workload whose job names another class; None if it stays.

    Raises:
        PriorityClassMissing: the label names a class that does not exist.
    """
    name, ref = priority_class(job), workload.spec.priority_class_ref
    if ref is not None and ref.group != KUEUE_GROUP:
        return None
    if not name or name == (ref.name if ref else ""):
        return None
    if ref is None and workload.is_true("QuotaReserved"):
        return None
    return _workload_class(name, reader)


def _workload_class(name: str, reader: Reader) -> Priority:
    found = reader.get(WORKLOAD_PRIORITY_CLASS, "", name)
    if found is None:
        raise PriorityClassMissing(name)
    ref = {"group": KUEUE_GROUP, "kind": WORKLOAD_PRIORITY_CLASS.kind, "name": name}
    return Priority(int(found.get("value") or 0), ref)


def _from_class(found: Obj) -> Priority:
    ref = {"group": PRIORITY_CLASS.group, "kind": PRIORITY_CLASS.kind, "name": objects.name(found)}
    return Priority(int(found.get("value") or 0), ref)
