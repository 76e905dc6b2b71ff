"""Whether the schemas of a definition are structural: every field has a type, and combinations only narrow values.

Only such schemas can be pruned, defaulted and applied to. All faults of all versions are told at once.

Source: Kubernetes documentation, "Custom Resource Definition": "Specifying a structural schema"; texts as a real server answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import FieldError
from pykueue.api.fields import forbidden, invalid, not_supported, required
from pykueue.apiserver.cel import CelError
from pykueue.apiserver.schema.paths import ABSENT
from pykueue.apiserver.schema.patterns import compile_pattern
from pykueue.apiserver.schema.prune import compile_defaulter, compile_pruner
from pykueue.apiserver.schema.rules import compile_rule
from pykueue.apiserver.schema.types import Schema, from_crd
from pykueue.apiserver.schema.validate import Fault, compile_validator
from pykueue.apiserver.tables.jsonpath import compile_json_path

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_RULE_REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")


def schema_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    """Every fault of the schemas and columns of a definition's versions."""
    versions: Sequence[Mapping[str, Any]] = spec.get("versions") or ()
    errors: list[FieldError] = []
    for idx, version in enumerate(versions):
        # A schema that all versions share is validated as the old top-level field; the path says so.
        at = "spec.validation" if len(versions) == 1 else f"spec.versions[{idx}].schema"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema:
            errors += _root_errors(schema, f"{at}.openAPIV3Schema")
        columns_at = (
            "spec.additionalPrinterColumns" if len(versions) == 1 else f"spec.versions[{idx}].additionalPrinterColumns"
        )
        errors += _column_errors(version.get("additionalPrinterColumns") or (), columns_at)
    return errors


def _root_errors(schema: Mapping[str, Any], at: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if schema.get("type") != "object":
        if not schema.get("type"):
            errors.append(required(f"{at}.type", "must not be empty at the root"))
        else:
            errors.append(invalid(f"{at}.type", schema["type"], "must be object at the root"))
    _walk(schema, at, errors, is_root=True)
    return errors or [*_default_errors(schema, at), *_rule_errors(schema, from_crd(schema), at)]


def _walk(schema: Mapping[str, Any], at: str, errors: list[FieldError], *, is_root: bool = False) -> None:
    """Check one node and all below it."""
    type_ = schema.get("type") or ""
    if type_ and type_ not in _TYPES:
        errors.append(not_supported(f"{at}.type", type_, _TYPES))
    is_any = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not type_ and not is_any and not is_root:
        errors.append(required(f"{at}.type", "must not be empty for specified object fields"))
    if schema.get("x-kubernetes-int-or-string") and type_:
        errors.append(invalid(f"{at}.type", type_, "must be empty if x-kubernetes-int-or-string is true"))
    if schema.get("properties") and schema.get("additionalProperties") is not None:
        errors.append(
            forbidden(f"{at}.additionalProperties", "additionalProperties and properties are mutual exclusive")
        )
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        errors.append(
            invalid(f"{at}.x-kubernetes-preserve-unknown-fields", value=False, detail="must be true or undefined")
        )
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden(f"{at}.uniqueItems", text))
    if schema.get("pattern"):
        errors += _pattern_errors(schema["pattern"], f"{at}.pattern")
    _list_errors(schema, at, errors)
    for key in ("allOf", "anyOf", "oneOf"):
        for idx, part in enumerate(schema.get(key) or ()):
            _junctor_errors(part, f"{at}.{key}[{idx}]", errors, schema)
    if schema.get("not"):
        _junctor_errors(schema["not"], f"{at}.not", errors, schema)
    for field, child in (schema.get("properties") or {}).items():
        if is_root and field == "metadata":
            _metadata_errors(child, f"{at}.properties[metadata]", errors)
        else:
            _walk(child, f"{at}.properties[{field}]", errors)
    if isinstance(schema.get("items"), Mapping):
        _walk(schema["items"], f"{at}.items", errors)
    if isinstance(schema.get("additionalProperties"), Mapping):
        _walk(schema["additionalProperties"], f"{at}.additionalProperties", errors)


def _list_errors(schema: Mapping[str, Any], at: str, errors: list[FieldError]) -> None:
    type_, list_type = schema.get("type"), schema.get("x-kubernetes-list-type")
    if type_ == "array" and not schema.get("items"):
        errors.append(required(f"{at}.items", "must be specified"))
    if list_type is None:
        return
    if type_ != "array":
        errors.append(invalid(f"{at}.type", type_ or "", "must be array if x-kubernetes-list-type is specified"))
    if list_type not in {"atomic", "set", "map"}:
        errors.append(not_supported(f"{at}.x-kubernetes-list-type", list_type, ("atomic", "set", "map")))
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if list_type != "map":
        return
    if not keys:
        text = "must not be empty if x-kubernetes-list-type is map"
        errors.append(required(f"{at}.x-kubernetes-list-map-keys", text))
    items = schema.get("items") or {}
    fields = items.get("properties") or {}
    for idx, key in enumerate(keys):
        if key not in fields:
            where = f"{at}.x-kubernetes-list-map-keys[{idx}]"
            errors.append(invalid(where, key, "entries must all be names of item properties"))
        elif key not in (items.get("required") or ()) and "default" not in fields[key]:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            errors.append(required(f"{at}.items.properties[{key}].default", text))


