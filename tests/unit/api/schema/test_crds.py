"""The generated definitions, and their agreement with the typed kinds."""

import types
import typing
from collections.abc import Iterator, Mapping

import msgspec
import pytest

from pykueue.api import v1beta2
from pykueue.api.schema import CONVERTED_KINDS, all_crds, crd, leaderworkerset_crd, with_conversion, with_lean_templates
from pykueue.api.schema.pod_template import pod_template
from pykueue.api.v1beta2 import KUEUE_KINDS

ONLY_ELSEWHERE = (
    ("ClusterQueue", "status.fairSharing.admissionFairSharingStatus"),
    ("Cohort", "status.fairSharing.admissionFairSharingStatus"),
    ("LocalQueue", "status.flavorsReservation[].resources[].borrowed"),
    ("LocalQueue", "status.flavorsUsage[].resources[].borrowed"),
)
"""Fields of status types that several kinds share; they are not in the schema of each."""


def versions(manifest):
    return {v["name"]: v for v in manifest["spec"]["versions"]}


def schema(manifest, version):
    return versions(manifest)[version]["schema"]["openAPIV3Schema"]


def nodes(node, path="") -> Iterator[tuple[str, dict]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key, step in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], path + step)


def test_every_typed_kind_has_a_definition_with_its_name_and_scope():
    """Kinds, plurals and scopes are stated twice and agree."""
    got = {m["spec"]["names"]["kind"]: (m["spec"]["names"]["plural"], m["spec"]["scope"]) for m in all_crds()}
    want = {t.KIND.kind: (t.KIND.plural, "Namespaced" if t.KIND.namespaced else "Cluster") for t in KUEUE_KINDS}
    assert got == want


@pytest.mark.parametrize("kind", [t.KIND.kind for t in KUEUE_KINDS])
def test_v1beta2_is_stored_and_v1beta1_is_served(kind):
    """Both versions are served, only the newest is stored."""
    got = {name: (v["served"], v["storage"]) for name, v in versions(crd(kind)).items()}
    assert got == {"v1beta1": (True, False), "v1beta2": (True, True)}


@pytest.mark.parametrize("manifest", [*all_crds(), leaderworkerset_crd()], ids=lambda m: m["spec"]["names"]["kind"])
def test_schemas_are_structural(manifest):
    """Every node has a type or is int-or-string, required and key fields exist, and no helper mark is left."""
    for version in manifest["spec"]["versions"]:
        for path, node in nodes(version["schema"]["openAPIV3Schema"]):
            where = f"{version['name']} {path}"
            assert "type" in node or node.get("x-kubernetes-int-or-string"), where
            assert set(node.get("required", ())) <= set(node.get("properties", {})), where
            assert "!" not in node, where
            for key in node.get("x-kubernetes-list-map-keys", ()):
                item = node["items"]
                key_node = item["properties"][key]
                assert key in item.get("required", ()) or "default" in key_node, where


def test_an_unknown_kind_is_refused_with_the_known_ones():
    """The error tells what would do."""
    with pytest.raises(KeyError, match=r"Widget is not a kind of group kueue\.x-k8s\.io"):
        crd("Widget")


def test_conversion_is_added_to_a_copy():
    """Definitions are shared values."""
    manifest = with_conversion(crd("Cohort"), {"service": {"name": "s", "namespace": "n", "path": "/convert"}})
    assert manifest["spec"]["conversion"]["strategy"] == "Webhook"
    assert manifest["spec"]["conversion"]["webhook"]["conversionReviewVersions"] == ["v1"]
    assert "conversion" not in crd("Cohort")["spec"]


