"""Server-side apply: the sequences were played on a real kube-apiserver 1.36, which answered what is expected here."""

from __future__ import annotations

import pytest

from pykueue.api.errors import ApiError, BadRequest, Conflict
from pykueue.api.instant import Instant
from pykueue.api.kinds import CONFIG_MAP, DEPLOYMENT, Kind
from pykueue.apiserver.apply.apply import Application, apply_patch
from pykueue.apiserver.apply.fieldsets import difference, intersection, ordered, paths, union
from pykueue.apiserver.apply.managers import ANCIENT_CHANGES, UPDATE, Manager, update_managed_fields
from pykueue.apiserver.apply.typed import compare, field_set, merge
from pykueue.apiserver.schema.types import Schema, builtin_schema, from_crd

NOW = Instant(1_800_000_000_000_000)


def make_config_map(data: dict | None = None, **meta: object) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "d", **meta},
        "data": data or {},
    }


def make_deployment(*, image: str = "i:1", env: list | None = None, replicas: int = 2) -> dict:
    container = {"name": "c", "image": image, "ports": [{"containerPort": 80}], **({"env": env} if env else {})}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "d"}},
        "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [container]}},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "d"}, "spec": spec}


class Play:
    """One object, applied to and updated in turn."""

    def __init__(self, kind: Kind = CONFIG_MAP) -> None:
        self.schema = builtin_schema(kind)
        self.version = kind.api_version
        self.obj: dict | None = None
        self.now = NOW

    def apply(self, manager: str, obj: dict, *, force: bool = False, subresource: str = "") -> Play:
        self.now = Instant(self.now + 1_000_000)
        self.obj = apply_patch(self.obj, obj, Application(manager, force, self.now, subresource), self.schema)
        return self

    def update(self, manager: str, obj: dict, subresource: str = "") -> Play:
        self.now = Instant(self.now + 1_000_000)
        who = Manager(manager, UPDATE, self.version, subresource)
        self.obj = update_managed_fields(self.obj, obj, who, self.schema, self.now)
        return self

    def owners(self) -> dict[str, list[str]]:
        return {
            f"{entry['manager']}/{entry['operation']}": list(paths(entry["fieldsV1"]))
            for entry in self.obj["metadata"].get("managedFields", [])
        }


def test_first_apply_owns_what_it_says() -> None:
    """Every leaf is a field; identity is nobody's."""
    play = Play().apply("m1", make_config_map({"a": "1", "b": "2"}, labels={"x": "y"}))
    assert play.owners() == {"m1/Apply": [".data.a", ".data.b", ".metadata.labels.x"]}
    entry = play.obj["metadata"]["managedFields"][0]
    assert entry["fieldsType"] == "FieldsV1"
    assert entry["time"].endswith("Z")


def test_the_same_apply_again_changes_nothing() -> None:
    """The live object itself comes back, so no resource version is spent."""
    play = Play().apply("m1", make_config_map({"a": "1"}))
    before = play.obj
    assert play.apply("m1", make_config_map({"a": "1"})).obj is before


def test_conflict_names_field_and_owner() -> None:
    """One conflict is one sentence, with a cause."""
    play = Play().apply("m1", make_config_map({"a": "1"}))
    with pytest.raises(Conflict) as caught:
        play.apply("m2", make_config_map({"a": "2"}))
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    assert caught.value.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.a"}]
    }


def test_several_conflicts_are_listed_by_owner() -> None:
    """As kubectl prints them."""
    play = Play().apply("m1", make_config_map({"a": "1", "b": "2"})).apply("m2", make_config_map({"a": "1"}))
    with pytest.raises(Conflict) as caught:
        play.apply("m3", make_config_map({"a": "2", "b": "3"}))
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "m1":\n- .data.a\n- .data.b\nconflicts with "m2":\n- .data.a'
    )


def test_updaters_are_named_with_their_version() -> None:
    """`using v1` for those who did not apply; with the sub-resource where there is one."""
    play = Play().apply("m1", make_config_map({"a": "1"}))
    play.update("pat", {**play.obj, "data": {"a": "9"}})
    with pytest.raises(ApiError, match=r'conflict with "pat" using v1: \.data\.a'):
        play.apply("m1", make_config_map({"a": "1"}))
    assert str(Manager("kcm", UPDATE, "apps/v1", "status")) == '"kcm" with subresource "status" using apps/v1'


