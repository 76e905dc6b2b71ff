"""Calling webhooks, and saying no in the API server's words.

`mutate_with` and `validate_with` call one webhook; both forms of serving use them: `InProcessAdmission`, which the embedded API server
calls, and `webhook_server.py` behind TLS. Registrations are ordered by the name of their webhook configuration, as API
servers do. Source: webhooks.md §1, §2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pykueue.api.errors import ApiError, BadRequest, Forbidden, InternalError, join_field_errors
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.api.schema import shape_fault
from pykueue.ports.admission import AdmissionRequest, Webhook
from pykueue.ports.reader import Reader

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookSet:
    """What one manager registered.

    Attributes:
        configuration: name of the webhook configuration; decides the order between sets.
        webhooks: at most one per kind.
        reader: the cache that they look at.
        system_namespaces: where webhooks of jobs are not called.
    """

    configuration: str
    webhooks: Sequence[Webhook]
    reader: Reader
    system_namespaces: Sequence[str] = ("kube-system", "kueue-system")


class InProcessAdmission:
    """`ports.admission.AdmissionChain` over webhooks of this process."""

    def __init__(self, sets: Sequence[WebhookSet]) -> None:
        """Call these sets, in order of their configurations' names."""
        self._by_kind: dict[tuple[str, str], list[tuple[WebhookSet, Webhook]]] = {}
        for registered in sorted(sets, key=lambda one: one.configuration):
            for webhook in registered.webhooks:
                kind = webhook.kind
                self._by_kind.setdefault((kind.group, kind.plural), []).append((registered, webhook))

    def mutate(self, request: AdmissionRequest) -> Obj:
        """See `AdmissionChain.mutate`."""
        obj = request.obj
        for registered, webhook in self._called(request):
            if not is_mutated_by(webhook, request):
                continue
            current = _with_object(request, obj)
            try:
                obj = mutate_with(webhook, current, registered.reader)
            except ApiError as error:
                raise as_denial(mutating_name(webhook.kind), error) from error
        return obj

    def validate(self, request: AdmissionRequest) -> None:
        """See `AdmissionChain.validate`."""
        for registered, webhook in self._called(request):
            if not is_validated_by(webhook, request):
                continue
            try:
                validate_with(webhook, request, registered.reader)
            except ApiError as error:
                raise as_denial(validating_name(webhook.kind), error) from error

    def _called(self, request: AdmissionRequest) -> Sequence[tuple[WebhookSet, Webhook]]:
        return [
            (registered, webhook)
            for registered, webhook in self._by_kind.get((request.kind.group, request.kind.plural), ())
            if not (webhook.skips_system_namespaces and request.namespace in registered.system_namespaces)
        ]


class WebhookFault(InternalError):
    """A webhook failed by a bug of ours; the request is refused, since `failurePolicy` is `Fail`."""


def is_mutated_by(webhook: Webhook, request: AdmissionRequest) -> bool:
    """Whether the webhook's rules have the request mutated."""
    return not request.subresource and request.operation in webhook.mutating_operations


def is_validated_by(webhook: Webhook, request: AdmissionRequest) -> bool:
    """Whether the webhook's rules have the request validated."""
    covered = not request.subresource or request.subresource in webhook.validated_subresources
    return covered and request.operation in webhook.validating_operations


def mutate_with(webhook: Webhook, request: AdmissionRequest, reader: Reader) -> Obj:
    """The object after one webhook's defaults.

    Raises:
        ApiError: refused.
    """
    try:
        return webhook.default(request, reader)
    except ApiError:
        raise
    except Exception as fault:
        raise _fault(mutating_name(webhook.kind), request, fault) from fault


def validate_with(webhook: Webhook, request: AdmissionRequest, reader: Reader) -> None:
    """Have one webhook check the object.

    Raises:
        ApiError: refused; field errors as `Forbidden`, all in one text.
    """
    try:
        errors = webhook.validate(request, reader)
    except ApiError:
        raise
    except Exception as fault:
        raise _fault(validating_name(webhook.kind), request, fault) from fault
    if errors:
        raise Forbidden(join_field_errors(errors))


def mutating_name(kind: Kind) -> str:
    """`mpod.kb.io`."""
    return f"m{kind.kind.lower()}.kb.io"


def validating_name(kind: Kind) -> str:
    """`vpod.kb.io`."""
    return f"v{kind.kind.lower()}.kb.io"


def as_denial(webhook: str, error: ApiError) -> ApiError:
    """The refusal as the API server tells it, with the webhook's name."""
    if isinstance(error, WebhookFault):
        return InternalError(f'Internal error occurred: failed calling webhook "{webhook}": {error.message}')
    told = f'admission webhook "{webhook}" denied the request: {error.message}'
    return type(error)(told, details=error.details, code=error.code)


def _fault(webhook: str, request: AdmissionRequest, fault: Exception) -> ApiError:
    """Whose fault it is: the object's, if it has not the shape of its kind (spec: webhooks.md §2, undecodable object); else ours."""
    if (malformed := shape_fault(request.kind, request.obj)) is not None:
        return BadRequest(malformed)
    _log.exception("webhook %s: unexpected error with %s %s", webhook, request.namespace, request.name)
    return WebhookFault(f"unexpected error in pykueue: {fault!r}")


def _with_object(request: AdmissionRequest, obj: Obj) -> AdmissionRequest:
    if obj is request.obj:
        return request
    return AdmissionRequest(
        request.operation, request.kind, request.namespace, request.name, obj, request.old,
        request.subresource, request.username, request.dry_run,
    )  # fmt: skip
