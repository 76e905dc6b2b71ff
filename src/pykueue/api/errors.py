"""Errors, by whose fault they are and what to do next.

| Kind | Form | Fault |
|---|---|---|
| not now | a value of the core (`Inadmissible`), never an exception | nobody |
| bad object | `list[FieldError]`, carried by `Invalid` or `Forbidden` | the user |
| bad configuration | `ConfigError` | the operator |
| the API said no | `ApiError`, one subclass per Kubernetes reason | the world |
| could not ask | `TransportError` | the world |
| our bug | `InvariantError` | us |

The shell decides what to do by `error.retry` alone. The embedded server raises the same `ApiError`s that the
client decodes, so that in-process and remote callers see one vocabulary.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Retry(enum.Enum):
    """What the shell does with a failed request."""

    NEVER = "never"
    BACKOFF = "backoff"
    """Ask again later, with a growing delay."""
    RELIST = "relist"
    """The watch cannot be resumed: list again."""


class PykueueError(Exception):
    """Base of all errors that this product raises on purpose."""

    retry = Retry.NEVER


class FieldError(msgspec.Struct, frozen=True):
    """One fault of one field, in the form of Kubernetes' `field.Error` (spec: webhooks.md §2).

    Attributes:
        type: `Invalid value`, `Required value`, `Forbidden`, `Duplicate value`, `Not found`, `Unsupported value`,
            `Too long`, `Too many`, `Internal error`.
        path: dotted path of the field.
        value: the value as printed, already rendered; None where the form has none.
        detail: what is wrong or what would make it right.
        cause: reason told in the causes of a Status where it is not the usual one of the type (`FieldValueTypeInvalid`).
    """

    type: str
    path: str
    value: str | None = None
    detail: str = ""
    cause: str = ""

    def __str__(self) -> str:
        parts = [self.path, self.type]
        if self.value is not None:
            parts.append(self.value)
        if self.detail:
            parts.append(self.detail)
        return ": ".join(parts)


def join_field_errors(errors: Sequence[FieldError]) -> str:
    """`e` for one, `[e1, e2]` for several, duplicates removed (spec: webhooks.md §2)."""
    texts = list(dict.fromkeys(map(str, errors)))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


class ApiError(PykueueError):
    """The API refused a request.

    Attributes:
        code: HTTP status.
        reason: Kubernetes' reason (`NotFound`, `Conflict`, ...).
        message: what a person reads.
        details: the `details` of the Status object, if any.
    """

    code = 500
    reason = "InternalError"
    retry = Retry.BACKOFF

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code

    def to_status(self) -> dict[str, Any]:
        """The `metav1.Status` object that says this."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details is not None:
            status["details"] = dict(self.details)
        return status


class BadRequest(ApiError):
    """The request cannot be understood."""

    code, reason, retry = 400, "BadRequest", Retry.NEVER


class Unauthorized(ApiError):
    """Who are you?"""

    code, reason, retry = 401, "Unauthorized", Retry.BACKOFF


class Forbidden(ApiError):
    """Not allowed, by authorization or by an admission webhook."""

    code, reason, retry = 403, "Forbidden", Retry.BACKOFF


class NotFound(ApiError):
    """No such object, kind or path."""

    code, reason, retry = 404, "NotFound", Retry.BACKOFF


class MethodNotAllowed(ApiError):
    """The resource does not support the verb."""

    code, reason, retry = 405, "MethodNotAllowed", Retry.NEVER


class NotAcceptable(ApiError):
    """None of the representations asked for can be served."""

    code, reason, retry = 406, "NotAcceptable", Retry.NEVER


class AlreadyExists(ApiError):
    """An object of that name exists."""

    code, reason, retry = 409, "AlreadyExists", Retry.BACKOFF


class Conflict(ApiError):
    """The object changed meanwhile, or another field manager owns the field."""

    code, reason, retry = 409, "Conflict", Retry.BACKOFF


class Expired(ApiError):
    """The resource version is too old: the watch or the continued list cannot be resumed."""

    code, reason, retry = 410, "Expired", Retry.RELIST


