"""Built-in kinds: defaults, admission, validation texts and transitions, as a real kube-apiserver 1.36 was seen to answer."""

from __future__ import annotations

import base64

import pytest

from pykueue.api.errors import ApiError, FieldError, join_field_errors
from pykueue.api.instant import Instant
from pykueue.api.kinds import (
    CONFIG_MAP,
    CORE_EVENT,
    EVENT,
    JOB,
    LIMIT_RANGE,
    NAMESPACE,
    POD,
    PRIORITY_CLASS,
    RUNTIME_CLASS,
    SERVICE,
    STATEFUL_SET,
    Kind,
)
from pykueue.apiserver.builtins.events import convert_event
from pykueue.apiserver.builtins.pods import qos_class
from pykueue.apiserver.builtins.table import builtin_resources
from pykueue.apiserver.protobuf import decode_envelope
from pykueue.apiserver.strategy import Context

NOW = Instant(1_800_000_000_000_000)
STRATEGIES = {resource.kind: resource.strategy for resource in builtin_resources()}
GPU = "nvidia.com/gpu"


class FakeLookup:
    """Objects by kind."""

    def __init__(self, objects: dict[Kind, list] | None = None) -> None:
        self.objects = objects or {}

    def get(self, kind: Kind, namespace: str, name: str) -> dict | None:
        return next((o for o in self.objects.get(kind, []) if o["metadata"]["name"] == name), None)

    def list(self, kind: Kind, namespace: str = "") -> list:
        return self.objects.get(kind, [])


def make(kind: Kind, spec: dict | None = None, **rest: object) -> dict:
    meta = {"name": "x", "uid": "u-1"} | ({"namespace": "d"} if kind.namespaced else {})
    return (
        {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta}
        | ({"spec": spec} if spec is not None else {})
        | rest
    )


def make_pod(container: dict | None = None, **spec: object) -> dict:
    return make(POD, {"containers": [{"name": "c", "image": "i:1", **(container or {})}], **spec})


def make_job(**spec: object) -> dict:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}}
    return make(JOB, {"template": template, **spec})


def make_stateful_set(**spec: object) -> dict:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    return make(STATEFUL_SET, {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec})


def create(kind: Kind, obj: dict, objects: dict[Kind, list] | None = None) -> tuple[dict, list[FieldError]]:
    """The stored object and its faults."""
    strategy, context = STRATEGIES[kind], Context(NOW, FakeLookup(objects))
    obj = strategy.prepare_create(strategy.admit(strategy.default(obj), None, "", context), context)
    assert strategy.default(obj) is obj, "defaults are complete after one pass"
    return obj, list(strategy.validate(obj, None, "", context))


def update(kind: Kind, old: dict, subresource: str = "", **changes: object) -> tuple[dict, list[FieldError]]:
    strategy, context = STRATEGIES[kind], Context(NOW, FakeLookup())
    new = strategy.prepare_update(strategy.default({**old, **changes}), old, subresource, context)
    return new, list(strategy.validate(new, old, subresource, context))


def test_a_pod_gets_what_the_server_fills_in() -> None:
    """Defaults, priority, tolerations, status."""
    pod, faults = create(
        POD, make_pod({"image": "nginx", "resources": {"limits": {"cpu": "1"}}, "ports": [{"containerPort": 80}]})
    )
    assert not faults
    assert pod["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "imagePullPolicy": "Always",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
        "tolerations": [
            {"effect": "NoExecute", "key": f"node.kubernetes.io/{key}", "operator": "Exists", "tolerationSeconds": 300}
            for key in ("not-ready", "unreachable")
        ],
    }
    assert pod["status"] == {"phase": "Pending", "qosClass": "Burstable"}
    assert pod["metadata"]["generation"] == 1


