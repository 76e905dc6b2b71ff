"""Discovery: which groups, versions and resources there are, in the old form and the aggregated one; version; health.

All of it is derived from the registry, and rebuilt only after the registry has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pykueue.api.errors import NotAcceptable
from pykueue.apiserver.messages import HttpRequest, Response
from pykueue.apiserver.resources import Computed, Resource, ResourceRegistry
from pykueue.apiserver.reviews import REVIEWS

KUBERNETES_VERSION = "v1.36.3"
"""The Kubernetes release whose behaviour the server follows."""

_AGGREGATED = "as=APIGroupDiscoveryList"
_SUBRESOURCE_VERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "binding": ("create",),
    "eviction": ("create",),
    "finalize": ("update",),
}
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
}


class Discovery:
    """The discovery pages of a registry."""

    def __init__(
        self,
        registry: ResourceRegistry,
        *,
        reviews: Mapping[tuple[str, str], str] = REVIEWS,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """Serve a registry's resources, and reviews beside them; `is_ready` answers `/readyz`."""
        self._registry, self._reviews = registry, reviews
        self._is_ready = is_ready
        self._revision = -1
        self._cached: dict[str, Response] = {}

    def page(self, request: HttpRequest) -> Response | None:
        """Answer a discovery path; None for any other."""
        path = request.path.rstrip("/") or "/"
        if path in {"/healthz", "/livez", "/readyz"}:
            ready = path != "/readyz" or self._is_ready()
            return Response(
                200 if ready else 500, "ok" if ready else "not ready: still loading", "text/plain; charset=utf-8"
            )
        if request.method not in {"GET", "HEAD"} or not (path in {"/", "/version"} or path.startswith("/api")):
            return None
        if self._revision != self._registry.revision:
            self._cached.clear()
            self._revision = self._registry.revision
        aggregated = path in {"/api", "/apis"} and _aggregated_version(request.accept)
        cache_key = f"{path} {aggregated}"
        if cache_key not in self._cached:
            built = self._build(path, aggregated or "")
            if built is None:
                return None
            self._cached[cache_key] = built
        return self._cached[cache_key]

    def _build(self, path: str, aggregated: str) -> Response | None:
        parts = path.strip("/").split("/")
        match parts:
            case ["version"]:
                return Response(200, version_info())
            case [""]:
                return Response(200, {"paths": self._paths()})
            case ["api"] | ["apis"] if aggregated:
                return self._aggregated(core=parts == ["api"], version=aggregated)
            case ["api"]:
                return Response(200, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
            case ["apis"]:
                groups = [self._group(group) for group in self._groups() if group]
                return Response(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
            case ["apis", group] if group in self._groups():
                return Response(200, {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)})
            case ["api", "v1"]:
                return Response(200, self._resource_list("", "v1"))
            case ["apis", group, version] if version in self._versions(group):
                return Response(200, self._resource_list(group, version))
        return None

    def _groups(self) -> list[str]:
        """All groups: Kubernetes' own first, then by name."""
        groups = dict.fromkeys([*(r.kind.group for r in self._registry), *(group for group, _ in self._reviews)])
        return sorted(groups, key=lambda group: ("." in group and not group.endswith(".k8s.io"), group))

    def _versions(self, group: str) -> list[str]:
        return self._registry.versions(group) or (["v1"] if any(group == known for known, _ in self._reviews) else [])

    def _paths(self) -> list[str]:
        paths = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
        for group in self._groups():
            if group:
                paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in self._versions(group))]
        return sorted(paths)

    def _group(self, group: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._versions(group)]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _members(self, group: str, version: str) -> list[Resource]:
        return [r for r in self._registry if (r.kind.group, r.kind.version) == (group, version)]

    def _resource_list(self, group: str, version: str) -> dict[str, Any]:
        listed: list[dict[str, Any]] = []
        for resource in self._members(group, version):
            listed.append(_legacy(resource))
            listed.extend(_legacy_subresource(resource, name) for name in sorted(resource.subresources))
            listed.extend(_legacy_computed(resource, computed) for computed in resource.computed)
        for (review_group, plural), kind in self._reviews.items():
            if (review_group, "v1") == (group, version):
                namespaced = plural.startswith("local")
                listed.append(
                    {
                        "name": plural,
                        "singularName": kind.lower(),
                        "namespaced": namespaced,
                        "kind": kind,
                        "verbs": ["create"],
                    }
                )
        group_version = f"{group}/{version}" if group else version
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": sorted(listed, key=lambda entry: str(entry["name"])),
        }

    def _aggregated(self, *, core: bool, version: str) -> Response:
        items = [self._aggregated_group(group) for group in self._groups() if (group == "") == core]
        api_version = f"apidiscovery.k8s.io/{version}"
        body = {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}
        encoded = msgspec.json.encode(body)
        etag = hashlib.sha256(encoded).hexdigest().upper()
        content_type = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        return Response(200, encoded, content_type, headers={"ETag": f'"{etag}"', "Vary": "Accept"})

    def _aggregated_group(self, group: str) -> dict[str, Any]:
        versions = []
        for version in self._versions(group):
            resources = [_aggregated_resource(r) for r in self._members(group, version)]
            resources += [
                {
                    "resource": plural,
                    "responseKind": {"group": group, "version": "v1", "kind": kind},
                    "scope": "Namespaced" if plural.startswith("local") else "Cluster",
                    "singularResource": kind.lower(),
                    "verbs": ["create"],
                }
                for (review_group, plural), kind in self._reviews.items()
                if (review_group, "v1") == (group, version)
            ]
            resources.sort(key=lambda entry: str(entry["resource"]))
            versions.append({"version": version, "resources": resources, "freshness": "Current"})
        meta: dict[str, Any] = {"creationTimestamp": None}
        if group:
            meta = {"name": group, **meta}
        return {"metadata": meta, "versions": versions}


