"""OpenAPI documents: `/openapi/v3` with one document per group-version, and `/openapi/v2`.

Definitions of built-in kinds are Kubernetes' own (`api/builtin`); those of custom resources are written from their schemas.
Paths say what clients look for: which kind a path is of, which verbs it has, and that writes take `fieldValidation` (kubectl
validates on the server only if the document says so).

Everything is derived from the registry, made when first asked for, and made anew after the registry has changed. A document's
address carries a hash of its content, so that clients may keep it for as long as they like.

Source: Kubernetes documentation, "The Kubernetes API: OpenAPI interface definition".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pykueue.api import builtin
from pykueue.api.errors import NotAcceptable, NotFound
from pykueue.api.kinds import Kind
from pykueue.apiserver.messages import HttpRequest, Response
from pykueue.apiserver.openapi_protobuf import MEDIA_TYPES, encode_openapi_v2
from pykueue.apiserver.patching import accepted_types
from pykueue.apiserver.resources import Resource, ResourceRegistry
from pykueue.apiserver.schema.export import META_V1, to_openapi

_COMMON = (
    f"{META_V1}.DeleteOptions",
    f"{META_V1}.ListMeta",
    f"{META_V1}.ObjectMeta",
    f"{META_V1}.Patch",
    f"{META_V1}.Status",
)
_V2_PREFIX = "#/definitions/"
_V2_PROTOBUF = "v2 as protobuf"
_JSON_NAMES = ("application/json", "*/*", "application/*", "")


class OpenApi:
    """The OpenAPI pages of a registry."""

    def __init__(self, registry: ResourceRegistry, *, version: str = "v1.36.3", title: str = "Kubernetes") -> None:
        """Describe a registry's resources, as a server of this version."""
        self._registry = registry
        self._info = {"title": title, "version": version}
        self._revision = -1
        self._documents: dict[str, bytes] = {}

    def page(self, request: HttpRequest) -> Response | None:
        """Answer an OpenAPI path; None for any other.

        Raises:
            NotFound: there is no such group-version.
            NotAcceptable: the client takes neither JSON nor, for `/openapi/v2`, protobuf.
        """
        path = request.path.rstrip("/")
        if request.method not in {"GET", "HEAD"} or not path.startswith("/openapi/v"):
            return None
        if path not in {"/openapi/v2", "/openapi/v3"} and not path.startswith("/openapi/v3/"):
            return None
        if not _takes_json(request.accept) and not (path == "/openapi/v2" and _takes_protobuf(request.accept)):
            raise NotAcceptable("only the following media types are accepted: application/json")
        if self._revision != self._registry.revision:
            self._documents.clear()
            self._revision = self._registry.revision
        if path == "/openapi/v3":
            return Response(200, self._index())
        name = path.removeprefix("/openapi/").removeprefix("v3/")
        if name == "v2" and not _takes_json(request.accept):
            name = _V2_PROTOBUF
        body = self._document(name)
        headers = {"ETag": f'"{_hash(body)}"'}
        if "hash" in request.query:
            headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return Response(200, body, MEDIA_TYPES[-1] if name == _V2_PROTOBUF else "application/json", headers=headers)

    def _index(self) -> dict[str, Any]:
        paths = {}
        for name in sorted({_name(resource.kind.group, resource.kind.version) for resource in self._registry}):
            digest = _hash(self._document(name))
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
        return {"paths": paths}

    def _document(self, name: str) -> bytes:
        """The encoded document: `v2`, `v2 as protobuf`, `api/v1`, `apis/apps/v1`."""
        found = self._documents.get(name)
        if found is None:
            if name == _V2_PROTOBUF:
                found = encode_openapi_v2(self._v2())
            else:
                found = msgspec.json.encode(self._v2() if name == "v2" else self._v3(name))
            self._documents[name] = found
        return found

    def _v3(self, name: str) -> dict[str, Any]:
        resources = [r for r in self._registry if _name(r.kind.group, r.kind.version) == name]
        if not resources:
            raise NotFound("the server could not find the requested resource")
        definitions: dict[str, Any] = {}
        for resource in resources:
            _define(resource, definitions, builtin.REF_PREFIX)
        _define_all(_COMMON, definitions)
        return {
            "openapi": "3.0.0",
            "info": self._info,
            "paths": _paths(resources, v3=True),
            "components": {"schemas": dict(sorted(definitions.items()))},
        }

    def _v2(self) -> dict[str, Any]:
        """Everything in one document of the former form."""
        definitions: dict[str, Any] = {}
        resources = list(self._registry)
        for resource in resources:
            _define(resource, definitions, _V2_PREFIX)
        _define_all(_COMMON, definitions)
        converted = {name: _to_v2(definition) for name, definition in sorted(definitions.items())}
        return {
            "swagger": "2.0",
            "info": self._info,
            "paths": _paths(resources, v3=False),
            "definitions": converted,
        }


