"""What would the scheduler decide: now, or if something were different.

A `WhatIf` is about one waiting Workload. It runs the scheduler's own cycle with that Workload as the only head, against the state as it is with a
`Change` applied, inside of trials that are undone exactly. If asked, those ahead in the queue take what they would take first: a quota that
only they would get is no help to who comes after them.

Those ahead are asked shape by shape: who is equal to one that was refused is refused too, for meanwhile nothing was given back. So a long queue
costs as many decisions as it has shapes, and as many more as are admitted.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec

from pykueue.api.instant import Instant
from pykueue.api.v1beta2 import ResourceFlavor
from pykueue.core.cache.clusterqueue import Cache, ClusterQueueState
from pykueue.core.cache.cohort import QuotaTree
from pykueue.core.queue.heads import Pending
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.cycle import Cycle
from pykueue.core.scheduler.entry import Entry, Status
from pykueue.core.scheduler.preemption.candidates import Demand
from pykueue.core.workload.info import UNKNOWN_HASH, Info
from pykueue.core.workload.lifecycle import waits_for_replacement
from pykueue.core.workload.requeue import is_backoff_over

DECISIONS_MAX = 50
"""Decisions that one search may cost, beyond which those ahead are not asked any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """What would be different.

    Attributes:
        quota: more nominal quota of the Workload's ClusterQueue.
        gone: Workloads that hold nothing any more.
        flavors: flavors that are otherwise than they are.
        counts: pod sets of the Workload with another number of pods.
    """

    quota: Mapping[FlavorResource, int] = field(default_factory=dict)
    gone: tuple[Info, ...] = ()
    flavors: Mapping[str, ResourceFlavor] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


