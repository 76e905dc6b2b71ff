"""Which flavors a Workload gets, and how: at once, by preemption, or not.

Pod sets are taken in units (a pod set, or a group that shares its flavors); a unit's resources are decided per resource group; a
resource group's flavors are tried in the queue's order, from where the last search stopped. The search for victims is asked of an
`Oracle`, so this module knows nothing of candidates; placement in topologies is asked of `Topologies`, by the nominator, and comes last.

Source: scheduling.md §6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pykueue.api.constants import Annotation, Reason
from pykueue.api.v1beta2 import ResourceFlavor, ResourceGroup
from pykueue.core.cache.clusterqueue import ClusterQueueState
from pykueue.core.features import Features, Gate
from pykueue.core.resources import PODS, FlavorResource, add, fnv1a, format_amount, sub
from pykueue.core.scheduler.affinity import matches_affinity, untolerated_taint
from pykueue.core.scheduler.assignment import (
    NO_FIT_SEVERITY,
    Assignment,
    Attempt,
    FlavorChoice,
    Mode,
    PodSetResult,
    QuotaFacts,
    ScanProgress,
)
from pykueue.core.workload.info import Info, PodSetInfo

Pins = Mapping[str, Mapping[str, str]]
"""Pod set and resource to the only flavor that may be used (§5.6 b)."""


class Oracle(Protocol):
    """Answers what preemption could do for one flavor-resource."""

    def simulate(self, info: Info, queue: ClusterQueueState, item: int, amount: int) -> tuple[Mode, int]:
        """NO_CANDIDATES, PREEMPT or RECLAIM, and the borrowing level once the victims are gone (§9.5)."""
        ...


class Topologies(Protocol):
    """Answers what flavors' topologies mean for a pod set."""

    def refuses(self, pod_set: PodSetInfo, flavor: ResourceFlavor, queue: ClusterQueueState) -> str | None:
        """Why the pod set cannot use the flavor as far as topology goes; None if it can (§6.2 step 3)."""
        ...

    def place(self, info: Info, assignment: Assignment) -> None:
        """Find places for all pod sets, or lower the modes and tell why (tas.md §8 steps 1, 2)."""
        ...

    def replace_nodes(self, info: Info, assignment: Assignment, nodes: Sequence[str]) -> None:
        """Find other places for the pods on lost nodes, or tell why there are none (tas.md §9.2)."""
        ...

    def place_beside(self, info: Info, assignment: Assignment) -> None:
        """Note the places that there are now, with the victims removed (tas.md §8 step 4)."""
        ...

    def fitter(self, info: Info, assignment: Assignment) -> Callable[[], bool]:
        """A question to ask while victims are removed and put back: whether all pods find a place now (tas.md §8 step 3)."""
        ...

    def still_fits(self, assignment: Assignment) -> bool:
        """Whether the places noted have room now (tas.md §8 step 6)."""
        ...


@dataclass(frozen=True, slots=True)
class AssignerContext:
    """What every assignment of a cycle shares.

    Attributes:
        flavors: ResourceFlavors by name.
        features: gates in force.
        ignores_undeclared: whether resources that no group covers are ignored.
        is_fair: whether fair sharing is on.
        oracle: of preemption.
        topologies: of topology.
        cycle: number of the scheduling cycle.
    """

    flavors: Mapping[str, ResourceFlavor]
    features: Features
    ignores_undeclared: bool
    is_fair: bool
    oracle: Oracle
    topologies: Topologies
    cycle: int


@dataclass(slots=True)
class _GroupOutcome:
    """Of one resource group of one unit."""

    choices: dict[str, FlavorChoice] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    no_fit: Reason | None = None