def model_name(kind: Kind) -> str:
    """The name of a kind's definition: Kubernetes' own, or `io.x-k8s.kueue.v1beta2.Workload`."""
    known = builtin.definition_name(kind)
    if known is not None:
        return known
    return ".".join((*reversed(kind.group.split(".")), kind.version, kind.kind))


def _name(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest().upper()


def _takes_json(accept: str) -> bool:
    return any(part.partition(";")[0].strip() in _JSON_NAMES for part in accept.split(","))


def _takes_protobuf(accept: str) -> bool:
    return any(part.partition(";")[0].strip() in MEDIA_TYPES for part in accept.split(","))


def _define(resource: Resource, definitions: dict[str, Any], ref_prefix: str) -> None:
    """Add the definitions of a kind and of its list."""
    kind, name = resource.kind, model_name(resource.kind)
    if builtin.definition_name(kind) is not None:
        others = (_SUBRESOURCES.get(subresource, (None, ()))[0] for subresource in resource.subresources)
        here = [model_name(other) for other in others if other is not None and _is_here(resource, other)]
        _define_all((name, f"{name}List", *here), definitions)
        return
    for computed in resource.computed:
        of_answer = to_openapi(computed.schema, ref_prefix)
        definitions[model_name(computed.kind)] = {
            **of_answer,
            "x-kubernetes-group-version-kind": [computed.kind.group_version_kind],
        }
    made = to_openapi(resource.schema, ref_prefix) if resource.schema is not None else _unknown_fields()
    definitions[name] = {**made, "x-kubernetes-group-version-kind": [kind.group_version_kind]}
    if not resource.verbs:
        return
    definitions[f"{name}List"] = {
        "type": "object",
        "description": f"{kind.kind}List is a list of {kind.kind}",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "items": {"type": "array", "description": f"List of {kind.plural}.", "items": {"$ref": ref_prefix + name}},
            "kind": {"type": "string"},
            "metadata": {"$ref": f"{ref_prefix}{META_V1}.ListMeta"},
        },
        "x-kubernetes-group-version-kind": [{**kind.group_version_kind, "kind": f"{kind.kind}List"}],
    }


def _unknown_fields() -> dict[str, Any]:
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _define_all(names: Iterable[str], definitions: dict[str, Any]) -> None:
    """Add built-in definitions and all that they refer to."""
    known = builtin.definitions()
    waiting = [name for name in names if name in known]
    while waiting:
        name = waiting.pop()
        if name not in definitions:
            definitions[name] = known[name]
            waiting.extend(_references(known[name]))


def _references(raw: Any) -> list[str]:
    if isinstance(raw, Mapping):
        found = [str(raw["$ref"]).removeprefix(builtin.REF_PREFIX)] if isinstance(raw.get("$ref"), str) else []
        return found + [name for value in raw.values() for name in _references(value)]
    if isinstance(raw, list):
        return [name for value in raw for name in _references(value)]
    return []


def _to_v2(raw: Any) -> Any:
    """A definition in the former form: other references, no unions, no wrapped references."""
    if isinstance(raw, list):
        return [_to_v2(value) for value in raw]
    if not isinstance(raw, Mapping):
        return raw
    parts = raw.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], Mapping) and "$ref" in parts[0]:
        raw = {**{k: v for k, v in raw.items() if k not in {"allOf", "default"}}, "$ref": parts[0]["$ref"]}
    alternatives = raw.get("oneOf")
    if isinstance(alternatives, list) and "type" not in raw:
        raw = {**{k: v for k, v in raw.items() if k != "oneOf"}, "type": "string"}
    made = {key: _to_v2(value) for key, value in raw.items() if key not in {"nullable", "anyOf", "oneOf", "not"}}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = _V2_PREFIX + made["$ref"].removeprefix(builtin.REF_PREFIX).removeprefix(_V2_PREFIX)
    return made


def _paths(resources: Iterable[Resource], *, v3: bool) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for resource in resources:
        kind = resource.kind
        everywhere = kind.path()
        scoped = kind.path("{namespace}")
        if scoped != everywhere and "list" in resource.verbs:
            paths[everywhere] = {"get": _operation(resource, "list", kind, v3=v3)}
        paths[scoped] = _operations(resource, {"get": "list", "post": "create", "delete": "deletecollection"}, v3=v3)
        one = {"get": "get", "put": "update", "patch": "patch", "delete": "delete"}
        paths[f"{scoped}/{{name}}"] = _operations(resource, one, v3=v3)
        for subresource in resource.subresources:
            of, verbs = _SUBRESOURCES.get(subresource, (None, ("get", "put", "patch")))
            operations = {verb: _operation(resource, _ACTIONS[verb], of or kind, v3=v3) for verb in verbs}
            paths[f"{scoped}/{{name}}/{subresource}"] = operations
        for computed in resource.computed:
            read = _operation(resource, "get", computed.kind, v3=v3, query=computed.parameters)
            paths[f"{scoped}/{{name}}/{computed.name}"] = {"get": read}
    return {path: operations for path, operations in sorted(paths.items()) if operations}