def test_force_takes_fields_over() -> None:
    """The former owner keeps the rest."""
    play = Play().apply("m1", make_config_map({"a": "1", "b": "2"}))
    play.apply("m2", make_config_map({"a": "2"}), force=True)
    assert play.owners() == {"m1/Apply": [".data.b"], "m2/Apply": [".data.a"]}
    assert play.obj["data"] == {"a": "2", "b": "2"}


def test_co_owned_fields_stay_until_the_last_owner_lets_go() -> None:
    """A field that is applied no longer goes only if nobody else has it."""
    play = Play().apply("m1", make_config_map({"a": "1", "b": "2"})).apply("m2", make_config_map({"a": "1"}))
    play.apply("m1", make_config_map({"b": "2"}))
    assert play.obj["data"] == {"a": "1", "b": "2"}
    play.apply("m1", make_config_map({}))
    assert play.obj["data"] == {"a": "1"}


def test_ownership_alone_keeps_the_time_out() -> None:
    """A new co-owner of unchanged values has no time, as the real server writes it."""
    play = Play().apply("m1", make_config_map({"a": "1"})).apply("m2", make_config_map({"a": "1"}))
    first = play.obj["metadata"]["managedFields"][0]
    assert (first["manager"], "time" in first) == ("m2", False)


def test_update_owns_the_difference() -> None:
    """Changed and new fields go to the updater, removed ones to nobody; new maps are fields themselves."""
    play = Play().apply("m1", make_config_map({"a": "1", "b": "2"}))
    play.update("edit", {**play.obj, "metadata": {**play.obj["metadata"], "labels": {"x": "y"}}, "data": {"a": "9"}})
    assert play.owners() == {"edit/Update": [".data.a", ".metadata.labels", ".metadata.labels.x"]}


