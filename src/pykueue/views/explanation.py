"""Why a Workload or a queue is where it is, as text for people.

The facts are the engine's (`core/explain/facts.py`); this view only lays them out. Every line begins with what it is about, so that the eye, and
grep, find it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from pykueue.core.explain.facts import (
    AddQuota,
    FewerPods,
    MatchFlavor,
    PlaceFacts,
    QueueExplanation,
    Remedy,
    ResourceFacts,
    StopWorkloads,
    VictimFacts,
    WorkloadExplanation,
)
from pykueue.views.columns import in_columns

LABEL_CHARS = 12
HOLDERS_SHOWN = 5
VICTIMS_SHOWN = 5


def workload_text(told: WorkloadExplanation) -> str:
    """A page about one Workload: state, rule, place in the queue, amounts, victims, what wakes it, what would admit it."""
    return "\n".join([_heading(told), *_labelled(_parts(told))])


def queue_text(told: QueueExplanation) -> str:
    """A page about one queue: whether it is active, what it has, who waits, and why the first does not start."""
    lines = [f"{told.kind} {told.queue}: {'active' if told.is_active else 'inactive'}"]
    lines += _labelled(_queue_parts(told))
    if told.head is not None:
        lines += ["", "The first of them:", "", workload_text(told.head)]
    return "\n".join(lines)


def _heading(told: WorkloadExplanation) -> str:
    place = f", number {told.position} of {told.waiting} in its queue" if told.position is not None else ""
    queue = f" (ClusterQueue {told.cluster_queue}, LocalQueue {told.local_queue})" if told.cluster_queue else ""
    return f"Workload {told.workload}: {told.state}{place}{queue}"


def _parts(told: WorkloadExplanation) -> Iterator[tuple[str, Iterable[str]]]:
    """Labels, and the lines of each."""
    if told.reason or told.message:
        yield "why", [": ".join(part for part in (told.reason, told.message) if part)]
    if told.pods:
        yield "pods", [told.pods]
    last = told.last_tried
    if told.position is not None and last is not None:
        same = "with the same answer" if last.message == told.message else f"{last.reason}: {last.message}"
        yield "last tried", [f"{last.at}, as its {last.source} tells; {same}"]
    elif told.position is not None:
        yield "last tried", ["not yet, as far as the API server shows"]
    if told.ahead:
        rest = (told.position or 1) - 1 - len(told.ahead)
        yield "ahead", [", ".join(told.ahead) + (f" and {rest} more" if rest else "")]
    for attempt in told.attempts:
        level = f", borrowing at level {attempt.borrowing_level}" if attempt.borrowing_level else ""
        verdict = f"pod set {attempt.pod_set} on flavor {attempt.flavor}: {_MODES[attempt.mode]}{level}"
        yield "tried", [verdict, *(f"  {reason}" for reason in attempt.reasons), *_amounts(attempt.resources)]
    if told.places is not None:
        yield "places", _places(told.places)
    if told.victims or told.victims_note:
        yield "victims", [*_victims(told.victims), *([told.victims_note] if told.victims_note else [])]
    if told.preempted:
        yield "preempted", [f"{told.preempted} time(s), the last time: {told.preempted_by}"]
    if told.wakes_on:
        yield "woken by", told.wakes_on
    if told.remedies:
        yield "would do", [*map(_remedy, told.remedies), _PROOF]


_MODES = {
    "NO_FIT": "does not fit",
    "NO_CANDIDATES": "does not fit, and nobody may be preempted for it",
    "PREEMPT": "fits if others are preempted",
    "RECLAIM": "fits if what others borrowed is taken back",
    "FIT": "its quota fits",
}
_PROOF = "(any one of these; proved by making the decision again with it, on a copy)"


def _labelled(parts: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    for label, lines in parts:
        for i, line in enumerate(lines):
            yield f"  {label if i == 0 else '':{LABEL_CHARS}}{line}"


def _amounts(resources: Sequence[ResourceFacts], *, flavor: str = "") -> Iterator[str]:
    """A table of one flavor's resources, and who holds them."""
    if not resources:
        return
    asked = [] if flavor else ["ASKED"]
    rows = [["RESOURCE", *asked, "FREE", "BORROWABLE", "LENT", "NOMINAL", "USED", "AT MOST"]]
    for r in resources:
        own = [] if flavor else [_asked(r)]
        name = f"{flavor}/{r.resource}" if flavor else r.resource
        rows.append([name, *own, r.free, r.borrowable, r.lent, r.nominal, r.used, r.at_most])
    yield from (f"  {line}" for line in in_columns(rows, right=range(1, len(rows[0]))))
    for r in resources:
        if r.holders:
            shown = [f"{h.amount} by {h.workload} ({h.cluster_queue})" for h in r.holders[:HOLDERS_SHOWN]]
            yield f"  held: {r.resource} {', '.join(shown)}{', ...' if len(r.holders) > HOLDERS_SHOWN else ''}"