_SUBRESOURCES: Mapping[str, tuple[Kind | None, tuple[str, ...]]] = {
    "scale": (Kind("autoscaling", "v1", "Scale", "scales"), ("get", "put", "patch")),
    "binding": (Kind("", "v1", "Binding", "bindings"), ("post",)),
    "eviction": (Kind("policy", "v1", "Eviction", "evictions"), ("post",)),
    "finalize": (None, ("put",)),
}
_ACTIONS = {"get": "get", "put": "update", "patch": "patch", "post": "create"}


def _operations(resource: Resource, verbs: Mapping[str, str], *, v3: bool) -> dict[str, Any]:
    return {
        method: _operation(resource, verb, resource.kind, v3=v3)
        for method, verb in verbs.items()
        if verb in resource.verbs
    }


def _operation(
    resource: Resource, verb: str, kind: Kind, *, v3: bool, query: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    """One operation: whose kind it is, its parameters (`query` beside those of the verb), its body and answer."""
    action = {"create": "post", "update": "put"}.get(verb, verb)
    query = [("pretty", "string"), *query]
    if verb in {"create", "update", "patch"}:
        query += [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")]
    if verb == "patch":
        query.append(("force", "boolean"))
    if verb == "delete":
        query += [("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("propagationPolicy", "string")]
    if verb in {"list", "deletecollection"}:
        query += [(name, "string") for name in ("continue", "fieldSelector", "labelSelector", "resourceVersion")]
        query += [("limit", "integer"), ("timeoutSeconds", "integer"), ("watch", "boolean")]
    parameters: list[dict[str, Any]] = [_parameter(name, type_, "query", v3=v3) for name, type_ in query]
    return {
        "description": _DESCRIPTIONS[verb].format(kind=kind.kind),
        "operationId": f"{verb}{kind.group.title().replace('.', '')}{kind.version.title()}{kind.kind}",
        "parameters": parameters,
        "responses": _answer(resource, verb, kind, v3=v3),
        **(_body(resource, verb, kind) if v3 and (verb == "patch" or _is_here(resource, kind)) else {}),
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind.group_version_kind,
    }


_DESCRIPTIONS = {
    "get": "read the specified {kind}",
    "list": "list or watch objects of kind {kind}",
    "create": "create a {kind}",
    "update": "replace the specified {kind}",
    "patch": "partially update the specified {kind}",
    "delete": "delete a {kind}",
    "deletecollection": "delete collection of {kind}",
}


def _parameter(name: str, type_: str, where: str, *, v3: bool) -> dict[str, Any]:
    if v3:
        return {"name": name, "in": where, "schema": {"type": type_, "uniqueItems": True}}
    return {"name": name, "in": where, "type": type_, "uniqueItems": True}


def _answer(resource: Resource, verb: str, kind: Kind, *, v3: bool) -> dict[str, Any]:
    name = model_name(kind) + ("List" if verb == "list" else "")
    if verb in {"delete", "deletecollection"}:
        name = f"{META_V1}.Status"
    if v3:
        content = (
            {"application/json": {"schema": {"$ref": builtin.REF_PREFIX + name}}} if _is_here(resource, kind) else {}
        )
        return {"200": {"description": "OK", **({"content": content} if content else {})}}
    return {
        "200": {"description": "OK", **({"schema": {"$ref": _V2_PREFIX + name}} if _is_here(resource, kind) else {})}
    }


def _is_here(resource: Resource, kind: Kind) -> bool:
    """Whether the document of a resource has the definition of a kind (that of Scale, say, is in another one)."""
    return kind.api_version == resource.kind.api_version


def _body(resource: Resource, verb: str, kind: Kind) -> dict[str, Any]:
    if verb not in {"create", "update", "patch"}:
        return {}
    if verb == "patch":
        schema = {"$ref": f"{builtin.REF_PREFIX}{META_V1}.Patch"}
        # `kubectl apply` sends a strategic merge patch to whoever says that it takes one.
        return {"requestBody": {"content": {type_: {"schema": schema} for type_ in sorted(accepted_types(resource))}}}
    return {"requestBody": {"content": {"*/*": {"schema": {"$ref": builtin.REF_PREFIX + model_name(kind)}}}}}