def assign(
    info: Info,
    queue: ClusterQueueState,
    context: AssignerContext,
    *,
    progress: ScanProgress | None = None,
    counts: Sequence[int] | None = None,
    pins: Pins | None = None,
    replaces: Info | None = None,
) -> Assignment:
    """Find flavors for a Workload.

    Args:
        info: the Workload.
        queue: its ClusterQueue, as of now (a trial may be under way).
        context: of the cycle.
        progress: of the last attempt, if still valid (`valid_progress`).
        counts: pods per pod set, if not all (partial admission).
        pins: flavors that were nominated before; nothing else may be used.
        replaces: the older slice of an elastic job; its flavors are kept and only the increase counts.
    """
    pod_sets = info.pod_sets
    if counts is not None:
        pod_sets = tuple(ps.scaled_to(n) if n != ps.count else ps for ps, n in zip(pod_sets, counts, strict=True))
    return _Assigner(info, queue, context, progress, pins, replaces).run(pod_sets)


def valid_progress(
    progress: ScanProgress | None, info: Info, queue: ClusterQueueState, cycle: int, features: Features
) -> ScanProgress | None:
    """The progress if the search may go on from it, else None (§6.3)."""
    if progress is None or not features[Gate.FLAVOR_FUNGIBILITY]:
        return None
    if features[Gate.FLAVOR_FUNGIBILITY_PRESERVE_SCAN_PROGRESS]:
        if progress.equivalence and progress.equivalence != info.equivalence:
            return None
        if cycle - progress.cycle <= 1:
            return progress
    return None if queue.generation > progress.generation else progress


def is_preferred(a: tuple[Mode, int], b: tuple[Mode, int], preference: str | None) -> bool:
    """Whether mode and borrowing level `a` are better than `b` (§6.4)."""
    if a[0] is Mode.NO_FIT:
        return False
    if b[0] is Mode.NO_FIT:
        return True
    if a[0] is not Mode.NO_CANDIDATES and b[0] is Mode.NO_CANDIDATES:
        return True
    if a[0] is Mode.NO_CANDIDATES and b[0] is not Mode.NO_CANDIDATES:
        return False
    if preference == "PreemptionOverBorrowing":
        return a[1] < b[1] or (a[1] == b[1] and a[0] > b[0])
    return a[0] > b[0] or (a[0] == b[0] and a[1] < b[1])


