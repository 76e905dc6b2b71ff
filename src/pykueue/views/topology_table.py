"""A topology as a table: one line a domain, each level a step further in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pykueue.core.explain.facts import DomainFacts, TopologyFacts
from pykueue.views.columns import in_columns

STEP = "  "
WORKLOADS_SHOWN = 2
NODES_SHOWN = 5


def topology_table(facts: TopologyFacts, *, workload: str = "", n_levels: int = 0) -> str:
    """A page about one topology on the nodes of one flavor.

    Args:
        facts: of it.
        workload: whose pods get a column of their own, as `namespace/name`; empty for nobody's.
        n_levels: how many levels are shown; 0 for all.
    """
    heading = f"Topology {facts.topology}, flavor {facts.flavor}: {' > '.join(facts.levels)}"
    if not facts.domains:
        return "\n".join(
            [heading, f"{STEP}no usable node has the flavor's labels and a label of each level", *_left_out(facts)]
        )
    marked = ["PODS"] if workload else []
    columns = ["DOMAIN", "NODES", *(f"{name.upper()} FREE/ALL" for name in facts.resources), *marked, "WORKLOADS"]
    rows = [columns, *_rows(facts.domains, 0, workload, n_levels or len(facts.levels))]
    numbers = range(1, len(columns) - 1)
    return "\n".join([heading, *in_columns(rows, right=numbers), *_left_out(facts)])


def _left_out(facts: TopologyFacts) -> Iterator[str]:
    if facts.left_out:
        shown, rest = ", ".join(facts.left_out[:NODES_SHOWN]), len(facts.left_out) - NODES_SHOWN
        more = f" and {rest} more" if rest > 0 else ""
        yield f"Left out, as not ready, cordoned or without a label of each level: {shown}{more}"


def _rows(domains: Sequence[DomainFacts], depth: int, workload: str, n_levels: int) -> Iterator[list[str]]:
    for domain in domains:
        amounts = [f"{r.free}/{r.capacity}" for r in domain.resources]
        pods = next((w.pods for w in domain.workloads if w.workload == workload), 0)
        marked = [str(pods) if pods else "-"] if workload else []
        yield [STEP * depth + domain.name, str(domain.nodes), *amounts, *marked, _tenants(domain)]
        if depth + 1 < n_levels:
            yield from _rows(domain.domains, depth + 1, workload, n_levels)


def _tenants(domain: DomainFacts) -> str:
    shown = [f"{w.workload} ({w.pods})" for w in domain.workloads[:WORKLOADS_SHOWN]]
    rest = len(domain.workloads) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "") or "-"
