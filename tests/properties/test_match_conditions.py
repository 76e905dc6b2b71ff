"""Conditions of webhooks against the webhooks: a call that is not made would have changed and refused nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pykueue.api.constants import Annotation, Label
from pykueue.api.kinds import LEADER_WORKER_SET, POD, STATEFUL_SET, WORKLOAD, Kind
from pykueue.apiserver.cel import Program, compile_expression
from pykueue.cli.wiring import make_webhooks
from pykueue.core.features import Gate
from pykueue.ports.admission import AdmissionRequest, MatchCondition, Operation, Webhook
from pykueue.ports.reader import Indexer
from pykueue.webhooks.conditions import unless_own_status
from support.jobs import JobWorld, group_pod, make_lws, make_pod, make_settings, make_template

WEBHOOKS: Mapping[Kind, Webhook] = {webhook.kind: webhook for webhook in make_webhooks(make_settings())}
WITHOUT_PARTIAL = {w.kind: w for w in make_webhooks(make_settings({Gate.PARTIAL_ADMISSION: False}))}
NAMES = ("object", "oldObject", "request")

values = st.sampled_from(
    ("", "true", "false", "g", "lq", "UPPER", "a..b", "0", "2", "two", "-1", "x" * 254, "a/b", "kueue.x-k8s.io/rack")
)
labels = st.dictionaries(st.sampled_from([*map(str, Label), "app"]), values, max_size=4)
annotations = st.dictionaries(st.sampled_from([*map(str, Annotation), "note"]), values, max_size=5)
group = st.fixed_dictionaries(
    {
        str(Annotation.POD_SUSPENDING_PARENT): st.just("statefulset"),
        str(Annotation.POD_GROUP_NAME): values,
        str(Annotation.PREBUILT_WORKLOAD_NAME): values,
        str(Annotation.POD_GROUP_TOTAL_COUNT): values,
    }
)
pods = st.builds(
    lambda a, b, c, gated: make_pod("p", labels=a, annotations=b | c)
    | ({} if not gated else {"spec": {**make_pod("p")["spec"], "schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}}),
    labels, annotations, st.one_of(st.just({}), group), st.booleans(),
)  # fmt: skip


def programs(conditions: Sequence[MatchCondition]) -> list[Program]:
    return [compile_expression(one.expression, dict.fromkeys(NAMES)) for one in conditions]


POD_CALLS = programs(WEBHOOKS[POD].validating_conditions)


def is_called(conditions: Sequence[Program], obj: Any, old: Any, operation: str) -> bool:
    return all(program.truth(obj, old, {"operation": operation}) for program in conditions)


def test_status_that_the_manager_writes_is_not_looked_at() -> None:
    """A user's status is, and so is whatever the manager makes or changes otherwise."""
    account = "system:serviceaccount:kueue-system:kueue-controller-manager"
    own = programs([unless_own_status(account)])

    def is_asked(username: str, **request: str) -> bool:
        said = {"operation": "UPDATE", "userInfo": {"username": username}, **request}
        return all(program.truth({}, {}, said) for program in own)

    assert not is_asked(account, subResource="status")
    assert is_asked("system:serviceaccount:kueue-system:default", subResource="status")
    assert is_asked(account)


def faults(kind: Kind, obj: Any, old: Any = None) -> Sequence[Any]:
    operation = Operation.UPDATE if old is not None else Operation.CREATE
    return WEBHOOKS[kind].validate(AdmissionRequest(operation, kind, "ns", "n", obj, old), Indexer())


@given(pods)
def test_new_pods_that_are_not_looked_at_are_good(pod: dict[str, Any]) -> None:
    """Whatever its labels and annotations say."""
    assert is_called(POD_CALLS, pod, None, "CREATE") or not faults(POD, pod)


@given(pods, pods, st.booleans())
def test_changes_of_pods_that_are_not_looked_at_are_good(old: Any, new: Any, keeps: bool) -> None:
    """What was good when it was stored, and is told nothing new, is good."""
    assume(not faults(POD, old))
    if keeps:
        new = {**new, "metadata": old["metadata"]}
    assert is_called(POD_CALLS, new, old, "UPDATE") or not faults(POD, new, old)


