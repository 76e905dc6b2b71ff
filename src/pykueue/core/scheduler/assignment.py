"""Values of a flavor assignment: what was chosen, what was tried, why not.

An `Assignment` carries its facts: every flavor looked at with the amounts that decided, so that messages, events and `explain` speak
from the same record. It is made by `flavor_assigner.py` and not changed after.

Source: scheduling.md §5.8, §6.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from pykueue.api.constants import Reason
from pykueue.core.resources import FlavorResource
from pykueue.core.tas.ledger import Places


class Mode(enum.IntEnum):
    """Granular modes, worst to best (§6.4)."""

    NO_FIT = 0
    NO_CANDIDATES = 1
    PREEMPT = 2
    RECLAIM = 3
    FIT = 4

    @property
    def is_preempt(self) -> bool:
        """Whether it needs somebody's quota."""
        return Mode.NO_FIT < self < Mode.FIT


NO_FIT_SEVERITY: Mapping[Reason, int] = {
    Reason.TOPOLOGY_PLACEMENT_FAILED: 1,
    Reason.WAITING_FOR_QUOTA: 2,
    Reason.EXCEEDS_MAX_QUOTA: 3,
    Reason.NO_MATCHING_FLAVOR: 4,
}
"""How bad a NoFit is (§6.8)."""


class QuotaFacts(msgspec.Struct, frozen=True):
    """The amounts that decided about one flavor-resource.

    Attributes:
        item: flavor and resource.
        asked: the request.
        assumed: quota that earlier pod sets of the Workload take.
        free: what was available.
        potential: what could be available at most.
        mode: the outcome.
        borrowing: level that the quota comes from (§6.6).
    """

    item: FlavorResource
    asked: int
    assumed: int
    free: int
    potential: int
    mode: Mode
    borrowing: int


@dataclass(slots=True)
class Attempt:
    """One flavor tried for one resource group of a unit.

    Attributes:
        flavor: its name.
        mode: the worst over the resources.
        borrowing: the level that goes with the mode.
        reasons: why not, or why only so.
        severity: the worst NoFit reason.
        is_simulated: whether the search for victims was run.
        facts: per resource, as far as it was looked at.
    """

    flavor: str
    mode: Mode = Mode.FIT
    borrowing: int = 0
    reasons: list[str] = field(default_factory=list)
    severity: Reason | None = None
    is_simulated: bool = False
    facts: list[QuotaFacts] = field(default_factory=list)

    def text(self) -> str:
        """`<flavor>(<mode>[;borrow=n][;reason]...)` (§5.8)."""
        if self.mode is Mode.NO_FIT:
            shown = "NoFit"
        elif self.mode is Mode.FIT:
            shown = "Fit"
        else:
            shown = f"preemptionMode={_SHOWN[self.mode]}"
        borrow = f";borrow={self.borrowing}" if self.borrowing else ""
        return f"{self.flavor}({shown}{borrow}{''.join(';' + r for r in sorted(self.reasons))})"


_SHOWN = {Mode.NO_CANDIDATES: "NoCandidates", Mode.PREEMPT: "Preempt", Mode.RECLAIM: "Reclaim"}


class FlavorChoice(msgspec.Struct, frozen=True):
    """The flavor of one resource.

    Attributes:
        flavor: its name.
        mode: how it can be had.
        borrowing: level that the quota comes from.
        tried: index of the last flavor looked at, -1 if it was the last of the group.
        item: number of the flavor-resource in the quota tree.
    """

    flavor: str
    mode: Mode
    borrowing: int
    tried: int
    item: int


@dataclass(slots=True)
class PodSetResult:
    """What was found for one pod set.

    Attributes:
        name: of the pod set.
        count: pods.
        requests: totals, with the implicit `pods`.
        flavors: resource to choice; empty if there is none.
        reasons: of all flavors tried, unless the chosen one fits.
        error: a hard error.
        attempts: flavors looked at, in order.
        no_fit: the reason if the pod set cannot be had.
        places: where its pods go, if topology plays a part.
        held: places that the Workload itself, or the slice that it replaces, is counted with already.
        is_kept: `places` are those that it holds, and stay as they are.
        is_delayed: its places are found in a second pass, when the admission checks are ready.
    """

    name: str
    count: int
    requests: Mapping[str, int]
    flavors: dict[str, FlavorChoice] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    error: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    no_fit: Reason | None = None
    places: Places | None = None
    held: Places | None = None
    is_kept: bool = False
    is_delayed: bool = False

    @property
    def increase(self) -> Places | None:
        """What the places take beyond what is held already (tas.md §8 step 8)."""
        return _beyond(self.places, self.held)

    @property
    def decrease(self) -> Places | None:
        """What is held already and given up for the places."""
        return _beyond(self.held, self.places)

    @property
    def mode(self) -> Mode:
        """The worst over the resources; NO_FIT if something was asked and nothing found."""
        if self.no_fit is not None or self.error is not None:
            return Mode.NO_FIT
        worst = Mode.FIT
        for choice in self.flavors.values():
            worst = min(worst, choice.mode)
        return worst


