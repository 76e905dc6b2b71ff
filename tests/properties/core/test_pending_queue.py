"""The queue of shapes against its obvious twin: every Workload judged by itself, every step a walk over all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pykueue.api.configuration.types import Configuration
from pykueue.api.instant import Instant
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Workload
from pykueue.core.features import Features
from pykueue.core.queue.heads import PendingQueue, RequeueReason
from pykueue.core.queue.ordering import order_key
from pykueue.core.workload.info import Info, InfoMaker
from pykueue.core.workload.lifecycle import reactivation_state, waits_for_replacement
from pykueue.core.workload.requeue import is_backoff_over

NOW = Instant(1_700_000_000_000_000)
MAKER = InfoMaker(Configuration(), Features({}), lambda _: (), lambda _: None)
AT_ONCE = {
    RequeueReason.FAILED_AFTER_NOMINATION,
    RequeueReason.PENDING_PREEMPTION,
    RequeueReason.PREEMPTION_FAILED,
}
RECORDED = {RequeueReason.NO_FIT, RequeueReason.PREEMPTION_NO_CANDIDATES}


@dataclass
class Plain:
    """One Workload of the twin: where it is, and why."""

    info: Info
    where: str = "active"
    is_bypassed: bool = False
    evaluated: Info | None = None


@dataclass
class Twin:
    """§3.2 to §3.7, word for word."""

    is_strict: bool
    keeps_preemptors: bool
    all: dict[ObjectKey, Plain] = field(default_factory=dict)
    records: dict[str, tuple[str, str]] = field(default_factory=dict)
    sticky: tuple[ObjectKey, int] | None = None
    usage: dict[ObjectKey, float] = field(default_factory=dict)
    pops: int = 0
    retried_at: int = -1

    def key(self, info: Info) -> tuple[object, ...]:
        is_sticky = self.sticky is not None and self.sticky[0] == info.key
        usage = 0.0 if is_sticky and self.keeps_preemptors else self.usage.get(info.local_queue, 0.0)
        return (usage, *order_key(info, is_sticky=is_sticky))

    def push(self, info: Info) -> None:
        item = self.all.get(info.key)
        if item is not None:
            if item.where == "parked" and same(item.evaluated or item.info, info):
                item.info = info
                return
            if self.sticky is not None and self.sticky[0] == info.key:
                self.sticky = self.sticky if info.workload.metadata.generation == self.sticky[1] else None
        item = self.all[info.key] = Plain(info)
        if not may_be_tried(info):
            item.where = "parked"
        elif not self.is_strict and info.equivalence in self.records:
            item.where, item.is_bypassed = "parked", True

    def delete(self, key: ObjectKey) -> None:
        self.all.pop(key, None)
        if self.sticky is not None and self.sticky[0] == key:
            self.sticky = None

    def pop(self) -> ObjectKey | None:
        active = [item for item in self.all.values() if item.where == "active"]
        if not active:
            return None
        head = min(active, key=lambda item: self.key(item.info))
        head.where, head.evaluated = "in flight", head.info
        self.pops += 1
        return head.info.key

    def requeue(self, key: ObjectKey, reason: RequeueReason, record: tuple[str, str]) -> None:
        item = self.all[key]
        if reason is RequeueReason.PENDING_PREEMPTION and (self.keeps_preemptors or not self.is_strict):
            self.sticky = (key, item.info.workload.metadata.generation)
        at_once = (
            (self.is_strict and reason is not RequeueReason.NAMESPACE_MISMATCH)
            or reason in AT_ONCE
            or self.retried_at >= self.pops
        )
        if at_once and may_be_tried(item.info):
            item.where = "active"
            return
        item.where = "parked"
        if self.is_strict or reason not in RECORDED:
            return
        self.records[item.info.equivalence] = record
        for other in self.all.values():
            if other.where == "active" and other.info.equivalence == item.info.equivalence:
                other.where, other.is_bypassed, other.evaluated = "parked", True, None

    def wake(self, may_wake: Callable[[str], bool]) -> None:
        self.retried_at = self.pops
        self.records.clear()
        for item in self.all.values():
            if item.where == "parked" and may_be_tried(item.info) and may_wake(item.info.key.namespace):
                item.where, item.is_bypassed = "active", False


def may_be_tried(info: Info) -> bool:
    return is_backoff_over(info.workload, NOW) and not waits_for_replacement(info.workload)


def same(old: Info, new: Info) -> bool:
    return reactivation_state(old.workload) == reactivation_state(new.workload)


def make(name: int, cpu: int, priority: int, generation: int, blocked: str) -> Info:
    namespace = "ab"[name % 2]
    conditions = {
        "": [],
        "backoff": [{"type": "Requeued", "status": "False", "reason": "PodsReadyTimeout"}],
        "pods": [{"type": "WaitingForReplacementPods", "status": "True", "reason": "Preempted"}],
    }[blocked]
    container = {"name": "c", "resources": {"requests": {"cpu": str(cpu)}}}
    obj = {
        "metadata": {"name": f"w{name}", "namespace": namespace, "uid": f"{name}", "generation": generation},
        "spec": {
            "podSets": [{"name": "main", "count": 1, "template": {"spec": {"containers": [container]}}}],
            "queueName": f"lq{name // 2 % 2}",
            "priority": priority,
        },
        "status": {"conditions": conditions},
    }
    return MAKER.pending(msgspec.convert(obj, Workload), "cq")


names = st.integers(0, 7)
versions = st.tuples(
    names, st.integers(1, 2), st.integers(0, 1), st.integers(1, 2), st.sampled_from(("", "", "backoff", "pods"))
)
steps = st.one_of(
    st.tuples(st.just("push"), versions),
    st.tuples(
        st.just("cycle"), st.sampled_from([r for r in RequeueReason if r is not RequeueReason.PENDING_MIGRATION])
    ),
    st.tuples(st.just("wake"), st.sampled_from(("ab", "a", ""))),
    st.tuples(st.just("delete"), names),
    st.tuples(st.just("use"), st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 3))),
)


@settings(max_examples=300)
@given(st.booleans(), st.booleans(), st.booleans(), st.lists(steps, min_size=1, max_size=40))
def test_shapes_are_parked_as_their_members_would_be(
    is_strict: bool, keeps_preemptors: bool, is_by_usage: bool, play: list[tuple[str, object]]
) -> None:
    """After every step the same Workloads are active, parked, and bypassed, in the same order; each bypassed one was told that it waits."""
    queue = PendingQueue(is_strict=is_strict, keeps_preemptors=keeps_preemptors)
    twin = Twin(is_strict, keeps_preemptors)
    usage: dict[ObjectKey, float] = {}
    if is_by_usage:
        queue.order_by(lambda local_queue: usage.get(local_queue, 0.0))
        twin.usage = usage
    told: dict[ObjectKey, None] = {}
    for n, (what, value) in enumerate(play):
        match what, value:
            case "push", (int(), *_) as version:
                info = make(*version)  # type: ignore[arg-type]
                queue.push_or_update(info, NOW, keep_progress=False)
                twin.push(info)
                if queue.is_parked(info.key):
                    told[info.key] = None
            case "cycle", RequeueReason() as reason:
                head, want = queue.pop(), twin.pop()
                assert (head.info.key if head is not None else None) == want
                if want is not None:
                    told[want] = None  # the cycle tells its head why it waits
                    told |= dict.fromkeys(queue.requeue(want, reason, NOW, (f"r{n}", "m")))
                    twin.requeue(want, reason, (f"r{n}", "m"))
            case "wake", str() as namespaces:
                queue.wake(NOW, lambda namespace, allowed=namespaces: namespace in allowed)  # type: ignore[misc]
                twin.wake(lambda namespace, allowed=namespaces: namespace in allowed)  # type: ignore[misc]
            case "delete", int() as name:
                key = ObjectKey("ab"[name % 2], f"w{name}")
                queue.delete(key)
                twin.delete(key)
            case "use", (str() as namespace, int() as number, int() as amount):
                local_queue = ObjectKey(namespace, f"lq{number}")
                usage[local_queue] = float(amount)
                queue.reorder(local_queue)
        check(queue, twin, told)


def check(queue: PendingQueue, twin: Twin, told: dict[ObjectKey, None]) -> None:
    parked = {key for key, item in twin.all.items() if item.where == "parked"}
    assert {item.info.key for item in queue.parked()} == parked
    assert {key for key in twin.all if queue.is_parked(key)} == parked
    assert queue.has_heads == (len(parked) < len(twin.all))
    for namespace in "ab":
        assert queue.has_parked_in(namespace) == any(key.namespace == namespace for key in parked)
    order = sorted(twin.all.values(), key=lambda item: twin.key(item.info))
    assert [item.info for item in queue.ordered()] == [item.info for item in order]
    active = [item.info.key for item in order if item.where == "active"]
    head = queue.head()
    assert (head.info.key if head is not None else None) == (active[0] if active else None)
    for key, item in twin.all.items():
        want = twin.records.get(item.info.equivalence) if item.is_bypassed else None
        assert queue.bypassed(key) == want
        assert want is None or key in told