@dataclass(slots=True)
class _Assigner:
    """One run; holds what the steps share. See `assign`."""

    info: Info
    queue: ClusterQueueState
    context: AssignerContext
    progress: ScanProgress | None
    pins: Pins | None
    replaces: Info | None
    usage: dict[int, int] = field(default_factory=dict)
    borrowing: int = 0

    def run(self, pod_sets: Sequence[PodSetInfo]) -> Assignment:
        results: list[PodSetResult] = []
        for unit in _units(pod_sets):
            if not self._assign_unit(unit[0], [pod_sets[i] for i in unit], results):
                break
        if len(results) > 1:
            order = {ps.name: i for i, ps in enumerate(pod_sets)}
            results.sort(key=lambda result: order[result.name])
        tried = tuple([{r: c.tried for r, c in ps.flavors.items()} for ps in results])
        progress = ScanProgress(tried, self.queue.generation, self.context.cycle, self.info.equivalence)
        return Assignment(results, self.usage, self.borrowing, progress)

    def _assign_unit(self, first: int, unit: Sequence[PodSetInfo], results: list[PodSetResult]) -> bool:
        """Find flavors for a unit; whether there are some.

        Args:
            first: where the unit begins among all pod sets.
            unit: its pod sets.
            results: to be added to.
        """
        own = [self._requests(pod_set) for pod_set in unit]
        requests = own[0] if len(unit) == 1 else _sum(own)
        found = self._assign_groups(first, unit, requests)
        for pod_set, asked in zip(unit, own, strict=True):
            flavors = {name: found.choices[name] for name in asked if name in found.choices}
            results.append(
                PodSetResult(
                    pod_set.name, pod_set.count, asked, flavors, list(found.reasons), None, list(found.attempts),
                    found.no_fit,
                )
            )  # fmt: skip
            for name, choice in flavors.items():
                amount = self._beyond_held(name, asked[name])
                self.usage[choice.item] = add(self.usage.get(choice.item, 0), amount)
                self.borrowing = max(self.borrowing, choice.borrowing)
        return found.no_fit is None

    def _assign_groups(self, first: int, unit: Sequence[PodSetInfo], requests: Mapping[str, int]) -> _GroupOutcome:
        """Every resource group that the unit needs something of; the first that cannot be had is the outcome of all."""
        found: dict[int, _GroupOutcome] = {}
        for name in _in_hash_order(requests):
            group = self.queue.group_of.get(name)
            if group is None:
                if requests[name] == 0 or self.context.ignores_undeclared:
                    continue
                reasons = [f"resource {name} unavailable in ClusterQueue"]
                return _GroupOutcome(reasons=reasons, no_fit=Reason.NO_MATCHING_FLAVOR)
            if group in found:
                continue
            outcome = self._assign_group(first, unit, requests, self.queue.groups[group], name)
            if outcome.no_fit is not None:
                return outcome
            found[group] = outcome
        if len(found) == 1:
            return next(iter(found.values()))
        total = _GroupOutcome()
        for outcome in found.values():
            total.choices |= outcome.choices
            total.reasons += outcome.reasons
            total.attempts += outcome.attempts
        for group, outcome in found.items():
            # Kueue parity: scheduling.md §5.8, with several resource groups the flavors that a search did not come to are told too.
            total.attempts += _passed_over(self.queue.groups[group], outcome, requests)
        return total

    def _requests(self, pod_set: PodSetInfo) -> Mapping[str, int]:
        return {**pod_set.requests, PODS: pod_set.count} if self.queue.covers_pods else pod_set.requests

    def _beyond_held(self, resource: str, request: int) -> int:
        """What is asked for beyond what the replaced slice holds of a resource."""
        if self.replaces is None:
            return max(0, request)
        held = sum(amount for item, amount in self.replaces.usage.items() if item.resource == resource)
        return max(0, request - held)

    def _assign_group(
        self,
        first: int,
        unit: Sequence[PodSetInfo],
        requests: Mapping[str, int],
        group: ResourceGroup,
        trigger: str,
    ) -> _GroupOutcome:
        """Try the flavors of one resource group (§6.2)."""
        asked = {name: requests[name] for name in group.covered_resources if name in requests}
        policy = self.queue.spec.spec.flavor_fungibility
        fungible = self.context.features[Gate.FLAVOR_FUNGIBILITY]
        outcome = _GroupOutcome()
        best = (Mode.NO_FIT, 0)
        best_choices: dict[str, FlavorChoice] = {}
        last = len(group.flavors) - 1
        index = _start(self.progress, first, trigger, last) if self.progress is not None else 0
        while index <= last:
            flavor = group.flavors[index].name
            attempt = Attempt(flavor)
            outcome.attempts.append(attempt)
            choices = self._try_flavor(unit, asked, attempt)
            if attempt.reasons:
                outcome.reasons += [r for r in attempt.reasons if r not in outcome.reasons]
            now = (attempt.mode, attempt.borrowing)
            if fungible and not _try_next(now, policy.when_can_borrow, policy.when_can_preempt):
                best, best_choices = now, choices
                break
            better = is_preferred(now, best, policy.preference) if fungible else now[0] > best[0]
            if better:
                best, best_choices = now, choices
                if not fungible and now[0] is Mode.FIT:
                    break
            index += 1
        if best[0] is Mode.NO_FIT:
            outcome.no_fit = _least_severe(outcome.attempts)
            return outcome
        if index < last:
            best_choices = {
                r: FlavorChoice(c.flavor, c.mode, c.borrowing, index, c.item) for r, c in best_choices.items()
            }
        outcome.choices = best_choices
        if best[0] is Mode.FIT:
            outcome.reasons = []
        return outcome

    def _try_flavor(
        self, unit: Sequence[PodSetInfo], asked: Mapping[str, int], attempt: Attempt
    ) -> dict[str, FlavorChoice]:
        """Judge one flavor for all asked resources; fills the attempt in."""
        reason = self._mismatch(unit, asked, attempt.flavor)
        reasons = [reason] if reason is not None else []
        if reason is None and self.replaces is not None:
            reasons = _leaves_slice(self.replaces, asked, attempt.flavor)
        for text in reasons:
            _refuse(attempt, text, Reason.NO_MATCHING_FLAVOR)
        if reasons:
            return {}
        preference = self.queue.spec.spec.flavor_fungibility.preference
        choices: dict[str, FlavorChoice] = {}
        worst = (Mode.FIT, 0)
        for resource in _in_hash_order(asked):
            item = self.queue.node.tree.number(FlavorResource(attempt.flavor, resource))
            outcome = self._fits(item, asked[resource], attempt)
            if outcome != worst and not is_preferred(outcome, worst, preference):
                worst = outcome
            mode, borrowing = outcome
            if mode is not Mode.NO_FIT:
                choices[resource] = FlavorChoice(attempt.flavor, mode, borrowing, -1, item)
        attempt.mode, attempt.borrowing = worst
        return choices if worst[0] is not Mode.NO_FIT else {}

    def _mismatch(self, pod_sets: Sequence[PodSetInfo], asked: Mapping[str, int], name: str) -> str | None:
        """Why the unit cannot use the flavor at all (§6.2 steps 1 to 5)."""
        if self.pins is not None:
            for pod_set in pod_sets:
                pinned = self.pins.get(pod_set.name, {})
                for resource in asked:
                    if resource in pod_set.requests and pinned.get(resource) != name:
                        return f"skipping flavor {name} as it is not found in the nomination mapping for resource {resource}"
        if self.context.features[Gate.CONCURRENT_ADMISSION]:
            allowed = self.info.workload.metadata.annotations.get(Annotation.ALLOWED_RESOURCE_FLAVORS)
            if allowed and name not in allowed.split(","):
                return f"skipping flavor {name} due to WorkloadAllowedResourceFlavorAnnotation annotation"
        flavor = self.context.flavors.get(name)
        if flavor is None:
            return f"flavor {name} not found"
        for pod_set in pod_sets:
            reason = (
                self.context.topologies.refuses(pod_set, flavor, self.queue)
                or untolerated_taint(flavor, pod_set.spec)
                or (None if matches_affinity(flavor, pod_set.spec) else f"flavor {name} doesn't match node affinity")
            )
            if reason:
                return reason
        return None

    def _fits(self, i: int, request: int, attempt: Attempt) -> tuple[Mode, int]:
        """Judge one flavor-resource, by its number (§6.5)."""
        node = self.queue.node
        item = node.tree.items[i]
        flavor, resource = item
        request = self._beyond_held(resource, request)
        assumed = self.usage.get(i, 0)
        val = add(assumed, request)
        potential, free = node.potential[i], node.free(i)
        if request == 0 and assumed == 0:
            # Zero-quantity requests never block (§16.3).
            attempt.facts.append(QuotaFacts(item, 0, 0, free, potential, Mode.FIT, 0))
            return Mode.FIT, 0
        if val > potential:
            _refuse(
                attempt,
                f"insufficient quota for {resource} in flavor {flavor}, previously considered podsets requests "
                f"({format_amount(resource, assumed)}) + current podset request ({format_amount(resource, request)}) "
                f"> maximum capacity ({format_amount(resource, potential)})",
                Reason.EXCEEDS_MAX_QUOTA,
            )
            attempt.facts.append(QuotaFacts(item, request, assumed, free, potential, Mode.NO_FIT, 0))
            return Mode.NO_FIT, 0
        borrowing, is_reclaimable = node.borrowing_level(i, val)
        mode = Mode.FIT
        if val > free:
            missing = format_amount(resource, sub(val, free))
            reason = f"insufficient unused quota for {resource} in flavor {flavor}, {missing} more needed"
            if node.nominal[i] >= val or is_reclaimable or self._may_preempt_while_borrowing():
                mode, borrowing = self.context.oracle.simulate(self.info, self.queue, i, val)
                attempt.reasons.append(reason)
                attempt.is_simulated = True
            else:
                _refuse(attempt, reason, Reason.WAITING_FOR_QUOTA)
                mode = Mode.NO_FIT
        attempt.facts.append(QuotaFacts(item, request, assumed, free, potential, mode, borrowing))
        return mode, borrowing

    def _may_preempt_while_borrowing(self) -> bool:
        preemption = self.queue.spec.spec.preemption
        borrow = preemption.borrow_within_cohort
        return (borrow is not None and borrow.policy != "Never") or (
            self.context.is_fair and preemption.reclaim_within_cohort != "Never"
        )


