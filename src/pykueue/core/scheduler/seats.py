"""Seats kept for preemptors during one cycle: what they were promised counts as used, what their victims hold as free.

In that world everybody else is judged, so nobody counts on a seat that is taken, nor on a victim that leaves for somebody else. What is admitted
must also have room in the world as it is, where the victims still sit (`has_room_now`): otherwise it waits until they have left.

All changes happen inside the trials of the cycle; afterwards the cache is as it was. Without claims nothing here changes anything.

Neighbours: `preemption/claims.py` (the promises), `cycle.py` (who asks).

Source: docs/decisions/0009-safe-preemption.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from pykueue.api.objects import ObjectKey
from pykueue.core.cache.clusterqueue import Cache
from pykueue.core.cache.cohort import QuotaNode, QuotaTree
from pykueue.core.resources import FlavorResource
from pykueue.core.scheduler.preemption.claims import Claim
from pykueue.core.tas.ledger import Places
from pykueue.core.workload.info import Info


@dataclass(frozen=True, slots=True)
class _Promise:
    """Usage added in this cycle that is not an admission."""

    node: QuotaNode
    usage: Mapping[int, int]
    places: Sequence[Places]


@dataclass(slots=True)
class Seats:
    """The seats of one cycle.

    Attributes:
        cache: what holds quota.
        claims: the promises that bind others, the oldest first; none without the gate.
        leaving: victims that will have left soon, whoever they leave for; nobody without the gate.
        is_overdue: whether an evicted Workload should have left already; nobody's is without the gate.
        is_safe: whether an admission must also fit beside whoever is still leaving.
    """

    cache: Cache
    claims: Sequence[Claim] = ()
    leaving: Collection[ObjectKey] = ()
    is_overdue: Callable[[Info], bool] = lambda _: False
    is_safe: bool = False
    _kept: dict[ObjectKey, Claim] = field(default_factory=dict)
    _promises: list[_Promise] = field(default_factory=list)

    def trees(self) -> Iterator[QuotaTree]:
        """Everything that keeping the seats changes."""
        for node, _ in self._sitting():
            yield node.tree
        for claim in self.claims:
            leaf = self._leaf(claim)
            if leaf is not None:
                yield leaf.tree

    def keep(self) -> None:
        """Begin: from now on all promised seats are taken. Call it inside trials of the `trees` and of the ledger."""
        self._let_sit(-1)
        for claim in self.claims:
            self.take_again(claim.info.key)

    def of(self, key: ObjectKey) -> Claim | None:
        """The claim of a preemptor that seats are kept for."""
        return next((claim for claim in self.claims if claim.info.key == key), None)

    def give_up(self, key: ObjectKey) -> None:
        """It is the preemptor's turn: its seats are judged anew. Its victims are on their way all the same."""
        claim = self._kept.pop(key, None)
        if claim is not None:
            self._seat(claim, -1)

    def take_again(self, key: ObjectKey) -> None:
        """The preemptor lost its turn, but not its seats."""
        claim = self.of(key)
        if claim is not None:
            self._kept[key] = claim
            self._seat(claim, 1)

    def own_given_up(self, key: ObjectKey) -> AbstractContextManager[None]:
        """Judge a preemptor as if it had no seats yet; undone at the end of the block."""
        claim = self._kept.get(key)
        node = self._leaf(claim) if claim is not None else None
        return nullcontext() if claim is None or node is None else self._given_up(claim, node)

    @contextmanager
    def _given_up(self, claim: Claim, node: QuotaNode) -> Iterator[None]:
        with self.cache.trial(node.tree):
            self._seat(claim, -1)
            yield

    def promise(self, node: QuotaNode, usage: Mapping[int, int], places: Sequence[Places]) -> None:
        """Usage was added for somebody who is not admitted in this cycle."""
        if self.is_safe:
            self._promises.append(_Promise(node, dict(usage), places))

    def has_room_now(self, tree: QuotaTree, has_room: Callable[[], bool]) -> bool:
        """Whether there is room in the world as it is: without promises, and with everybody who is still leaving.

        Args:
            tree: where room is asked for.
            has_room: asks for it.
        """
        if not (self.claims or self.leaving or self._promises):
            return True
        with self.cache.trial(tree):
            for claim in self._kept.values():
                self._seat(claim, -1, within=tree)
            self._let_sit(1, within=tree)
            for promise in self._promises:
                self.cache.ledger.remove(promise.places)
                for i, amount in promise.usage.items() if promise.node.tree is tree else ():
                    promise.node.remove_usage(i, amount)
            return has_room()

    def _seat(self, claim: Claim, sign: int, *, within: QuotaTree | None = None) -> None:
        """Count what a preemptor was promised (1), or do not (-1); of quota only that in one tree, if one is given."""
        node = self._leaf(claim)
        if node is not None:
            self._shift(node, claim.usage, claim.places, sign, within)

    def _let_sit(self, sign: int, *, within: QuotaTree | None = None) -> None:
        """Count what those who leave hold (1), or do not (-1)."""
        for node, victim in self._sitting():
            self._shift(node, victim.usage, self.cache.ledger.of(victim.key), sign, within)

    def _shift(
        self, node: QuotaNode, usage: Mapping[FlavorResource, int], places: Sequence[Places], sign: int,
        within: QuotaTree | None,
    ) -> None:  # fmt: skip
        """Hold more (1) or less (-1). Quota is that of one tree; nodes are shared by all."""
        (self.cache.ledger.add if sign > 0 else self.cache.ledger.remove)(places)
        if within is None or node.tree is within:
            (node.hold if sign > 0 else node.give_back)(usage)

    def _leaf(self, claim: Claim) -> QuotaNode | None:
        queue = self.cache.queue(claim.info.cluster_queue)
        return queue.node if queue is not None else None

    def _sitting(self) -> Iterator[tuple[QuotaNode, Info]]:
        for key in self.leaving:
            held = self.cache.workloads.get(key)
            queue = self.cache.queue(held.cluster_queue) if held is not None else None
            if held is not None and queue is not None:
                yield queue.node, held
