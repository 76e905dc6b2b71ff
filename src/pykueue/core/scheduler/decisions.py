"""What a scheduling cycle decides: a closed union of values.

A decision says everything that the shell needs to write and to tell: conditions, events, metrics are derived from it. `controllers/admission.py`
turns decisions into commands; nothing here does.

Source: scheduling.md §5.6–§5.8, §8.6.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from pykueue.api.constants import Reason
from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Admission, PodSetRequest, Workload


class Admit(msgspec.Struct, frozen=True):
    """Quota is reserved, and perhaps the Workload admitted. It is assumed until the write is observed.

    Attributes:
        key: of the Workload.
        workload: the version that was decided on; the write is made against it.
        admission: for `status.admission`.
        is_admitted: every check that the assigned flavors require is Ready, so `Admitted=True` goes into the same write.
        flavors_considered: for the `QuotaReserved` event, empty if there is nothing to say.
        queued_since: when the Workload began to wait (µs), for the event and the metrics.
        is_second_pass: the Workload had quota already; only its places are new, and no events are repeated.
        replaces: the older slice of an elastic job that this one takes the place of; it is finished in the same chain of writes.
    """

    key: ObjectKey
    workload: Workload
    admission: Admission
    is_admitted: bool
    flavors_considered: str
    queued_since: Instant
    is_second_pass: bool = False
    replaces: Workload | None = None


class Pending(msgspec.Struct, frozen=True):
    """The Workload stays without quota.

    Attributes:
        key: of the Workload.
        workload: the version that was decided on.
        reason: of `QuotaReserved=False` with fine-grained reasons; `controllers` maps it where the gate is off.
        message: of the condition, and of the Warning event.
        requests: for `status.resourceRequests`.
        is_gated: `BlockedOnPreemptionGates=True` is written too.
        is_event_due: whether the Warning event goes with it.
    """

    key: ObjectKey
    workload: Workload
    reason: Reason
    message: str
    requests: tuple[PodSetRequest, ...]
    is_gated: bool = False
    is_event_due: bool = True


class SecondPassFailed(msgspec.Struct, frozen=True):
    """A Workload with quota found no places; it keeps the quota and is tried again (§3.8).

    Attributes:
        key: of the Workload.
        workload: the version that was decided on.
        message: of the Warning event.
    """

    key: ObjectKey
    workload: Workload
    message: str


class Victim(msgspec.Struct, frozen=True):
    """One Workload to preempt.

    Attributes:
        key: of the Workload.
        workload: the version that was decided on.
        reason: of `Preempted=True`.
        message: of `Preempted` and `Evicted`.
        event_note: of the victim's `Preempted` event.
        preemptor_note: of the preemptor's `PreemptedWorkload` event.
        is_evicted: it is being evicted already; it counts, but nothing is written.
    """

    key: ObjectKey
    workload: Workload
    cluster_queue: str
    reason: Reason
    message: str
    event_note: str
    preemptor_note: str
    is_evicted: bool = False


class Preempt(msgspec.Struct, frozen=True):
    """Victims make room; the preemptor goes on waiting.

    Attributes:
        key: of the preemptor.
        victims: in the order of the search.
        pending: what is written on the preemptor, or told of one that has quota already.
        failed_message: replaces the message of `pending` if no victim could be evicted.
    """

    key: ObjectKey
    victims: tuple[Victim, ...]
    pending: Pending | SecondPassFailed
    failed_message: str


class Evict(msgspec.Struct, frozen=True):
    """A Workload that has quota must give it up: there is no replacement for its node, or a better variant takes over.

    Attributes:
        key: of the Workload.
        workload: the version that was decided on.
        reason: of `Evicted=True`.
        message: of the condition and of the event.
        failed_message: why there is no replacement, told if that eviction cannot be written.
    """

    key: ObjectKey
    workload: Workload
    reason: Reason
    message: str
    failed_message: str = ""


Decision: TypeAlias = Admit | Preempt | Pending | SecondPassFailed | Evict


class CycleResult(msgspec.Struct, frozen=True):
    """One cycle.

    Attributes:
        number: of the cycle.
        decisions: in the order in which they were made.
        skipped: ClusterQueue to entries that were skipped although they wanted to preempt.
        recomputed: ClusterQueue and outcome of each entry that was judged again because its victims were taken:
            `new_targets`, `deferred_fit` or `skipped`.
        faults: Workloads that could not be judged for an error in our own code. They are told so, and wait.
    """

    number: int
    decisions: tuple[Decision, ...]
    skipped: dict[str, int]
    recomputed: tuple[tuple[str, str], ...] = ()
    faults: tuple[tuple[ObjectKey, Exception], ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether something was admitted or evicted."""
        return any(not isinstance(d, Pending | SecondPassFailed) for d in self.decisions)
