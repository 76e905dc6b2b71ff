"""Discovery: both forms, derived from the registry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.errors import NotAcceptable
from pykueue.api.kinds import POD, Kind
from pykueue.apiserver.discovery import Discovery
from pykueue.apiserver.messages import HttpRequest, Target, parse_target
from pykueue.apiserver.resources import Resource, ResourceRegistry, ScalePaths

WIDGETS = [Kind("example.com", version, "Widget", "widgets") for version in ("v1", "v1beta1", "v2alpha1", "v10")]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def make() -> tuple[ResourceRegistry, Discovery]:
    registry = ResourceRegistry()
    registry.add(
        Resource(POD, short_names=("po",), categories=("all",), subresources=("status", "binding", "eviction"))
    )
    for kind in WIDGETS:
        registry.add(Resource(kind, subresources=("scale",), scale=ScalePaths()))
    return registry, Discovery(registry)


def ask(discovery: Discovery, path: str, accept: str = "application/json") -> Any:
    answer = discovery.page(HttpRequest("GET", path, accept=accept))
    assert answer is not None
    return msgspec.json.decode(answer.body) if isinstance(answer.body, bytes) else answer.body


def test_versions_are_ordered_as_kubernetes_does() -> None:
    """GA before beta before alpha, newer first; the first is preferred."""
    _, discovery = make()
    group = ask(discovery, "/apis/example.com")
    assert [version["version"] for version in group["versions"]] == ["v10", "v1", "v1beta1", "v2alpha1"]
    assert group["preferredVersion"]["groupVersion"] == "example.com/v10"


def test_resource_lists_have_subresources() -> None:
    """With their own kinds where they have one."""
    _, discovery = make()
    listed = {entry["name"]: entry for entry in ask(discovery, "/api/v1")["resources"]}
    assert list(listed) == ["pods", "pods/binding", "pods/eviction", "pods/status"]
    assert (listed["pods"]["shortNames"], listed["pods"]["singularName"]) == (["po"], "pod")
    assert (listed["pods/eviction"]["group"], listed["pods/eviction"]["kind"]) == ("policy", "Eviction")


def test_aggregated_discovery() -> None:
    """One document for all groups, in the version that the client takes first."""
    _, discovery = make()
    groups = ask(discovery, "/apis", AGGREGATED)["items"]
    widget = next(group for group in groups if group["metadata"]["name"] == "example.com")["versions"][0]["resources"][
        0
    ]
    assert widget["responseKind"] == {"group": "example.com", "version": "v10", "kind": "Widget"}
    assert widget["subresources"][0]["responseKind"]["kind"] == "Scale"
    assert ask(discovery, "/api", AGGREGATED)["items"][0]["versions"][0]["resources"][0]["resource"] == "pods"
    assert (
        ask(discovery, "/apis", AGGREGATED.replace("v=v2", "v=v2beta1"))["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    )
    with pytest.raises(NotAcceptable):
        ask(discovery, "/apis", "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList")


def test_it_follows_the_registry() -> None:
    """Resources that come and go are seen at once."""
    registry, discovery = make()
    assert any(group["name"] == "example.com" for group in ask(discovery, "/apis")["groups"])
    for kind in WIDGETS:
        registry.remove(kind.group, kind.version, kind.plural)
    assert not any(group["name"] == "example.com" for group in ask(discovery, "/apis")["groups"])
    assert discovery.page(HttpRequest("GET", "/apis/example.com/v1")) is None


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("/api/v1/pods", Target("", "v1", "pods")),
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", Target("", "v1", "namespaces", "", "a")),
        ("/api/v1/namespaces/a/finalize", Target("", "v1", "namespaces", "", "a", "finalize")),
        ("/api/v1/namespaces/a/pods", Target("", "v1", "pods", "a")),
        ("/api/v1/namespaces/a/pods/b/status", Target("", "v1", "pods", "a", "b", "status")),
        ("/apis/apps/v1/namespaces/a/statefulsets/b", Target("apps", "v1", "statefulsets", "a", "b")),
        ("/apis/kueue.x-k8s.io/v1beta2/clusterqueues/b", Target("kueue.x-k8s.io", "v1beta2", "clusterqueues", "", "b")),
        ("/api/v1/namespaces/a/pods/b/proxy/x/y", None),
        ("/healthz", None),
        ("/apis/apps", None),
    ],
)
def test_paths(path: str, want: Target | None) -> None:
    """What each path names."""
    assert parse_target(path) == want
