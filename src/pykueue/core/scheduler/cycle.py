"""One scheduling cycle: nominate each head alone, order them, then process them one by one against the same snapshot.

Everything that a cycle tries happens inside trials of the quota trees, so the cache is afterwards as it was; what is decided leaves as
decisions, and what becomes of the heads as entries for the queues. Nothing here assumes, requeues or writes.

Neighbours: `nominate.py` (flavors and victims of one head), `ordering.py`, `decisions.py`, `core/engine.py` (the loop around it).

Source: scheduling.md §5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from pykueue.api.constants import Reason
from pykueue.api.objects import ObjectKey
from pykueue.api.v1beta2 import Admission, ClusterQueue, PodSetAssignment, PodSetRequest
from pykueue.core.cache.cohort import QuotaNode
from pykueue.core.faults import fault_of
from pykueue.core.features import Features, Gate
from pykueue.core.queue.heads import RequeueReason
from pykueue.core.resources import format_amount, format_requests, sub
from pykueue.core.scheduler.assignment import Assignment, Mode
from pykueue.core.scheduler.decisions import Admit, Decision, Evict, Pending, Preempt, SecondPassFailed, Victim
from pykueue.core.scheduler.entry import Entry, Status
from pykueue.core.scheduler.flavor_assigner import Pins
from pykueue.core.scheduler.nominate import Nominator
from pykueue.core.scheduler.ordering import classical_order, fair_order, is_preemptor
from pykueue.core.scheduler.preemption.candidates import Demand, Target
from pykueue.core.scheduler.preemption.policy import preemption_message, priorities_note
from pykueue.core.scheduler.preemption.reprisal import returning_victims
from pykueue.core.scheduler.seats import Seats
from pykueue.core.scheduler.second_pass import renewed_admission
from pykueue.core.workload.info import Info
from pykueue.core.workload.lifecycle import has_closed_gate
from pykueue.core.workload.requeue import queued_since
from pykueue.core.workload.variants import flavor_of, last_acceptable, parent_of, rank

NO_LONGER_FITS = "Workload no longer fits after processing another workload"
OVERLAP = "Workload has overlapping preemption targets with another workload"
OVERLAP_DEFERRED = OVERLAP + ", but will fit after these preemptions complete"
PENDING_PREEMPTION = "Pending the preemption of {} workload(s)"
FITS_LATER = "Workload will fit after preemptions for other workloads complete"
PENDING_MIGRATION = "Pending the migration of 1 workload(s)"
BETTER_VARIANT = "A more favorable variant is already admitted"
BELOW_ACCEPTABLE = "Target flavor is below LastAcceptableFlavorName"
WAITING_FOR_PODS_READY = "waiting for all admitted workloads to be in PodsReady condition"


@dataclass(slots=True)
class Cycle:
    """State of one cycle.

    Attributes:
        nominator: judges heads.
        features: gates in force.
        is_fair: whether fair sharing orders the entries.
        is_blocked: some admitted Workload's pods are not ready and admission waits for that.
        skipped: entries per ClusterQueue that wanted to preempt and were skipped.
        seats: kept for preemptors of earlier cycles.
        is_leaving: whether the eviction of a Workload is decided already, though perhaps not seen.
        as_pending: a Workload that holds quota as it would wait if it were evicted.
        recomputed: see `CycleResult`.
    """

    nominator: Nominator
    features: Features
    is_fair: bool
    is_blocked: bool
    seats: Seats
    is_leaving: Callable[[ObjectKey], bool]
    as_pending: Callable[[Info], Info]
    decisions: list[Decision] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    recomputed: list[tuple[str, str]] = field(default_factory=list)
    victims: dict[int, list[Target]] = field(default_factory=dict)
    """Victims chosen so far, by identity of the tree."""

    def run(self, entries: Sequence[Entry]) -> None:
        """Decide about all entries; their status tells what became of each."""
        with ExitStack() as trials:
            trials.enter_context(self.nominator.cache.ledger.trial())
            trees = chain((e.queue.node.tree for e in entries if e.queue is not None), self.seats.trees())
            for tree in {id(tree): tree for tree in trees}.values():
                trials.enter_context(tree.trial())
            self.seats.keep()
            nominator = self.nominator.without(frozenset(self.seats.leaving))
            for entry in entries:
                self._guarded(entry, partial(self._nominate, entry, nominator))
            nominated = [entry for entry in entries if entry.status is Status.NOMINATED]
            stopped = False
            for entry in self._ordered(nominated):
                if stopped and not entry.is_second_pass:
                    entry.status = Status.BLOCKED
                    entry.requeue = RequeueReason.FAILED_AFTER_NOMINATION
                    continue
                self.seats.give_up(entry.info.key)
                self._guarded(entry, partial(self._process, entry))
                if entry.status in (Status.SKIPPED, Status.BLOCKED) and not entry.is_deferred:
                    self.seats.take_again(entry.info.key)
                stopped = entry.status is Status.BLOCKED
        self.decisions.extend(
            SecondPassFailed(entry.info.key, entry.info.workload, entry.message)
            if entry.is_second_pass
            else pending_decision(entry)
            for entry in entries
            if _is_status_due(entry)
        )

    def _guarded(self, entry: Entry, step: Callable[[], None]) -> None:
        """Take a step; an error in our own code is this entry's alone, and told as a value (`CycleResult.faults`)."""
        n_decisions = len(self.decisions)
        fault = fault_of(step)
        if fault is not None:
            del self.decisions[n_decisions:]
            entry.fail(fault)

    def _nominate(self, entry: Entry, nominator: Nominator) -> None:
        """Judge a head beside everybody else's seats, and without its own."""
        with self.seats.own_given_up(entry.info.key):
            nominator.nominate(entry)
            if self.seats.is_safe and entry.targets:
                self._spare_returning(entry, nominator)
        self._part_with_overdue(entry)

    def _spare_returning(self, entry: Entry, nominator: Nominator) -> None:
        """Look for other victims than those that would take their places back."""
        spared = returning_victims(entry, nominator, self.as_pending)
        if not spared:
            return
        others = nominator.without(frozenset(spared))
        others.nominate(entry)
        if entry.targets and returning_victims(entry, others, self.as_pending):
            entry.targets = []
        entry.spared = spared

    def _part_with_overdue(self, entry: Entry) -> None:
        """Nobody waits for victims of whom nobody knows when they leave."""
        entry.overdue = [target.info for target in entry.targets if self.seats.is_overdue(target.info)]
        if entry.overdue:
            entry.targets = []

    def _ordered(self, entries: Sequence[Entry]) -> Iterable[Entry]:
        """Those whose seats are kept, then those who wait for victims that leave already, then all others."""
        if not self.seats.is_safe:
            return self._by_rule(entries)
        by_key = {entry.info.key: entry for entry in entries}
        seated = [by_key.pop(claim.info.key) for claim in self.seats.claims if claim.info.key in by_key]
        left = list(by_key.values())
        waiting = [e for e in left if e.targets and all(target.info.is_evicted for target in e.targets)]
        return chain(seated, self._by_rule(waiting), self._by_rule([e for e in left if e not in waiting]))

    def _by_rule(self, entries: Sequence[Entry]) -> Iterable[Entry]:
        return fair_order(entries, self.features) if self.is_fair else classical_order(entries, self.features)

    def _process(self, entry: Entry) -> None:
        """The steps of §5.6 for one entry, in their order."""
        assert entry.queue is not None
        sibling = self._standing_sibling(entry)
        if sibling is not None and (kept := _why_sibling_stays(entry.queue.spec, sibling, entry.info)):
            entry.status = Status.SKIPPED
            entry.refuse(Reason.PENDING_EVALUATION, kept)
            return
        fits = self._refresh(entry)
        assignment = entry.assignment
        assert assignment is not None
        mode = assignment.mode
        if self._is_lost(entry, assignment):
            self._evict(entry, assignment)
            return
        if mode is Mode.NO_FIT:
            entry.status = Status.NOT_NOMINATED
            entry.refuse(assignment.no_fit_reason, assignment.message(), RequeueReason.NO_FIT)
            return
        if mode is Mode.PREEMPT and not entry.targets and not entry.is_deferred:
            self._reserve(entry, assignment)
            return
        if mode is Mode.PREEMPT and has_closed_gate(entry.info.workload, self.features):
            entry.status = Status.GATED
            text = "Workload requires preemption, but it's gated"
            entry.refuse(Reason.ADMISSION_GATED, text, RequeueReason.PREEMPTION_GATED)
            entry.pending.progress = None
            return
        if entry.is_deferred:
            self._defer(entry, assignment, OVERLAP_DEFERRED)
            return
        if self._overlaps(entry):
            self._skip(entry, OVERLAP, is_counted=True)
            return
        if not fits:
            self._skip(entry, NO_LONGER_FITS, is_counted=mode is Mode.PREEMPT)
            return
        if mode is Mode.FIT and not self._fits_now(entry, assignment):
            claim = self.seats.of(entry.info.key)
            n = len(claim.leaving) if claim is not None else 0
            self._defer(entry, assignment, PENDING_PREEMPTION.format(n) if n else FITS_LATER)
            return
        if self.is_blocked and not entry.is_second_pass and (mode is Mode.FIT or self.seats.is_safe):
            entry.status = Status.BLOCKED
            reason = Reason.WAITING_FOR_PODS_READY
            entry.refuse(reason, WAITING_FOR_PODS_READY, RequeueReason.FAILED_AFTER_NOMINATION)
            return
        self._use(entry.queue.node, assignment)
        if mode is Mode.PREEMPT:
            self.seats.promise(entry.queue.node, assignment.usage, assignment.places)
            self._preempt(entry, assignment)
        elif sibling is not None:
            self._migrate(entry, assignment, sibling)
        else:
            self._admit(entry, assignment)

    def _defer(self, entry: Entry, assignment: Assignment, message: str) -> None:
        """It will fit once all victims so far have left; until then its seats are taken (§5.6 g)."""
        assert entry.queue is not None
        entry.status, entry.is_deferred = Status.SKIPPED, True
        entry.refuse(Reason.WAITING_FOR_PREEMPTED_WORKLOADS, message, RequeueReason.PENDING_PREEMPTION)
        entry.pending.progress = None
        self._use(entry.queue.node, assignment)
        self.seats.promise(entry.queue.node, assignment.usage, assignment.places)

    def _fits_now(self, entry: Entry, assignment: Assignment) -> bool:
        assert entry.queue is not None
        node = entry.queue.node
        return self.seats.has_room_now(node.tree, lambda: self._has_room(node, assignment, with_places=True))

    def _refresh(self, entry: Entry) -> bool:
        """Whether the entry still fits; judges it again where its victims are taken (§5.6 b)."""
        assert entry.queue is not None
        gate = Gate.RECOMPUTE_ASSIGNMENT_UPON_PREEMPTION_TARGETS_OVERLAP
        if entry.targets and self.features[gate] and self._overlaps(entry):
            with self.nominator.cache.trial(entry.queue.node.tree):
                self._remove(entry, self._chosen(entry))
                self._renominate(entry)
            assert entry.assignment is not None
            entry.is_deferred = entry.assignment.mode is Mode.FIT
            found = "new_targets" if entry.assignment.mode is Mode.PREEMPT and entry.targets else "skipped"
            self.recomputed.append((entry.queue.name, "deferred_fit" if entry.is_deferred else found))
        return self._fits(entry) or self._fits_elsewhere(entry)

    def _fits_elsewhere(self, entry: Entry) -> bool:
        """Where only the places are taken meanwhile, look for others once, with the same flavors (tas.md §8 step 5)."""
        assert entry.assignment is not None
        gate = Gate.TAS_RECOMPUTE_ASSIGNMENT_WITHIN_SCHEDULING_CYCLE
        if not entry.assignment.places or not self.features[gate] or not self._fits(entry, with_places=False):
            return False
        self._renominate(entry)
        return self._fits(entry)

    def _renominate(self, entry: Entry) -> None:
        """Judge again with the same flavors; whoever leaves for somebody else, or would take its place back, is no victim."""
        assert entry.assignment is not None
        nominator = self.nominator.without(self._gone(entry).union(entry.spared))
        nominator.renominate(entry, _pins(entry.assignment))
        if self.seats.is_safe and entry.targets:
            spared = returning_victims(entry, nominator, self.as_pending)
            if spared:
                entry.targets, entry.spared = [], (*entry.spared, *spared)
        self._part_with_overdue(entry)

    def _fits(self, entry: Entry, *, with_places: bool = True) -> bool:
        """Whether the usage fits once all victims so far and its own are gone."""
        assert entry.queue is not None
        assert entry.assignment is not None
        node = entry.queue.node
        gone = list(self._chosen(entry))
        if not gone and not entry.targets:
            return self._has_room(node, entry.assignment, with_places=with_places)
        known = {target.info.key for target in gone}
        gone += [target for target in entry.targets if target.info.key not in known]
        if entry.replaces is not None and entry.replaces.key in known:
            return False
        with self.nominator.cache.trial(node.tree):
            self._remove(entry, gone)
            return self._has_room(node, entry.assignment, with_places=with_places)

    def _has_room(self, node: QuotaNode, assignment: Assignment, *, with_places: bool) -> bool:
        for i, amount in assignment.usage.items():
            if amount and amount > node.free(i):
                return False
        return not with_places or self.nominator.context.topologies.still_fits(assignment)

    def _chosen(self, entry: Entry) -> list[Target]:
        assert entry.queue is not None
        return self.victims.get(id(entry.queue.node.tree), [])

    def _gone(self, entry: Entry) -> frozenset[ObjectKey]:
        """Whoever leaves for somebody else."""
        return frozenset((*self.seats.leaving, *(target.info.key for target in self._chosen(entry))))

    def _overlaps(self, entry: Entry) -> bool:
        if not entry.targets:
            return False
        known = {target.info.key for target in self._chosen(entry)}
        return any(target.info.key in known for target in entry.targets)

    def _remove(self, entry: Entry, targets: Iterable[Target]) -> None:
        assert entry.queue is not None
        demand = Demand(entry.info, entry.queue, {}, (), self.nominator.cache)
        for target in targets:
            demand.remove(target.info)

    def _use(self, node: QuotaNode, assignment: Assignment) -> None:
        for i, amount in assignment.usage.items():
            node.add_usage(i, amount)
        self.nominator.cache.ledger.add(assignment.places)

    def _skip(self, entry: Entry, message: str, *, is_counted: bool) -> None:
        assert entry.queue is not None
        entry.status = Status.SKIPPED
        entry.refuse(Reason.WAITING_FOR_QUOTA, message, RequeueReason.FAILED_AFTER_NOMINATION)
        if not self.features[Gate.FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS]:
            entry.pending.progress = None
        if is_counted:
            self.skipped[entry.queue.name] = self.skipped.get(entry.queue.name, 0) + 1

    def _reserve(self, entry: Entry, assignment: Assignment) -> None:
        """Nobody can be preempted: keep the capacity that the entry has a right to, so that nobody takes it (§5.6 e)."""
        assert entry.queue is not None
        entry.status = Status.NOT_NOMINATED
        message = assignment.message()
        if entry.overdue:
            late = ", ".join(str(victim.key) for victim in entry.overdue)
            message += f". Preempted workloads have not left in time, and no quota is kept until they do: {late}"
        if entry.spared:
            spared = ", ".join(map(str, entry.spared))
            message += f". Workloads that would preempt it in turn are spared: {spared}"
        entry.refuse(Reason.WAITING_FOR_QUOTA, message, RequeueReason.PREEMPTION_NO_CANDIDATES)
        if entry.overdue:
            return
        always = entry.queue.spec.spec.preemption.reclaim_within_cohort == "Any"
        insists = self.features[Gate.PRIORITIZE_PREEMPTOR_WORKLOADS] and is_preemptor(entry)
        if always and not insists:
            return
        node = entry.queue.node
        reserved = reserved_amounts(node, assignment)
        for i, amount in reserved.items():
            node.add_usage(i, amount)
        self.nominator.cache.ledger.add(assignment.places)
        self.seats.promise(node, reserved, assignment.places)

    def _preempt(self, entry: Entry, assignment: Assignment) -> None:
        assert entry.queue is not None
        self.victims.setdefault(id(entry.queue.node.tree), []).extend(entry.targets)
        entry.status = Status.PREEMPTING
        n = len(entry.targets)
        base = assignment.message()
        reason = Reason.WAITING_FOR_PREEMPTED_WORKLOADS
        entry.refuse(reason, f"{base}. {PENDING_PREEMPTION.format(n)}", RequeueReason.PENDING_PREEMPTION)
        entry.pending.progress = None
        victims = tuple(self._victim(entry, target) for target in entry.targets)
        failed = f"{base}. Preempting {n} workload(s) failed, will retry."
        told: Pending | SecondPassFailed = pending_decision(entry)
        if entry.is_second_pass:
            told = SecondPassFailed(entry.info.key, entry.info.workload, entry.message)
        self.decisions.append(Preempt(entry.info.key, victims, told, failed))

    def _victim(self, entry: Entry, target: Target) -> Victim:
        assert entry.queue is not None
        queue = self.nominator.cache.queue(target.info.cluster_queue)
        assert queue is not None
        message = preemption_message(entry.info, entry.queue.node.path(), queue.node.path(), target.reason)
        note = priorities_note(entry.info, target.info)
        victim = target.info
        told = f"Preempted workload {victim.key} (UID: {victim.uid}) in ClusterQueue {victim.cluster_queue}{note}"
        return Victim(
            victim.key, victim.workload, victim.cluster_queue, target.reason, message, message + note, told,
            victim.is_evicted or self.is_leaving(victim.key),
        )  # fmt: skip

    def _is_lost(self, entry: Entry, assignment: Assignment) -> bool:
        """Whether a node of an admitted Workload is lost and there is no other (§5.6 c)."""
        if not entry.is_second_pass or not self.features[Gate.TAS_FAILED_NODE_REPLACEMENT_FAIL_FAST]:
            return False
        return bool(entry.info.workload.status.unhealthy_nodes) and assignment.mode is not Mode.FIT

    def _evict(self, entry: Entry, assignment: Assignment) -> None:
        entry.status = Status.EVICTED
        workload = entry.info.workload
        names = ",".join(node.name for node in workload.status.unhealthy_nodes)
        message = f"Workload was evicted as there was no replacement for unhealthy node(s): {names}"
        self.decisions.append(
            Evict(entry.info.key, workload, Reason.NODE_FAILURES, message, failed_message=assignment.message())
        )

    def _standing_sibling(self, entry: Entry) -> Info | None:
        """The variant of the same parent that holds quota (§15)."""
        parent = parent_of(entry.info.workload) if self.features[Gate.CONCURRENT_ADMISSION] else None
        if parent is None or entry.queue is None or entry.is_second_pass:
            return None
        held = (i for i in entry.queue.workloads.values() if (ref := parent_of(i.workload)) and ref.uid == parent.uid)
        return min(held, key=lambda info: info.key, default=None)

    def _migrate(self, entry: Entry, assignment: Assignment, sibling: Info) -> None:
        """The variant fits in a better flavor than the one that has quota: that one goes first (§5.6 m, §15)."""
        entry.status = Status.SKIPPED
        told = assignment.message()
        message = f"{told}. {PENDING_MIGRATION}" if told else PENDING_MIGRATION
        entry.refuse(Reason.WAITING_FOR_PREEMPTED_WORKLOADS, message, RequeueReason.PENDING_MIGRATION)
        entry.pending.progress = None
        if sibling.is_evicted:
            return
        why = f"Evicted to accommodate a workload (UID: {entry.info.uid}) due to migration to more favorable resource flavor"
        self.decisions.append(Evict(sibling.key, sibling.workload, Reason.FLAVOR_MIGRATION, why))

    def _admit(self, entry: Entry, assignment: Assignment) -> None:
        assert entry.queue is not None
        entry.status = Status.ASSUMED
        workload = entry.info.workload
        by_prefix = self.features[Gate.TAS_ASSIGNMENTS_ENCODING_BY_HOSTNAME_PREFIX]
        standing = workload.status.admission
        if entry.is_second_pass and standing is not None:
            admission = renewed_admission(standing, assignment, by_hostname_prefix=by_prefix)
        else:
            admission = make_admission(entry.queue.name, assignment, by_hostname_prefix=by_prefix)
        checks = entry.queue.checks
        flavors = {flavor for a in admission.pod_set_assignments for flavor in a.flavors.values()} if checks else ()
        required = required_checks(checks, flavors, entry.queue.uses_flavors)
        states = {check.name: check.state for check in workload.status.admission_checks}
        self.decisions.append(
            Admit(
                key=entry.info.key,
                workload=workload,
                admission=admission,
                is_admitted=all(states.get(name) == "Ready" for name in required) and not assignment.is_delayed,
                flavors_considered=assignment.considered(),
                queued_since=queued_since(workload),
                is_second_pass=entry.is_second_pass,
                replaces=entry.replaces.workload if entry.replaces is not None else None,
            )
        )


