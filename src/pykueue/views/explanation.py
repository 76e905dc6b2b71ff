"""Why a Workload waits, as text for people.

The facts are the engine's (`core/explain.py`); this view only lays them out. The same facts as JSON are `msgspec.json.encode`d by the
command line.
"""

from __future__ import annotations

from collections.abc import Iterator

from pykueue.api.objects import ObjectKey
from pykueue.core.explain import Explanation


def explanation_text(key: ObjectKey, told: Explanation) -> str:
    """A page about one Workload: state, rule, place in the queue, attempts, what wakes it, what would admit it."""
    return "\n".join(_lines(key, told))


def _lines(key: ObjectKey, told: Explanation) -> Iterator[str]:
    place = f", number {told.position} in its queue" if told.position is not None else ""
    yield f"Workload {key}: {told.state}{place}"
    if told.reason or told.message:
        yield f"  why       {told.reason}: {told.message}" if told.reason else f"  why       {told.message}"
    if told.ahead:
        yield f"  ahead     {', '.join(told.ahead)}"
    for attempt in told.attempts:
        yield f"  tried     pod set {attempt['podSet']} on flavor {attempt['flavor']}: {attempt['mode']}"
        for reason in attempt["reasons"]:
            yield f"              {reason}"
        for resource in attempt["resources"]:
            yield (
                f"              {resource['resource']}: asks {resource['asked']}, free {resource['free']}"
                f" (of it borrowable {resource['borrowable']}), at most {resource['atMost']}"
            )
            for holder in resource["holders"]:
                yield f"                held: {holder['amount']} by {holder['workload']} ({holder['clusterQueue']})"
    for event in told.wakes_on:
        yield f"  woken by  {event}"
    if told.remedy:
        more = ", ".join(f"{r['add']} more {r['resource']} in flavor {r['flavor']}" for r in told.remedy)
        yield f"  remedy    it would be admitted now with {more} (proved on a copy of the quotas)"
