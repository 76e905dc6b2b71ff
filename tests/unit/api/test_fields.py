"""Field errors in Kubernetes' words."""

from __future__ import annotations

import pytest

from pykueue.api import fields
from pykueue.api.errors import join_field_errors


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (fields.invalid("spec.a", "x", "no"), 'spec.a: Invalid value: "x": no'),
        (fields.invalid("spec.a", -1, "no"), "spec.a: Invalid value: -1: no"),
        (fields.invalid("spec.a", True, "no"), "spec.a: Invalid value: true: no"),
        (fields.invalid("spec.a", {"k": ["v"]}, "no"), 'spec.a: Invalid value: {"k":["v"]}: no'),
        (fields.required("spec.a", "give one"), "spec.a: Required value: give one"),
        (fields.forbidden("spec.a", "not now"), "spec.a: Forbidden: not now"),
        (fields.duplicate("spec.a[1]", "x"), 'spec.a[1]: Duplicate value: "x"'),
        (fields.not_found("spec.a", "x"), 'spec.a: Not found: "x"'),
        (fields.not_supported("spec.a", "x", ("y", "z")), 'spec.a: Unsupported value: "x": supported values: "y", "z"'),
        (fields.too_long("spec.a", 63), "spec.a: Too long: may not be more than 63 bytes"),
    ],
)
def test_errors_print_as_kubernetes_prints_them(error: object, want: str) -> None:
    """Path, type, value, detail."""
    assert str(error) == want


def test_several_errors_stand_in_brackets_without_repetition() -> None:
    """One error has no brackets; equal ones are told once."""
    one, two = fields.required("a"), fields.required("b")
    assert join_field_errors([one]) == "a: Required value"
    assert join_field_errors([one, two, one]) == "[a: Required value, b: Required value]"


@pytest.mark.parametrize(
    ("key", "wants"),
    [
        ("app", []),
        ("example.com/app", []),
        ("bad key!", ["name part must consist of"]),
        ("example.com/", ["name part must be non-empty", "name part must consist of"]),
        ("/app", ["prefix part must be non-empty"]),
        ("a/b/c", ["a valid label key must consist of"]),
        ("x" * 64, ["name part must be no more than 63 bytes"]),
    ],
)
def test_label_keys(key: str, wants: list[str]) -> None:
    """Every fault of a label key is told."""
    faults = fields.label_key_faults(key)
    assert len(faults) == len(wants)
    assert all(fault.startswith(want) for fault, want in zip(faults, wants, strict=True))


def test_selector_expressions_are_checked() -> None:
    """Operators with and without values."""
    selector = {
        "matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["x"]},
            {"key": "a", "operator": "Like"},
        ]
    }
    paths = [str(e).split(": ")[:2] for e in fields.validate_label_selector("s", selector)]
    assert paths == [
        ["s.matchExpressions[0].values", "Required value"],
        ["s.matchExpressions[1].values", "Forbidden"],
        ["s.matchExpressions[2].operator", "Invalid value"],
    ]
