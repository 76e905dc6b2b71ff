"""get, list and watch.

Lists are consistent: a page continues the list at the revision of its first page, which the store rebuilds from the ring.
"""

from __future__ import annotations

import base64
import random
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import msgspec

from pykueue.api.errors import BadRequest, Expired, FieldError, Timeout, invalid
from pykueue.api.objects import Obj, ObjectKey, key
from pykueue.apiserver.backend import Backend
from pykueue.apiserver.messages import HttpRequest, Target
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.selectors import Predicate, both, parse_field_selector, parse_label_selector
from pykueue.apiserver.watching import WatchStream

_MIN_TIMEOUT_S = 1800.0
"""Watches that ask for no timeout end after one to two times this, as Kubernetes' `--min-request-timeout` has it."""
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


class _Token(msgspec.Struct):
    """A decoded `continue` parameter."""

    rv: int
    start: tuple[str, str]
    v: str = "meta.k8s.io/v1"


def get(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> Obj:
    """One object.

    Raises:
        NotFound: there is none.
        Timeout: its resource version is asked for to be newer than anything here.
    """
    _revision(backend, request.query.get("resourceVersion"))
    return resource.from_storage(backend.stored(resource, ObjectKey(target.namespace, target.name)))


def list_(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> dict[str, Any]:
    """A list object: all that match, or one page of them.

    Raises:
        BadRequest: a parameter is wrong.
        Expired: a former state is asked for that is forgotten.
    """
    namespace, predicate = target.namespace, selection(request, resource, target)
    storage = backend.storage(resource)
    limit = request.number("limit") or 0
    revision, start = backend.store.revision, None
    asked, match = request.query.get("resourceVersion"), request.query.get("resourceVersionMatch", "")
    wanted = _revision(backend, asked)
    if token_text := request.query.get("continue"):
        token = _read_token(token_text)
        revision, start = token.rv, ObjectKey(*token.start)
        _revision(backend, str(revision))
        try:
            found = storage.list_at(revision, namespace)
        except Expired as error:
            raise Expired(_TOO_OLD) from error
    elif match == "Exact":
        if not asked:
            raise _bad_match("Forbidden", None, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        if not wanted:
            raise _bad_match("Forbidden", None, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
        revision = wanted
        found = storage.list_at(revision, namespace)
    elif match not in {"", "NotOlderThan"}:
        raise _bad_match("Unsupported value", f'"{match}"', 'supported values: "Exact", "NotOlderThan", ""')
    else:
        found = storage.list(namespace)
    if resource.convert is not None:
        found = [resource.from_storage(obj) for obj in found]
    if start is not None:
        found = found[bisect_right(found, start, key=key) :]
    return _page(resource, found, predicate, revision, limit)


def watch(backend: Backend, request: HttpRequest, resource: Resource, target: Target) -> WatchStream:
    """A stream of changes.

    Raises:
        BadRequest: a parameter is wrong.
        Expired: the revision to start from is forgotten.
    """
    predicate = selection(request, resource, target)
    storage = backend.storage(resource)
    asked = request.query.get("resourceVersion")
    wanted = _revision(backend, asked)
    sends_initial = request.flag("sendInitialEvents")
    bookmarks = request.flag("allowWatchBookmarks")
    if sends_initial and request.query.get("resourceVersionMatch") != "NotOlderThan":
        raise _bad_match("Forbidden", None, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    starts_now = sends_initial or (not wanted and "sendInitialEvents" not in request.query)
    initial: Sequence[Obj] = ()
    after = backend.store.revision
    if starts_now:
        listed = map(resource.from_storage, storage.list(target.namespace))
        initial = [obj for obj in listed if predicate is None or predicate(obj)]
    elif wanted:
        after = wanted
        storage.events_after(after)
    timeout_s = float(request.number("timeoutSeconds") or 0)
    return WatchStream(
        storage,
        resource,
        after=after,
        initial=initial,
        marks_initial_end=sends_initial and bookmarks,
        namespace=target.namespace,
        predicate=predicate,
        bookmarks=bookmarks,
        timeout_s=timeout_s or _MIN_TIMEOUT_S * (1 + random.random()),  # noqa: S311 - spreads reconnects
    )


def selection(request: HttpRequest, resource: Resource, target: Target) -> Predicate | None:
    """The predicate of a collection request: both selectors, and the name of a single watched object.

    Raises:
        BadRequest: a selector cannot be parsed.
    """
    selected = both(
        parse_label_selector(request.query.get("labelSelector", "")),
        parse_field_selector(request.query.get("fieldSelector", ""), resource),
    )
    if not target.name:
        return selected
    return both(lambda obj: key(obj).name == target.name, selected)


def _page(
    resource: Resource,
    found: Sequence[Obj],
    predicate: Predicate | None,
    revision: int,
    limit: int,
) -> dict[str, Any]:
    matching = found if predicate is None else [obj for obj in found if predicate(obj)]
    meta: dict[str, Any] = {"resourceVersion": str(revision)}
    if limit and len(matching) > limit:
        if predicate is None:
            meta["remainingItemCount"] = len(matching) - limit
        matching = matching[:limit]
        last = key(matching[-1])
        meta["continue"] = (
            base64.urlsafe_b64encode(msgspec.json.encode(_Token(revision, (last.namespace, last.name))))
            .decode()
            .rstrip("=")
        )
    kind = resource.kind
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": list(matching)}


def _read_token(text: str) -> _Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
    except (ValueError, msgspec.DecodeError) as error:
        raise BadRequest(f"invalid continue token: continue key is not valid: {error}") from error


def _revision(backend: Backend, text: str | None) -> int:
    """The wanted revision, 0 for any.

    Raises:
        BadRequest: it is not a number.
        Timeout: it is in the future, as after a restart with `--memory`.
    """
    if not text or text == "0":
        return 0
    if not text.isascii() or not text.isdigit():
        fault = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise BadRequest(f"invalid resource version: {fault}")
    revision = int(text)
    if revision > backend.store.revision:
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        raise Timeout(
            f"Timeout: Too large resource version: {revision}, current: {backend.store.revision}",
            details={"causes": causes, "retryAfterSeconds": 1},
        )
    return revision


def _bad_match(type_: str, value: str | None, detail: str) -> Exception:
    return invalid("meta.k8s.io", "ListOptions", "", [FieldError(type_, "resourceVersionMatch", value, detail)])
