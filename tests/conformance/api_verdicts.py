#!/usr/bin/env python3

"""The same requests to a real kube-apiserver and to the embedded one: status, answer and warnings must be equal.

    api_verdicts.py FOLDER [--port N]      FOLDER of a control plane that `controlplane/cluster.py up FOLDER --port N` started

Each line of `REQUESTS` is asked of both in order, so later ones build on earlier ones. What differs by nature (UIDs, times, versions,
managed fields) is blotted out. Requests in `DELIBERATE` may differ, each for the reason beside it; every other difference is
printed, and makes the run fail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from pykueue.apiserver.server import EmbeddedApiServer

TOKEN = "admintoken"
NS = "/api/v1/namespaces/api-verdicts"
CM = f"{NS}/configmaps"
JSON, MERGE = "application/json", "application/merge-patch+json"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"
Request = tuple[str, str, Any, str]


def config(name: str, meta: dict[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **(meta or {})}, **rest}


def options(**rest: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "DeleteOptions", **rest}


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "api-verdicts"}}
REQUESTS: list[Request] = [
    ("POST", "/api/v1/namespaces", NAMESPACE, JSON),
    ("POST", "/api/v1/namespaces", NAMESPACE, JSON),
    ("POST", CM, config("a", data={"x": "1"}), JSON),
    ("POST", CM, config("a", data={"x": "1"}), JSON),
    ("POST", CM, config(""), JSON),
    ("POST", CM, config("A_b"), JSON),
    ("POST", CM, {"metadata": {"name": "silent"}}, JSON),
    ("POST", CM, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}, JSON),
    ("POST", CM, b"{", JSON),
    ("POST", CM, b"{}", "text/plain"),
    ("POST", CM, config("b", {"namespace": "other"}), JSON),
    ("POST", CM, config("b", {"resourceVersion": "5"}), JSON),
    ("POST", f"{CM}?dryRun=Some", config("b"), JSON),
    ("POST", f"{CM}?fieldValidation=Foo", config("b"), JSON),
    ("POST", f"{CM}?fieldValidation=Strict", config("b", foo=1), JSON),
    ("POST", CM, config("warned", foo=1), JSON),
    ("POST", f"{CM}?fieldValidation=Strict", b'{"metadata":{"name":"b"},"data":{"a":"1","a":"2"},"zz":1}', JSON),
    ("POST", f"{CM}?dryRun=All", config("dry"), JSON),
    ("POST", "/api/v1/namespaces/nope/configmaps", config("b"), JSON),
    ("POST", "/api/v1/configmaps", config("b"), JSON),
    ("POST", f"{CM}/a", config("a"), JSON),
    ("PUT", f"{CM}/a", config("zz"), JSON),
    ("PUT", f"{CM}/zz", config("zz"), JSON),
    ("PUT", f"{CM}/a", config("a", {"resourceVersion": "1"}), JSON),
    ("PUT", f"{CM}/a", config("a", {"uid": "abc"}), JSON),
    ("PUT", f"{CM}/a", config("a", data={"x": "2"}), JSON),
    ("PUT", CM, config("a"), JSON),
    ("PATCH", f"{CM}/a", {"data": {"y": "1"}}, MERGE),
    ("PATCH", f"{CM}/a", {"metadata": {"resourceVersion": "1"}}, MERGE),
    ("PATCH", f"{CM}/a", {"metadata": {"uid": "zzz"}}, MERGE),
    ("PATCH", f"{CM}/a", {"metadata": {"name": "b"}}, MERGE),
    ("PATCH", f"{CM}/a", {"metadata": None}, MERGE),
    ("PATCH", f"{CM}/a", [{"op": "test", "path": "/data/x", "value": "9"}], JSON_PATCH),
    ("PATCH", f"{CM}/a", [{"op": "add", "path": "/data/z", "value": "9"}], JSON_PATCH),
    ("PATCH", f"{CM}/a", {"data": {"$patch": "replace", "q": "1"}}, STRATEGIC),
    ("PATCH", f"{CM}/a", {"data": {"y": "1"}}, JSON),
    ("PATCH", f"{CM}/a?force=true", {"data": {"y": "1"}}, MERGE),
    ("PATCH", f"{CM}/nope", {"data": {"y": "1"}}, MERGE),
    ("PATCH", f"{CM}/a", {"bogus": 1}, MERGE),
    ("GET", f"{CM}/nope", None, ""),
    ("GET", "/api/v1/foos", None, ""),
    ("GET", f"{CM}/a/status", None, ""),
    ("GET", f"{CM}?labelSelector=a%3D-x", None, ""),
    ("GET", f"{CM}?labelSelector=nope", None, ""),
    ("GET", f"{CM}?fieldSelector=spec.foo%3Da", None, ""),
    ("GET", f"{CM}?resourceVersion=x", None, ""),
    ("GET", f"{CM}?resourceVersion=99999999", None, ""),
    ("GET", f"{CM}/a?resourceVersion=99999999", None, ""),
    ("GET", f"{CM}?resourceVersionMatch=Exact", None, ""),
    ("GET", f"{CM}?resourceVersionMatch=Foo&resourceVersion=1", None, ""),
    ("GET", f"{CM}?resourceVersionMatch=Exact&resourceVersion=0", None, ""),
    ("GET", f"{CM}?watch=1&sendInitialEvents=true", None, ""),
    ("DELETE", f"{CM}/a", options(preconditions={"uid": "x"}), JSON),
    ("DELETE", f"{CM}/a", options(preconditions={"resourceVersion": "1"}), JSON),
    ("DELETE", f"{CM}/a", options(propagationPolicy="Foo"), JSON),
    ("DELETE", f"{CM}/a", options(propagationPolicy="Orphan", orphanDependents=True), JSON),
    ("DELETE", f"{CM}/a?propagationPolicy=Orphan", None, ""),
    ("DELETE", f"{CM}/a", None, ""),
    ("POST", CM, config("a"), JSON),
    ("PATCH", f"{CM}/a", {"metadata": {"finalizers": None}}, MERGE),
    ("DELETE", f"{CM}/warned", options(dryRun=["All"]), JSON),
    ("DELETE", f"{CM}/warned", None, ""),
    ("DELETE", f"{CM}/warned", None, ""),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
     {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get"}}}, JSON),
]  # fmt: skip
DELIBERATE: dict[tuple[str, str], str] = {
    ("POST", "cannot be handled as a ConfigMap"): "Go's scheme speaks of conversions; ours says what to send",
    ("POST", "json parse error"): "the parser's own words",
    ("POST", "resourceVersion should not be set"): "Kubernetes answers 500 here",
    ("PATCH", "the server rejected our request"): "ours also tells the cause",
    ("PATCH", "accepted media types include"): "ours tells what is accepted",
    ("PATCH", "field is immutable"): "Kubernetes tells the cause twice",
    ("POST", "does not enforce authorization"): "ours says why the answer is yes",
}
"""Method and a part of our answer, and why it may differ."""


async def ask(session: aiohttp.ClientSession, base: str, request: Request) -> tuple[int, Any, list[str]]:
    """Status, blotted answer and warnings."""
    method, path, body, content_type = request
    data = body if isinstance(body, bytes) or body is None else json.dumps(body)
    headers = {"Content-Type": content_type} if content_type else {}
    async with session.request(method, base + path, data=data, headers=headers) as answer:
        text = await answer.text()
        try:
            blotted = blot(json.loads(text))
        except json.JSONDecodeError:
            blotted = text
        return answer.status, blotted, answer.headers.getall("Warning", [])


def blot(value: Any, name: str = "") -> Any:
    """The value without what differs by nature."""
    if isinstance(value, dict):
        return {key: blot(child, key) for key, child in sorted(value.items()) if key != "managedFields"}
    if isinstance(value, list):
        return [blot(child) for child in value]
    if name in {"uid", "resourceVersion"}:
        return name
    if isinstance(value, str):
        value = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", value)
        value = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+", "UID", value)
        value = re.sub(r"(current: |record \()\d+", r"\1N", value)
    return value


async def compare(folder: Path, port: int) -> int:
    """Ask both; print and count what differs."""
    server = EmbeddedApiServer(data_dir=Path(tempfile.mkdtemp(prefix="api-verdicts-")))
    await server.listen()
    identity = server.identity()
    faults = 0
    ours_tls = ssl.create_default_context(cafile=str(identity.ca_cert))
    real_tls = ssl.create_default_context(cafile=str(folder / "pki" / "ca.crt"))
    async with (
        session(real_tls, TOKEN) as real,
        session(ours_tls, identity.token) as ours,
    ):
        for request in REQUESTS:
            want, got = await ask(real, f"https://127.0.0.1:{port}", request), await ask(ours, server.url, request)
            said = json.dumps(got[1])
            if want == got or any(request[0] == method and part in said for method, part in DELIBERATE):
                continue
            faults += 1
            print(f"{request[0]} {request[1]} {request[2] or ''}\n  real {want}\n  ours {got}")
        await ask(real, f"https://127.0.0.1:{port}", ("DELETE", "/api/v1/namespaces/api-verdicts", None, ""))
    await server.close()
    print(f"{len(REQUESTS)} requests, {faults} answered differently")
    return faults


def session(tls: ssl.SSLContext, token: str) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=tls)
    return aiohttp.ClientSession(
        connector=connector, headers={"Authorization": f"Bearer {token}"}, timeout=aiohttp.ClientTimeout(10)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=16443)
    chosen = parser.parse_args()
    return 1 if asyncio.run(compare(chosen.folder, chosen.port)) else 0


if __name__ == "__main__":
    sys.exit(main())