def test_lean_templates_leave_everything_else_as_it_is():
    """Only the pod templates lose their schema; what they held is kept by the server all the same, and the definition that is shared stays whole."""
    lean, full = with_lean_templates(crd("Workload")), crd("Workload")
    for version in ("v1beta1", "v1beta2"):
        pod_sets = schema(lean, version)["properties"]["spec"]["properties"]["podSets"]["items"]["properties"]
        template = pod_sets.pop("template")
        assert template["x-kubernetes-preserve-unknown-fields"] is True
        assert "properties" not in template
        want = msgspec.json.decode(msgspec.json.encode(schema(full, version)))
        was = want["properties"]["spec"]["properties"]["podSets"]["items"]["properties"].pop("template")
        assert was["properties"]["spec"]["properties"]["containers"]
        assert schema(lean, version) == want


def test_converted_kinds_are_those_whose_versions_differ_in_fields():
    """Kinds without webhook conversion lose nothing but fields that the other version lacks on purpose."""
    assert set(CONVERTED_KINDS) == {"ClusterQueue", "Cohort", "LocalQueue", "MultiKueueCluster", "Workload"}


def test_pod_templates_keep_what_an_embedded_object_needs():
    """Metadata is restricted, containers are required, list keys survive, quantities are int-or-string."""
    template = pod_template("")
    assert set(template["properties"]["metadata"]["properties"]) == {
        "annotations", "finalizers", "labels", "name", "namespace",
    }  # fmt: skip
    spec = template["properties"]["spec"]
    assert spec["required"] == ["containers"]
    container = spec["properties"]["containers"]["items"]["properties"]
    assert container["ports"]["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    assert container["ports"]["items"]["properties"]["protocol"]["default"] == "TCP"
    limits = container["resources"]["properties"]["limits"]["additionalProperties"]
    assert limits["x-kubernetes-int-or-string"] is True
    assert "default" not in container["name"]


@pytest.mark.parametrize("cls", KUEUE_KINDS, ids=lambda c: c.KIND.kind)
def test_typed_kinds_have_the_fields_of_the_schema(cls):
    """Each declared field is in the v1beta2 schema, and each field of the schema is declared."""
    kind = cls.KIND.kind
    typed = set(struct_paths(cls))
    served = {
        path.removeprefix(".")
        for path, _ in opaque_nodes(schema(crd(kind), "v1beta2"), typed)
        if path and not path.startswith((".metadata", ".apiVersion", ".kind"))
    }
    elsewhere = tuple(path for owner, path in ONLY_ELSEWHERE if owner == kind)
    missing = [path for path in sorted(typed - served) if not (elsewhere and path.startswith(elsewhere))]
    assert missing == [], "declared but not served"
    assert served - typed == set(), "served but not declared"


def struct_paths(cls, path="") -> Iterator[str]:
    """Paths of all fields, in the notation of `nodes`, down to raw mappings."""
    hints = typing.get_type_hints(cls, vars(v1beta2))
    for field in msgspec.structs.fields(cls):
        if not path and field.name == "metadata":
            continue
        here = f"{path}.{field.encode_name}".removeprefix(".")
        yield here
        yield from inner_paths(hints[field.name], here)


def inner_paths(hint, path) -> Iterator[str]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield from struct_paths(hint, path)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for member in typing.get_args(hint):
            yield from inner_paths(member, path)
    elif origin is tuple:
        yield f"{path}[]"
        yield from inner_paths(typing.get_args(hint)[0], f"{path}[]")
    elif origin is Mapping and hint != v1beta2.RawMap:
        yield f"{path}{{}}"


def opaque_nodes(node, typed, path="") -> Iterator[tuple[str, dict]]:
    """Nodes of the schema, not stepping into what the typed kinds keep raw."""
    yield path, node
    bare = path.removeprefix(".")
    children = [(f"{path}.{name}", child) for name, child in node.get("properties", {}).items()]
    children += [
        (path + step, node[key])
        for key, step in (("items", "[]"), ("additionalProperties", "{}"))
        if isinstance(node.get(key), dict)
    ]
    is_leaf = bare in typed and not any(p.startswith((bare + ".", bare + "[", bare + "{")) for p in typed)
    if not is_leaf:
        for child_path, child in children:
            yield from opaque_nodes(child, typed, child_path)
