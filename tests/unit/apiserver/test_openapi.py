"""OpenAPI documents: what kubectl looks for."""

import json
from pathlib import Path

import pytest

from pykueue.api import kinds
from pykueue.api.errors import InvariantError, NotAcceptable, NotFound
from pykueue.apiserver.crd import resources_of
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.openapi import OpenApi
from pykueue.apiserver.openapi_protobuf import encode_openapi_v2
from pykueue.apiserver.protobuf import _fields_of
from pykueue.apiserver.resources import Resource, ResourceRegistry

THINGS = json.loads((Path(__file__).parent / "crd" / "things.json").read_text())


@pytest.fixture
def registry():
    made = ResourceRegistry()
    made.add(Resource(kinds.POD, subresources=("status", "binding")))
    made.add(Resource(kinds.STATEFUL_SET, subresources=("scale",)))
    for resource in resources_of(THINGS):
        made.add(resource)
    return made


def get(openapi, path, **query):
    answer = openapi.page(HttpRequest("GET", path, query))
    return json.loads(answer.body) if isinstance(answer.body, bytes) else answer.body


def references(value):
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for child in value.values() for ref in references(child)]
    return [ref for child in value for ref in references(child)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", ["api/v1", "apis/apps/v1", "apis/example.com/v1"])
def test_documents_are_closed(registry, name):
    """Every reference of a document is defined in it."""
    document = get(OpenApi(registry), f"/openapi/v3/{name}")
    defined = {f"#/components/schemas/{one}" for one in document["components"]["schemas"]}
    assert set(references(document)) <= defined


def test_kubectl_finds_field_validation(registry):
    """PATCH of the kind's path names the kind and takes `fieldValidation`."""
    document = get(OpenApi(registry), "/openapi/v3/apis/example.com/v1")
    operation = document["paths"]["/apis/example.com/v1/namespaces/{namespace}/things/{name}"]["patch"]
    assert operation["x-kubernetes-group-version-kind"] == {"group": "example.com", "version": "v1", "kind": "Thing"}
    assert "fieldValidation" in [parameter["name"] for parameter in operation["parameters"]]
    spec = document["components"]["schemas"]["com.example.v1.Thing"]["properties"]["spec"]
    assert spec["properties"]["map"]["x-kubernetes-list-map-keys"] == ["name"]


def test_patches_are_told_as_they_are_taken(registry):
    """`kubectl apply` goes by it: custom resources take no strategic merge patch, and do not say that they do."""
    taken = {}
    for document, path in (
        ("apis/example.com/v1", "/apis/example.com/v1/namespaces/{namespace}/things/{name}"),
        ("api/v1", "/api/v1/namespaces/{namespace}/pods/{name}"),
    ):
        operation = get(OpenApi(registry), f"/openapi/v3/{document}")["paths"][path]["patch"]
        taken[document] = [type_.split("/")[1] for type_ in operation["requestBody"]["content"]]
    common = ["apply-patch+yaml", "json-patch+json", "merge-patch+json"]
    assert taken == {"apis/example.com/v1": common, "api/v1": [*common, "strategic-merge-patch+json"]}


def test_addresses_change_with_content(registry):
    """The index follows the registry; an unchanged document keeps its address."""
    openapi = OpenApi(registry)
    before = get(openapi, "/openapi/v3")["paths"]
    registry.remove("example.com", "v1", "things")
    registry.add(Resource(kinds.NODE))
    after = get(openapi, "/openapi/v3")["paths"]
    assert before.keys() == {"api/v1", "apis/apps/v1", "apis/example.com/v1"}
    assert after.keys() == {"api/v1", "apis/apps/v1"}
    assert after["apis/apps/v1"] == before["apis/apps/v1"]
    assert after["api/v1"] != before["api/v1"]


def test_the_former_form(registry):
    """Version 2 is one closed document."""
    document = get(OpenApi(registry), "/openapi/v2")
    assert set(references(document)) <= {f"#/definitions/{one}" for one in document["definitions"]}
    assert (
        document["definitions"]["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["$ref"]
        == "#/definitions/io.k8s.api.core.v1.PodSpec"
    )


def test_the_former_form_as_protobuf(registry):
    """kubectl validates a List by version 2 in protobuf alone: the same definitions, paths and extensions are there."""
    openapi = OpenApi(registry)
    accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = openapi.page(HttpRequest("GET", "/openapi/v2", accept=accept))
    document = get(openapi, "/openapi/v2")
    assert answer.content_type == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    parts = [(number, value) for number, value in _fields_of(answer.body) if number in {8, 9}]
    (paths,), (definitions,) = ([value for number, value in parts if number == wanted] for wanted in (8, 9))
    assert [name(entry) for _, entry in _fields_of(paths)] == list(document["paths"])
    assert [name(entry) for _, entry in _fields_of(definitions)] == list(document["definitions"])
    thing = next(entry for _, entry in _fields_of(definitions) if name(entry) == "com.example.v1.Thing")
    schema = dict(_fields_of(dict(_fields_of(thing))[2]))
    assert name(schema[31]) == "x-kubernetes-group-version-kind"
    assert dict(_fields_of(schema[22]))[1] == b"object"


def test_an_undeclared_key_is_not_left_out():
    """A key that has no protobuf field is a bug that shows."""
    with pytest.raises(InvariantError, match="sorcery in Schema"):
        encode_openapi_v2({"definitions": {"A": {"sorcery": 1}}})


def name(entry):
    """The name of a Named... message."""
    return dict(_fields_of(entry))[1].decode()


def test_refusals(registry):
    """Unknown group-versions are not found; version 3 is not spoken in protobuf."""
    openapi = OpenApi(registry)
    assert openapi.page(HttpRequest("GET", "/apis")) is None
    with pytest.raises(NotFound):
        openapi.page(HttpRequest("GET", "/openapi/v3/apis/nope/v1"))
    with pytest.raises(NotAcceptable):
        openapi.page(
            HttpRequest("GET", "/openapi/v3", accept="application/com.github.proto-openapi.spec.v3.v1.0+protobuf")
        )
