"""Pod templates as the cluster would complete them: the table of scheduling-cases.md §9."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.api.objects import Obj
from pykueue.core.workload.adjust import adjust
from pykueue.core.workload.requests import pod_requests

CLASSES: dict[str, Obj] = {"kata": {"overhead": {"podFixed": {"cpu": "1"}}}}
OVERHEADS = {
    "ER-18 of the RuntimeClass": ({"runtimeClassName": "kata"}, {"cpu": "1"}),
    "ER-18 the template's own": ({"runtimeClassName": "kata", "overhead": {"cpu": "3"}}, {"cpu": "3"}),
    "ER-18 an unknown class": ({"runtimeClassName": "gvisor"}, None),
}


@pytest.mark.parametrize("name", OVERHEADS)
def test_overhead(name: str) -> None:
    """What the pod itself costs."""
    spec, want = OVERHEADS[name]
    adjusted = adjust({"containers": [], **spec}, (), CLASSES.get)
    assert adjusted.get("overhead") == want
    assert pod_requests(adjusted).get("cpu", 0) == (int(want["cpu"]) * 1000 if want else 0)


def limit_range(type_: str) -> Obj:
    return {"spec": {"limits": [{"type": type_, "default": {"cpu": "4"}, "defaultRequest": {"cpu": "3"}}]}}


def resources(limit: str = "", request: str = "") -> dict[str, Any]:
    found = {}
    if limit:
        found["limits"] = {"cpu": limit}
    if request:
        found["requests"] = {"cpu": request}
    return {"resources": found} if found else {}


DEFAULTS = {
    "ER-19 nothing of its own": (resources(), resources("4", "3")),
    "ER-19 a limit of its own": (resources("6"), resources("6", "3")),
    "ER-19 a request of its own": (resources(request="1"), resources("4", "1")),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_container_defaults(name: str) -> None:
    """A LimitRange of type Container completes containers and init containers alike."""
    given, want = DEFAULTS[name]
    spec = {"containers": [given], "initContainers": [given, given]}
    adjusted = adjust(spec, [limit_range("Container")], CLASSES.get)
    assert adjusted == {"containers": [want], "initContainers": [want, want]}


def test_pod_defaults() -> None:
    """ER-20: a LimitRange of type Pod leaves containers alone, and completes resources of the pod where it has some."""
    spec = {"containers": [{}]}
    assert adjust(spec, [limit_range("Pod")], CLASSES.get) == spec
    whole = {"containers": [{}], "resources": {"limits": {"memory": "2Gi"}}}
    assert adjust(whole, [limit_range("Pod")], CLASSES.get) == {
        "containers": [{}],
        "resources": {"limits": {"memory": "2Gi", "cpu": "4"}, "requests": {"memory": "2Gi", "cpu": "3"}},
    }


def test_limits_as_requests() -> None:
    """ER-21: what has a limit and no request asks for its limit."""
    limits = {"limits": {"cpu": "2"}}
    both = {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}
    spec = {"containers": [{"resources": limits}], "initContainers": [{"resources": limits}], "resources": limits}
    want = {"containers": [{"resources": both}], "initContainers": [{"resources": both}], "resources": both}
    assert adjust(spec, (), CLASSES.get) == want
