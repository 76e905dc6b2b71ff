"""OpenAPI definitions of Kubernetes' built-in kinds, as package data that is read on first use.

The data are Kubernetes' own (see NOTICE), extracted by `scripts/extract_openapi.py`. Definitions are raw mappings in OpenAPI
v3 form with `$ref`s of the form `#/components/schemas/<name>`; they are shared and never mutated. What they mean for one
object (pruning, merge keys, defaults) is the business of `apiserver/schema`.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from pykueue.api.kinds import Kind

REF_PREFIX = "#/components/schemas/"


class _Data(msgspec.Struct, frozen=True):
    source: str
    members: dict[str, list[str]]
    definitions: dict[str, dict[str, Any]]


@cache
def _data() -> _Data:
    packed = resources.files(__name__).joinpath("definitions.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=_Data)


@cache
def _names_by_kind() -> Mapping[tuple[str, str, str], str]:
    """(group, version, kind) → definition name. Names that stand for many kinds (DeleteOptions) are left out."""
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, definition in _data().definitions.items()
        if len(gvks := definition.get("x-kubernetes-group-version-kind") or ()) == 1
        for gvk in gvks
    }


def source() -> str:
    """Which release the definitions come from, for example `k8s.io/kubernetes v1.36.3`."""
    return _data().source


def definitions() -> Mapping[str, Mapping[str, Any]]:
    """Every definition by its full name, for example `io.k8s.api.core.v1.Pod`."""
    return _data().definitions


def definition(group_version: str, name: str) -> Mapping[str, Any]:
    """One definition.

    Args:
        group_version: for example `v1` or `apps/v1`.
        name: its full name, or the name of a kind of the group-version (`Pod`).

    Raises:
        KeyError: there is none.
    """
    members = _data().members[group_version]
    if name not in members:
        group, _, version = group_version.rpartition("/")
        name = _names_by_kind()[group, version, name]
    return _data().definitions[name]


def definition_name(kind: Kind) -> str | None:
    """The full name of a kind's definition; None for kinds that are not built in."""
    return _names_by_kind().get((kind.group, kind.version, kind.kind))


@cache
def document(group_version: str) -> Mapping[str, Any]:
    """An OpenAPI v3 document of one group-version with its definitions and no paths.

    Raises:
        KeyError: there are no definitions for the group-version.
    """
    names = _data().members[group_version]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": _data().source.rpartition(" ")[2]},
        "components": {"schemas": {name: _data().definitions[name] for name in names}},
        "paths": {},
    }
