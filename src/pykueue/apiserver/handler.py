"""The request core: from a request to its answer, without sockets.

`handle` is the whole API. It finds out what a path names, asks the verb's module, and turns every `ApiError` into a Status
object. Two callers exist: `http.py` for the wire, `inprocess.py` for the same process.

Authentication is done by the caller (`HttpRequest.user`). **Authorization is not enforced yet**: whoever holds a credential of
this server may do anything, and access reviews answer so (`reviews.py`); RBAC objects are stored and served, but grant and
deny nothing. The one place for it to come is `ApiHandler._authorize`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from pykueue.api.errors import (
    FieldError,
    MethodNotAllowed,
    NotFound,
    invalid,
)
from pykueue.apiserver import deletes, reads, subresources, writes
from pykueue.apiserver.backend import Backend
from pykueue.apiserver.extension import Page, guarded, read_computed
from pykueue.apiserver.messages import HttpRequest, Response, Target, parse_target
from pykueue.apiserver.patching import patch
from pykueue.apiserver.representations import Form, event_form, transformed, wanted_form
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.reviews import review
from pykueue.apiserver.watching import WatchStream

Answer: TypeAlias = Response | WatchStream
_OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
_NO_CONTAINERS = "pods of the embedded server are emulated: there is no container that runs"
_NOT_SERVED = {
    ("pods", "log"): _NO_CONTAINERS,
    ("pods", "exec"): _NO_CONTAINERS,
    ("pods", "attach"): _NO_CONTAINERS,
    ("pods", "portforward"): _NO_CONTAINERS,
    ("pods", "proxy"): _NO_CONTAINERS,
    ("pods", "ephemeralcontainers"): _NO_CONTAINERS,
    ("pods", "resize"): "the embedded server does not resize pods in place; make a new pod",
    ("services", "proxy"): "the embedded server does not proxy; there is no network behind its services",
    ("nodes", "proxy"): "nodes of the embedded server are emulated: there is no kubelet to ask",
    ("serviceaccounts", "token"): "the embedded server issues no tokens; use the kubeconfig that it wrote",
}
"""Sub-resources of a real cluster that are missing here, and why."""


class ApiHandler:
    """The API over a backend."""

    def __init__(self, backend: Backend, pages: tuple[Page, ...] = ()) -> None:
        """Serve a backend's resources, and pages beside them."""
        self.backend = backend
        self._pages = pages

    async def handle(self, request: HttpRequest) -> Answer:
        """Answer a request; refusals are answers as well.

        Raises:
            asyncio.CancelledError: the caller went away.
        """
        return guarded(request, self.answer)

    def answer(self, request: HttpRequest) -> Answer:
        """Answer a request.

        Raises:
            ApiError: refused.
        """
        for page in self._pages:
            if (found := page(request)) is not None:
                return found
        target = parse_target(request.path)
        if target is None:
            raise NotFound("the server could not find the requested resource", details={})
        if (reviewed := review(self.backend, request, target)) is not None:
            return Response(201, reviewed)
        resource = self.backend.registry.get(target.group, target.version, target.plural)
        if resource is None:
            return self._unnamed(request, target)
        if not resource.verbs:
            self._authorize(request, "get", target)
            return read_computed(request, resource, target)
        verb = self._verb(request, resource, target)
        self._authorize(request, verb, target)
        form = wanted_form(request.accept)
        if target.subresource:
            answer = self._subresource(request, resource, target)
        else:
            answer = self._plain(request, resource, target, verb)
        if isinstance(answer, WatchStream):
            if form is not Form.OBJECT:
                answer.transform = event_form(form, request, resource, self.backend.clock)
            return answer
        if form is not Form.OBJECT:
            answer = replace(answer, body=transformed(form, request, resource, answer.body, self.backend.clock()))
        if resource.deprecation:
            answer = replace(answer, warnings=[resource.deprecation, *answer.warnings])
        return answer

    def _verb(self, request: HttpRequest, resource: Resource, target: Target) -> str:
        """The API verb of a request.

        Raises:
            NotFound: the sub-resource is not served, or the path does not fit the resource's scope.
            MethodNotAllowed: the resource does not know the verb.
        """
        if target.namespace and not resource.kind.namespaced:
            raise NotFound("the server could not find the requested resource", details={})
        if target.subresource:
            if why := _NOT_SERVED.get((target.plural, target.subresource)):
                raise NotFound(f"{target.plural}/{target.subresource} is not served: {why}", details={})
            if target.subresource not in resource.subresources:
                raise NotFound("the server could not find the requested resource", details={})
            return "create" if request.method == "POST" else _OBJECT_VERBS.get(request.method, "")
        verb = (_OBJECT_VERBS if target.name else _COLLECTION_VERBS).get(request.method, "")
        if verb in {"get", "list"} and request.flag("watch"):
            verb = "watch"
        unscoped = (
            resource.kind.namespaced
            and not target.namespace
            and verb in {"create", "update", "patch", "delete", "get", "deletecollection"}
        )
        if verb not in resource.verbs or unscoped:
            raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})
        return verb

    def _authorize(self, request: HttpRequest, verb: str, target: Target) -> None:
        """Whether the user may do this: everyone who could authenticate may do everything (see the module's docstring)."""

    def _plain(self, request: HttpRequest, resource: Resource, target: Target, verb: str) -> Answer:
        backend = self.backend
        match verb:
            case "get":
                return Response(200, reads.get(backend, request, resource, target))
            case "list":
                return Response(200, reads.list_(backend, request, resource, target))
            case "watch":
                return reads.watch(backend, request, resource, target)
            case "delete":
                return Response(200, deletes.delete(backend, request, resource, target))
            case "deletecollection":
                return Response(200, deletes.delete_collection(backend, request, resource, target))
        check_write_options(request)
        match verb:
            case "create":
                return _written(writes.create(backend, request, resource, target))
            case "update":
                return _written(writes.update(backend, request, resource, target))
            case _:
                return _written(patch(backend, request, resource, target))

    def _subresource(self, request: HttpRequest, resource: Resource, target: Target) -> Answer:
        backend, name, method = self.backend, target.subresource, request.method
        if method != "GET":
            check_write_options(request)
        match name, method:
            case "scale", "GET":
                return Response(200, subresources.get_scale(backend, resource, target))
            case "scale", "PUT" | "PATCH":
                return _written(subresources.write_scale(backend, request, resource, target))
            case "binding", "POST":
                return Response(201, subresources.bind(backend, request, resource, target))
            case "eviction", "POST":
                return Response(201, subresources.evict(backend, request, resource, target))
            case (("status" | "finalize"), "PUT"):
                return _written(writes.update(backend, request, resource, target))
            case "status", "GET":
                return Response(200, reads.get(backend, request, resource, target))
            case (("status" | "finalize"), "PATCH"):
                return _written(patch(backend, request, resource, target))
        raise MethodNotAllowed("the server does not allow this method on the requested resource", details={})

    def _unnamed(self, request: HttpRequest, target: Target) -> Answer:
        """POST to the collection `bindings`; any other unknown resource is not there."""
        pods = self.backend.registry.get("", "v1", "pods")
        if (
            (target.group, target.plural, request.method) == ("", "bindings", "POST")
            and target.namespace
            and pods is not None
        ):
            return Response(201, subresources.bind(self.backend, request, pods, target))
        raise NotFound("the server could not find the requested resource", details={})


