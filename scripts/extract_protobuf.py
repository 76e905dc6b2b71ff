# ruff: noqa: T201 - a script tells what it did
"""Extract the protobuf field tables of Kubernetes' own kinds from the Go sources of its API.

Development-time only. kubectl's typed commands (`kubectl create namespace`, `kubectl auth can-i`, ...) send protobuf whatever the
server prefers, so the embedded server has to read it. A field's number, JSON name and kind are in the struct tags of
`types.go`; what is a pointer there may be zero on the wire and still count. Run it again for another Kubernetes release:

    python scripts/extract_protobuf.py ~/go/pkg/mod/k8s.io/api@v0.36.1 ~/go/pkg/mod/k8s.io/apimachinery@v0.36.1

The result is `src/pykueue/apiserver/protobuf/fields.json.gz`: `{type: {number: [name, Go type, omitempty]}}`, where an empty name
is an inlined struct; types are `core/v1.Pod`; types that are no structs are resolved to what they are made of.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path

OUTPUT = Path(__file__).parent.parent / "src/pykueue/apiserver/protobuf/fields.json.gz"
PACKAGES = (
    "admissionregistration/v1", "apps/v1", "authentication/v1", "authorization/v1", "autoscaling/v1", "batch/v1",
    "coordination/v1", "core/v1", "discovery/v1", "events/v1", "networking/v1", "node/v1", "policy/v1", "rbac/v1", "scheduling/v1", "storage/v1",
)  # fmt: skip
WELL_KNOWN = {
    "resource.Quantity", "intstr.IntOrString", "runtime.RawExtension", "meta/v1.Time", "meta/v1.MicroTime", "meta/v1.FieldsV1",
    "meta/v1.Duration",
}  # fmt: skip
IMPORTS = {
    "metav1": "meta/v1", "v1": "core/v1", "corev1": "core/v1", "api": "core/v1", "apiv1": "core/v1",
    "types": "types", "resource": "resource", "intstr": "intstr", "runtime": "runtime", "k8stypes": "types", "schema": "schema",
    "authnv1": "authentication/v1",
}  # fmt: skip
SCALARS = {"string", "bool", "int", "int32", "int64", "uint8", "byte", "float64", "uint32", "uint64", "rune"}
FIELD = re.compile(r"^\s*(?:(\w+)\s+)?(\S+(?:\s*\[\]\S+)?)\s+`([^`]*)`", re.MULTILINE)
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
ALIAS = re.compile(r"^type (\w+) (?!struct|interface)(\S+)\s*(?://.*)?$", re.MULTILINE)
GROUPED_ALIAS = re.compile(r"^\t(\w+) = (\w+\.\w+)$", re.MULTILINE)


def main() -> None:
    api, machinery = map(Path, sys.argv[1:3])
    sources = {package: api / package for package in PACKAGES} | {"meta/v1": machinery / "pkg/apis/meta/v1"}
    structs: dict[str, dict[str, list[object]]] = {}
    aliases: dict[str, str] = {"types.UID": "string", "types.NodeName": "string", "types.NamespacedName": "string"}
    for package, folder in sources.items():
        for path in sorted(folder.glob("*.go")):
            if path.name.startswith(("generated", "zz_")) or path.name.endswith("_test.go"):
                continue
            text = path.read_text()
            for name, target in ALIAS.findall(text):
                aliases[f"{package}.{name}"] = qualify(target.removeprefix("="), package)
            for name, body in STRUCT.findall(text):
                if fields := struct_fields(body, package):
                    structs[f"{package}.{name}"] = fields
    for fields in structs.values():
        for entry in fields.values():
            entry[1] = resolve(str(entry[1]), aliases)
    roots = [name for name, fields in structs.items() if any(e[0] == "metadata" for e in fields.values())]
    kept = reachable([*roots, "meta/v1.DeleteOptions", "policy/v1.Eviction"], structs)
    encoded = json.dumps({name: structs[name] for name in sorted(kept)}, separators=(",", ":"), sort_keys=True)
    OUTPUT.write_bytes(gzip.compress(encoded.encode(), 9, mtime=0))
    print(f"{len(kept)} types, {OUTPUT.stat().st_size} bytes")


def struct_fields(body: str, package: str) -> dict[str, list[object]]:
    fields: dict[str, list[object]] = {}
    for _name, go_type, tags in FIELD.findall(re.sub(r"^\s*//.*$", "", body, flags=re.MULTILINE)):
        wire = re.search(r'protobuf:"\w+,(\d+)', tags)
        said = re.search(r'json:"([^"]*)"', tags)
        if not wire or not said:
            continue
        json_name, *options = said[1].split(",")
        fields[wire[1]] = [json_name, qualify(go_type, package), "omitempty" in options]
    return fields


def qualify(go_type: str, package: str) -> str:
    prefix = re.match(r"(?:\*|\[\]|map\[[\w.]+\])*", go_type)
    assert prefix is not None
    base = go_type[prefix.end() :]
    head = re.sub(r"map\[[\w.]+\]", "map[string]", prefix[0])
    if base in SCALARS:
        return head + base
    if "." in base:
        module, name = base.split(".")
        return f"{head}{IMPORTS.get(module, module)}.{name}"
    return f"{head}{package}.{base}"


def resolve(go_type: str, aliases: dict[str, str]) -> str:
    prefix = re.match(r"(?:\*|\[\]|map\[string\])*", go_type)
    assert prefix is not None
    base = go_type[prefix.end() :]
    if base in aliases and base not in WELL_KNOWN:
        target = resolve(aliases[base], aliases)
        # A named slice that is the value of a map is a message of its own on the wire: {repeated items = 1}.
        if prefix[0].endswith("map[string]") and target.startswith("[]"):
            return f"{prefix[0]}items:{target}"
        return prefix[0] + target
    return go_type


def reachable(roots: list[str], structs: dict[str, dict[str, list[object]]]) -> set[str]:
    seen: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name in seen or name not in structs:
            continue
        seen.add(name)
        pending += [
            re.sub(r"^(?:\*|\[\]|map\[string\]|items:)+", "", str(entry[1])) for entry in structs[name].values()
        ]
    return seen


if __name__ == "__main__":
    main()
