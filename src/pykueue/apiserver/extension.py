"""An API server without a store: what an APIService leads to. It describes its resources, and computes them when they are read.

`ExtensionApi` answers discovery, OpenAPI, version, health, and the computed sub-resources (`resources.py`); everything else is not found. The
embedded server serves the same resources as a part of its own API, through `read_computed`.

Who asks and what he may do is judged before a request gets here.

Source: Kubernetes documentation, "Kubernetes API Aggregation Layer".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from pykueue.api.errors import ApiError, BadRequest, InternalError, InvariantError, MethodNotAllowed, NotFound
from pykueue.apiserver.discovery import KUBERNETES_VERSION, Discovery
from pykueue.apiserver.messages import HttpRequest, Response, Target, parse_target
from pykueue.apiserver.openapi import OpenApi
from pykueue.apiserver.resources import Resource, ResourceRegistry

Page: TypeAlias = Callable[[HttpRequest], Response | None]
"""Answers paths that are no resources (discovery, OpenAPI, health); None for those it does not know."""
Given = TypeVar("Given")
_log = logging.getLogger(__name__)


class ExtensionApi:
    """The API of some computed resources."""

    def __init__(self, resources: Iterable[Resource], *, title: str) -> None:
        """Serve resources; the title is that of their OpenAPI documents."""
        self._registry = ResourceRegistry()
        for resource in resources:
            self._registry.add(resource)
        discovery = Discovery(self._registry, reviews={})
        self._pages: tuple[Page, ...] = (
            discovery.page, OpenApi(self._registry, version=KUBERNETES_VERSION, title=title).page,
        )  # fmt: skip

    def handle(self, request: HttpRequest) -> Response:
        """Answer a request; refusals are answers as well."""
        return guarded(request, self._answer)

    def _answer(self, request: HttpRequest) -> Response:
        for page in self._pages:
            if (found := page(request)) is not None:
                return found
        target = parse_target(request.path)
        resource = self._registry.get(target.group, target.version, target.plural) if target is not None else None
        if target is None or resource is None:
            raise NotFound("the server could not find the requested resource", details={})
        return read_computed(request, resource, target)


def read_computed(request: HttpRequest, resource: Resource, target: Target) -> Response:
    """Answer a request for a sub-resource that is computed.

    Raises:
        NotFound: there is no such path.
        MethodNotAllowed: it is only read.
        ApiError: whatever it refuses with.
    """
    computed = resource.computed_at(target.subresource)
    if computed is None or bool(target.namespace) != resource.kind.namespaced:
        raise NotFound("the server could not find the requested resource", details={})
    if request.method not in {"GET", "HEAD"}:
        raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})
    return Response(200, computed.answer(target.namespace, target.name, request.query))


def guarded(request: HttpRequest, answer: Callable[[HttpRequest], Given]) -> Given | Response:
    """What a function answers, or the refusal that tells why it does not."""
    try:
        return answer(request)
    except ApiError as error:
        return refusal(error)
    except RecursionError:
        return refusal(BadRequest("the object is nested too deeply; it may have a few hundred levels"))
    except Exception as error:
        _log.exception("%s %s failed", request.method, request.path)
        story = str(error) if isinstance(error, InvariantError) else f"{type(error).__name__}: {error}"
        return refusal(InternalError(f"Internal error occurred: {story} (this is a bug in pykueue; please report it)"))


def refusal(error: ApiError) -> Response:
    """The answer that tells of an error."""
    headers = {}
    retry_after = (error.details or {}).get("retryAfterSeconds")
    if retry_after:
        headers["Retry-After"] = str(retry_after)
    return Response(error.code, error.to_status(), headers=headers)
