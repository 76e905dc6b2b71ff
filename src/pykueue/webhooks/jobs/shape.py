"""The shape of a pod template: what decides how much quota its pods need and where they fit. It stays while the job is managed.

Images, commands, environment, limits and metadata may change: a rollout replaces pods within the quota that is held.

Source: leaderworkerset.md A4.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pykueue.api import fields, objects
from pykueue.api.errors import FieldError
from pykueue.api.objects import Obj
from pykueue.api.quantity import parse_quantity

_FIELDS = (
    "nodeSelector", "affinity", "tolerations", "runtimeClassName", "priority", "topologySpreadConstraints", "overhead",
    "resourceClaims",
)  # fmt: skip


def validate_shape(path: str, template: Obj, old: Obj) -> Iterator[FieldError]:
    """One error for each part of the shape that differs.

    Args:
        path: of the template.
        template: the new one.
        old: the former one.
    """
    spec, former = template.get("spec") or {}, old.get("spec") or {}
    for key in ("initContainers", "containers"):
        yield from _validate_containers(f"{path}.spec.{key}", spec.get(key) or (), former.get(key) or ())
    for key in _FIELDS:
        new_value, old_value = spec.get(key) or None, former.get(key) or None
        if key == "overhead":
            new_value, old_value = _canonical(new_value), _canonical(old_value)
        if new_value != old_value:
            yield fields.invalid(f"{path}.spec.{key}", new_value, fields.IMMUTABLE)
    requests, old_requests = _requests(spec), _requests(former)
    if requests != old_requests:
        yield fields.invalid(f"{path}.spec.resources.requests", requests, fields.IMMUTABLE)


def _validate_containers(
    path: str, containers: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]]
) -> Iterator[FieldError]:
    if len(containers) != len(old):
        shapes = [{"ports": c.get("ports") or None, "resources": {"requests": _requests(c)}} for c in containers]
        yield fields.invalid(path, shapes, fields.IMMUTABLE)
        return
    for i, (container, former) in enumerate(zip(containers, old, strict=True)):
        if _requests(container) != _requests(former):
            yield fields.invalid(f"{path}[{i}].resources.requests", _requests(container), fields.IMMUTABLE)
        if (container.get("ports") or None) != (former.get("ports") or None):
            yield fields.invalid(f"{path}[{i}].ports", container.get("ports") or None, fields.IMMUTABLE)


def _requests(holder: Mapping[str, Any]) -> dict[str, str] | None:
    return _canonical(objects.get_path(holder, "resources", "requests"))


def _canonical(amounts: Mapping[str, Any] | None) -> dict[str, str] | None:
    return {name: str(parse_quantity(amounts[name])) for name in sorted(amounts)} if amounts else None