def _start(progress: ScanProgress, first: int, resource: str, last: int) -> int:
    """Index of the flavor to begin with."""
    if first >= len(progress.tried):
        return 0
    index = progress.tried[first].get(resource, -1) + 1
    return index if index <= last else 0


def _leaves_slice(replaced: Info, asked: Mapping[str, int], name: str) -> list[str]:
    """Why the flavor cannot be used beside the replaced slice, once per resource (§6.2 step 6)."""
    return [
        f"could not assign {name} flavor since the original workload is assigned: {item.flavor}"
        for item in replaced.usage
        if item.resource in asked and item.flavor != name
    ]


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = add(total.get(name, 0), amount)
    return total


def _in_hash_order(names: Mapping[str, int]) -> Iterable[str]:
    return sorted(names, key=lambda name: (fnv1a(name), name)) if len(names) > 1 else names


def _units(pod_sets: Sequence[PodSetInfo]) -> list[list[int]]:
    """Indexes of the pod sets, those of a group together, in order of first appearance."""
    if len(pod_sets) == 1:
        return [[0]]
    units: dict[str, list[int]] = {}
    for i, pod_set in enumerate(pod_sets):
        group = pod_set.topology.pod_set_group_name if pod_set.topology is not None else None
        units.setdefault(f"group/{group}" if group else f"pod set {i}", []).append(i)
    return list(units.values())