def test_creation_owns_structs_only_where_they_were_optional() -> None:
    """`f:spec` and `f:template` have no dot, for Kubernetes always writes them; optional lists of items have one."""
    play = Play(DEPLOYMENT).update("kubectl-create", make_deployment())
    fields = play.obj["metadata"]["managedFields"][0]["fieldsV1"]
    assert "." not in fields["f:spec"]
    assert "." not in fields["f:spec"]["f:template"]["f:spec"]["f:containers"]
    container = fields["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    assert list(container) == [".", "f:image", "f:name", "f:ports"]
    assert list(container["f:ports"]) == [".", 'k:{"containerPort":80,"protocol":"TCP"}']


def test_items_of_lists_are_told_apart_by_their_keys() -> None:
    """Two managers own entries of one list; an item whose owner lets go leaves, the order of the applied list holds."""
    one = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    two = [{"name": "C", "value": "1"}, {"name": "A", "value": "1"}]
    play = Play(DEPLOYMENT).apply("m1", make_deployment(env=one)).apply("m2", make_deployment(env=two))
    env = play.obj["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [item["name"] for item in env] == ["C", "A", "B"]
    play.apply("m1", make_deployment(env=one[:1]))
    env = play.obj["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [item["name"] for item in env] == ["C", "A"]


def test_repeated_keys_are_refused() -> None:
    """The path names the container and the key."""
    with pytest.raises(BadRequest, match=r'containers\[name="c"\]\.env: duplicate entries for key \[name="A"\]'):
        Play(DEPLOYMENT).apply("m1", make_deployment(env=[{"name": "A"}, {"name": "A"}]))


def test_an_applied_configuration_may_not_bring_managed_fields() -> None:
    """They are the server's."""
    with pytest.raises(BadRequest, match=r"metadata\.managedFields must be nil"):
        Play().apply("m1", make_config_map(managedFields=[{"manager": "x"}]))


def test_managers_can_be_forgotten() -> None:
    """`[{}]` forgets them; a later apply finds all that was there owned by `before-first-apply`."""
    play = Play().apply("m1", make_config_map({"a": "1"}, labels={"x": "y"}))
    play.update("patch", {**play.obj, "metadata": {**play.obj["metadata"], "managedFields": [{}]}})
    assert play.owners() == {}
    with pytest.raises(Conflict, match=r'conflict with "before-first-apply" using v1: \.metadata\.labels\.x'):
        play.apply("m2", make_config_map({}, labels={"x": "z"}))


def test_an_update_of_an_object_without_managers_notes_none() -> None:
    """Tracking does not begin by chance."""
    play = Play()
    play.obj = make_config_map({"a": "1"})
    assert play.update("x", make_config_map({"a": "2"})).owners() == {}


def test_managed_fields_left_out_of_an_update_stay() -> None:
    """Clients that do not know the field do not delete it."""
    play = Play().apply("m1", make_config_map({"a": "1"}))
    assert play.update("old", make_config_map({"a": "1"})).owners() == {"m1/Apply": [".data.a"]}


def test_at_most_ten_updaters() -> None:
    """The oldest become one."""
    play = Play().update("u0", make_config_map({"k0": "v"}))
    for i in range(1, 14):
        play.update(f"u{i}", {**play.obj, "data": {**play.obj["data"], f"k{i}": "v"}})
    owners = play.owners()
    assert len(owners) == 10
    assert f"{ANCIENT_CHANGES}/Update" in owners
    assert sorted(p for fields in owners.values() for p in fields if p != ".data") == sorted(
        f".data.k{i}" for i in range(14)
    )


def test_kubectl_inherits_what_client_side_apply_left() -> None:
    """Fields whose value is still the last applied one pass to `kubectl` without force; from others it needs force."""
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}'
    meta = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": text}}
    play = Play().update("kubectl-client-side-apply", make_config_map({"a": "1"}, **meta))
    live = play.obj
    play.apply("kubectl", make_config_map({"a": "2"}))
    assert play.obj["data"] == {"a": "2"}
    play.obj = live
    with pytest.raises(Conflict):
        play.apply("other", make_config_map({"a": "2"}))


CRD = from_crd({
    "type": "object",
    "properties": {"spec": {"type": "object", "properties": {
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        "atomic": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"x": {"type": "integer"}}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "list": {"type": "array", "items": {"type": "string"}},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }}},
})  # fmt: skip


@pytest.mark.parametrize(
    ("name", "spec", "want"),
    [
        ("values of a map are fields", {"map": {"k": {"x": 1}}}, [".spec.map.k", ".spec.map.k.x"]),
        ("an atomic object is one field", {"atomic": {"x": 1}}, [".spec.atomic"]),
        ("values of a set are fields", {"set": ["a"]}, ['.spec.set[="a"]']),
        ("other lists are one field", {"list": ["a"]}, [".spec.list"]),
        ("unknown fields are granular", {"any": {"q": {"r": [1]}}}, [".spec.any.q", ".spec.any.q.r"]),
        ("empty objects are fields", {"map": {}}, [".spec.map"]),
    ],
)
def test_fields_of_custom_resources(name: str, spec: dict, want: list[str]) -> None:
    """What one field is follows from the structural schema."""
    assert list(paths(field_set({"spec": spec}, CRD))) == want, name


def test_comparison_tells_added_changed_and_removed_levels() -> None:
    """Whatever came or went as a whole is a field at each level; equal parts are not looked at."""
    found = compare(
        {"spec": {"set": ["a"], "atomic": {"x": 1}}},
        {"spec": {"set": ["b"], "atomic": {"x": 2}, "map": {"k": {}}}},
        CRD,
    )
    assert list(paths(found.changed)) == [".spec.atomic", ".spec.map", ".spec.map.k", '.spec.set[="b"]']
    assert list(paths(found.removed)) == ['.spec.set[="a"]']


def test_merge_keeps_the_live_object_if_nothing_changes() -> None:
    """Identity says "no change" all the way up."""
    live = {"spec": {"set": ["a", "b"], "map": {"k": {"x": 1}}}}
    assert merge(live, {"spec": {"set": ["a", "b"], "map": {"k": {"x": 1}}}}, CRD) is live


def test_sets_of_paths_follow_set_algebra() -> None:
    """Union, difference and intersection look at each path on its own."""
    schema: Schema = CRD
    one = field_set({"spec": {"map": {"a": {"x": 1}, "b": {"x": 1}}}}, schema)
    two = field_set({"spec": {"map": {"b": {"x": 1}, "c": {"x": 1}}}}, schema)
    assert sorted(paths(union(one, two))) == sorted({*paths(one), *paths(two)})
    assert sorted(paths(difference(one, two))) == sorted({*paths(one)} - {*paths(two)})
    assert sorted(paths(intersection(one, two))) == sorted({*paths(one)} & {*paths(two)})
    assert difference(one, {}) is one
    assert union(one, one) is one
    assert list(ordered({"f:z": {}, "k:{}": {}, ".": {}, "f:a": {}})) == [".", "f:a", "f:z", "k:{}"]
