"""Manifests from files into a cluster, by server-side apply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pykueue.api.errors import ApiError, ConfigError, NotFound
from pykueue.ports.transport import ApiRequest, Transport

FIELD_MANAGER = "pykueue-up"
_SUFFIXES = (".yaml", ".yml", ".json")
_WEBHOOK_TRIES = 20


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
        raise ConfigError(str(file), [f"not a manifest: {error}"]) from error
    flat: list[dict[str, Any]] = []
    for number, document in enumerate(loaded, 1):
        items = document.get("items", [document]) if isinstance(document, Mapping) else [document]
        for item in items:
            if not isinstance(item, dict) or not all(item.get(k) for k in ("apiVersion", "kind", "metadata")):
                raise ConfigError(str(file), [f"document {number}: an object needs apiVersion, kind and metadata"])
            flat.append(item)
    return flat


async def apply_manifests(transport: Transport, documents: Sequence[Mapping[str, Any]]) -> None:
    """Apply documents one after another, with force.

    Raises:
        ApiError: refused; the message names the object.
    """
    for document in documents:
        meta = document["metadata"]
        group_version, kind = document["apiVersion"], document["kind"]
        plural, namespaced = await _resource(transport, group_version, kind)
        root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
        scope = f"/namespaces/{meta.get('namespace', 'default')}" if namespaced else ""
        path = f"{root}{scope}/{plural}/{meta['name']}"
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
        await transport.request(
            ApiRequest("PATCH", path, query=query, body=document, content_type="application/apply-patch+yaml")
        )


async def _resource(transport: Transport, group_version: str, kind: str) -> tuple[str, bool]:
    """Plural and scope of a kind, by discovery; a kind whose definition was just applied may need a moment."""
    path = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    error: ApiError | None = None
    for _ in range(_WEBHOOK_TRIES):
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