def test_pods_of_an_admitted_set_are_not_looked_at() -> None:
    """That is what the condition is for; a user's pod of a group is."""
    world = JobWorld()
    world.admit_object(LEADER_WORKER_SET, make_lws(leader=make_template("1")))
    world.settle()
    world.admit(world.names(WORKLOAD)[0])
    for worker in range(3):
        assert not is_called(POD_CALLS, world.get(POD, world.lws_pod("lws", 0, worker)), None, "CREATE")
    assert is_called(POD_CALLS, group_pod("p"), None, "CREATE")
    assert not is_called(POD_CALLS, make_pod("p"), None, "CREATE")
    bare = {"metadata": {"name": "bare"}, "spec": {}}
    assert not is_called(POD_CALLS, bare, None, "CREATE")
    assert not is_called(POD_CALLS, bare, bare, "UPDATE")


@pytest.mark.parametrize("parent", [None, "statefulset", "leaderworkerset.x-k8s.io/leaderworkerset", ""])
def test_stateful_sets_of_other_frameworks(parent: str | None) -> None:
    """Nobody asks about them, and there is nothing to say."""
    webhook = WEBHOOKS[STATEFUL_SET]
    marks = {} if parent is None else {"metadata": {"annotations": {str(Annotation.POD_SUSPENDING_PARENT): parent}}}
    meta = {"name": "s", "namespace": "ns", "labels": {str(Label.QUEUE_NAME): "Not A Name"}}
    obj = {"metadata": meta, "spec": {"template": {**make_template(), **marks}}}
    request = AdmissionRequest(Operation.CREATE, STATEFUL_SET, "ns", "s", obj)
    called = is_called(programs(webhook.mutating_conditions), obj, None, "CREATE")
    assert (
        called
        == is_called(programs(webhook.validating_conditions), obj, None, "CREATE")
        == bool(faults(STATEFUL_SET, obj))
    )
    assert called or webhook.default(request, Indexer()) is obj


workloads = st.builds(
    lambda counts, conditions, notes, owners: {
        "metadata": {"name": "w", "annotations": notes, "ownerReferences": owners},
        "spec": {"podSets": [{"name": f"p{i}", **count} for i, count in enumerate(counts)]},
        "status": {"conditions": conditions},
    },
    st.lists(st.sampled_from(({"count": 1}, {"count": 2, "minCount": 1})), max_size=3),
    st.lists(st.sampled_from(({"type": "A", "status": "True"}, {"type": "B", "status": "No", "reason": "r"})), max_size=2),
    st.dictionaries(st.sampled_from((str(Annotation.ADMISSION_GATED_BY), "note")), values, max_size=2),
    st.lists(st.just({"name": "o"}), max_size=2),
)  # fmt: skip


@given(workloads, workloads, st.booleans())
def test_changes_of_workloads_that_are_not_looked_at_are_good(old: Any, new: Any, keeps: bool) -> None:
    """Owners may come and go; all that is judged is looked at when it changes."""
    assume(not faults(WORKLOAD, old))
    if keeps:
        new = {**old, "metadata": {**old["metadata"], "ownerReferences": new["metadata"]["ownerReferences"]}}
    calls = programs(WEBHOOKS[WORKLOAD].validating_conditions)
    assert is_called(calls, new, old, "UPDATE") or not faults(WORKLOAD, new, old)
    assert is_called(calls, new, None, "CREATE")


@given(workloads)
def test_workloads_that_are_not_defaulted_have_no_default(new: Any) -> None:
    """With partial admission off, `minCount` is what there is to drop."""
    calls = programs(WITHOUT_PARTIAL[WORKLOAD].mutating_conditions)
    request = AdmissionRequest(Operation.CREATE, WORKLOAD, "ns", "w", new)
    assert is_called(calls, new, None, "CREATE") or WITHOUT_PARTIAL[WORKLOAD].default(request, Indexer()) is new