def reserved_amounts(node: QuotaNode, assignment: Assignment) -> dict[int, int]:
    """Capacity kept for an entry that cannot preempt, per number of flavor-resource (§5.6 e)."""
    if assignment.mode is not Mode.PREEMPT:
        return dict(assignment.usage)
    reserved: dict[int, int] = {}
    for i, amount in assignment.usage.items():
        limit = node.borrowing[i]
        if assignment.borrowing == 0:
            amount = max(0, min(amount, sub(node.nominal[i], node.usage[i])))
        elif limit is not None:
            amount = min(amount, sub(node.nominal[i] + limit, node.usage[i]))
        reserved[i] = amount
    return reserved


def make_admission(cluster_queue: str, assignment: Assignment, *, by_hostname_prefix: bool = True) -> Admission:
    """`status.admission` of an assignment (§6.10)."""
    return Admission(
        cluster_queue=cluster_queue,
        pod_set_assignments=tuple(
            PodSetAssignment(
                name=ps.name,
                flavors={r: ps.flavors[r].flavor for r in sorted(ps.flavors)},
                resource_usage={r: format_amount(r, ps.requests[r]) for r in sorted(ps.flavors)},
                count=ps.count,
                topology_assignment=(
                    ps.places.assignment(by_hostname_prefix=by_hostname_prefix) if ps.places is not None else None
                ),
                delayed_topology_request="Pending" if ps.is_delayed else None,
            )
            for ps in assignment.pod_sets
        ),
    )


