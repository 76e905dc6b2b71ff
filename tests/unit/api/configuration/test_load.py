"""Decoding of both versions, with their defaults."""

import pytest

from pykueue.api.configuration import Configuration, decode, dump_effective, parse_gates_flag
from pykueue.api.configuration.types import MINUTE_US, SECOND_US, WaitForPodsReady

V1 = "apiVersion: config.kueue.x-k8s.io/v1beta1\nkind: Configuration\n"
V2 = "apiVersion: config.kueue.x-k8s.io/v1beta2\nkind: Configuration\n"


def good(text, **more):
    config, faults = decode(text, **more)
    assert faults == []
    return config


def test_a_file_that_says_nothing_is_the_default():
    """The defaults of the structs are those of the decoder."""
    assert good("") == good(V2) == Configuration()


def test_the_managers_namespace_is_not_managed():
    """The selector follows the namespace."""
    config = good(V2, namespace="queueing")
    assert config.namespace == "queueing"
    assert config.managed_jobs_namespace_selector == {
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "queueing"]}
        ]
    }


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(V2, WaitForPodsReady(), id="v1beta2: always on"),
        pytest.param(
            V2 + "waitForPodsReady: {timeout: 5m}",
            WaitForPodsReady(timeout_us=5 * MINUTE_US, recovery_timeout_us=5 * MINUTE_US),
            id="the recovery timeout follows the timeout",
        ),
        pytest.param(
            V2 + "waitForPodsReady: {recoveryTimeout: 0s}",
            WaitForPodsReady(recovery_timeout_us=0),
            id="zero recovery timeout is no limit",
        ),
        pytest.param(V1, None, id="v1beta1: off unless enabled"),
        pytest.param(V1 + "waitForPodsReady: {timeout: 5m}", None, id="v1beta1: present is not enabled"),
        pytest.param(
            V1 + "waitForPodsReady: {enable: true}",
            WaitForPodsReady(timeout_us=5 * MINUTE_US, recovery_timeout_us=5 * MINUTE_US, block_admission=True),
            id="v1beta1: its own defaults",
        ),
        pytest.param(
            V1 + "waitForPodsReady: {enable: true, blockAdmission: false, timeout: 30s}",
            WaitForPodsReady(timeout_us=30 * SECOND_US, recovery_timeout_us=30 * SECOND_US),
            id="v1beta1: what is written wins",
        ),
    ],
)
def test_waiting_for_pods(text, want):
    """The two versions differ most here."""
    assert good(text).wait_for_pods_ready == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (V2, None),
        (V2 + "fairSharing: {}", ()),
        (V2 + "fairSharing: {preemptionStrategies: [LessThanInitialShare]}", ("LessThanInitialShare",)),
        (V1 + "fairSharing: {}", None),
        (V1 + "fairSharing: {enable: true}", ("LessThanOrEqualToFinalShare", "LessThanInitialShare")),
        (V1 + "fairSharing: {enable: true, preemptionStrategies: [LessThanInitialShare]}", ("LessThanInitialShare",)),
    ],
)
def test_fair_sharing(text, want):
    """Presence switches it on in v1beta2, a field in v1beta1."""
    fair = good(text).fair_sharing
    assert (fair.preemption_strategies if fair else None) == want


def test_local_queue_metrics_are_on_unless_the_stanza_is_there():
    """A stanza that does not say so is off."""
    assert good(V2).metrics.local_queue_metrics.enable is True
    assert good(V2 + "metrics: {localQueueMetrics: {}}").metrics.local_queue_metrics.enable is False


@pytest.mark.parametrize(("version", "want"), [(V2, 3), (V1, None)])
def test_the_incremental_dispatcher_has_a_step_only_in_v1beta2(version, want):
    """Defaults of v1beta2 are not applied after conversion."""
    config = good(version + "multiKueue: {dispatcherName: kueue.x-k8s.io/multikueue-dispatcher-incremental}")
    dispatcher = config.multi_kueue.incremental_dispatcher_config
    assert (dispatcher.step_size if dispatcher else None) == want


def test_durations_and_nanoseconds():
    """All times are Go durations but one."""
    config = good(V2 + "leaderElection: {leaseDuration: 20s}\ncontroller: {cacheSyncTimeout: 1000000000}")
    assert config.leader_election.lease_duration_us == 20 * SECOND_US
    assert config.controller.cache_sync_timeout_us == SECOND_US


