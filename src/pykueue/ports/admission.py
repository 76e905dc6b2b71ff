"""The contract of admission webhooks: pure defaulting and validation.

A webhook gets the request and a `Reader`, and returns another object, or field errors. The same webhook is served over TLS
on a real cluster (`runtime/webhook_server.py`) and called in process by the embedded API server, through `AdmissionChain`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pykueue.api.errors import FieldError
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.ports.reader import Reader


class Operation(enum.Enum):
    """What is being done to the object."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class MatchCondition:
    """A condition under which an API server calls a webhook; where it is false, the call would change and refuse nothing.

    Attributes:
        name: unique within the webhook.
        expression: CEL over `object`, `oldObject` and `request`.
    """

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """One request under admission.

    Attributes:
        operation: what is done. Patches and applies arrive as UPDATE (or CREATE).
        kind: of the object, in the version the webhook registered for.
        namespace: of the object; empty for cluster-scoped kinds.
        name: may be empty on CREATE with `generateName`.
        obj: the object as it would be stored.
        old: the stored object; None on CREATE.
        subresource: `""` or for example `status`.
        username: who asks.
        dry_run: nothing will be stored.
    """

    operation: Operation
    kind: Kind
    namespace: str
    name: str
    obj: Obj
    old: Obj | None = None
    subresource: str = ""
    username: str = ""
    dry_run: bool = False


class Webhook(Protocol):
    """Admission of one kind. Subclasses implement what they need; the defaults admit unchanged."""

    @property
    def kind(self) -> Kind:
        """The kind it registered for."""
        ...

    @property
    def mutating_operations(self) -> Sequence[Operation]:
        """When `default` is called; empty for never."""
        ...

    @property
    def validating_operations(self) -> Sequence[Operation]:
        """When `validate` is called; empty for never."""
        ...

    @property
    def mutating_conditions(self) -> Sequence[MatchCondition]:
        """What must hold for `default` to have something to do; a server may ask anyway."""
        ...

    @property
    def validating_conditions(self) -> Sequence[MatchCondition]:
        """What must hold for `validate` to have something to find; a server may ask anyway."""
        ...

    @property
    def validated_subresources(self) -> Sequence[str]:
        """Sub-resources that are validated besides the object itself (Workload: `status`)."""
        ...

    @property
    def skips_system_namespaces(self) -> bool:
        """Whether the static namespaceSelector of job webhooks applies (spec: webhooks.md §1)."""
        ...

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """The object with defaults; `request.obj` itself if there is nothing to do.

        Raises:
            ApiError: the request is refused with this error's text.
        """
        ...

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """Every fault of the object; empty admits.

        Raises:
            ApiError: the request is refused with this error's text.
        """
        ...


class AdmissionChain(Protocol):
    """What an API server calls: all webhooks that registered for a kind, in order of their configurations' names."""

    def mutate(self, request: AdmissionRequest) -> Obj:
        """The object after all mutating webhooks.

        Raises:
            ApiError: `admission webhook "mpod.kb.io" denied the request: ...`.
        """
        ...

    def validate(self, request: AdmissionRequest) -> None:
        """Run all validating webhooks.

        Raises:
            ApiError: `admission webhook "vpod.kb.io" denied the request: ...`.
        """
        ...
