"""Tables: ages, JSONPath, rows of pods and other kinds, custom columns."""

import pytest

from pykueue.api import kinds
from pykueue.api.errors import BadRequest
from pykueue.api.instant import parse_time
from pykueue.apiserver.resources import Column, Resource
from pykueue.apiserver.tables import to_table, wants_table
from pykueue.apiserver.tables.ages import human_duration
from pykueue.apiserver.tables.jsonpath import compile_json_path

NOW = parse_time("2026-01-01T01:00:00Z")
META = {"name": "x", "creationTimestamp": "2026-01-01T00:55:00Z"}
SECOND, HOUR, DAY = 1, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        (-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (190, "3m10s"), (599, "9m59s"), (600, "10m"), (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"), (3 * HOUR + 61, "3h1m"), (8 * HOUR, "8h"), (47 * HOUR, "47h"), (2 * DAY, "2d"), (2 * DAY + HOUR, "2d1h"),
        (8 * DAY, "8d"), (729 * DAY, "729d"), (730 * DAY, "2y"), (740 * DAY, "2y10d"), (3000 * DAY, "8y"),
    ],
)  # fmt: skip
def test_human_duration(seconds, want):
    """Two units at most, fewer the longer ago."""
    assert human_duration(seconds) == want


@pytest.mark.parametrize(
    ("path", "want"),
    [
        (".a.b", [1]),
        (".l[0].t", ["X"]),
        (".l[*].t", ["X", "Y"]),
        (".l[?(@.t=='Y')].s", ["True"]),
        ('.l[?(@.t=="Z")].s', []),
        (".m.a\\.b/c", ["v"]),
        ("['m']['a.b/c']", ["v"]),
        (".l[?(@.n>1)].t", ["Y"]),
        (".nope.x", []),
    ],
)
def test_json_path(path, want):
    """Printer columns find their values."""
    obj = {"a": {"b": 1}, "l": [{"t": "X", "n": 1}, {"t": "Y", "s": "True", "n": 2}], "m": {"a.b/c": "v"}}
    assert list(compile_json_path(path)(obj)) == want


@pytest.mark.parametrize("path", ["..a", ".a[0:2]", ".a[?(@.b==x)]", "a b"])
def test_json_path_that_is_not_supported(path):
    """Other forms are refused."""
    with pytest.raises(ValueError, match="unsupported"):
        compile_json_path(path)


def cells(kind, obj, columns=None):
    table = to_table(Resource(kind, columns=columns), [{"metadata": META, **obj}], now=NOW)
    return table["rows"][0]["cells"]


def state(**of):
    return {"name": "c", "state": of, "ready": "running" in of, "restartCount": 0}


@pytest.mark.parametrize(
    ("pod", "want"),
    [
        ({"status": {"phase": "Pending"}}, ["0/1", "Pending", "0"]),
        ({"status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}}, ["0/1", "SchedulingGated", "0"]),
        ({"status": {"phase": "Pending", "containerStatuses": [state(waiting={"reason": "ContainerCreating"})]}}, ["0/1", "ContainerCreating", "0"]),
        ({"status": {"phase": "Running", "containerStatuses": [state(running={})]}}, ["1/1", "Running", "0"]),
        ({"status": {"phase": "Failed", "containerStatuses": [state(terminated={"exitCode": 3})]}}, ["0/1", "ExitCode:3", "0"]),
        ({"status": {"phase": "Succeeded", "containerStatuses": [state(terminated={"reason": "Completed"})]}}, ["0/1", "Completed", "0"]),
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, ["0/1", "Evicted", "0"]),
        ({"metadata": {**META, "deletionTimestamp": "2026-01-01T00:59:00Z"}, "status": {"phase": "Running", "containerStatuses": [state(running={})]}}, ["1/1", "Terminating", "0"]),
        ({"status": {"phase": "Pending", "initContainerStatuses": [state(running={})]}}, ["0/1", "Init:0/1", "0"]),
        ({"status": {"phase": "Pending", "initContainerStatuses": [state(terminated={"exitCode": 1, "reason": "Error"})]}}, ["0/1", "Init:Error", "0"]),
        ({"status": {"phase": "Running", "containerStatuses": [{**state(running={}), "restartCount": 2, "lastState": {"terminated": {"finishedAt": "2026-01-01T00:58:00Z"}}}]}}, ["1/1", "Running", "2 (2m ago)"]),
    ],
    ids=["pending", "gated", "creating", "running", "exit code", "completed", "evicted", "terminating", "init", "init error", "restarts"],
)  # fmt: skip
def test_pod_status(pod, want):
    """A pod's state in one word."""
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}] if "init" in str(pod).lower() else []}
    assert cells(kinds.POD, {"spec": spec, **pod})[1:4] == want


