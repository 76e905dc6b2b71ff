"""Whose fault it is when a webhook stumbles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pykueue.api.errors import ApiError, FieldError
from pykueue.api.kinds import CLUSTER_QUEUE
from pykueue.api.objects import Obj
from pykueue.core.features import Features
from pykueue.ports.admission import AdmissionRequest, Operation
from pykueue.ports.reader import Reader
from pykueue.runtime.admission import InProcessAdmission, WebhookSet
from pykueue.webhooks.base import CREATE_ONLY, KindWebhook
from pykueue.webhooks.kueue.clusterqueue import ClusterQueueWebhook
from support.reconciling import World


class Broken(KindWebhook):
    """A webhook with a bug."""

    kind = CLUSTER_QUEUE
    mutating_operations = CREATE_ONLY

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        raise ZeroDivisionError

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        return ()


def refusal(webhook: KindWebhook, spec: Any) -> ApiError:
    chain = InProcessAdmission([WebhookSet("ours", [webhook], World().reader)])
    obj = {"apiVersion": CLUSTER_QUEUE.api_version, "kind": "ClusterQueue", "metadata": {"name": "cq"}, "spec": spec}
    with pytest.raises(ApiError) as caught:
        chain.mutate(AdmissionRequest(Operation.CREATE, CLUSTER_QUEUE, "", "cq", obj))
    return caught.value


def test_a_malformed_object_is_the_users_fault() -> None:
    """The answer is 400, and names the field."""
    error = refusal(ClusterQueueWebhook(Features()), {"resourceGroups": [5]})
    assert (error.code, error.reason) == (400, "BadRequest")
    want = 'admission webhook "mclusterqueue.kb.io" denied the request: '
    assert error.message == want + "spec.resourceGroups[0]: must be of type object, not integer"


def test_a_bug_is_ours() -> None:
    """The answer is 500, as for a webhook that cannot be called."""
    error = refusal(Broken(), {})
    assert (error.code, error.reason) == (500, "InternalError")
    assert error.message.startswith('Internal error occurred: failed calling webhook "mclusterqueue.kb.io"')
