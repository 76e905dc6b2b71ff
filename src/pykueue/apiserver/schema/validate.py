"""Validation of custom resources against their structural schema, in Kubernetes' words, compiled once per schema.

A validator walks an object beside its old value and collects `Fault`s; nothing is raised. Whatever *is* the old value (shared,
as a status write shares the spec) is not looked at, and faults of values that equal their old ones are dropped afterwards
(ratcheting: an object that was stored under a laxer schema can still be changed elsewhere).

CEL rules are not here: `rules.py` runs them, unless a fault below is *blocking* (the value's shape is wrong, or it is larger
than the schema allows, so that rules could not rely on it).

Source: Kubernetes documentation, "Custom Resource Definition": "Validation", "Validation ratcheting"; texts as a real server
answers (tests/conformance).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from pykueue.api.errors import FieldError
from pykueue.api.fields import duplicate, invalid, not_supported, render, required, too_long, too_many
from pykueue.apiserver.schema.formats import is_format
from pykueue.apiserver.schema.paths import ABSENT, Path
from pykueue.apiserver.schema.paths import render as render_path
from pykueue.apiserver.schema.patterns import compile_pattern
from pykueue.apiserver.schema.types import NO_LIMITS, Limits, Schema

_BLOCKING_TYPES = frozenset(("Required value", "Too long", "Too many", "Unsupported value"))
_TYPE_INVALID = "FieldValueTypeInvalid"
_INT64 = 1 << 63


class Fault(NamedTuple):
    """What is wrong, and with which value: for a missing field that is the object it is missing from.

    Attributes:
        at: path of the value.
        error: what the user reads.
    """

    at: Path
    error: FieldError

    @property
    def is_blocking(self) -> bool:
        """Whether CEL rules are not run beside this fault."""
        return self.error.cause == _TYPE_INVALID or self.error.type in _BLOCKING_TYPES


Validator: TypeAlias = Callable[[Any, Any, Path, list[Fault]], None]
"""`(value, old value or ABSENT, path of the value, faults so far)`."""

_Check: TypeAlias = Callable[[Any, Path, list[Fault]], None]
"""A check of one value that needs no old one."""


def compile_validator(schema: Schema) -> Validator:
    """The validator of a whole object. `metadata` is validated elsewhere, but for what the schema says of its name."""
    return _validator(schema)


def _validator(schema: Schema) -> Validator:
    """The validator of one node: type first, then combinations, then the value, then what is inside of it."""
    type_faulty = _type_check(schema)
    combined = _combined(schema)
    checks = tuple(check for check in (combined, *_value_checks(schema)) if check is not None)
    below = _below(schema)
    nullable = schema.nullable

    def validate(value: Any, old: Any, path: Path, faults: list[Fault]) -> None:
        if value is old or (value is None and nullable):
            return
        if type_faulty is not None and type_faulty(value, path, faults):
            if combined is not None:
                combined(value, path, faults)
            return
        for check in checks:
            check(value, path, faults)
        if below is not None:
            below(value, old, path, faults)

    return validate


def _below(schema: Schema) -> Validator | None:
    """The validator of what a node contains: items, or fields and values."""
    if schema.items is not None:
        of_item = _validator(schema.items)

        def validate_items(value: Any, _old: Any, path: Path, faults: list[Fault]) -> None:
            if isinstance(value, list):
                for idx, item in enumerate(value):
                    of_item(item, ABSENT, (path, idx), faults)

        return validate_items
    fields = {key: _validator(child) for key, child in schema.properties.items() if key != "metadata" or not child.name}
    values = schema.additional_properties
    of_value = _validator(values) if isinstance(values, Schema) else None
    required_fields = schema.required
    if schema.embedded_resource:
        required_fields = tuple(dict.fromkeys((*required_fields, "apiVersion", "kind")))
    if not fields and of_value is None and not required_fields:
        return None

    def validate_fields(value: Any, old: Any, path: Path, faults: list[Fault]) -> None:
        if not isinstance(value, Mapping):
            return
        missing = [key for key in required_fields if key not in value]
        faults.extend(Fault(path, required(render_path((path, key)))) for key in missing)
        old_fields = old if isinstance(old, Mapping) else {}
        for key, child in value.items():
            of_child = fields.get(key, of_value)
            if of_child is not None:
                of_child(child, old_fields.get(key, ABSENT), (path, key), faults)

    return validate_fields


def _type_check(schema: Schema) -> Callable[[Any, Path, list[Fault]], bool] | None:
    """A function that notes a wrong type and says whether that ends the validation of the value."""
    wanted, format_, nullable = schema.type, schema.format, schema.nullable
    if schema.int_or_string:
        accepts: Callable[[Any], bool] = _is_int_or_string
        wanted = "integer,string"
    elif wanted in _IS_TYPE:
        accepts = _IS_TYPE[wanted]
    else:
        return None
    alternatives = schema.any_of if schema.int_or_string else ()

    def check(value: Any, path: Path, faults: list[Fault]) -> bool:
        if accepts(value):
            return False
        found, where = _type_name(value), render_path(path)
        if wanted == "integer" and format_ and found == "number":
            faults.append(_wrong_type(path, where, format_, "float64"))
            faults.append(_whole(path, f"Checked value must be of type integer with format {format_} in {where}"))
            return True
        faults.append(_wrong_type(path, where, wanted, found if value is not None or not nullable else "null"))
        if alternatives:
            faults.append(_whole(path, f'"{where}" must validate at least one schema (anyOf)'))
            faults.append(_wrong_type(path, where, "integer", found))
            if found == "number":
                faults.append(_whole(path, f"Checked value must be of type integer (default format) in {where}"))
        return True

    return check


def _value_checks(schema: Schema) -> Sequence[_Check | None]:
    limits = schema.limits
    has_limits = limits is not NO_LIMITS
    return (
        _format_check(schema.format),
        _string_check(limits) if has_limits else None,
        _number_check(limits) if has_limits else None,
        _list_check(limits) if has_limits else None,
        _object_check(limits) if has_limits else None,
        _list_type_check(schema) if schema.list_type in {"set", "map"} else None,
        _enum_check(schema.enum) if schema.enum else None,
    )


def _format_check(format_: str) -> _Check | None:
    if format_ in {"int32", "int64"}:
        bits = 31 if format_ == "int32" else 63

        def check_int(value: Any, path: Path, faults: list[Fault]) -> None:
            if isinstance(value, int) and not -(1 << bits) <= value < (1 << bits):
                text = f"Checked value must be of type integer with format {format_} in {render_path(path)}"
                faults.append(_whole(path, text))

        return check_int
    matches = is_format(format_)
    if matches is None:
        return None

    def check_text(value: Any, path: Path, faults: list[Fault]) -> None:
        if isinstance(value, str) and not matches(value):
            where = render_path(path)
            detail = f"{where} in body must be of type {format_}: {render(value)}"
            faults.append(Fault(path, FieldError("Invalid value", where, render(value), detail, _TYPE_INVALID)))

    return check_text


def _string_check(limits: Limits) -> _Check | None:
    shortest, longest = limits.min_length, limits.max_length
    pattern = compile_pattern(limits.pattern) if limits.pattern else None
    if shortest is None and longest is None and pattern is None:
        return None

    def check(value: Any, path: Path, faults: list[Fault]) -> None:
        if not isinstance(value, str):
            return
        if longest is not None and len(value) > longest:
            faults.append(Fault(path, too_long(render_path(path), longest)))
        elif shortest is not None and len(value) < shortest:
            faults.append(_invalid(path, value, f"should be at least {shortest} chars long"))
        elif pattern is not None and not pattern.search(value):
            faults.append(_invalid(path, value, f"should match '{limits.pattern}'"))

    return check


def _number_check(limits: Limits) -> _Check | None:
    lowest, highest, step = limits.minimum, limits.maximum, limits.multiple_of
    if lowest is None and highest is None and step is None:
        return None

    def check(value: Any, path: Path, faults: list[Fault]) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if step and not _is_multiple(value, step):
            faults.append(_invalid(path, value, f"should be a multiple of {_number(step)}"))
        if highest is not None and (value >= highest if limits.exclusive_maximum else value > highest):
            bound = "should be less than" if limits.exclusive_maximum else "should be less than or equal to"
            faults.append(_invalid(path, value, f"{bound} {_number(highest)}"))
        if lowest is not None and (value <= lowest if limits.exclusive_minimum else value < lowest):
            bound = "should be greater than" if limits.exclusive_minimum else "should be greater than or equal to"
            faults.append(_invalid(path, value, f"{bound} {_number(lowest)}"))

    return check


def _list_check(limits: Limits) -> _Check | None:
    fewest, most, unique = limits.min_items, limits.max_items, limits.unique_items
    if fewest is None and most is None and not unique:
        return None

    def check(value: Any, path: Path, faults: list[Fault]) -> None:
        if not isinstance(value, list):
            return
        if fewest is not None and len(value) < fewest:
            faults.append(_invalid(path, len(value), f"should have at least {fewest} items"))
        if most is not None and len(value) > most:
            faults.append(Fault(path, too_many(render_path(path), len(value), most)))
        if unique and len({_identity(item) for item in value}) < len(value):
            faults.append(_invalid(path, value, "shouldn't contain duplicates"))

    return check


def _object_check(limits: Limits) -> _Check | None:
    fewest, most = limits.min_properties, limits.max_properties
    if fewest is None and most is None:
        return None

    def check(value: Any, path: Path, faults: list[Fault]) -> None:
        if not isinstance(value, Mapping):
            return
        if fewest is not None and len(value) < fewest:
            faults.append(_invalid(path, len(value), f"should have at least {fewest} properties"))
        if most is not None and len(value) > most:
            faults.append(Fault(path, too_many(render_path(path), len(value), most)))

    return check


def _list_type_check(schema: Schema) -> _Check:
    """No two items of a set are equal, no two of a map list have equal keys (missing ones count as their default)."""
    keys = schema.list_map_keys if schema.list_type == "map" else ()
    fields = schema.items.properties if schema.items is not None else {}
    defaults = {key: fields[key].default if key in fields else None for key in keys}

    def check(value: Any, path: Path, faults: list[Fault]) -> None:
        if not isinstance(value, list) or len(value) < 2:
            return
        seen: dict[str, None] = {}
        for idx, item in enumerate(value):
            if keys and not isinstance(item, Mapping):
                continue
            told = {key: item.get(key, defaults[key]) for key in keys} if keys else item
            identity = _identity(told)
            if identity in seen:
                shown = {key: item[key] for key in sorted(keys) if key in item} if keys else item
                faults.append(Fault((path, idx), duplicate(render_path((path, idx)), shown)))
            seen[identity] = None

    return check


def _enum_check(allowed: Sequence[Any]) -> _Check:
    supported = [value if isinstance(value, str) else _identity(value) for value in allowed]

    def check(value: Any, path: Path, faults: list[Fault]) -> None:
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
            faults.append(Fault(path, not_supported(render_path(path), value, supported)))

    return check


def _combined(schema: Schema) -> _Check | None:
    """`allOf`, `anyOf`, `oneOf` and `not`, which add value validations."""
    if schema.int_or_string and [one.type for one in schema.any_of] == ["integer", "string"]:
        any_of: tuple[Validator, ...] = ()  # the type check says it already
    else:
        any_of = tuple(map(_validator, schema.any_of))
    all_of, one_of = tuple(map(_validator, schema.all_of)), tuple(map(_validator, schema.one_of))
    not_ = _validator(schema.not_) if schema.not_ is not None else None
    if not (any_of or all_of or one_of or not_):
        return None

    def check(value: Any, path: Path, faults: list[Fault]) -> None:
        if any_of:
            found = _faults_of_each(any_of, value, path)
            if all(found):
                faults.append(_whole(path, f'"{render_path(path)}" must validate at least one schema (anyOf)'))
                faults.extend(_shortest(found))
        if one_of:
            found = _faults_of_each(one_of, value, path)
            n_valid = sum(not faulty for faulty in found)
            if n_valid != 1:
                how = f"Found {n_valid} valid alternatives" if n_valid else "Found none valid"
                text = f'"{render_path(path)}" must validate one and only one schema (oneOf). {how}'
                faults.append(_whole(path, text))
                faults.extend(_shortest(found))
        if all_of:
            before = len(faults)
            for faulty in _faults_of_each(all_of, value, path):
                faults.extend(faulty)
            if len(faults) > before:
                faults.append(_whole(path, f'"{render_path(path)}" must validate all the schemas (allOf)'))
        if not_ is not None and not _faults_of_each((not_,), value, path)[0]:
            faults.append(_whole(path, f'"{render_path(path)}" must not validate the schema (not)'))

    return check


def _faults_of_each(validators: Sequence[Validator], value: Any, path: Path) -> list[list[Fault]]:
    found: list[list[Fault]] = [[] for _ in validators]
    for validate, faults in zip(validators, found, strict=True):
        validate(value, ABSENT, path, faults)
    return found


def _shortest(found: Sequence[list[Fault]]) -> list[Fault]:
    """The alternative that the value comes nearest to."""
    return min(found, key=len)


def _invalid(path: Path, value: Any, rule: str) -> Fault:
    where = render_path(path)
    return Fault(path, invalid(where, value, f"{where} in body {rule}"))


def _wrong_type(path: Path, where: str, wanted: str, found: str) -> Fault:
    detail = f'{where} in body must be of type {wanted}: "{found}"'
    return Fault(path, FieldError("Invalid value", where, f'"{found}"', detail, _TYPE_INVALID))


def _whole(path: Path, detail: str) -> Fault:
    """A fault that Kubernetes reports without a field."""
    return Fault(path, FieldError("Invalid value", "<nil>", '""', detail))


def _is_int(value: Any) -> bool:
    """Whether Go reads a number as an integer; what does not fit 64 bits is a float there."""
    return (isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64) or (
        isinstance(value, float) and value.is_integer() and abs(value) < 2**63
    )


def _is_int_or_string(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


_IS_TYPE: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_int,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
}


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() if -_INT64 <= value < _INT64:
            return "integer"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _is_multiple(value: float, step: float) -> bool:
    quotient = value / step
    return math.isclose(quotient, round(quotient), rel_tol=0, abs_tol=1e-9)


def _number(value: float) -> str:
    """A bound as Go prints it: whole numbers without a fraction."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        value = int(value)
    return str(value)


def _identity(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