def _junctor_errors(part: Mapping[str, Any], at: str, errors: list[FieldError], parent: Mapping[str, Any]) -> None:
    """Inside of combinations only value validations are allowed, for fields that are specified outside."""
    is_int_or_string = parent.get("x-kubernetes-int-or-string")
    for key in ("type", "default", "description", "title", "nullable", "additionalProperties"):
        if part.get(key) is not None and not (key == "type" and is_int_or_string):
            text = (
                "must be undefined to be structural"
                if key == "additionalProperties"
                else "must be empty to be structural"
            )
            errors.append(forbidden(f"{at}.{key}", text))
    for field, child in (part.get("properties") or {}).items():
        outside = (parent.get("properties") or {}).get(field)
        if outside is None:
            root = re.sub(r"\.(allOf|anyOf|oneOf)\[\d+\]$|\.not$", "", at)
            errors.append(required(f"{root}.properties[{field}]", f"because it is defined in {at}.properties[{field}]"))
        _junctor_errors(child, f"{at}.properties[{field}]", errors, outside or {})
    if isinstance(part.get("items"), Mapping):
        _junctor_errors(part["items"], f"{at}.items", errors, parent.get("items") or {})


def _metadata_errors(schema: Mapping[str, Any], at: str, errors: list[FieldError]) -> None:
    if schema.get("type") not in {None, "object"}:
        errors.append(invalid(f"{at}.type", schema["type"], "must be object"))
    for field in schema.get("properties") or {}:
        if field not in {"name", "generateName"}:
            root = at.removesuffix(".properties[metadata]")
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(forbidden(f"{root}.properties[metadata]", text))
            return


def _pattern_errors(pattern: str, at: str) -> list[FieldError]:
    try:
        compile_pattern(pattern)
    except ValueError as error:
        return [invalid(at, pattern, f"must be a valid regular expression, but isn't: {error}")]
    return []


def _default_errors(schema: Mapping[str, Any], at: str, *, is_root: bool = True) -> list[FieldError]:
    """Defaults must be pruned and valid themselves."""
    errors: list[FieldError] = []
    if "default" in schema:
        if is_root:
            return [forbidden(f"{at}.default", "must not be set at the root")]
        node = from_crd(
            {"type": "object", "properties": {"default": {k: v for k, v in schema.items() if k != "default"}}}
        )
        holder = {"default": schema["default"]}
        dropped: list[str] = []
        compile_pruner(node)(holder, None, dropped)
        if dropped:
            errors.append(invalid(f"{at}.default", schema["default"], "must not have unknown fields"))
        faults: list[Fault] = []
        compile_validator(node)(compile_defaulter(node)(holder), ABSENT, None, faults)
        errors += [
            FieldError(fault.error.type, f"{at}.{fault.error.path}", fault.error.value, fault.error.detail)
            for fault in faults
        ]
    for field, child in (schema.get("properties") or {}).items():
        errors += _default_errors(child, f"{at}.properties[{field}]", is_root=False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            errors += _default_errors(schema[key], f"{at}.{key}", is_root=False)
    return errors


def _rule_errors(raw: Mapping[str, Any], node: Schema, at: str) -> list[FieldError]:
    """Validation rules must compile against the schema."""
    errors: list[FieldError] = []
    for idx, rule in enumerate(node.validations):
        where = f"{at}.x-kubernetes-validations[{idx}]"
        if not rule.rule:
            errors.append(required(f"{where}.rule", "rule is not specified"))
            continue
        try:
            compile_rule(rule, node)
        except CelError as error:
            errors.append(invalid(f"{where}.rule", rule.rule, f"compilation failed: {error}"))
        if rule.reason and rule.reason not in _RULE_REASONS:
            errors.append(not_supported(f"{where}.reason", rule.reason, _RULE_REASONS))
    for field, child in (raw.get("properties") or {}).items():
        if not node.properties[field].name:
            errors += _rule_errors(child, node.properties[field], f"{at}.properties[{field}]")
    if node.items is not None:
        errors += _rule_errors(raw["items"], node.items, f"{at}.items")
    if isinstance(node.additional_properties, Schema):
        errors += _rule_errors(raw["additionalProperties"], node.additional_properties, f"{at}.additionalProperties")
    return errors


def _column_errors(columns: Sequence[Mapping[str, Any]], at: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for idx, column in enumerate(columns):
        where = f"{at}[{idx}]"
        if not column.get("name"):
            errors.append(required(f"{where}.name"))
        if not column.get("type"):
            errors.append(required(f"{where}.type", f"must be one of {','.join(_COLUMN_TYPES)}"))
        elif column["type"] not in _COLUMN_TYPES:
            errors.append(invalid(f"{where}.type", column["type"], f"must be one of {','.join(_COLUMN_TYPES)}"))
        path = column.get("jsonPath")
        if not path:
            errors.append(required(f"{where}.jsonPath"))
        elif not path.startswith("."):
            errors.append(invalid(f"{where}.jsonPath", path, "must be a json path starting with ."))
        else:
            try:
                compile_json_path(path)
            except ValueError as error:
                errors.append(invalid(f"{where}.jsonPath", path, str(error)))
    return errors
