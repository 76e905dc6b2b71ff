#!/usr/bin/env python3
"""Do a real API server's verdicts depend on whose CRDs it has, Kueue's or ours? They must not.

    crd_verdicts.py [--port N]

Starts a real control plane, installs our definitions, asks for a verdict on every good and bad object (`--dry-run=server`, no webhooks), then
replaces them by the reference ones (`shared/reference/crds`) and asks again. Every difference, in the verdict or in its text, is printed.
The objects are those of the golden scenarios, of the reference samples, and mutations of both: each field left out once, each
scalar replaced by values at and beyond its limits.
"""

from __future__ import annotations

import argparse
import copy
import http.client
import json
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "controlplane"))

from cluster import TOKEN, ControlPlane, down  # noqa: E402
from golden import shared  # noqa: E402

GROUP = "kueue.x-k8s.io"
VALUES: tuple[Any, ...] = ("", "x" * 64, "A_b!", "x" * 300, -1, 0, 2**31, "1.5", "-1", True, None, [], {})
MUTATIONS_PER_OBJECT = 60


class Api:
    """JSON over HTTPS, one connection."""

    def __init__(self, plane: ControlPlane) -> None:
        context = ssl.create_default_context(cafile=str(plane.pki / "ca.crt"))
        self.connection = http.client.HTTPSConnection("127.0.0.1", plane.port, context=context)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        reply = self.connection.getresponse()
        return reply.status, json.loads(reply.read())


def seeds(folder: Path) -> Iterator[dict[str, Any]]:
    """Objects of our group from scenarios and samples."""
    for path in sorted(folder.rglob("scenario.yaml")):
        for step in yaml.safe_load(path.read_text())["steps"]:
            for value in (step.get("expect-error") or step).values():
                yield from (o for o in value if isinstance(o, dict)) if isinstance(value, list) else ()
    for path in sorted((folder.parent / "reference" / "samples").rglob("*.yaml")):
        try:
            yield from (o for o in yaml.safe_load_all(path.read_text()) if isinstance(o, dict))
        except yaml.YAMLError:
            print(f"not YAML, left out: {path.name}")


def mutations(obj: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Objects that differ from one in a single place below spec (or in top-level scalars)."""
    made = 0
    for path in sorted(paths(obj, ()), key=str):
        if path[0] in ("metadata", "apiVersion", "kind") or "template" in path:
            continue
        for value in ("(drop)", *VALUES):
            changed = copy.deepcopy(obj)
            parent = changed
            for step in path[:-1]:
                parent = parent[step]
            if value == "(drop)":
                del parent[path[-1]]
            else:
                parent[path[-1]] = value
            yield changed
            made += 1
            if made >= MUTATIONS_PER_OBJECT:
                return


def paths(value: Any, at: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Every place in an object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def verdicts(api: Api, plurals: dict[str, tuple[str, bool]], objects: list[dict[str, Any]]) -> list[str]:
    """One line an object: accepted with its defaults, or the sorted causes of the refusal."""
    lines = []
    for obj in objects:
        plural, namespaced = plurals[obj["kind"]]
        scope = "/namespaces/default" if namespaced else ""
        code, answer = api.call("POST", f"/apis/{obj['apiVersion']}{scope}/{plural}?dryRun=All", obj)
        if code < 300:
            shown = json.dumps({k: v for k, v in answer.items() if k != "metadata"}, sort_keys=True)
        else:
            causes = (answer.get("details") or {}).get("causes") or [{"message": answer.get("message", "")}]
            shown = json.dumps(sorted(f"{c.get('field')}: {c['message']}" for c in causes))
        lines.append(f"{code} {re.sub(r'[0-9a-f]{8}-[0-9a-f-]{27}', 'UID', shown)}")
    return lines


def install(plane: ControlPlane, documents: list[dict[str, Any]]) -> None:
    """Replace all definitions of the group."""
    plane.kubectl("delete", "crd", "--ignore-not-found", "--wait=true", *(d["metadata"]["name"] for d in documents))
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    plane.kubectl(
        "wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{d['metadata']['name']}" for d in documents)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=18443)
    options = parser.parse_args()
    from pykueue.api.schema import all_crds

    folder = shared()
    reference = [
        document
        for path in sorted((folder.parent / "reference/crds/kueue").glob("*.yaml"))
        for document in yaml.load_all(path.read_text(), yaml.CSafeLoader)
    ]
    ours = [d for d in all_crds() if d["spec"]["group"] == GROUP]
    plurals = {
        d["spec"]["names"]["kind"]: (d["spec"]["names"]["plural"], d["spec"]["scope"] == "Namespaced")
        for d in reference
    }
    unique: dict[str, dict[str, Any]] = {}
    for seed in seeds(folder):
        if str(seed.get("apiVersion", "")).startswith(GROUP + "/") and seed.get("kind") in plurals:
            seed.get("metadata", {}).pop("namespace", None)
            for obj in (seed, *mutations(seed)):
                unique.setdefault(json.dumps(obj, sort_keys=True), obj)
    objects = list(unique.values())
    built = subprocess.run([str(HERE / "controlplane/build.sh")], check=True, stdout=subprocess.PIPE, text=True)
    with tempfile.TemporaryDirectory(prefix="pykueue-verdicts-") as state:
        plane = ControlPlane(Path(state), options.port, Path(built.stdout.strip().splitlines()[-1]))
        try:
            plane.up()
            seen = []
            for documents in (ours, reference):
                install(plane, documents)
                seen.append(verdicts(Api(plane), plurals, objects))
        finally:
            down(plane.folder)
    differing = [(o, a, b) for o, a, b in zip(objects, *seen, strict=True) if a != b]
    for obj, mine, theirs in differing[:40]:
        print(f"--- {obj['kind']}: {json.dumps(obj)[:600]}\n  ours:      {mine[:500]}\n  reference: {theirs[:500]}")
    refused = sum(not line.startswith("2") for line in seen[1])
    print(f"{len(objects)} objects, {refused} of them refused by the reference definitions")
    print(f"{len(objects) - len(differing)} passed, {len(differing)} failed")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
