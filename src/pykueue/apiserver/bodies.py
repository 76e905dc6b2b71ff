"""Request bodies: from bytes or raw objects to a decoded object of the right kind.

Every body is checked in the same order as Kubernetes does: size, media type, syntax, kind and version, unknown and duplicate
fields. What happens to the latter two is the writer's choice (`fieldValidation`): `Strict` refuses them, `Warn` (the default)
tells of them in `Warning` headers, `Ignore` drops them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import yaml

from pykueue.api.errors import BadRequest, FieldError, RequestEntityTooLarge, UnsupportedMediaType, invalid
from pykueue.api.objects import Obj
from pykueue.apiserver import protobuf
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.resources import Resource

MAX_BODY_BYTES = 3 * 1024 * 1024
JSON_TYPES = frozenset(("application/json", ""))
YAML_TYPES = frozenset(("application/yaml", "application/x-yaml", "text/yaml"))
OBJECT_TYPES = JSON_TYPES | YAML_TYPES | {protobuf.MEDIA_TYPE}


class _YamlLoader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: like JSON, so timestamps stay text."""


_YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def read_object(request: HttpRequest, kind: str = "", *, custom: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Decode a body that is a whole object.

    Args:
        request: the request.
        kind: what the body should be, for error messages.
        custom: custom resources have no protobuf form.

    Returns:
        The object, and the faults of strict decoding that syntax alone shows (duplicate fields).

    Raises:
        BadRequest: it is not an object.
        UnsupportedMediaType: neither JSON nor YAML.
        RequestEntityTooLarge: more than 3 MiB.
    """
    if request.content_type not in OBJECT_TYPES or (custom and request.content_type == protobuf.MEDIA_TYPE):
        accepted = ["application/json", "application/yaml", *(() if custom else (protobuf.MEDIA_TYPE,))]
        raise unsupported_media_type(accepted)
    unrecognized = f"the object provided is unrecognized (must be of type {kind or 'object'}): "
    try:
        decoded, faults = read_any(request)
    except BadRequest as error:
        raise BadRequest(unrecognized + error.message) from error
    if not isinstance(decoded, dict):
        found = "nothing" if decoded is None else type(decoded).__name__
        raise BadRequest(f"{unrecognized}the body must be an object, but is {found}")
    return decoded, faults


def read_any(request: HttpRequest) -> tuple[Any, list[str]]:
    """Decode a body of any shape, whatever media type it claims; the second value as in `read_object`.

    Raises:
        BadRequest: neither JSON nor YAML.
        RequestEntityTooLarge: more than 3 MiB.
    """
    body = request.body
    if not isinstance(body, (bytes, bytearray, memoryview)):
        return body, []
    if len(body) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge(
            f"Request entity too large: limit is {MAX_BODY_BYTES} bytes, the body has {len(body)}"
        )
    if not body:
        return None, []
    if request.content_type == protobuf.MEDIA_TYPE:
        try:
            return protobuf.decode_envelope(bytes(body)), []
        except ValueError as error:
            raise BadRequest(f"the body cannot be decoded: {error}") from error
    if "yaml" in request.content_type:
        try:
            return _as_json(yaml.load(bytes(body), Loader=_YamlLoader), [MAX_BODY_BYTES]), []  # noqa: S506 - a safe loader
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise BadRequest(f"error converting YAML to JSON: {error}") from error
    try:
        if request.query.get("fieldValidation") == "Ignore":
            return msgspec.json.decode(body), []
        return _decode_noting_duplicates(bytes(body))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {error}") from error


def _as_json(value: Any, left: list[int]) -> Any:
    """A value of YAML as the same text in JSON gives it: keys are text, and what an alias stands for is written out.

    Args:
        value: from the loader, where an alias and its anchor are one object.
        left: of one element: how many characters may still be written out, less by this value's afterwards. Aliases of aliases
            grow without bound otherwise.

    Raises:
        ValueError: there is too much of it, or JSON has no such value.
        RecursionError: it is nested too deeply, or contains itself.
    """
    left[0] -= 1 + (len(value) if isinstance(value, str) else 0)
    if left[0] < 0:
        raise ValueError("yaml: document contains excessive aliasing")
    match value:
        case dict():
            return {_json_key(key): _as_json(item, left) for key, item in value.items()}
        case list():
            return [_as_json(item, left) for item in value]
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            raise ValueError(f"JSON has no value for {value!r}")


def _json_key(key: Any) -> str:
    """The key of a mapping as text, as Kubernetes' own conversion writes it."""
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case int():
            return str(key)
        case _:
            raise ValueError(f"unsupported map key: {key!r}")


def check_kind(obj: dict[str, Any], resource: Resource) -> dict[str, Any]:
    """An object must be of its URL's kind. A built-in kind may be left unsaid; it is filled in.

    Raises:
        BadRequest: it is of another kind or version; or, for a custom resource, does not say.
    """
    kind = resource.kind
    said_kind, said_version = obj.get("kind"), obj.get("apiVersion")
    if resource.custom:
        if not said_kind:
            raise BadRequest(f"Object 'Kind' is missing in '{_excerpt(obj)}'")
        if not said_version:
            raise BadRequest(f"Object 'apiVersion' is missing in '{_excerpt(obj)}'")
    if (said_kind or kind.kind, said_version or kind.api_version) == (kind.kind, kind.api_version):
        return obj if said_kind and said_version else {**obj, "apiVersion": kind.api_version, "kind": kind.kind}
    if resource.custom and said_kind == kind.kind:
        raise BadRequest(
            f"the API version in the data ({said_version}) does not match the expected API version ({kind.api_version})"
        )
    version = str(said_version).rpartition("/")[2]
    raise BadRequest(
        f'{said_kind} in version "{version}" cannot be handled as a {kind.kind}: send a {kind.kind} of {kind.api_version}'
    )


def check_said_kind(obj: Obj, kind: str, api_version: str) -> None:
    """Bodies of sub-resources and reviews have a kind of their own; it may be left unsaid.

    Raises:
        BadRequest: it is another one.
    """
    if (obj.get("kind") or kind, obj.get("apiVersion") or api_version) != (kind, api_version):
        version = str(obj.get("apiVersion")).rpartition("/")[2]
        raise BadRequest(
            f'{obj.get("kind")} in version "{version}" cannot be handled as a {kind}: send a {kind} of {api_version}'
        )


def decode(resource: Resource, obj: Obj, request: HttpRequest, duplicates: Sequence[str] = ()) -> tuple[Obj, list[str]]:
    """Drop unknown fields, and refuse or tell of them.

    Returns:
        The object, and warnings.

    Raises:
        BadRequest: there are unknown or duplicate fields, and validation is strict; or `fieldValidation` has no such value.
    """
    mode = request.query.get("fieldValidation") or "Warn"
    if mode not in {"Strict", "Warn", "Ignore"}:
        error = FieldError(
            "Unsupported value", "fieldValidation", f'"{mode}"', 'supported values: "", "Ignore", "Strict", "Warn"'
        )
        raise invalid("meta.k8s.io", "CreateOptions", "", [error])
    unknown: Sequence[str] = ()
    if resource.decode is not None:
        obj, unknown = resource.decode(obj)
    if mode == "Ignore":
        return obj, []
    faults = list(dict.fromkeys([*duplicates, *(f'unknown field "{path}"' for path in unknown)]))
    if mode == "Warn" or not faults:
        return obj, faults
    said = f"strict decoding error: {', '.join(faults)}"
    if resource.custom:
        raise BadRequest(said)
    kind = resource.kind
    raise BadRequest(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {said}')


def unsupported_media_type(accepted: Sequence[str]) -> UnsupportedMediaType:
    """The 415 for a body."""
    said = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return UnsupportedMediaType(said)


def _decode_noting_duplicates(body: bytes) -> tuple[Any, list[str]]:
    """Decode JSON; if it may repeat a field, decode again and find which.

    msgspec keeps the last of repeated fields silently, and is ten times as fast as looking: so look only if encoding the
    result again, which costs as little, has fewer colons outside of what a repeated field could hide.
    """
    decoded = msgspec.json.decode(body)
    if body.count(b":") == msgspec.json.encode(decoded).count(b":"):
        return decoded, []
    duplicates: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for name, value in pairs:
            if name in seen:
                duplicates.append(name)
            seen[name] = value
        return seen

    json.loads(body, object_pairs_hook=note)
    if not duplicates:
        return decoded, []
    return decoded, [f'duplicate field "{path}"' for path in _duplicate_paths(body)]


class _Pairs(list[tuple[str, Any]]):
    """An object's members in order, repeated ones included."""


def _duplicate_paths(body: bytes) -> list[str]:
    paths: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, _Pairs):
            seen: dict[str, None] = {}
            for name, child in value:
                child_path = f"{path}.{name}" if path else name
                if name in seen:
                    paths.append(child_path)
                seen[name] = None
                walk(child, child_path)
        elif isinstance(value, list):
            for idx, child in enumerate(value):
                walk(child, f"{path}[{idx}]")

    walk(json.loads(body, object_pairs_hook=_Pairs), "")
    return paths


def _excerpt(obj: Mapping[str, Any]) -> str:
    return msgspec.json.encode(obj).decode()[:500]