def _asked(facts: ResourceFacts) -> str:
    earlier = facts.asked_by_earlier_pod_sets
    return facts.asked if earlier in ("", "0") else f"{earlier}+{facts.asked}"


def _places(places: PlaceFacts) -> Iterator[str]:
    """What was sought, and for each level the largest domain, what is missing in it and who holds that."""
    slices = f" in slices of {places.slice_size}" if places.slice_size > 1 else ""
    leader = " beside their leader" if places.has_leader else ""
    yield (
        f"{places.pods} pods of pod set {places.pod_set}{slices}{leader}, {places.strictness.lower()} at level {places.level}"
        f" of topology {places.topology}, on the nodes of flavor {places.flavor}"
    )
    rows = [["LEVEL", "DOMAINS", "LARGEST", "FITS", "ALL FIT", "MISSING THERE"]]
    for level in places.levels:
        missing = [
            f"{m.missing} {m.resource} (of {m.asked}; it has {m.capacity})" for m in level.resources if m.missing != "0"
        ]
        told = ", ".join(missing) or ("-" if level.fits >= places.pods else "nothing in all, but it lies in pieces")
        rows.append([level.level, str(level.domains), level.largest, str(level.fits), str(level.all_fit), told])
    yield from (f"  {line}" for line in in_columns(rows, right=(1, 3, 4)))
    asked = next(level for level in places.levels if level.level == places.level)
    for tenant in asked.tenants[:HOLDERS_SHOWN]:
        amounts = ", ".join(f"{amount} {name}" for name, amount in tenant.amounts.items())
        who = (
            f"{tenant.workload} ({tenant.pods} pod{'s' if tenant.pods > 1 else ''})"
            if tenant.workload
            else "pods beside topologies"
        )
        yield f"  held in {asked.largest}: {amounts} by {who}"


def _victims(victims: Sequence[VictimFacts]) -> Iterator[str]:
    for victim in victims[:VICTIMS_SHOWN]:
        verdict = "would be preempted" if victim.is_taken else "stays"
        yield f"{victim.workload} ({victim.cluster_queue}, priority {victim.priority}) {verdict}: {victim.why}"
    if len(victims) > VICTIMS_SHOWN:
        yield f"... and {len(victims) - VICTIMS_SHOWN} more (-o json)"


def _remedy(remedy: Remedy) -> str:
    match remedy:
        case AddQuota():
            more = _join(f"{q.add} more {q.resource} in flavor {q.flavor}" for q in remedy.quotas)
            text = f"{more} as nominal quota of ClusterQueue {remedy.cluster_queue}"
        case StopWorkloads():
            text = f"the end of {_join(remedy.workloads)}"
        case MatchFlavor():
            text = f"a place in flavor {remedy.flavor}, if {_join(remedy.changes)}"
        case FewerPods():
            text = f"{remedy.fits} pods in pod set {remedy.pod_set}, not {remedy.count}"
        case _:
            assert_never(remedy)
    if remedy.goes_first:
        shown = ", ".join(remedy.goes_first[:HOLDERS_SHOWN])
        text += (
            f"; first comes {shown}{', ...' if len(remedy.goes_first) > HOLDERS_SHOWN else ''}, for whom it does too"
        )
    if not isinstance(remedy, FewerPods):
        text += "".join(
            f"; it starts with {r.starts_with} of the {r.count} pods of {r.pod_set}" for r in remedy.reduced
        )
    return text + ("; once nobody is ahead" if remedy.if_first else "")


def _join(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _queue_parts(told: QueueExplanation) -> Iterator[tuple[str, Iterable[str]]]:
    yield "why", [f"{told.reason}: {told.message}"]
    if told.path:
        kind = "its ClusterQueue is " if told.kind == "LocalQueue" else ""
        yield "where", [f"{kind}{told.path}, {told.strategy}"]
    yield "holds", [f"{told.pending} waiting, {told.reserving} with quota, of these {told.admitted} admitted"]
    for flavor in told.flavors:
        yield "quota", _amounts(flavor.resources, flavor=flavor.flavor)
    if told.waiting:
        rows = [["#", "WORKLOAD", "LOCALQUEUE", "PRIORITY", "QUEUED AT"]]
        rows += [[str(w.position), w.workload, w.local_queue, str(w.priority), w.queued_at] for w in told.waiting]
        rest = told.pending - len(told.waiting)
        more = [f"... and {rest} more (--limit)"] if rest > 0 else []
        yield "waiting", [*in_columns(rows, right=(0, 3)), *more]
