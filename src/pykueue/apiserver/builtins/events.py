# ruff: noqa: ARG002 - a hook has its contract's signature
"""Events: one storage, served as core/v1 (in which they are stored) and as events.k8s.io/v1.

The two versions say the same with different names. Converting there and back loses nothing.

| core/v1 | events.k8s.io/v1 |
|---|---|
| `involvedObject` | `regarding` |
| `message` | `note` |
| `reportingComponent` | `reportingController` |
| `source` | `deprecatedSource` |
| `firstTimestamp`, `lastTimestamp`, `count` | `deprecatedFirstTimestamp`, `deprecatedLastTimestamp`, `deprecatedCount` |
| `related`, `series`, `eventTime`, `action`, `reason`, `type`, `reportingInstance` | the same |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pykueue.api.errors import FieldError
from pykueue.api.fields import invalid, required
from pykueue.api.kinds import CORE_EVENT, EVENT, Kind
from pykueue.api.objects import Obj, metadata
from pykueue.apiserver.builtins.meta import BuiltinStrategy
from pykueue.apiserver.strategy import Context

_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_BACK = {new: old for old, new in _RENAMED.items()}
_TYPES = ("Normal", "Warning")
_NOTE_BYTES_MAX = 1024
_NAMESPACES_OF_CLUSTER_EVENTS = ("default", "kube-system")


def convert_event(obj: Obj, api_version: str) -> Obj:
    """The event in the other version, or itself."""
    if obj.get("apiVersion") == api_version:
        return obj
    names = _RENAMED if api_version == EVENT.api_version else _BACK
    return {names.get(key, key): value for key, value in obj.items()} | {"apiVersion": api_version}


class EventStrategy(BuiltinStrategy):
    """Events in one of their versions.

    Args:
        kind: CORE_EVENT or EVENT.
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__(create_on_update=True)
        self._is_core = kind == CORE_EVENT

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`: core events always show `source`, `firstTimestamp` and their like, empty if need be."""
        if not self._is_core:
            return obj
        filled: dict[str, Any] = {
            "eventTime": None,
            "firstTimestamp": None,
            "lastTimestamp": None,
            "source": {},
            "involvedObject": {},
            "reportingComponent": "",
            "reportingInstance": "",
        }
        missing = {key: value for key, value in filled.items() if key not in obj}
        return {**obj, **missing} if missing else obj

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """See `BuiltinStrategy.faults`."""
        regarding = new.get("involvedObject" if self._is_core else "regarding") or {}
        namespace = str(metadata(new).get("namespace") or "")
        about = str(regarding.get("namespace") or "")
        errors: list[FieldError] = []
        if about != namespace and (about or namespace not in _NAMESPACES_OF_CLUSTER_EVENTS):
            errors.append(invalid("involvedObject.namespace", about, "does not match event.namespace"))
        if self._is_core and not new.get("eventTime"):
            return errors
        if old is None and not new.get("eventTime"):
            errors.append(required("eventTime"))
        controller = "reportingComponent" if self._is_core else "reportingController"
        if not new.get(controller):
            errors.append(required("reportingController"))
        errors += [required(field) for field in ("reportingInstance", "action", "reason") if not new.get(field)]
        if new.get("type") not in _TYPES:
            errors.append(invalid("type", new.get("type") or "", f"has invalid value: {new.get('type') or ''}"))
        if len(str(new.get("message" if self._is_core else "note") or "").encode()) > _NOTE_BYTES_MAX:
            errors.append(invalid("message", "", f"can have at most {_NOTE_BYTES_MAX} characters"))
        return errors
