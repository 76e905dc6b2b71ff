"""Decoding of built-in objects: Go's words for wrong types, canonical quantities, dropped nulls."""

import pytest

from pykueue.api import kinds
from pykueue.api.errors import BadRequest
from pykueue.apiserver.schema.decode import builtin_decoder

POD = builtin_decoder(kinds.POD)
CONFIG_MAP = builtin_decoder(kinds.CONFIG_MAP)
SECRET = builtin_decoder(kinds.SECRET)
SERVICE = builtin_decoder(kinds.SERVICE)


def container(**fields):
    return {"spec": {"containers": [{"name": "a", "image": "b", **fields}]}}


@pytest.mark.parametrize(
    ("decode", "obj", "want"),
    [
        (POD, {"spec": "x"}, "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
        (POD, {"spec": {"containers": "x"}}, "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container"),
        (POD, container(name=1), "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string"),
        (POD, container(ports=[{"containerPort": "x"}]), "json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32"),
        (POD, container(resources={"requests": {"cpu": "x"}}), "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        (POD, {"spec": {"activeDeadlineSeconds": 1.5}}, "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.activeDeadlineSeconds of type int64"),
        (POD, {"spec": {"priority": 3000000000}}, "json: cannot unmarshal number 3000000000 into Go struct field PodSpec.spec.priority of type int32"),
        (CONFIG_MAP, {"data": {"a": 1}}, "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        (CONFIG_MAP, {"data": [1]}, "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"),
        (CONFIG_MAP, {"immutable": "x"}, "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool"),
        (CONFIG_MAP, {"metadata": {"creationTimestamp": "z"}}, 'parsing time "z" as "2006-01-02T15:04:05Z07:00": cannot parse "z" as "2006"'),
        (SECRET, {"data": {"a": "***"}}, "illegal base64 data at input byte 0"),
        (SERVICE, {"spec": {"ports": [{"port": 80, "targetPort": True}]}}, "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32"),
    ],
)  # fmt: skip
def test_wrong_types(decode, obj, want):
    """The texts are those that kube-apiserver 1.36 answered."""
    with pytest.raises(BadRequest) as caught:
        decode(obj)
    assert str(caught.value).endswith(f": {want}")


def test_unknown_fields_are_dropped_and_told():
    """Paths have indexes; what is known stays."""
    obj, unknown = POD({"spec": {"containers": [{"name": "a", "foo": 1}], "bar": {"x": 1}}, "kind": "Pod"})
    assert obj == {"spec": {"containers": [{"name": "a"}]}, "kind": "Pod"}
    assert unknown == ["spec.containers[0].foo", "spec.bar"]


def test_canonical_forms():
    """Quantities and times are written as Kubernetes writes them; nulls are dropped."""
    obj, _ = POD(
        {
            "metadata": {
                "creationTimestamp": None,
                "deletionTimestamp": "2026-01-01T01:00:00.5+01:00",
                "labels": {"a": None},
            },
            **container(resources={"requests": {"cpu": 1.5, "memory": "1024Ki", "x": 1000}}),
        }
    )
    assert obj["metadata"] == {"deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {"a": ""}}
    assert obj["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1500m", "memory": "1Mi", "x": "1k"}


def test_what_needs_no_change_is_shared():
    """An object in canonical form is returned itself."""
    obj = {"metadata": {"name": "a"}, **container(resources={"limits": {"cpu": "1"}})}
    assert POD(obj)[0] is obj


def test_definitions_that_contain_themselves():
    """JSONSchemaProps is a part of JSONSchemaProps."""
    decode = builtin_decoder(kinds.CUSTOM_RESOURCE_DEFINITION)
    deep = {"type": "object", "properties": {"a": {"properties": {"b": {"items": {"typo": 1, "type": "string"}}}}}}
    obj, unknown = decode({"spec": {"versions": [{"schema": {"openAPIV3Schema": deep}}]}})
    assert unknown == []
    assert obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"]["properties"]["b"] == {
        "items": deep["properties"]["a"]["properties"]["b"]["items"]
    }