def test_a_gated_pod_says_so() -> None:
    """The condition is there from the start."""
    pod, _ = create(POD, make_pod(schedulingGates=[{"name": "a.b/c"}]))
    (condition,) = pod["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    assert condition["message"] == "Scheduling is blocked due to non-empty scheduling gates"


@pytest.mark.parametrize(
    ("name", "pod", "want"),
    [
        ("a device is requested without a limit", make_pod({"resources": {"requests": {GPU: "1"}}}),
         "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources"),
        ("a device's limit differs", make_pod({"resources": {"requests": {GPU: "1"}, "limits": {GPU: "2"}}}),
         f'spec.containers[0].resources.requests: Invalid value: "1": must be equal to {GPU} limit of 2'),
        ("more is requested than the limit", make_pod({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}),
         'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
        ("half a device", make_pod({"resources": {"limits": {GPU: "500m"}, "requests": {GPU: "500m"}}}),
         (f'[spec.containers[0].resources.limits[{GPU}]: Invalid value: "500m": must be an integer, '
          f'spec.containers[0].resources.requests[{GPU}]: Invalid value: "500m": must be an integer]')),
        ("no image", make_pod({"image": ""}), "spec.containers[0].image: Required value"),
        ("no containers", make(POD, {"containers": []}), "spec.containers: Required value"),
        ("an unknown volume", make_pod({"volumeMounts": [{"name": "z", "mountPath": "/a"}]}),
         'spec.containers[0].volumeMounts[0].name: Not found: "z"'),
        ("a port out of range", make_pod({"ports": [{"containerPort": 99999}]}),
         "spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive"),
        ("an unknown restart policy", make_pod(restartPolicy="Foo"),
         'spec.restartPolicy: Unsupported value: "Foo": supported values: "Always", "OnFailure", "Never"'),
        ("a gate twice", make_pod(schedulingGates=[{"name": "a"}, {"name": "a"}]), 'spec.schedulingGates[1]: Duplicate value: "a"'),
        ("gated yet assigned", make_pod(schedulingGates=[{"name": "a"}], nodeName="n"),
         "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
        ("a deadline of zero", make_pod(activeDeadlineSeconds=0),
         "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"),
    ],
)  # fmt: skip
def test_faults_of_pods(name: str, pod: dict, want: str) -> None:
    """One fault, in the server's words."""
    assert join_field_errors(create(POD, pod)[1]) == want, name


GATED = create(POD, make_pod(schedulingGates=[{"name": "a.b/c"}, {"name": "a.b/d"}], nodeSelector={"a": "b"}))[0]
UNGATED = create(POD, make_pod())[0]


@pytest.mark.parametrize(
    ("name", "pod", "change", "want"),
    [
        ("gates may go", GATED, {"schedulingGates": [{"name": "a.b/d"}]}, ""),
        ("gates may not come", GATED, {"schedulingGates": [{"name": "a.b/c"}, {"name": "z"}]},
         "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'z'"),
        ("node selection may narrow while gated", GATED, {"nodeSelector": {"a": "b", "c": "d"}}, ""),
        ("node selection may not change", GATED, {"nodeSelector": {"a": "z"}},
         'spec.nodeSelector: Invalid value: {"a":"z"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)'),
        ("gates may go while node selection narrows", GATED, {"schedulingGates": [], "nodeSelector": {"a": "b", "c": "d"}}, ""),
        ("node selection is fixed without gates", UNGATED, {"nodeSelector": {"a": "b"}}, "spec: Forbidden: pod updates may not change"),
        ("images may change", UNGATED, {"containers": [{**UNGATED["spec"]["containers"][0], "image": "j:2"}]}, ""),
        ("images may not go", UNGATED, {"containers": [{**UNGATED["spec"]["containers"][0], "image": ""}]},
         "spec.containers[0].image: Required value"),
        ("tolerations may come", UNGATED, {"tolerations": [*UNGATED["spec"]["tolerations"], {"operator": "Exists"}]}, ""),
        ("a deadline may come", UNGATED, {"activeDeadlineSeconds": 5}, ""),
        ("priority is fixed", UNGATED, {"priority": 7}, "spec: Forbidden: pod updates may not change"),
        ("gated pods are not assigned by an update", GATED, {"nodeName": "n"}, "spec: Forbidden: pod updates may not change"),
    ],
)  # fmt: skip
def test_what_may_change_of_a_pod(name: str, pod: dict, change: dict, want: str) -> None:
    """Little, and the generation counts it."""
    new, faults = update(POD, pod, spec={**pod["spec"], **change})
    if want:
        assert [str(fault).startswith(want) for fault in faults] == [True], (name, faults)
    else:
        assert not faults, name
        assert new["metadata"]["generation"] == 2


def test_priority_comes_from_the_class() -> None:
    """By name, or from the default class; a number of one's own, or an unknown class, is refused."""
    high = make(PRIORITY_CLASS, value=5, preemptionPolicy="Never")
    pod, _ = create(POD, make_pod(priorityClassName="x"), {PRIORITY_CLASS: [high]})
    assert (pod["spec"]["priority"], pod["spec"]["preemptionPolicy"]) == (5, "Never")
    pod, _ = create(POD, make_pod(), {PRIORITY_CLASS: [{**high, "globalDefault": True}]})
    assert (pod["spec"]["priority"], pod["spec"]["priorityClassName"]) == (5, "x")
    with pytest.raises(ApiError, match='pods "x" is forbidden: no PriorityClass with name nope was found'):
        create(POD, make_pod(priorityClassName="nope"))
    with pytest.raises(
        ApiError, match=r"the integer value of priority \(5\) must not be provided in pod spec; .* computed 0 from"
    ):
        create(POD, make_pod(priority=5))


def test_pods_take_on_what_their_runtime_class_says() -> None:
    """Overhead, and where they may run; a contradiction, or an overhead of nobody's, is refused."""
    scheduling = {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}
    runtime_class = make(RUNTIME_CLASS, handler="h", overhead={"podFixed": {"cpu": "250m"}}, scheduling=scheduling)
    known = {RUNTIME_CLASS: [runtime_class]}
    pod, _ = create(POD, make_pod(runtimeClassName="x", nodeSelector={"a": "b"}, overhead={"cpu": "0.25"}), known)
    assert pod["spec"]["overhead"] == {"cpu": "250m"}
    assert pod["spec"]["nodeSelector"] == {"a": "b", "vm": "yes"}
    assert scheduling["tolerations"][0] in pod["spec"]["tolerations"]
    bare, _ = create(POD, make_pod(runtimeClassName="x"), {RUNTIME_CLASS: [make(RUNTIME_CLASS, handler="h")]})
    assert not {"overhead", "nodeSelector"} & bare["spec"].keys()
    for spec, why in (
        ({"runtimeClassName": "nope"}, 'pod rejected: RuntimeClass "nope" not found'),
        ({"overhead": {"cpu": "1"}}, "Pod Overhead set without corresponding RuntimeClass defined Overhead"),
        ({"runtimeClassName": "x", "overhead": {"cpu": "1"}}, "Pod's Overhead doesn't match RuntimeClass's defined"),
        (
            {"runtimeClassName": "x", "nodeSelector": {"vm": "no"}},
            r"conflict: .* = yes; pod.spec.nodeSelector\[vm\] = no",
        ),
    ):
        with pytest.raises(ApiError, match=f'pods "x" is forbidden: .*{why}'):
            create(POD, make_pod(**spec), known)


def test_limit_ranges_complete_and_refuse() -> None:
    """Missing amounts are filled in and noted; what is too large is refused."""
    limits = STRATEGIES[LIMIT_RANGE].default(
        make(LIMIT_RANGE, {"limits": [{"type": "Container", "max": {"cpu": "1"}}]})
    )
    assert limits["spec"]["limits"][0]["defaultRequest"] == {"cpu": "1"}
    pod, _ = create(POD, make_pod(), {LIMIT_RANGE: [limits]})
    assert pod["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    assert pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    )
    with pytest.raises(ApiError, match="maximum cpu usage per Container is 1, but limit is 3"):
        create(POD, make_pod({"resources": {"limits": {"cpu": "3"}}}), {LIMIT_RANGE: [limits]})


@pytest.mark.parametrize(
    ("resources", "want"),
    [
        ({}, "BestEffort"),
        ({"requests": {GPU: "1"}, "limits": {GPU: "1"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1000m", "memory": "1"}}, "Guaranteed"),
        ({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "2", "memory": "1"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: dict, want: str) -> None:
    """By cpu and memory alone."""
    assert qos_class({"containers": [{"resources": resources}]}) == want


@pytest.mark.parametrize(
    ("name", "changes", "requested_s", "want_s"),
    [
        ("an unassigned pod goes at once", {}, None, 0),
        ("an assigned pod gets its period", {"nodeName": "n"}, None, 30),
        ("the request counts", {"nodeName": "n"}, 5, 5),
        ("a negative period is the shortest", {"nodeName": "n", "terminationGracePeriodSeconds": -3}, None, 1),
    ],
)
def test_grace_of_pods(name: str, changes: dict, requested_s: int | None, want_s: int) -> None:
    """Only pods that may run are waited for."""
    pod = {**UNGATED, "spec": {**UNGATED["spec"], **changes}}
    assert STRATEGIES[POD].grace_period_s(pod, requested_s) == want_s, name
    assert STRATEGIES[POD].grace_period_s({**pod, "status": {"phase": "Failed"}}, requested_s) == 0


def test_a_job_selects_its_pods_by_its_uid() -> None:
    """Selector and labels are made, and shown on the Job when it has none of its own."""
    job, faults = create(JOB, make_job())
    assert not faults
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}
    want_labels = {
        "controller-uid": "u-1",
        "batch.kubernetes.io/controller-uid": "u-1",
        "job-name": "x",
        "batch.kubernetes.io/job-name": "x",
    }
    assert job["spec"]["template"]["metadata"]["labels"] == job["metadata"]["labels"] == want_labels
    kept = {k: v for k, v in job["spec"].items() if k not in {"selector", "template"}}
    assert kept == {
        "backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "manualSelector": False, "parallelism": 1,
        "podReplacementPolicy": "TerminatingOrFailed", "suspend": False,
    }  # fmt: skip


def test_a_job_template_changes_only_while_nothing_runs() -> None:
    """Scheduling directives of a suspended Job may change, its images may not; a started one is fixed."""
    job, _ = create(JOB, make_job(suspend=True))

    def with_pod_spec(**changes: object) -> dict:
        template = job["spec"]["template"]
        return {**job["spec"], "template": {**template, "spec": {**template["spec"], **changes}}}

    assert not update(JOB, job, spec=with_pod_spec(nodeSelector={"a": "b"}))[1]
    container = {**job["spec"]["template"]["spec"]["containers"][0], "image": "other"}
    (fault,) = update(JOB, job, spec=with_pod_spec(containers=[container]))[1]
    assert (fault.path, fault.detail) == ("spec.template", "field is immutable")
    running = {**job, "status": {"startTime": "2026-01-01T00:00:00Z"}}
    (fault,) = update(JOB, running, spec=with_pod_spec(nodeSelector={"a": "b"}))[1]
    assert fault.path == "spec.template"


def test_a_job_keeps_the_labels_of_its_pods() -> None:
    """By them it finds its pods: those that the server made cannot be taken away, or changed."""
    job, _ = create(JOB, make_job(suspend=True))
    name = job["metadata"]["name"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    for key in ("batch.kubernetes.io/job-name", "job-name"):
        for changed, want in (
            ({k: v for k, v in labels.items() if k != key}, f"spec.template.metadata.labels[{key}]: Required value: "),
            ({**labels, key: "other"}, f"spec.template.metadata.labels[{key}]: Invalid value: "),
        ):
            template = {**job["spec"]["template"], "metadata": {"labels": changed}}
            (fault,) = update(JOB, job, spec={**job["spec"], "template": template})[1]
            assert str(fault).startswith(want)
            assert str(fault).endswith(f"must be '{name}'")


@pytest.mark.parametrize(
    ("name", "spec", "want"),
    [
        ("a policy that never ends", {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
         'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
        ("negative parallelism", {"parallelism": -1}, "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
        ("indexed without completions", {"completionMode": "Indexed", "parallelism": 1},
         "spec.completions: Required value: when completion mode is Indexed"),
    ],
)  # fmt: skip
def test_faults_of_jobs(name: str, spec: dict, want: str) -> None:
    """In the server's words."""
    assert [str(fault) for fault in create(JOB, make_job(**spec))[1]] == [want], name


def test_completions_of_elastic_jobs_may_change_with_parallelism() -> None:
    """Others may not."""
    job, _ = create(JOB, make_job(completionMode="Indexed", completions=2, parallelism=2))
    assert not update(JOB, job, spec={**job["spec"], "completions": 4, "parallelism": 4})[1]
    (fault,) = update(JOB, job, spec={**job["spec"], "completions": 4})[1]
    assert str(fault) == "spec.completions: Invalid value: 4: field is immutable"


def test_stateful_sets() -> None:
    """Defaults, the empty selector, and what may not change."""
    found, faults = create(STATEFUL_SET, make_stateful_set())
    assert not faults
    assert found["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert found["status"] == {"replicas": 0, "availableReplicas": 0}
    (fault,) = create(STATEFUL_SET, make_stateful_set(selector={}))[1]
    assert str(fault) == "spec.selector: Invalid value: {}: empty selector is invalid for statefulset"
    assert not update(STATEFUL_SET, found, spec={**found["spec"], "replicas": 3})[1]
    (fault,) = update(STATEFUL_SET, found, spec={**found["spec"], "serviceName": "z"})[1]
    assert str(fault).startswith(
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals'"
    )


def test_namespaces_have_a_label_and_a_finalizer() -> None:
    """Only `finalize` changes the spec; deletion is finished when neither kind of finalizer is left."""
    found, faults = create(NAMESPACE, make(NAMESPACE))
    assert not faults
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": "x"}
    assert (found["spec"], found["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    assert update(NAMESPACE, found, spec={})[0]["spec"] == found["spec"]
    emptied, _ = update(NAMESPACE, found, "finalize", spec={})
    strategy = STRATEGIES[NAMESPACE]
    assert (strategy.is_finalized(found), strategy.is_finalized(emptied)) == (False, True)
    assert strategy.begin_delete(found, Context(NOW, FakeLookup()))["status"] == {"phase": "Terminating"}


def test_services_get_an_address_of_their_own() -> None:
    """Headless ones do not; addresses that are not sent again stay."""
    service, faults = create(SERVICE, make(SERVICE, {"ports": [{"port": 80}]}))
    assert not faults
    address = service["spec"]["clusterIP"]
    assert address.startswith("10.96.")
    other, _ = create(SERVICE, make(SERVICE, {"ports": [{"port": 80}]}), {SERVICE: [service]})
    assert other["spec"]["clusterIP"] != address
    assert update(SERVICE, service, spec={"ports": [{"port": 81}]})[0]["spec"]["clusterIP"] == address
    headless, faults = create(SERVICE, make(SERVICE, {"clusterIP": "None"}))
    assert (headless["spec"]["clusterIPs"], faults) == (["None"], [])


def test_priority_classes_never_change_their_value() -> None:
    """And the system's names and numbers are the system's."""
    found, _ = create(PRIORITY_CLASS, make(PRIORITY_CLASS, value=5))
    (fault,) = update(PRIORITY_CLASS, found, value=6)[1]
    assert str(fault) == "value: Forbidden: may not be changed in an update."
    (fault,) = create(PRIORITY_CLASS, make(PRIORITY_CLASS, value=2_000_000_000))[1]
    assert str(fault) == "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"


def test_events_are_the_same_in_both_versions() -> None:
    """There and back loses nothing."""
    core = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "d"}, "involvedObject": {"name": "p"},
        "message": "m", "reason": "r", "type": "Normal", "source": {"component": "c"}, "count": 2, "eventTime": None,
        "firstTimestamp": "t", "lastTimestamp": "u", "reportingComponent": "a", "reportingInstance": "i",
    }  # fmt: skip
    new = convert_event(core, EVENT.api_version)
    assert (new["note"], new["regarding"], new["deprecatedCount"]) == ("m", {"name": "p"}, 2)
    assert convert_event(new, CORE_EVENT.api_version) == core


@pytest.mark.parametrize(
    ("name", "meta", "want"),
    [
        ("a finalizer without a domain", {"finalizers": ["foo"]},
         'metadata.finalizers[0]: Invalid value: "foo": name is neither a standard finalizer name nor is it fully qualified'),
        ("an owner without uid", {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a"}]},
         'metadata.ownerReferences.uid: Invalid value: "": must not be empty'),
        ("two controllers", {"ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True} for n in ("a", "b")]},
         'Found "true" in references for Pod/a and Pod/b'),
        ("a bad label", {"labels": {"a": "b c"}}, 'metadata.labels: Invalid value: "b c": a valid label must be'),
        ("a bad name", {"name": "A_b"}, 'metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain'),
    ],
)  # fmt: skip
def test_faults_of_metadata(name: str, meta: dict, want: str) -> None:
    """In the server's words, with or without indexes as it writes them."""
    pod = make_pod()
    (fault,) = create(POD, {**pod, "metadata": {**pod["metadata"], **meta}})[1]
    assert want in str(fault), name


def test_finalizers_do_not_come_while_an_object_goes() -> None:
    """What is being deleted is not held back anew."""
    old = {**UNGATED, "metadata": {**UNGATED["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    (fault,) = update(POD, old, metadata={**old["metadata"], "finalizers": ["a.b/c"]})[1]
    want = 'no new finalizers can be added if the object is being deleted, found new finalizers []string{"a.b/c"}'
    assert str(fault) == f"metadata.finalizers: Forbidden: {want}"


def test_every_built_in_kind_has_a_schema_and_a_decoder() -> None:
    """Nothing is served that cannot be read strictly."""
    assert [r.kind.kind for r in builtin_resources() if r.schema is None or r.decode is None] == []


def test_every_built_in_kind_has_a_protobuf_form() -> None:
    """kubectl's typed commands send protobuf without asking, whichever kind they make."""
    for resource in builtin_resources():
        kind = resource.kind
        said = b"".join((b"\x0a", bytes([len(kind.api_version)]), kind.api_version.encode()))
        said += b"".join((b"\x12", bytes([len(kind.kind)]), kind.kind.encode()))
        body = b"k8s\x00" + b"\x0a" + bytes([len(said)]) + said
        assert decode_envelope(body)["kind"] == kind.kind


@pytest.mark.parametrize(
    ("kind", "want"),
    [
        ("ResourceQuota", "nobody enforces it"),
        ("CronJob", "nothing makes jobs from it"),
        ("DaemonSet", "nothing makes pods from it"),
        ("PodDisruptionBudget", "nobody counts what it allows, so its pods cannot be evicted"),
        ("ClusterRole", "whoever is authenticated may do everything"),
        ("RoleBinding", "whoever is authenticated may do everything"),
        ("ValidatingWebhookConfiguration", "no webhook is called over the network"),
    ],
)
def test_who_makes_what_nobody_acts_on_is_told(kind: str, want: str) -> None:
    """Once, when it is made; never in silence."""
    (strategy,) = (r.strategy for r in builtin_resources() if r.kind.kind == kind)
    assert strategy.warnings({}, None) == (f"the embedded cluster stores this, but {want}",)
    assert strategy.warnings({}, {}) == ()


def test_kinds_that_are_acted_on_warn_of_nothing() -> None:
    """Pods, jobs and sets run here."""
    for kind in (POD, JOB, STATEFUL_SET, SERVICE):
        assert STRATEGIES[kind].warnings(make(kind), None) == ()


def test_a_quota_is_not_negative() -> None:
    """In the server's words."""
    quota = Kind("", "v1", "ResourceQuota", "resourcequotas")
    assert create(quota, make(quota, {"hard": {"cpu": "1", "pods": "0"}}))[1] == []
    (fault,) = create(quota, make(quota, {"hard": {"cpu": "-1"}}))[1]
    assert str(fault) == 'spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0'


def test_how_much_a_config_map_and_a_secret_hold() -> None:
    """One MiB, in the server's words; binary data counts as it is, not as it is written."""
    secret = Kind("", "v1", "Secret", "secrets")
    full = "x" * (1 << 20)
    packed = base64.b64encode(full.encode()).decode()
    for kind, fits, where in (
        (CONFIG_MAP, {"data": {"a": full}}, "[]"),
        (CONFIG_MAP, {"binaryData": {"a": packed}}, "[]"),
        (secret, {"data": {"a": packed}}, "data"),
    ):
        assert create(kind, make(kind, **fits))[1] == []
        ((field, held),) = fits.items()
        more = {**held, "b": "eA==" if held["a"] is packed else "x"}
        (fault,) = create(kind, make(kind, **{field: more}))[1]
        assert str(fault) == f"{where}: Too long: may not be more than 1048576 bytes"
