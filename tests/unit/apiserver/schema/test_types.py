"""Schema nodes of built-in kinds and custom resources."""

from pykueue.api import kinds
from pykueue.apiserver.schema.types import builtin_schema, from_crd


def test_builtin_merge_keys():
    """Lists of a pod know how their items are told apart and merged."""
    spec = builtin_schema(kinds.POD).properties["spec"]
    containers, volumes = spec.properties["containers"], spec.properties["volumes"]
    assert (containers.list_type, containers.list_map_keys, containers.patch_merge_key) == ("map", ("name",), "name")
    assert volumes.patch_strategy == "merge,retainKeys"
    assert spec.properties["nodeSelector"].map_type == "atomic"
    assert builtin_schema(kinds.WORKLOAD) is None


def test_cycles():
    """A definition that contains itself is one shared node."""
    definition = builtin_schema(kinds.CUSTOM_RESOURCE_DEFINITION)
    schema = (
        definition.properties["spec"].properties["versions"].items.properties["schema"].properties["openAPIV3Schema"]
    )
    assert schema.properties["properties"].additional_properties.properties.keys() == schema.properties.keys()


def test_custom_resources_have_object_metadata():
    """`metadata: {type: object}` stands for ObjectMeta, whose lists can be merged."""
    schema = from_crd({"type": "object", "properties": {"metadata": {"type": "object"}, "spec": {"type": "string"}}})
    assert list(schema.properties) == ["apiVersion", "kind", "metadata", "spec"]
    assert schema.properties["metadata"].properties["ownerReferences"].list_map_keys == ("uid",)
    assert schema.child("nope") is None
