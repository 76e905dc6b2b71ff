"""Field errors with Kubernetes' words: constructors, and the checks that every kind borrows.

Values are rendered as Go does: strings quoted, numbers and booleans plain, everything else as compact JSON.

Source: webhooks.md §2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pykueue.api.errors import FieldError

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DNS1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS1035_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
DNS1123_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
DNS1035_LABEL_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"
GO_BOOLEANS = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})
"""What Go's `strconv.ParseBool` takes."""
_ANNOTATIONS_BYTES_MAX = 256 * 1024


def render(value: Any) -> str:
    """A value as Go prints it in a field error."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float():
            return str(value)
        case _:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """`path: Invalid value: value: detail`."""
    return FieldError("Invalid value", path, render(value), detail)


def required(path: str, detail: str = "") -> FieldError:
    """`path: Required value: detail`."""
    return FieldError("Required value", path, None, detail)


def forbidden(path: str, detail: str) -> FieldError:
    """`path: Forbidden: detail`."""
    return FieldError("Forbidden", path, None, detail)


def duplicate(path: str, value: Any) -> FieldError:
    """`path: Duplicate value: value`."""
    return FieldError("Duplicate value", path, render(value))


def not_found(path: str, value: Any) -> FieldError:
    """`path: Not found: value`."""
    return FieldError("Not found", path, render(value))


def not_supported(path: str, value: Any, supported: Sequence[str]) -> FieldError:
    """`path: Unsupported value: value: supported values: "a", "b"`."""
    listed = ", ".join(render(s) for s in supported)
    return FieldError("Unsupported value", path, render(value), f"supported values: {listed}")


def too_long(path: str, limit_bytes: int) -> FieldError:
    """`path: Too long: may not be more than n bytes`."""
    return FieldError("Too long", path, None, f"may not be more than {limit_bytes} bytes")


def too_many(path: str, n: int, limit: int) -> FieldError:
    """`path: Too many: n: must have at most m items`."""
    return FieldError("Too many", path, str(n), f"must have at most {limit} items")


def subdomain_faults(value: str) -> list[str]:
    """What is wrong with a DNS-1123 subdomain."""
    faults = ["must be no more than 253 bytes"] if len(value.encode()) > 253 else []
    return faults if _SUBDOMAIN.fullmatch(value) else [*faults, SUBDOMAIN_TEXT]


def dns1123_label_faults(value: str) -> list[str]:
    """What is wrong with a DNS-1123 label."""
    faults = ["must be no more than 63 bytes"] if len(value.encode()) > 63 else []
    return faults if _DNS1123_LABEL.fullmatch(value) else [*faults, DNS1123_LABEL_TEXT]


def dns1035_label_faults(value: str) -> list[str]:
    """What is wrong with a DNS-1035 label."""
    faults = ["must be no more than 63 bytes"] if len(value.encode()) > 63 else []
    return faults if _DNS1035_LABEL.fullmatch(value) else [*faults, DNS1035_LABEL_TEXT]


def label_key_faults(value: str) -> list[str]:
    """What is wrong with a label key (a qualified name)."""
    *prefixes, name = value.split("/")
    if len(prefixes) > 1:
        return [
            "a valid label key "
            + QUALIFIED_TEXT
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    faults: list[str] = []
    if prefixes:
        prefix = prefixes[0]
        faults += (
            ["prefix part " + fault for fault in subdomain_faults(prefix)]
            if prefix
            else ["prefix part must be non-empty"]
        )
    if not name:
        faults.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        faults.append("name part must be no more than 63 bytes")
    if not _QUALIFIED.fullmatch(name):
        faults.append("name part " + QUALIFIED_TEXT)
    return faults


def label_value_faults(value: str) -> list[str]:
    """What is wrong with a label value."""
    faults = ["must be no more than 63 bytes"] if len(value.encode()) > 63 else []
    return faults if _LABEL_VALUE.fullmatch(value) else [*faults, LABEL_VALUE_TEXT]


def is_dns1123_label(value: str) -> bool:
    """Whether a string is a DNS-1123 label."""
    return not dns1123_label_faults(value)


def validate_labels(path: str, values: Mapping[str, str]) -> list[FieldError]:
    """Keys and values of a labels map, all reported at the map's path."""
    errors: list[FieldError] = []
    for key, value in values.items():
        if not _is_label(key, value):
            errors += [invalid(path, key, fault) for fault in label_key_faults(key)]
            errors += [invalid(path, value, fault) for fault in label_value_faults(value)]
    return errors


def validate_annotations(path: str, values: Mapping[str, str]) -> list[FieldError]:
    """Keys of an annotations map (lower-cased), and its total size."""
    wrong = [key for key in values if not _is_label(key.lower(), "")]
    errors = [invalid(path, key, fault) for key in wrong for fault in label_key_faults(key.lower())]
    if sum(len(k.encode()) + len(v.encode()) for k, v in values.items()) > _ANNOTATIONS_BYTES_MAX:
        errors.append(too_long(path, _ANNOTATIONS_BYTES_MAX))
    return errors


def validate_label_selector(path: str, selector: Mapping[str, Any] | None) -> list[FieldError]:
    """A `metav1.LabelSelector`."""
    if selector is None:
        return []
    errors: list[FieldError] = []
    for key, value in (selector.get("matchLabels") or {}).items():
        errors += [invalid(f"{path}.matchLabels", key, fault) for fault in label_key_faults(key)]
        errors += [invalid(f"{path}.matchLabels", value, fault) for fault in label_value_faults(value)]
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        errors += _validate_expression(f"{path}.matchExpressions[{i}]", expression)
    return errors


def _validate_expression(path: str, expression: Mapping[str, Any]) -> list[FieldError]:
    operator, values = expression.get("operator", ""), expression.get("values") or []
    errors: list[FieldError] = []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", detail))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = str(expression.get("key", ""))
    errors += [invalid(f"{path}.key", key, fault) for fault in label_key_faults(key)]
    errors += [
        invalid(f"{path}.values[{i}]", value, fault)
        for i, value in enumerate(values)
        for fault in label_value_faults(value)
    ]
    return errors


@lru_cache(4096)
def _is_label(key: str, value: str) -> bool:
    """Whether nothing is wrong with a label: most writes bring the same few again."""
    return not label_key_faults(key) and not label_value_faults(value)