NOTHING = Change()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the scheduler would decide.

    Attributes:
        entry: of the Workload, after the cycle; of who blocks it, if somebody does.
        goes_first: who would be admitted before it.
        is_blocked: somebody ahead in a strict queue does not fit.
    """

    entry: Entry
    goes_first: tuple[str, ...] = ()
    is_blocked: bool = False

    @property
    def is_admitted(self) -> bool:
        """Whether the Workload gets its quota."""
        return self.entry.status is Status.ASSUMED and not self.is_blocked


class WhatIf:
    """Asks about one waiting Workload."""

    def __init__(
        self,
        item: Pending,
        queue: ClusterQueueState,
        ahead: Sequence[Pending],
        make_cycle: Callable[[], Cycle],
        *,
        now: Instant,
    ) -> None:
        """About a Workload.

        Args:
            item: its place in the queue.
            queue: its ClusterQueue.
            ahead: who comes before it, in order.
            make_cycle: the scheduler, a new one for each question.
            now: Instant (µs); who waits for a backoff to end is passed over.
        """
        self.item = item
        self.queue = queue
        self._n_decisions = 0
        self._make_cycle = make_cycle
        self._is_strict = queue.spec.spec.queueing_strategy == "StrictFIFO"
        self._now = now
        self._ahead = ahead

    @cached_property
    def _shapes(self) -> list[list[int]]:
        """Places of those ahead who may be tried, by shape; each list and all of them in order."""
        shapes: dict[object, list[int]] = {}
        for i, item in enumerate(self._ahead):
            info = item.info
            # Who waits in a shape may be tried; who is parked by itself perhaps not.
            if item.shape is None and not (
                is_backoff_over(info.workload, self._now) and not waits_for_replacement(info.workload)
            ):
                continue
            shape = i if info.equivalence == UNKNOWN_HASH else (info.equivalence, info.local_queue)
            shapes.setdefault(shape, []).append(i)
        return list(shapes.values())

    @property
    def is_spent(self) -> bool:
        """Whether enough was asked since `begin`."""
        return self._n_decisions >= DECISIONS_MAX

    @property
    def flavors(self) -> Mapping[str, ResourceFlavor]:
        """ResourceFlavors by name, as they are."""
        return self._make_cycle().nominator.context.flavors

    def begin(self) -> None:
        """A new search, with a new allowance of decisions."""
        self._n_decisions = 0

    @property
    def has_ahead(self) -> bool:
        """Whether anybody is ahead."""
        return bool(self._shapes)

    def ask(self, change: Change = NOTHING, *, with_ahead: bool = False) -> Answer:
        """The decision; with those ahead served first, or as if there were nobody."""
        with ExitStack() as trials:
            make_cycle = self._changed(change, trials)
            goes_first: list[str] = []
            blocker = self._serve_ahead(make_cycle, goes_first) if with_ahead else None
            if blocker is not None:
                return Answer(blocker, tuple(goes_first), is_blocked=True)
            return Answer(self._decide(make_cycle(), _resized(self.item.info, change.counts)), tuple(goes_first))

    def _changed(self, change: Change, trials: ExitStack) -> Callable[[], Cycle]:
        """Makes cycles on the changed state; the trials undo the change."""
        cache = self._make_cycle().nominator.cache
        for tree in self._trees(change, cache):
            trials.enter_context(cache.trial(tree))
        node = self.queue.node
        for item, amount in change.quota.items():
            node.tree.raise_nominal(node, node.tree.number(item), amount)
        demand = Demand(self.item.info, self.queue, {}, (), cache)
        for info in change.gone:
            demand.remove(info)
        gone = frozenset(info.key for info in change.gone)

        def make_cycle() -> Cycle:
            cycle = self._make_cycle()
            preemptor = replace(cycle.nominator.preemptor, gone=gone)
            context = cycle.nominator.context
            context = replace(context, oracle=preemptor, flavors={**context.flavors, **change.flavors})
            # Who is gone does not leave any more: what it held is taken away once.
            seats = replace(cycle.seats, leaving=[key for key in cycle.seats.leaving if key not in gone])
            nominator = replace(cycle.nominator, preemptor=preemptor, context=context)
            return replace(cycle, nominator=nominator, seats=seats)

        return make_cycle

    def _trees(self, change: Change, cache: Cache) -> Iterator[QuotaTree]:
        """The quota trees that the change touches, each once."""
        seen = {id(self.queue.node.tree)}
        yield self.queue.node.tree
        for info in change.gone:
            queue = cache.queue(info.cluster_queue)
            assert queue is not None
            if id(queue.node.tree) not in seen:
                seen.add(id(queue.node.tree))
                yield queue.node.tree

    def _serve_ahead(self, make_cycle: Callable[[], Cycle], goes_first: list[str]) -> Entry | None:
        """Let those ahead take what they get.

        Returns:
            who keeps the rest from being tried: it does not fit in a strict queue, or enough was asked. None if nobody does.
        """
        waiting = [(places[0], 0, places) for places in self._shapes]
        while waiting:
            i, n, places = heapq.heappop(waiting)
            cycle = make_cycle()
            entry = self._decide(cycle, self._ahead[i].info)
            if self.is_spent:
                return entry
            if entry.status is Status.ASSUMED:
                goes_first.append(str(entry.info.key))
                self._use(cycle, entry)
                if n + 1 < len(places):
                    heapq.heappush(waiting, (places[n + 1], n + 1, places))
            elif self._is_strict:
                return entry
        return None

    def _decide(self, cycle: Cycle, info: Info) -> Entry:
        """One cycle with one head; a place of its own in the queue, so that nothing remembers the question."""
        self._n_decisions += 1
        entry = Entry(info, Pending(info), self.queue)
        cycle.run([entry])
        return entry

    def _use(self, cycle: Cycle, entry: Entry) -> None:
        assert entry.assignment is not None
        for i, amount in entry.assignment.usage.items():
            self.queue.node.add_usage(i, amount)
        cycle.nominator.cache.ledger.add(entry.assignment.places)


def _resized(info: Info, counts: Mapping[str, int]) -> Info:
    """The Workload with other numbers of pods, none of which may be reduced further."""
    if not counts:
        return info
    pod_sets = [
        msgspec.structs.replace(ps.scaled_to(counts[ps.name]), min_count=None) if ps.name in counts else ps
        for ps in info.pod_sets
    ]
    return msgspec.structs.replace(info, pod_sets=tuple(pod_sets))
