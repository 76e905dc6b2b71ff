"""The language of schemas."""

import pytest

from pykueue.api.schema.dsl import derive, drop, edit, int32, listing, mapping, obj, put, rules, string

SPEC = obj("spec", {"name!": string("a name", at_most=63), "sizes": listing("sizes", int32(minimum=0), at_most=3)})
ROOT = obj("root", {"spec": SPEC})


def test_names_with_an_exclamation_mark_are_required():
    """`!` is taken off the name and listed under `required`, sorted."""
    node = obj("", {"b!": string(), "a!": string(), "c": string()})
    assert node["required"] == ["a", "b"]
    assert set(node["properties"]) == {"a", "b", "c"}


def test_an_object_without_required_properties_says_nothing_about_them():
    """An empty `required` is not structural and is left out."""
    assert "required" not in obj("", {"a": string()})


def test_keys_make_a_list_a_map():
    """`keys` wins over `kind`."""
    node = listing("", obj("", {"name!": string()}), keys=["name"])
    assert node["x-kubernetes-list-type"] == "map"
    assert node["x-kubernetes-list-map-keys"] == ["name"]


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        pytest.param(
            {"spec.name": drop}, {"properties": {"sizes"}, "required": None}, id="a dropped field is not required"
        ),
        pytest.param(
            {"spec.extra": put(string(), required=True)},
            {"properties": {"name", "sizes", "extra"}, "required": ["extra", "name"]},
            id="a new required field",
        ),
        pytest.param(
            {"spec": edit(required=None)},
            {"properties": {"name", "sizes"}, "required": None},
            id="edit removes a keyword",
        ),
    ],
)
def test_derive_changes_fields(changes, want):
    """Versions are told by their differences."""
    spec = derive(ROOT, changes)["properties"]["spec"]
    assert set(spec["properties"]) == want["properties"]
    assert spec.get("required") == want["required"]
    assert "!" not in str(spec)


def test_derive_steps_into_lists_and_maps_and_leaves_the_original_alone():
    """`[]` and `{}` are steps; nodes are values."""
    source = obj("", {"list": listing("", int32(minimum=0)), "map": mapping("", string(at_most=5))})
    got = derive(source, {"list[]": edit(minimum=None), "map{}": edit(maxLength=9)})
    assert "minimum" not in got["properties"]["list"]["items"]
    assert got["properties"]["map"]["additionalProperties"]["maxLength"] == 9
    assert source["properties"]["list"]["items"]["minimum"] == 0


def test_derive_replaces_rules_of_the_root():
    """The empty path is the object itself."""
    got = derive(ROOT, {"": rules(("no", "false"))})
    assert got["x-kubernetes-validations"] == [{"message": "no", "rule": "false"}]


@pytest.mark.parametrize("path", ["spec.nothing.deeper", "status.x"])
def test_derive_refuses_a_path_that_leads_nowhere(path):
    """A misspelt difference fails when it is written, not when a cluster misses it."""
    with pytest.raises(KeyError):
        derive(ROOT, {path: edit(default=1)})
