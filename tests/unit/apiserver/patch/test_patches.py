"""Patches: JSON, merge and strategic, against the standards' examples and an independent implementation."""

from __future__ import annotations

import copy

import jsonpatch
import pytest

from pykueue.api.errors import BadRequest
from pykueue.api.kinds import DEPLOYMENT, POD
from pykueue.apiserver.patch.json_patch import MalformedPatch, PatchFailed, apply_json_patch, json_patch
from pykueue.apiserver.patch.merge import apply_merge_patch, merge_patch
from pykueue.apiserver.patch.strategic import apply_strategic_patch
from pykueue.apiserver.schema.types import builtin_schema

RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "want"), RFC_7386)
def test_merge_patch_follows_the_standards_table(target: object, patch: object, want: object) -> None:
    """The examples of RFC 7386, appendix A; the target stays as it was."""
    before = copy.deepcopy(target)
    assert apply_merge_patch(target, patch) == want
    assert target == before


def test_merge_patch_shares_what_it_leaves_alone() -> None:
    """A patch without effect answers the object itself; other parts are shared."""
    obj = {"a": {"b": 1}, "c": {"d": 2}}
    assert apply_merge_patch(obj, {"a": {"b": 1}, "x": None}) is obj
    assert apply_merge_patch(obj, {"a": {"b": 2}})["c"] is obj["c"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1, "b": {"c": [1], "d": 2}}, {"b": {"c": [2]}, "e": {"f": 1}}),
        ({"a": True}, {"a": 1}),
        ({}, {}),
        ({"a": {"b": 1}}, {"a": {}}),
        ({"a": 1}, {"a": {"b": {"c": 1}}}),
        ({"a/b": [1, 2, 3], "c~d": 1}, {"a/b": [1, 4], "c~d": 2}),
        ({"l": [1]}, {"l": [1, {"x": 1}, 3]}),
    ],
)
def test_differences_make_the_new_object(old: dict, new: dict) -> None:
    """Either form of difference, applied to the old object, gives the new one; so says the other implementation."""
    assert apply_merge_patch(old, merge_patch(old, new)) == new
    operations = json_patch(old, new)
    assert apply_json_patch(old, operations) == new
    assert jsonpatch.apply_patch(old, operations) == new


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "add", "path": "/l/1", "value": "x"}],
        [{"op": "add", "path": "/l/-", "value": "x"}, {"op": "remove", "path": "/l/0"}],
        [{"op": "replace", "path": "/m/a~1b", "value": {"z": 1}}, {"op": "copy", "from": "/m/a~1b", "path": "/n"}],
        [{"op": "move", "from": "/m", "path": "/l/0"}],
        [{"op": "test", "path": "/l/0", "value": 1}, {"op": "replace", "path": "", "value": {"new": 1}}],
        [{"op": "test", "path": "/m/c~0d", "value": None}],
    ],
)
def test_json_patch_agrees_with_another_implementation(operations: list) -> None:
    """Every operation does what the `jsonpatch` library does, and does not touch its input."""
    obj = {"l": [1, 2, {"x": 1}], "m": {"a/b": 1, "c~d": None}}
    before = copy.deepcopy(obj)
    assert apply_json_patch(obj, operations) == jsonpatch.apply_patch(obj, operations)
    assert obj == before


