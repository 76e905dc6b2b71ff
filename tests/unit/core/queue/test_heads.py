"""The queue of one ClusterQueue: who is first."""

from __future__ import annotations

import msgspec
import pytest

from pykueue.api.configuration.types import Configuration
from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features
from pykueue.core.queue.heads import PendingQueue, RequeueReason
from pykueue.core.workload.info import Info, InfoMaker

NOW = Instant(1_700_000_000_000_000)
MAKER = InfoMaker(Configuration(), Features({}), lambda _: (), lambda _: None)


def make(name: str, priority: int, generation: int = 1) -> Info:
    obj = {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "generation": generation},
        "spec": {"podSets": [{"name": "main", "count": 1, "template": {}}], "queueName": "lq", "priority": priority},
    }
    return MAKER.pending(msgspec.convert(obj, Workload), "cq")


def push(queue: PendingQueue, info: Info) -> None:
    queue.push_or_update(info, NOW, keep_progress=False)


@pytest.mark.parametrize(
    ("is_strict", "generation", "want"),
    [(False, 1, "preemptor"), (False, 2, "urgent"), (True, 1, "urgent")],
    ids=["sticky", "changed since", "a strict queue has none"],
)
def test_who_waits_for_victims_stays_first(is_strict: bool, generation: int, want: str) -> None:
    """A preemptor goes before what comes later, whatever its priority, until its spec changes."""
    queue = PendingQueue(is_strict=is_strict)
    push(queue, make("preemptor", 1))
    assert queue.pop() is not None
    queue.requeue(ObjectKey("ns", "preemptor"), RequeueReason.PENDING_PREEMPTION, NOW, ("", ""))
    push(queue, make("urgent", 9))
    push(queue, make("preemptor", 1, generation))
    head = queue.head()
    assert head is not None
    assert head.info.key.name == want
    assert queue.ordered()[0].info.key.name == want
