"""Manifests from files into a cluster, by server-side apply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from pykueue.api.errors import ApiError, ConfigError, NotFound, PykueueError
from pykueue.ports.transport import ApiRequest, Transport

FIELD_MANAGER = "pykueue-up"
_SUFFIXES = (".yaml", ".yml", ".json")
_DISCOVERY_TRIES = 20


def read_manifests(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """All documents of files, and of the manifest files in folders, in order of their names.

    Raises:
        ConfigError: a file that is no YAML, or a document that is no object.
    """
    documents: list[dict[str, Any]] = []
    for path in paths:
        files = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES) if path.is_dir() else [path]
        for file in files:
            documents.extend(_documents(file))
    return documents


def _documents(file: Path) -> list[dict[str, Any]]:
    try:
        loaded = [document for document in yaml.safe_load_all(file.read_text()) if document]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(str(file), [f"not a manifest: {' '.join(str(error).split())}"]) from error
    flat: list[dict[str, Any]] = []
    for number, document in enumerate(loaded, 1):
        listed = document.get("items") if isinstance(document, Mapping) else None
        items = listed if isinstance(listed, list) else [document]
        for item in items:
            if fault := _fault(item):
                raise ConfigError(str(file), [f"document {number}: {fault}"])
            flat.append(item)
    return flat


def _fault(item: object) -> str:
    """What keeps a document from being applied; empty for nothing."""
    if not isinstance(item, Mapping):
        return "an object is expected, with apiVersion, kind and metadata"
    for field in ("apiVersion", "kind"):
        if not isinstance(item.get(field), str):
            return f"{field}: Required value: a text is expected"
    meta = item.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str):
        return "metadata.name: Required value: objects are applied by name; create those with generateName by kubectl create"
    return ""


async def apply_manifests(transport: Transport, documents: Sequence[Mapping[str, Any]]) -> None:
    """Apply documents one after another, with force.

    Raises:
        ManifestRefused: an object was refused; those before it are there.
    """
    for document in documents:
        try:
            await _apply(transport, document)
        except ApiError as error:
            raise ManifestRefused(document, error) from error


class ManifestRefused(PykueueError):
    """The API refused an object of a manifest; the message names it."""

    def __init__(self, document: Mapping[str, Any], error: ApiError) -> None:
        meta = document["metadata"]
        name = f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else meta["name"]
        super().__init__(f"{document['kind']} {name} was refused: {error.message}")


async def _apply(transport: Transport, document: Mapping[str, Any]) -> None:
    meta = document["metadata"]
    group_version, kind = document["apiVersion"], document["kind"]
    plural, namespaced = await _resource(transport, group_version, kind)
    root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    scope = f"/namespaces/{quote(meta.get('namespace') or 'default', safe='')}" if namespaced else ""
    path = f"{root}{scope}/{plural}/{quote(meta['name'], safe='')}"
    query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
    await transport.request(
        ApiRequest("PATCH", path, query=query, body=document, content_type="application/apply-patch+yaml")
    )


async def _resource(transport: Transport, group_version: str, kind: str) -> tuple[str, bool]:
    """Plural and scope of a kind, by discovery; a kind whose definition was just applied may need a moment."""
    path = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    error: ApiError | None = None
    for _ in range(_DISCOVERY_TRIES):
        try:
            answer = await transport.request(ApiRequest("GET", path))
        except NotFound as refused:
            error = refused
        else:
            for resource in answer.get("resources", ()):
                if resource["kind"] == kind and "/" not in resource["name"]:
                    return resource["name"], resource["namespaced"]
        await asyncio.sleep(0.1)
    raise NotFound(f'no matches for kind "{kind}" in version "{group_version}"') from error