@pytest.mark.parametrize(
    ("operation", "error", "text"),
    [
        ({"op": "remove", "path": "/zz"}, PatchFailed, "missing path: /zz"),
        ({"op": "replace", "path": "/zz", "value": 1}, PatchFailed, "missing path: /zz"),
        ({"op": "add", "path": "/zz/y", "value": 1}, PatchFailed, "missing path: /zz/y"),
        ({"op": "add", "path": "/l/7", "value": 1}, PatchFailed, "invalid index"),
        ({"op": "add", "path": "/l/01", "value": 1}, PatchFailed, "invalid index"),
        ({"op": "remove", "path": "/l/-"}, PatchFailed, "invalid index"),
        ({"op": "test", "path": "/l/0", "value": True}, PatchFailed, "testing value /l/0 failed"),
        ({"op": "move", "from": "/m", "path": "/m/x"}, PatchFailed, "into itself"),
        ({"op": "nope", "path": "/l"}, MalformedPatch, "Unexpected kind: nope"),
        ({"op": "add", "path": "/l"}, MalformedPatch, "no value"),
        ({"op": "add", "value": 1}, MalformedPatch, "no path"),
        ({"op": "add", "path": "l", "value": 1}, MalformedPatch, "must start with a slash"),
    ],
)
def test_json_patch_says_what_does_not_fit(operation: dict, error: type[Exception], text: str) -> None:
    """A failing operation names its path; a malformed one what it lacks."""
    with pytest.raises(error, match=text):
        apply_json_patch({"l": [1], "m": {}}, [operation])


POD_OBJECT = {
    "spec": {
        "containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "2"}],
        "tolerations": [{"key": "k"}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "secret": {"secretName": "s"}}],
    },
    "metadata": {"finalizers": ["f1", "f2"], "labels": {"x": "y"}},
}


@pytest.mark.parametrize(
    ("name", "patch", "path", "want"),
    [
        ("an item is merged by its key", {"spec": {"containers": [{"name": "a", "image": "9"}]}}, ("spec", "containers"),
         [{"name": "a", "image": "9", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "2"}]),
        ("a new item comes first", {"spec": {"containers": [{"name": "z"}]}}, ("spec", "containers"),
         [{"name": "z"}, *POD_OBJECT["spec"]["containers"]]),
        ("an item is deleted", {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}, ("spec", "containers"),
         [{"name": "b", "image": "2"}]),
        ("a list is replaced", {"spec": {"containers": [{"$patch": "replace"}, {"name": "q"}]}}, ("spec", "containers"),
         [{"name": "q"}]),
        ("the order is set", {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}, ("spec", "containers"),
         [POD_OBJECT["spec"]["containers"][1], POD_OBJECT["spec"]["containers"][0]]),
        ("lists without a strategy are replaced", {"spec": {"tolerations": []}}, ("spec", "tolerations"), []),
        ("sets grow", {"metadata": {"finalizers": ["f3"]}}, ("metadata", "finalizers"), ["f3", "f1", "f2"]),
        ("values leave a set", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["f1"]}}, ("metadata", "finalizers"), ["f2"]),
        ("a map is replaced", {"metadata": {"labels": {"$patch": "replace", "q": "r"}}}, ("metadata", "labels"), {"q": "r"}),
        ("null removes", {"metadata": {"labels": None}}, ("metadata",), {"finalizers": ["f1", "f2"]}),
        ("other keys of a volume go",
         {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]}}, ("spec", "volumes"),
         [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "secret": {"secretName": "s"}}]),
    ],
)  # fmt: skip
def test_strategic_merge_patch(name: str, patch: dict, path: tuple, want: object) -> None:
    """Lists merge as the schema says, directives do what they say, and the input stays."""
    before = copy.deepcopy(POD_OBJECT)
    found = apply_strategic_patch(POD_OBJECT, patch, builtin_schema(POD))
    for step in path:
        found = found[step]
    assert found == want, name
    assert before == POD_OBJECT


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ({"spec": {"containers": [{"image": "x"}]}}, "does not contain declared merge key: name"),
        ({"spec": {"$patch": "burn"}}, "unknown patch type found: burn"),
        ({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}}, "does not contain all fields"),
        ([], "must be an object"),
    ],
)
def test_strategic_merge_patch_refuses_nonsense(patch: object, text: str) -> None:
    """Wrong directives are the writer's fault, and said so."""
    with pytest.raises(BadRequest, match=text):
        apply_strategic_patch(
            {"spec": {"containers": []}}, patch, builtin_schema(DEPLOYMENT if "strategy" in str(patch) else POD)
        )
