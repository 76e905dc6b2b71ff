"""Who waits, as the visibility API tells it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pykueue.api.errors import BadRequest, NotFound
from pykueue.api.objects import ObjectKey
from pykueue.core.features import Features, Gate
from pykueue.views.pending_workloads import Slice, of_cluster_queue, of_local_queue
from support.world import World

OWNERS = [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}]


@pytest.fixture
def world() -> World:
    """One that is parked, and three behind it of two LocalQueues."""
    made = World()
    made.queue("cq", "default:1")
    made.local("other", "cq")
    made.workload("large", "cq", "9", priority=5, metadata={"ownerReferences": OWNERS})
    made.settle()
    assert made.is_parked("large")
    made.workload("b", "other", "8", t=2)
    made.workload("a", "cq", "8", t=1)
    made.workload("c", "other", "8", t=3)
    return made


def lines(summary: Any) -> list[tuple[str, int, int]]:
    return [(one.metadata.name, one.position_in_cluster_queue, one.position_in_local_queue) for one in summary.items]


def of_cq(world: World, **query: str) -> list[tuple[str, int, int]]:
    return lines(of_cluster_queue("cq", world.engine.waiting("cq"), Slice.of_query(query), "v1beta2"))


def test_everybody_in_order(world: World) -> None:
    """What is parked stands where its priority puts it; each has its place in the whole, and among its LocalQueue's."""
    assert of_cq(world) == [("large", 0, 0), ("a", 1, 1), ("b", 2, 0), ("c", 3, 1)]


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ({"offset": "1", "limit": "2"}, ["a", "b"]),
        ({"offset": "-5", "limit": "1"}, ["large"]),
        ({"limit": "0"}, ["large", "a", "b", "c"]),
        ({"limit": "-1"}, []),
        ({"offset": "4"}, []),
        ({"offset": "+3", "limit": str(10**18)}, ["c"]),
    ],
    ids=[
        "a part",
        "a negative offset is none",
        "no limit",
        "a negative limit",
        "behind the end",
        "a limit that is capped",
    ],
)
def test_a_part(world: World, query: dict[str, str], want: list[str]) -> None:
    """Positions do not depend on where the answer begins."""
    places = {"large": (0, 0), "a": (1, 1), "b": (2, 0), "c": (3, 1)}
    assert of_cq(world, **query) == [(name, *places[name]) for name in want]


def test_a_local_queue(world: World) -> None:
    """Its own alone; offset and limit count them."""
    order = world.engine.waiting("cq")
    assert lines(of_local_queue(ObjectKey("ns", "other"), order, Slice(), "v1beta2")) == [("b", 2, 0), ("c", 3, 1)]
    assert lines(of_local_queue(ObjectKey("ns", "other"), order, Slice(1, 1), "v1beta2")) == [("c", 3, 1)]
    assert lines(of_local_queue(ObjectKey("elsewhere", "other"), order, Slice(), "v1beta2")) == []


def test_how_it_is_written(world: World) -> None:
    """Zeros are told; owners without what is not of interest; the rest of the metadata is not there."""
    summary = of_cluster_queue("cq", world.engine.waiting("cq"), Slice(limit=2), "v1beta1")
    created = world.workloads["large"].metadata.creation_timestamp
    large = {
        "metadata": {
            "name": "large", "namespace": "ns", "creationTimestamp": created,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}],
        },
        "priority": 5, "localQueueName": "cq", "positionInClusterQueue": 0, "positionInLocalQueue": 0,
    }  # fmt: skip
    told = msgspec.json.decode(msgspec.json.encode(summary))
    assert told == {
        "kind": "PendingWorkloadsSummary", "apiVersion": "visibility.kueue.x-k8s.io/v1beta1", "metadata": {},
        "items": [large, told["items"][1]],
    }  # fmt: skip
    assert told["items"][1]["metadata"].keys() == {"name", "namespace", "creationTimestamp"}


def test_the_priority_is_told_without_boost() -> None:
    """It moves the Workload, and is not shown."""
    world = World(features=Features({Gate.PRIORITY_BOOST: True}))
    world.queue("cq", "default:0")
    world.workload("low", "cq", "1", t=0)
    world.workload("boosted", "cq", "1", t=9, metadata={"annotations": {"kueue.x-k8s.io/priority-boost": "7"}})
    summary = of_cluster_queue("cq", world.engine.waiting("cq"), Slice(), "v1beta2")
    assert [(one.metadata.name, one.priority) for one in summary.items] == [("boosted", 0), ("low", 0)]


@pytest.mark.parametrize(
    ("query", "want"),
    [
        ({"limit": "x"}, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ({"offset": ""}, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"offset": "9223372036854775808"}, 'strconv.ParseInt: parsing "9223372036854775808": value out of range'),
        ({"limit": "9" * 5000}, f'strconv.ParseInt: parsing "{"9" * 5000}": value out of range'),
    ],
)
def test_what_is_no_number_is_refused(query: dict[str, str], want: str) -> None:
    """In the words of Kubernetes' servers."""
    with pytest.raises(BadRequest) as caught:
        Slice.of_query(query)
    assert caught.value.message == want


def test_what_is_not_there() -> None:
    """The texts and details of Kubernetes' NotFound."""
    with pytest.raises(NotFound, match=r'^clusterqueue\.visibility\.kueue\.x-k8s\.io "x" not found$') as caught:
        of_cluster_queue("x", None, Slice(), "v1beta2")
    assert caught.value.details == {"name": "x", "group": "visibility.kueue.x-k8s.io", "kind": "clusterqueue"}
    with pytest.raises(NotFound, match=r'^localqueue\.visibility\.kueue\.x-k8s\.io "y" not found$'):
        of_local_queue(ObjectKey("ns", "y"), None, Slice(), "v1beta2")