class ScanProgress(msgspec.Struct, frozen=True):
    """Where the flavor search stopped, to go on from there (§6.3).

    Attributes:
        tried: per pod set, resource to index.
        generation: the ClusterQueue's allocatable generation then.
        cycle: number of the scheduling cycle.
        equivalence: the Workload's hash then.
    """

    tried: tuple[Mapping[str, int], ...]
    generation: int
    cycle: int
    equivalence: str

    @property
    def has_untried(self) -> bool:
        """Whether some resource has flavors that were not looked at."""
        return any(index != -1 for by_resource in self.tried for index in by_resource.values())


@dataclass(slots=True)
class Assignment:
    """The outcome for a Workload.

    Attributes:
        pod_sets: results, up to the first that failed.
        usage: quota per number of flavor-resource in the tree.
        borrowing: the level of the Workload (§6.6).
        progress: for the next attempt.
    """

    pod_sets: list[PodSetResult]
    usage: dict[int, int]
    borrowing: int
    progress: ScanProgress

    @property
    def mode(self) -> Mode:
        """The worst over the pod sets, reported as NO_FIT, PREEMPT or FIT."""
        worst = Mode.FIT
        for ps in self.pod_sets:
            mode = ps.mode
            worst = min(worst, mode)
        return Mode.PREEMPT if worst.is_preempt else worst

    @property
    def no_fit_reason(self) -> Reason:
        """The condition's reason of a NoFit: the worst over the pod sets (§6.8)."""
        found = [ps.no_fit for ps in self.pod_sets if ps.no_fit is not None]
        return max(found, key=NO_FIT_SEVERITY.__getitem__, default=Reason.NO_MATCHING_FLAVOR)

    @property
    def places(self) -> list[Places]:
        """What the pods take of the nodes, beyond what is held already."""
        return [increase for ps in self.pod_sets if (increase := ps.increase) is not None]

    @property
    def released_places(self) -> list[Places]:
        """What the pods give up of the nodes for their places."""
        return [decrease for ps in self.pod_sets if (decrease := ps.decrease) is not None]

    @property
    def is_delayed(self) -> bool:
        """Whether some pods get their places in a second pass."""
        return any(ps.is_delayed for ps in self.pod_sets)

    @property
    def pod_counts(self) -> dict[str, int]:
        """Pods per pod set."""
        return {ps.name: ps.count for ps in self.pod_sets}

    def needs_preemption(self) -> list[int]:
        """Numbers of the flavor-resources that somebody must give up, each once."""
        choices = (choice for ps in self.pod_sets for choice in ps.flavors.values())
        return list(dict.fromkeys(choice.item for choice in choices if choice.mode.is_preempt))

    def message(self) -> str:
        """Why it does not fit, as the condition tells it (§6.2)."""
        parts = []
        for ps in self.pod_sets:
            if ps.error is not None:
                parts.append(f"failed to assign flavors to pod set {ps.name}: {ps.error}")
            elif ps.reasons:
                parts.append(f"couldn't assign flavors to pod set {ps.name}: {', '.join(sorted(ps.reasons))}")
        return "; ".join(parts)

    def considered(self) -> str:
        """The flavors considered, as the `QuotaReserved` event tells them; empty if there is nothing to say (§5.8)."""
        texts = []
        for ps in self.pod_sets:
            shown = [a for a in ps.attempts if a.mode is not Mode.FIT or a.borrowing]
            if shown:
                attempts = ", ".join(a.text() for a in sorted(shown, key=lambda attempt: attempt.flavor))
                texts.append(f"{ps.name}: {attempts}")
        return " | ".join(texts)


def _beyond(places: Places | None, others: Places | None) -> Places | None:
    return places if places is None or others is None else places.beyond(others)
