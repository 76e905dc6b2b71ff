"""Places of an elastic job that changes its size: who runs stays where it is.

A slice begins with the places of the slice that it replaces. Of the same size it takes them over; a larger one adds places for the difference; a
smaller one gives back the last. Where a domain is gone meanwhile there is nothing to begin with, and all pods are placed anew.

Source: tas.md §10.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pykueue.api.conversion.topology import Domain
from pykueue.api.v1beta2 import TopologyRequest


def refusal(request: TopologyRequest | None) -> str | None:
    """Why an elastic job cannot have this request; None if it can."""
    for word, is_asked in (
        ("required", request is not None and request.required),
        ("preferred", request is not None and request.preferred),
    ):
        if is_asked:
            return f"{word} topology is not supported with ElasticJobsViaWorkloadSlices"
    return None


def first(domains: Iterable[Domain], count: int) -> tuple[Domain, ...]:
    """The domains of the first pods, in rank order."""
    kept: list[Domain] = []
    left = count
    for domain in domains:
        if left <= 0:
            break
        kept.append(Domain(domain.values, min(domain.n_pods, left)))
        left -= domain.n_pods
    return tuple(kept)


def grown(domains: Sequence[Domain], more: Sequence[Domain]) -> tuple[Domain, ...]:
    """The domains with more pods; what was there keeps its order, and with it the ranks of those who run."""
    added = {domain.values: domain.n_pods for domain in more}
    kept = [Domain(d.values, d.n_pods + added.pop(d.values, 0)) for d in domains]
    return (*kept, *(Domain(values, n) for values, n in added.items()))
