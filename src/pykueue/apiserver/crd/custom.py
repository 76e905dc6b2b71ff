# ruff: noqa: ARG002 - hooks of a strategy that need only a part of what they are handed
"""The strategy of custom resources: everything that is special about them follows from their definition's schema.

An object is pruned and its metadata read when it is decoded; defaulted; validated by schema, then by CEL rules unless its shape
is already wrong. On updates, faults of values that did not change are forgiven (ratcheting), so that an object that was
stored under a laxer schema can still be changed elsewhere.

Source: Kubernetes documentation, "Custom Resource Definition": "Status subresource", "Validation ratcheting".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import FieldError
from pykueue.api.fields import invalid, subdomain_faults
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, metadata
from pykueue.apiserver.builtins.meta import validate_metadata
from pykueue.apiserver.resources import ScalePaths
from pykueue.apiserver.schema.decode import decode_metadata
from pykueue.apiserver.schema.paths import ABSENT
from pykueue.apiserver.schema.prune import compile_defaulter, compile_pruner
from pykueue.apiserver.schema.ratchet import unforgiven
from pykueue.apiserver.schema.rules import compile_rules
from pykueue.apiserver.schema.types import Schema
from pykueue.apiserver.schema.validate import Fault, compile_validator
from pykueue.apiserver.strategy import Context, Strategy

_NOT_CHECKED = FieldError(
    "Invalid value",
    "<nil>",
    "null",
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
)
_INT32_MAX = (1 << 31) - 1


class CustomStrategy(Strategy):
    """The strategy of one custom resource in one version."""

    def __init__(self, kind: Kind, schema: Schema, *, has_status: bool, scale: ScalePaths | None) -> None:
        """Compile the schema.

        Args:
            kind: what is served.
            schema: of this version.
            has_status: whether the version has the `status` sub-resource.
            scale: paths of its `scale` sub-resource, if it has one.

        Raises:
            CelError: a rule of the schema cannot be compiled (the definition's validation says so first).
        """
        self._kind = kind
        self._schema = schema
        self.has_status = has_status
        self._scale_path = scale.spec_replicas.split(".") if scale else None
        self._prune = compile_pruner(schema)
        self._default = compile_defaulter(schema)
        self._validate = compile_validator(schema)
        self._rules = compile_rules(schema)

    def decode(self, obj: Obj) -> tuple[Obj, Sequence[str]]:
        """Drop unknown fields; `Resource.decode`.

        Returns:
            The object, and the sorted paths of what was dropped.

        Raises:
            BadRequest: metadata has values of the wrong type.
        """
        dropped: list[str] = []
        pruned = self._prune(obj, None, dropped)
        pruned = decode_metadata(pruned, self._kind, dropped)
        return pruned, sorted(dropped)

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        filled: Obj = self._default(obj)
        return filled

    def prepare_update(self, new: Obj, old: Obj, subresource: str, context: Context) -> Obj:
        """See `Strategy.prepare_update`. A status write changes no metadata but `managedFields`."""
        prepared = super().prepare_update(new, old, subresource, context)
        if subresource != "status":
            return prepared
        managed = metadata(new).get("managedFields")
        kept = {k: v for k, v in metadata(old).items() if k != "managedFields"}
        return {**prepared, "metadata": kept if managed is None else {**kept, "managedFields": managed}}

    def spec_changed(self, new: Obj, old: Obj) -> bool:
        """See `Strategy.spec_changed`. Without a status sub-resource the status counts as well."""
        return super().spec_changed(new, old) or (not self.has_status and new.get("status") != old.get("status"))

    def validate(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> Sequence[FieldError]:
        """See `Strategy.validate`."""
        before = ABSENT if old is None else old
        faults: list[Fault] = []
        self._validate(new, before, None, faults)
        if faults and old is not None:
            faults = unforgiven(faults, self._schema, new, old)
        meta = validate_metadata(new, old, namespaced=self._kind.namespaced, name_rule=subdomain_faults)
        errors = [*meta, *(fault.error for fault in faults), *self._scale_errors(new)]
        if self._rules is not None:
            if any(fault.is_blocking for fault in faults):
                errors.append(_NOT_CHECKED)
            else:
                self._rules(new, before, None, errors)
        return errors

    def _scale_errors(self, new: Obj) -> list[FieldError]:
        """What the scale sub-resource could not serve."""
        if self._scale_path is None:
            return []
        path = f".{'.'.join(self._scale_path)}"
        value: Any = new
        for step in self._scale_path:
            if value is None:
                return []
            if not isinstance(value, Mapping):
                found = f"{path} accessor error: {value} is of the type {_go_type(value)}, expected map[string]interface{{}}"
                return [invalid(path, 0, found)]
            value = value.get(step)
        if value is None:
            return []
        if isinstance(value, bool) or not isinstance(value, int):
            shown = int(value) if isinstance(value, float) and value.is_integer() else value
            return [
                invalid(path, 0, f"{path} accessor error: {shown} is of the type {_go_type(value)}, expected int64")
            ]
        if value < 0:
            return [invalid(path, value, "should be a non-negative integer")]
        return [invalid(path, value, f"should be less than or equal to {_INT32_MAX}")] if value > _INT32_MAX else []


def _go_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int64"
        case float():
            return "float64"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"