def required_checks(
    checks: Mapping[str, tuple[str, ...]], assigned: Iterable[str] | None, all_flavors: Iterable[str]
) -> tuple[str, ...]:
    """Admission checks that a Workload needs, sorted (§12).

    Args:
        checks: of the ClusterQueue, with the flavors each is for.
        assigned: flavors of the reservation; None without one, then only checks for all flavors count.
        all_flavors: of the ClusterQueue.
    """
    if not checks:
        return ()
    covered = set(all_flavors)
    chosen = None if assigned is None else set(assigned)
    return tuple(
        sorted(
            name
            for name, flavors in checks.items()
            if not flavors or (covered <= set(flavors) if chosen is None else bool(chosen & set(flavors)))
        )
    )


def _why_sibling_stays(queue: ClusterQueue, sibling: Info, info: Info) -> str:
    """Why a variant does not take the place of the one that has quota; empty if it may (§5.6 a, §15)."""
    flavor = rank(queue, flavor_of(info.workload))
    if rank(queue, flavor_of(sibling.workload)) < flavor:
        return BETTER_VARIANT
    return BELOW_ACCEPTABLE if flavor > last_acceptable(queue) else ""


def pending_decision(entry: Entry) -> Pending:
    """What is written on an entry that stays without quota (§5.7)."""
    return Pending(
        entry.info.key,
        entry.info.workload,
        entry.reason,
        entry.message,
        tuple(PodSetRequest(name=ps.name, resources=format_requests(ps.requests)) for ps in entry.info.pod_sets),
        is_gated=entry.status is Status.GATED,
        is_event_due=entry.status is not Status.BLOCKED,
    )


def _is_status_due(entry: Entry) -> bool:
    blocked = entry.status is Status.BLOCKED and bool(entry.message)
    return blocked or entry.status in (Status.NOT_NOMINATED, Status.SKIPPED, Status.GATED)


def _pins(assignment: Assignment) -> Pins:
    """The flavors that an assignment has chosen."""
    return {ps.name: {r: c.flavor for r, c in ps.flavors.items()} for ps in assignment.pod_sets}
