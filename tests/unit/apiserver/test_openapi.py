"""OpenAPI documents: what kubectl looks for."""

import json
from pathlib import Path

import pytest

from pykueue.api import kinds
from pykueue.api.errors import NotAcceptable, NotFound
from pykueue.apiserver.crd import resources_of
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.openapi import OpenApi
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


def test_refusals(registry):
    """Unknown group-versions are not found; protobuf is not spoken."""
    openapi = OpenApi(registry)
    assert openapi.page(HttpRequest("GET", "/apis")) is None
    with pytest.raises(NotFound):
        openapi.page(HttpRequest("GET", "/openapi/v3/apis/nope/v1"))
    with pytest.raises(NotAcceptable):
        openapi.page(
            HttpRequest("GET", "/openapi/v2", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
        )
