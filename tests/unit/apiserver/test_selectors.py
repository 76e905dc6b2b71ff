"""Selectors in their text form."""

from __future__ import annotations

import pytest

from pykueue.api.errors import BadRequest
from pykueue.api.kinds import POD
from pykueue.apiserver.resources import Resource, field_at
from pykueue.apiserver.selectors import both, parse_field_selector, parse_label_selector

PODS = Resource(
    POD, fields={"spec.nodeName": field_at("spec.nodeName"), "spec.hostNetwork": field_at("spec.hostNetwork")}
)


def labelled(**labels: str) -> dict:
    return {"metadata": {"name": "a", "namespace": "ns", "labels": labels}}


@pytest.mark.parametrize(
    ("text", "labels", "want"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "b"}, True),
        ("a = b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("! a", {}, True),
        ("a in (b,c)", {"a": "c"}, True),
        ("a in (b, c)", {"a": "d"}, False),
        ("a notin (b,c)", {}, True),
        ("a notin (b,c)", {"a": "b"}, False),
        ("a=b,c in (d,e),!f", {"a": "b", "c": "e"}, True),
        ("a=b,c in (d,e),!f", {"a": "b", "c": "e", "f": ""}, False),
        ("a>3", {"a": "4"}, True),
        ("a>3", {"a": "x"}, False),
        ("a<3", {"a": "2"}, True),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("kueue.x-k8s.io/queue-name=lq", {"kueue.x-k8s.io/queue-name": "lq"}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], want: bool) -> None:
    """All operators, with missing labels."""
    predicate = parse_label_selector(text)
    assert predicate is not None
    assert predicate(labelled(**labels)) is want


@pytest.mark.parametrize("text", ["a in b", "=b", "a b", "a=b c", "a>x", "a=-x", "a=" + "x" * 64, "a in (b"])
def test_label_selectors_that_are_none(text: str) -> None:
    """What cannot be read is refused, not ignored."""
    with pytest.raises(BadRequest):
        parse_label_selector(text)


def test_empty_selectors_select_everything() -> None:
    """None means that there is nothing to test."""
    assert parse_label_selector("") is None
    assert parse_field_selector("", PODS) is None
    assert both(None, None) is None


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("metadata.name=a", True),
        ("metadata.name!=a", False),
        ("metadata.namespace=ns,spec.nodeName=n1", True),
        ("spec.nodeName==", False),
        ("spec.hostNetwork=true", True),
        (r"spec.nodeName!=n\,1", True),
    ],
)
def test_field_selectors(text: str, want: bool) -> None:
    """Names, declared fields, booleans, escapes."""
    predicate = parse_field_selector(text, PODS)
    assert predicate is not None
    assert predicate({**labelled(), "spec": {"nodeName": "n1", "hostNetwork": True}}) is want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (
            "spec.foo=a",
            '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace", "spec.nodeName"',
        ),
        ("nonsense", "can't understand 'nonsense'"),
    ],
)
def test_field_selectors_that_are_none(text: str, want: str) -> None:
    """The texts are Kubernetes'."""
    with pytest.raises(BadRequest, match=want):
        parse_field_selector(text, PODS)