def _try_next(outcome: tuple[Mode, int], when_can_borrow: str, when_can_preempt: str) -> bool:
    """Whether the search goes on after this flavor (§6.4)."""
    mode, borrowing = outcome
    if mode in (Mode.NO_FIT, Mode.NO_CANDIDATES):
        return True
    if mode in (Mode.PREEMPT, Mode.RECLAIM) and when_can_preempt == "TryNextFlavor":
        return True
    return borrowing > 0 and when_can_borrow == "TryNextFlavor"


def _refuse(attempt: Attempt, reason: str, severity: Reason) -> None:
    attempt.mode = Mode.NO_FIT
    attempt.reasons.append(reason)
    if attempt.severity is None or NO_FIT_SEVERITY[severity] > NO_FIT_SEVERITY[attempt.severity]:
        attempt.severity = severity


def _passed_over(group: ResourceGroup, outcome: _GroupOutcome, requests: Mapping[str, int]) -> list[Attempt]:
    """The flavors of a group that were not looked at, because an earlier one was taken."""
    tried = {attempt.flavor for attempt in outcome.attempts}
    texts = [f"does not provide resource {name}" for name in group.covered_resources if name in requests]
    untried = [flavor.name for flavor in group.flavors if flavor.name not in tried]
    return [Attempt(name, Mode.NO_FIT, reasons=[f"flavor {name} {text}" for text in texts]) for name in untried]


def _least_severe(attempts: Sequence[Attempt]) -> Reason:
    """The reason of the best alternative (§6.8)."""
    found = [a.severity for a in attempts if a.severity is not None]
    return min(found, key=NO_FIT_SEVERITY.__getitem__, default=Reason.NO_MATCHING_FLAVOR)