def test_fields_without_effect_of_v1beta1_are_accepted():
    """They were accepted by the version and mean nothing."""
    good(V1 + "queueVisibility: {updateIntervalSeconds: 5}\nintegrations: {podOptions: {podSelector: {}}}")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param(V2 + "metrics: {port: 1}", ['unknown field "metrics.port"'], id="unknown field"),
        pytest.param(V2 + "Metrics: {}", ['unknown field "Metrics"'], id="names are case-sensitive"),
        pytest.param(V2 + "health: {}\nhealth: {}", ['duplicate field "health"'], id="duplicate field"),
        pytest.param(
            V2 + "webhook:\n  port: 1\n  port: 2", ['duplicate field "webhook.port"'], id="duplicate field deeper down"
        ),
        pytest.param(
            V2 + "webhook: {port: x}\nleaderElection: {leaderElect: 1, leaseDuration: 15}",
            [
                'webhook.port: must be an integer, not "x"',
                "leaderElection.leaderElect: must be true or false, not 1",
                'leaderElection.leaseDuration: must be a duration like "5m", not 15',
            ],
            id="wrong types, all of them",
        ),
        pytest.param(
            V2 + "leaderElection: {leaseDuration: 15q}",
            ['leaderElection.leaseDuration: time: unknown unit "q" in duration "15q"'],
            id="a bad duration",
        ),
        pytest.param(
            V2 + "resources: {transformations: [{inputs: a}]}",
            ['unknown field "resources.transformations[0].inputs"'],
            id="unknown field in a list",
        ),
        pytest.param(
            V2 + "integrations: {frameworks: [1]}",
            ["integrations.frameworks[0]: must be a string, not 1"],
            id="wrong type in a list",
        ),
        pytest.param(
            V2 + "waitForPodsReady: {enable: true}", ['unknown field "waitForPodsReady.enable"'], id="of v1beta1"
        ),
        pytest.param(
            V1 + "visibilityServer: {bindPort: 1}\nmetrics: {customLabels: [{name: a}, {sourceKind: Cohort}]}",
            ['unknown field "visibilityServer"', 'unknown field "metrics.customLabels[1].sourceKind"'],
            id="of v1beta2",
        ),
        pytest.param(
            V2 + "managedJobsNamespaceSelector: {matchLabels: {a: 1}, matchExpression: []}",
            [
                "managedJobsNamespaceSelector.matchLabels[a]: must be a string, not 1",
                'unknown field "managedJobsNamespaceSelector.matchExpression"',
            ],
            id="a malformed selector",
        ),
        pytest.param(V2 + "waitForPodsReady: 5", ["waitForPodsReady: must be a mapping, not 5"], id="not a stanza"),
        pytest.param("[]", ["must be a mapping with apiVersion and kind"], id="not a mapping"),
        pytest.param(
            "apiVersion: v1\nkind: Pod",
            [
                (
                    'no kind "Pod" is registered for version "v1": apiVersion must be config.kueue.x-k8s.io/v1beta2 or '
                    "config.kueue.x-k8s.io/v1beta1, kind Configuration"
                )
            ],
            id="another kind",
        ),
    ],
)
def test_faults_name_their_field(text, want):
    """Strict decoding, every fault at once."""
    assert decode(text)[1] == want


def test_text_that_is_not_yaml_is_one_fault():
    """The place in the text is told."""
    (fault,) = decode("a: [")[1]
    assert fault.startswith("cannot be read as YAML: ")
    assert "line 1" in fault


def test_the_effective_configuration_reads_back():
    """What is logged at start is a valid file with the same meaning."""
    text = V2 + (
        "metrics: {customLabels: [{name: team}]}\nfairSharing: {preemptionStrategies: [LessThanInitialShare]}\n"
        "admissionFairSharing: {usageHalfLifeTime: 1h, resourceWeights: {cpu: 2.5}}\n"
        "objectRetentionPolicies: {workloads: {afterFinished: 0s}}\nfeatureGates: {PartialAdmission: false}\n"
        "multiKueue: {externalFrameworks: [{name: Foo.v1.example.com}]}\n"
        "resources: {deviceClassMappings: [{name: gpu, deviceClassNames: [a.example.com]}]}\n"
    )
    config = good(text)
    dumped = dump_effective(config)
    assert good(dumped) == config
    assert "usageHalfLifeTime: 1h0m0s" in dumped


@pytest.mark.parametrize(
    ("text", "gates", "faults"),
    [
        ("", {}, []),
        ("A=true,B=false", {"A": True, "B": False}, []),
        (" A = T , ", {"A": True}, []),
        ("A", {}, ["missing bool value for A"]),
        ("A=yes", {}, ['invalid value of A=yes, err: strconv.ParseBool: parsing "yes": invalid syntax']),
    ],
)
def test_the_gates_flag(text, gates, faults):
    """As Kubernetes' components read it."""
    assert parse_gates_flag(text) == (gates, faults)
