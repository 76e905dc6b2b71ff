"""Why a group waits, asked of a running cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pykueue.api.errors import NotFound
from pykueue.api.kinds import LEADER_WORKER_SET, WORKLOAD
from pykueue.api.objects import is_condition_true
from pykueue.cli.cluster import EmbeddedCluster, UpOptions
from pykueue.cli.explain import ExplainOptions, explanations
from pykueue.ports.transport import ApiRequest
from pykueue.views.explanation import explanation_text

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/01-leaderworkerset"


async def play() -> list[str]:
    """Scale the example beyond its quota, and explain all of its groups."""
    async with EmbeddedCluster.start(UpOptions(memory=True, port=0, files=(EXAMPLE,))) as cluster:
        path = LEADER_WORKER_SET.path("default", "llama", "scale")
        body = {"spec": {"replicas": 4}}
        await cluster.transport.request(ApiRequest("PATCH", path, {}, body, "application/merge-patch+json"))
        for _ in range(400):
            listed = (await cluster.transport.request(ApiRequest("GET", WORKLOAD.path("default"))))["items"]
            if len(listed) == 4 and sum(is_condition_true(w, "Admitted") for w in listed) == 3:
                break
            await asyncio.sleep(0.05)
        found = await explanations(cluster.transport, ExplainOptions("lws", "llama"))
        with pytest.raises(NotFound, match="no Workload of job default/none"):
            await explanations(cluster.transport, ExplainOptions("job", "none"))
        return [explanation_text(key, told) for key, told in found]


def test_the_group_that_waits_is_told_what_would_admit_it() -> None:
    """Three groups are admitted; the fourth is told who holds the quota, and that 500m more would do."""
    pages = asyncio.run(play())
    assert sum(": Admitted\n" in page for page in pages) == 3
    (waiting,) = (page for page in pages if ": Admitted\n" not in page)
    assert "number 1 in its queue" in waiting
    assert "held: 500m by default/leaderworkerset-llama-" in waiting
    assert "500m more cpu in flavor on-demand" in waiting
