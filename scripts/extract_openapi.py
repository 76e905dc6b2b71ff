"""Extract the definitions of Kubernetes' built-in kinds into package data.

Development-time only. Reads `api/openapi-spec/v3/*.json` of the `k8s.io/kubernetes` Go module and writes
`src/pykueue/api/builtin/definitions.json.gz`: every definition of the group-versions below, once, with its description
and extensions, and which group-version has which of them. Paths are not kept: the server makes them for what it serves.

Usage: python scripts/extract_openapi.py $(go env GOMODCACHE)/k8s.io/kubernetes@v1.36.3
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

GROUP_VERSIONS = (
    "v1",
    "admissionregistration.k8s.io/v1",
    "apiextensions.k8s.io/v1",
    "apps/v1",
    "authentication.k8s.io/v1",
    "authorization.k8s.io/v1",
    "autoscaling/v1",
    "batch/v1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "events.k8s.io/v1",
    "networking.k8s.io/v1",
    "node.k8s.io/v1",
    "policy/v1",
    "rbac.authorization.k8s.io/v1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1",
)
TARGET = Path(__file__).resolve().parent.parent / "src/pykueue/api/builtin/definitions.json.gz"


def main(module: Path) -> None:
    """Write the package data, or stop where two documents disagree on a definition."""
    definitions: dict[str, dict[str, Any]] = {}
    members: dict[str, list[str]] = {}
    for group_version in GROUP_VERSIONS:
        stem = f"apis__{group_version.replace('/', '__')}" if "/" in group_version else f"api__{group_version}"
        document = json.loads((module / f"api/openapi-spec/v3/{stem}_openapi.json").read_text())
        schemas = document["components"]["schemas"]
        members[group_version] = sorted(schemas)
        for name, definition in schemas.items():
            definitions[name] = _merged(definitions.get(name, definition), definition, f"{stem}: {name}")
    version = re.search(r"@(v[0-9.]+)$", str(module))
    data = {
        "source": f"k8s.io/kubernetes {version[1] if version else 'unknown'}",
        "members": members,
        "definitions": definitions,
    }
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    TARGET.write_bytes(gzip.compress(text, 9, mtime=0))
    sys.stdout.write(f"{len(definitions)} definitions, {len(text)} bytes, {TARGET.stat().st_size} compressed\n")


def _merged(one: dict[str, Any], other: dict[str, Any], where: str) -> dict[str, Any]:
    """Definitions of `meta.k8s.io` that serve many group-versions (DeleteOptions) differ in the kinds they name, and in no more."""
    key = "x-kubernetes-group-version-kind"
    if {**one, key: None} != {**other, key: None}:
        raise SystemExit(f"{where} differs from its definition in another document")
    if key not in one:
        return one
    kinds = {json.dumps(gvk, sort_keys=True): gvk for gvk in one[key] + other[key]}
    return {**one, key: [kinds[text] for text in sorted(kinds)]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