def version_info() -> dict[str, Any]:
    """What `/version` says: Kubernetes' version with our build tag."""
    major, minor = KUBERNETES_VERSION[1:].split(".")[:2]
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"{KUBERNETES_VERSION}+pykueue",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "cpython",
        "platform": "linux/amd64",
    }


def _aggregated_version(accept: str) -> str:
    """The first version of aggregated discovery that the client takes; empty if it takes none.

    Raises:
        NotAcceptable: it asks for nothing else, and for no version that we have.
    """
    offered = [part.replace(" ", "") for part in accept.split(",")]
    wanted = [
        part for part in offered if _AGGREGATED in part and not part.startswith("application/vnd.kubernetes.protobuf")
    ]
    for part in wanted:
        for version in ("v2", "v2beta1"):
            if f"v={version};" in f"{part};":
                return version
    if wanted and len(wanted) == len(offered):
        raise NotAcceptable(
            "only the following media types are accepted: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList, application/json"
        )
    return ""


def _singular(resource: Resource) -> str:
    return resource.singular or resource.kind.kind.lower()


def _legacy(resource: Resource) -> dict[str, Any]:
    kind = resource.kind
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": _singular(resource),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if not resource.verbs:
        return entry
    entry["storageVersionHash"] = hashlib.sha256(
        f"{kind.group}/{resource.stored_as.version}/{kind.kind}".encode()
    ).hexdigest()[:12]
    return entry


def _legacy_subresource(resource: Resource, name: str) -> dict[str, Any]:
    kind = resource.kind
    entry: dict[str, Any] = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
    group, version, said = _SUBRESOURCE_KINDS.get(name, ("", "", kind.kind))
    if version:
        entry |= {"group": group, "version": version}
    return {**entry, "kind": said, "verbs": list(_SUBRESOURCE_VERBS[name])}


def _legacy_computed(resource: Resource, computed: Computed) -> dict[str, Any]:
    name = f"{resource.kind.plural}/{computed.name}"
    namespaced = resource.kind.namespaced
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": computed.kind.kind, "verbs": ["get"]}


def _aggregated_resource(resource: Resource) -> dict[str, Any]:
    kind = resource.kind
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": kind.group_version_kind,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": _singular(resource),
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources or resource.computed:
        entry["subresources"] = [
            {"subresource": one.name, "responseKind": one.kind.group_version_kind, "verbs": ["get"]}
            for one in resource.computed
        ]
        for name in sorted(resource.subresources):
            group, version, said = _SUBRESOURCE_KINDS.get(name, (kind.group, kind.version, kind.kind))
            response_kind = {"group": group, "version": version, "kind": said}
            entry["subresources"].append(
                {"subresource": name, "responseKind": response_kind, "verbs": list(_SUBRESOURCE_VERBS[name])}
            )
    return entry