def check_write_options(request: HttpRequest) -> None:
    """Check the parameters that all writes share.

    Raises:
        Invalid: `dryRun` or `fieldManager` has a wrong value.
        BadRequest: `force` without apply.
    """
    dry_run = request.query.get("dryRun")
    options = {"POST": "CreateOptions", "PUT": "UpdateOptions"}.get(request.method, "PatchOptions")
    if dry_run not in {None, "", "All"}:
        raise invalid(
            "meta.k8s.io",
            options,
            "",
            [FieldError("Unsupported value", "dryRun", f'["{dry_run}"]', 'supported values: "All"')],
        )
    manager = request.query.get("fieldManager", "")
    if len(manager) > 128:
        raise invalid(
            "meta.k8s.io", options, "", [FieldError("Too long", "fieldManager", None, "may not be more than 128 bytes")]
        )
    if not manager.isprintable():
        raise invalid(
            "meta.k8s.io",
            options,
            "",
            [FieldError("Invalid value", "fieldManager", f'"{manager}"', "should only contain printable characters")],
        )
    if request.method == "PATCH" and "apply-patch" not in request.content_type and "force" in request.query:
        raise invalid(
            "meta.k8s.io",
            options,
            "",
            [FieldError("Forbidden", "force", None, "may not be specified for non-apply patch")],
        )


def _written(written: writes.Written) -> Response:
    return Response(201 if written.created else 200, written.obj, warnings=written.warnings)
