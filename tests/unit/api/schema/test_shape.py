"""The shape of objects by the schema of their kind."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.kinds import CLUSTER_QUEUE, LEADER_WORKER_SET, POD, Kind
from pykueue.api.schema import shape_fault


def quota(amount: Any) -> dict[str, Any]:
    flavors = [{"name": "f", "resources": [{"name": "cpu", "nominalQuota": amount}]}]
    return {"resourceGroups": [{"coveredResources": ["cpu"], "flavors": flavors}]}


PATH = "spec.resourceGroups[0].flavors[0].resources[0].nominalQuota"


@pytest.mark.parametrize(
    ("kind", "spec", "want"),
    [
        (CLUSTER_QUEUE, quota("1500m"), None),
        (CLUSTER_QUEUE, quota(2), None),
        (CLUSTER_QUEUE, {"namespaceSelector": {"matchLabels": {"a": "b"}}, "unknown": 1}, None),
        (CLUSTER_QUEUE, quota("abc"), f"{PATH}: 'abc' is not a quantity: quantities must match the regular expression"),
        (CLUSTER_QUEUE, quota("1e400"), f"{PATH}: '1e400' is not a quantity: unable to parse quantity's suffix"),
        (CLUSTER_QUEUE, quota(True), f"{PATH}: must be an integer or a string, not boolean"),
        (CLUSTER_QUEUE, quota([1]), f"{PATH}: must be an integer or a string, not array"),
        (CLUSTER_QUEUE, {"resourceGroups": [5]}, "spec.resourceGroups[0]: must be of type object, not integer"),
        (CLUSTER_QUEUE, {"resourceGroups": {}}, "spec.resourceGroups: must be of type array, not object"),
        (
            CLUSTER_QUEUE,
            {"namespaceSelector": {"matchLabels": {"a": 1}}},
            "spec.namespaceSelector.matchLabels[a]: must be of type string, not integer",
        ),
        (LEADER_WORKER_SET, 4, "spec: must be of type object, not integer"),
        (LEADER_WORKER_SET, {"replicas": True}, "spec.replicas: must be of type integer, not boolean"),
        (POD, 4, None),
    ],
)
def test_first_fault(kind: Kind, spec: Any, want: str | None) -> None:
    """The first field of a wrong type is named; kinds that the API server decodes itself are not looked at."""
    got = shape_fault(
        kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "a"}, "spec": spec}
    )
    assert got is None if want is None else str(got).startswith(want)