@pytest.mark.parametrize(
    ("kind", "obj", "want"),
    [
        (kinds.NODE, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}, "spec": {"unschedulable": True}}, ["x", "Ready,SchedulingDisabled", "<none>", "5m"]),
        (kinds.NAMESPACE, {"status": {"phase": "Active"}}, ["x", "Active", "5m"]),
        (kinds.SERVICE, {"spec": {"clusterIP": "None", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "nodePort": 30000}]}}, ["x", "ClusterIP", "None", "<none>", "80/TCP,53:30000/UDP", "5m"]),
        (kinds.JOB, {"spec": {"completions": 3}, "status": {"succeeded": 1, "startTime": "2026-01-01T00:50:00Z"}}, ["x", "Running", "1/3", "10m", "5m"]),
        (kinds.JOB, {"spec": {"completions": 1}, "status": {"conditions": [{"type": "Suspended", "status": "True"}]}}, ["x", "Suspended", "0/1", "", "5m"]),
        (kinds.STATEFUL_SET, {"spec": {"replicas": 2}, "status": {"readyReplicas": 1}}, ["x", "1/2", "5m"]),
        (kinds.CORE_EVENT, {"lastTimestamp": "2026-01-01T00:59:00Z", "type": "Normal", "reason": "R", "involvedObject": {"kind": "Pod", "name": "p"}, "message": "m\n"}, ["60s", "Normal", "R", "pod/p"]),
        (kinds.PRIORITY_CLASS, {"value": 5}, ["x", 5, False, "5m", "PreemptLowerPriority"]),
        (kinds.CUSTOM_RESOURCE_DEFINITION, {}, ["x", "2026-01-01T00:55:00Z"]),
    ],
    ids=lambda value: value.kind if isinstance(value, kinds.Kind) else "",
)  # fmt: skip
def test_rows(kind, obj, want):
    """Rows of built-in kinds as a real server prints them."""
    assert cells(kind, obj)[: len(want)] == want


def test_custom_columns():
    """Values that do not fit their column's type are null; dates are ages."""
    columns = (
        Column("Int", "integer", ".n"), Column("Text", "string", ".o"), Column("When", "date", ".t"), Column("Bad", "integer", ".s"),
        Column("None", "string", ".nope"), Column("Cond", "string", ".c[?(@.type=='A')].status"),
    )  # fmt: skip
    obj = {"n": 3, "o": {"a": 1}, "t": "2026-01-01T00:00:00Z", "s": "x", "c": [{"type": "A", "status": "True"}]}
    assert cells(kinds.WORKLOAD, obj, columns) == ["x", 3, '{"a":1}', "60m", None, None, "True"]


def test_the_form_of_a_table():
    """Columns, metadata of the list, and the object as the client asked for it."""
    resource = Resource(kinds.CONFIG_MAP)
    table = to_table(resource, [{"metadata": META}], now=NOW, list_metadata={"resourceVersion": "7", "x": 1})
    assert table["metadata"] == {"resourceVersion": "7"}
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert (
        to_table(resource, [{"metadata": META}], now=NOW, include="None", with_columns=False)["columnDefinitions"]
        is None
    )
    with pytest.raises(BadRequest):
        to_table(resource, [], now=NOW, include="All")


@pytest.mark.parametrize(
    ("accept", "want"),
    [
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            True,
        ),
        ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", False),
        ("application/vnd.kubernetes.protobuf,application/json", False),
        ("*/*", False),
    ],
)
def test_who_wants_a_table(accept, want):
    """The first form that we can serve counts."""
    assert wants_table(accept) is want