class RequestEntityTooLarge(ApiError):
    """The object is larger than the API takes."""

    code, reason, retry = 413, "RequestEntityTooLarge", Retry.NEVER


class UnsupportedMediaType(ApiError):
    """The body's content type is not one that the verb takes."""

    code, reason, retry = 415, "UnsupportedMediaType", Retry.NEVER


class Invalid(ApiError):
    """The object's fields are wrong; every fault is listed."""

    code, reason, retry = 422, "Invalid", Retry.BACKOFF


class TooManyRequests(ApiError):
    """The server asks for patience."""

    code, reason, retry = 429, "TooManyRequests", Retry.BACKOFF


class InternalError(ApiError):
    """The server failed."""

    code, reason, retry = 500, "InternalError", Retry.BACKOFF


class ServiceUnavailable(ApiError):
    """The server is not ready."""

    code, reason, retry = 503, "ServiceUnavailable", Retry.BACKOFF


class Timeout(ApiError):
    """The server gave up waiting."""

    code, reason, retry = 504, "Timeout", Retry.BACKOFF


_BY_REASON: dict[str, type[ApiError]] = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Expired,
        RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError, ServiceUnavailable, Timeout,
    )
}  # fmt: skip
_BY_CODE: dict[int, type[ApiError]] = {cls.code: cls for cls in _BY_REASON.values() if cls is not AlreadyExists}


def error_from_status(code: int, status: Mapping[str, Any]) -> ApiError:
    """Decode a `metav1.Status` (or whatever JSON came with an HTTP error) into the error it tells of."""
    reason = str(status.get("reason") or "")
    if reason == "Gone":
        reason = "Expired"
    cls = _BY_REASON.get(reason) or _BY_CODE.get(code) or (InternalError if code >= 500 else BadRequest)
    return cls(str(status.get("message") or f"HTTP {code}"), details=status.get("details"), code=code)


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> Invalid:
    """The API server's 422 for an object with field errors, with its causes."""
    qualified = f"{kind}.{group}" if group else kind
    causes = [
        {
            "reason": e.cause or _CAUSE_REASON.get(e.type, "FieldValueInvalid"),
            "message": str(FieldError(e.type, "", e.value, e.detail)).removeprefix(": "),
            "field": e.path,
        }
        for e in errors
    ]
    named = {"name": name, "group": group, "kind": kind}
    details = {**{key: value for key, value in named.items() if value}, "causes": causes}
    return Invalid(f'{qualified} "{name}" is invalid: {join_field_errors(errors)}', details=details)


_CAUSE_REASON = {
    "Invalid value": "FieldValueInvalid",
    "Required value": "FieldValueRequired",
    "Forbidden": "FieldValueForbidden",
    "Duplicate value": "FieldValueDuplicate",
    "Not found": "FieldValueNotFound",
    "Unsupported value": "FieldValueNotSupported",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
    "Internal error": "InternalError",
}


class TransportError(PykueueError):
    """The request could not be asked or its answer not be read; the library's error is the cause."""

    retry = Retry.BACKOFF


class ConfigError(PykueueError):
    """The operator's configuration is wrong; every fault is in one report.

    Attributes:
        source: file or flag.
        faults: one sentence each, with the path of the field.
    """

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        super().__init__(f"{source}: " + "; ".join(faults))
        self.source = source
        self.faults = tuple(faults)


class AddressError(ConfigError):
    """Nobody can listen there: the address is in use, or is not ours."""


class DataError(ConfigError):
    """The data directory cannot be used: it is damaged, in use, or of another version."""


class InvariantError(PykueueError):
    """Our bug. The cycle or request is given up, the state rebuilt; please report it with the story.

    Attributes:
        what: the invariant that does not hold.
        story: the facts at hand.
    """

    def __init__(self, what: str, story: str = "") -> None:
        super().__init__(f"{what} (this is a bug in pykueue; please report it){': ' + story if story else ''}")
        self.what = what
        self.story = story
