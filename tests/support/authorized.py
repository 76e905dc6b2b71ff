"""A transport that refuses what the roles of `pykueue manifests` do not allow, as a real API server would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from pykueue.api.errors import Forbidden
from pykueue.cli.rbac import rbac
from pykueue.ports.transport import ApiRequest, Transport, WatchLine

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
MANAGER_ROLES = ("kueue-manager-role", "kueue-leader-election-role", "kueue-manager-secrets-role")


class AuthorizedTransport:
    """Asks another transport what the manager's roles allow."""

    def __init__(self, inner: Transport, refused: Callable[[str], None]) -> None:
        """Take up the roles.

        Args:
            inner: who is asked.
            refused: told of every request that was not allowed.
        """
        self._inner, self._refused = inner, refused
        self._granted = granted(rbac("kueue-system"))

    async def request(self, request: ApiRequest) -> Any:
        self._judge(request, _verb(request))
        return await self._inner.request(request)

    async def watch(self, request: ApiRequest) -> AsyncIterator[WatchLine]:
        self._judge(request, "watch")
        async for line in self._inner.watch(request):
            yield line

    async def close(self) -> None:
        await self._inner.close()

    def _judge(self, request: ApiRequest, verb: str) -> None:
        group, resource, _ = split(request.path)
        if (group, resource, verb) not in self._granted:
            told = f"the manager's roles do not allow to {verb} {resource}.{group} ({request.path})"
            self._refused(told)
            raise Forbidden(told)


def granted(objects: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str, str]]:
    """Group, resource and verb of everything that the manager's roles allow."""
    return frozenset(
        (group, resource, verb)
        for role in objects
        if role["metadata"]["name"] in MANAGER_ROLES and "rules" in role
        for rule in role["rules"]
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    )


def split(path: str) -> tuple[str, str, str]:
    """API group, resource with its sub-resource, and name of a path; the name is empty for lists."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    resource, name, sub = rest[0], (rest[1] if len(rest) > 1 else ""), "/".join(rest[2:])
    return group, f"{resource}/{sub}" if sub else resource, name


def _verb(request: ApiRequest) -> str:
    if request.method == "GET":
        return "get" if split(request.path)[2] else "list"
    return _VERBS[request.method]
