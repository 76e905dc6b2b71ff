"""The default of every webhook: what a kind does not need, it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pykueue.api.errors import FieldError
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj
from pykueue.ports.admission import AdmissionRequest, MatchCondition, Operation
from pykueue.ports.reader import Reader

CREATE_ONLY: Sequence[Operation] = (Operation.CREATE,)
CREATE_AND_UPDATE: Sequence[Operation] = (Operation.CREATE, Operation.UPDATE)


class KindWebhook:
    """Admits everything unchanged; subclasses override what their kind needs (`ports.admission.Webhook`)."""

    kind: ClassVar[Kind]
    mutating_operations: ClassVar[Sequence[Operation]] = ()
    validating_operations: ClassVar[Sequence[Operation]] = CREATE_AND_UPDATE
    mutating_conditions: ClassVar[Sequence[MatchCondition]] = ()
    validating_conditions: ClassVar[Sequence[MatchCondition]] = ()
    validated_subresources: ClassVar[Sequence[str]] = ()
    skips_system_namespaces: ClassVar[bool] = False

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """See `ports.admission.Webhook.default`."""
        del reader
        return request.obj

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """See `ports.admission.Webhook.validate`."""
        del request, reader
        return ()
