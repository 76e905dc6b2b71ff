"""File, gates and validation together."""

import pytest

from pykueue.api.errors import ConfigError
from pykueue.core.configuration import load
from pykueue.core.features import Gate, without_effect

V2 = "apiVersion: config.kueue.x-k8s.io/v1beta2\nkind: Configuration\n"
V1 = "apiVersion: config.kueue.x-k8s.io/v1beta1\nkind: Configuration\n"


def faults(text, **more):
    with pytest.raises(ConfigError) as caught:
        load(text, "file", **more)
    assert caught.value.source == "file"
    return list(caught.value.faults)


def test_the_defaults_are_valid():
    """No file, no flag."""
    config, features = load()
    assert config.integrations.frameworks == ("batch/job",)
    assert features[Gate.TOPOLOGY_AWARE_SCHEDULING]


def test_gates_come_from_the_file_or_from_the_flag():
    """Either is enough."""
    assert not load(V2 + "featureGates: {PartialAdmission: false}")[1][Gate.PARTIAL_ADMISSION]
    assert not load(feature_gates="PartialAdmission=false")[1][Gate.PARTIAL_ADMISSION]


def test_a_gate_switches_waiting_for_pods_off():
    """In v1beta2 nothing else does."""
    assert load()[0].wait_for_pods_ready is not None
    assert load(feature_gates="DisableWaitForPodsReady=true")[0].wait_for_pods_ready is None


def test_a_gate_that_switches_nothing_is_told():
    """When it is set away from its default, and only then."""
    assert without_effect(load()[1]) == []
    gates = "CustomMetricLabels=true,TASBalancedPlacement=false,PartialAdmission=false,VisibilityOnDemand=false,FailureRecoveryPolicy=true"
    assert without_effect(load(feature_gates=gates)[1]) == [
        "featureGates.CustomMetricLabels has no effect: it switches nothing in this release",
        "featureGates.FailureRecoveryPolicy has no effect: it switches nothing in this release",
    ]


CASES = [
    pytest.param("featureGates: {X: true}", ["unrecognized feature gate: X"], id="an unknown gate"),
    pytest.param(
        "waitForPodsReady: {timeout: 0s, recoveryTimeout: -1s, requeuingStrategy: {timestamp: Now, backoffBaseSeconds: -1}}",
        [
            "waitForPodsReady.timeout: Required value: must be specified",
            'waitForPodsReady.recoveryTimeout: Invalid value: "-1s": must be greater than or equal to 0',
            'waitForPodsReady.requeuingStrategy.timestamp: Unsupported value: "Now": supported values: "Creation", "Eviction"',
            "waitForPodsReady.requeuingStrategy.backoffBaseSeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
        id="waiting for pods",
    ),
    pytest.param(
        "integrations: {frameworks: [pod, pod], externalFrameworks: [x, Job.v1.batch, Foo.v1.x.io, Foo.v1.x.io]}",
        [
            'integrations.frameworks[1]: Duplicate value: "pod"',
            "integrations.externalFrameworks[0]: Invalid value: \"x\": must be format, 'Kind.version.group.com'",
            'integrations.externalFrameworks[3]: Duplicate value: "Foo.v1.x.io"',
        ],
        id="frameworks",
    ),
    pytest.param(
        "managedJobsNamespaceSelector: {}",
        [
            'managedJobsNamespaceSelector: Invalid value: {}: should not match the "kube-system" namespace',
            'managedJobsNamespaceSelector: Invalid value: {}: should not match the "kueue-system" namespace',
        ],
        id="a selector of everything",
    ),
    pytest.param(
        "multiKueue: {gcInterval: -1s, origin: '-', externalFrameworks: [{name: a}, {name: Job.v1.batch}]}",
        [
            'multiKueue.gcInterval: Invalid value: "-1s": must be greater than or equal to 0',
            (
                'multiKueue.origin: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric '
                "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
                "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ),
            "multiKueue.externalFrameworks[0].name: Invalid value: \"a\": must be in 'kind.version.group' format",
            (
                'multiKueue.externalFrameworks[1].name: Invalid value: "Job.v1.batch": '
                "conflicts with a built-in MultiKueue adapter"
            ),
        ],
        id="MultiKueue",
    ),
    pytest.param(
        "multiKueue: {incrementalDispatcherConfig: {stepSize: 0}}",
        [
            (
                'multiKueue.incrementalDispatcherConfig: Invalid value: {"stepSize":0}: incrementalDispatcherConfig is only '
                "valid when dispatcherName is set to the incremental dispatcher"
            ),
            "multiKueue.incrementalDispatcherConfig.stepSize: Invalid value: 0: must be greater than or equal to 1",
        ],
        id="a dispatcher that is not there",
    ),
    pytest.param(
        "fairSharing: {}",
        ["fairSharing.preemptionStrategies: Required value: must be specified"],
        id="fair sharing without strategies",
    ),
    pytest.param(
        "fairSharing: {preemptionStrategies: [LessThanInitialShare, LessThanOrEqualToFinalShare]}",
        [
            (
                "fairSharing.preemptionStrategies: Unsupported value: "
                '["LessThanInitialShare","LessThanOrEqualToFinalShare"]: supported values: "[LessThanOrEqualToFinalShare]", '
                '"[LessThanInitialShare]", "[LessThanOrEqualToFinalShare, LessThanInitialShare]"'
            )
        ],
        id="strategies in the wrong order",
    ),
    pytest.param(
        "admissionFairSharing: {usageHalfLifeTime: -1s, usageSamplingInterval: 0s, resourceWeights: {cpu: -1}}",
        [
            'admissionFairSharing.usageHalfLifeTime: Invalid value: "-1s": must be greater than or equal to 0',
            'admissionFairSharing.usageSamplingInterval: Invalid value: "0s": must be greater than 0',
            "admissionFairSharing.resourceWeights[cpu]: Invalid value: -1: must be greater than or equal to 0",
        ],
        id="admission fair sharing",
    ),
    pytest.param(
        "resources: {quotaCheckStrategy: IgnoreUndeclared, excludeResourcePrefixes: [a], "
        "transformations: [{input: a, strategy: Drop}, {input: a}]}",
        [
            (
                'resources.quotaCheckStrategy: Invalid value: "IgnoreUndeclared": excludeResourcePrefixes is not allowed '
                "when quotaCheckStrategy is IgnoreUndeclared"
            ),
            'resources.transformations[0].strategy: Unsupported value: "Drop": supported values: "Retain", "Replace"',
            'resources.transformations[1].input: Duplicate value: "a"',
        ],
        id="resources",
    ),
    pytest.param(
        "resources: {deviceClassMappings: [{name: gpu, deviceClassNames: [a.io]}, {name: gpu, deviceClassNames: [a.io]}]}",
        [
            'resources.deviceClassMappings[1].name: Duplicate value: "gpu"',
            (
                'resources.deviceClassMappings[1].deviceClassNames[0]: Invalid value: "a.io": '
                "device class already mapped to resource gpu"
            ),
        ],
        id="a device class twice",
    ),
    pytest.param(
        "resources: {deviceClassMappings: [{name: gpu, deviceClassNames: [a.io], sources: [{}, "
        "{capacity: {name: memory, driver: gpu.io, deviceSelector: {}}}]}]}",
        [
            "resources.deviceClassMappings[0].sources[0]: Required value: exactly one source type must be set per entry",
            (
                "resources.deviceClassMappings[0].sources[1].capacity: Invalid value: true: capacity sources require "
                "KueueDRAIntegrationConsumableCapacity to be enabled"
            ),
            "resources.deviceClassMappings[0].sources[1].capacity.deviceSelector.cel.expression: Required value",
        ],
        id="device sources",
    ),
    pytest.param(
        "objectRetentionPolicies: {workloads: {afterFinished: -1s}}",
        ['objectRetentionPolicies.workloads.afterFinished: Invalid value: "-1s": must be greater than or equal to 0'],
        id="retention",
    ),
    pytest.param(
        "tls: {minVersion: VersionTLS13, cipherSuites: [TLS_AES_128_GCM_SHA256]}",
        [
            (
                'tls.cipherSuites: Invalid value: ["TLS_AES_128_GCM_SHA256"]: '
                "may not be specified when `minVersion` is 'VersionTLS13'"
            )
        ],
        id="ciphers of TLS 1.3",
    ),
    pytest.param(
        "tls: {minVersion: VersionTLS10}",
        [
            (
                'tls: Invalid value: {"minVersion":"VersionTLS10"}: invalid minVersion. '
                "Please use VersionTLS12 or VersionTLS13"
            )
        ],
        id="an old TLS",
    ),
    pytest.param(
        "visibilityServer: {bindAddress: here, bindPort: 0}",
        [
            'visibilityServer.bindAddress: Invalid value: "here": must be a valid IP address',
            "visibilityServer.bindPort: Invalid value: 0: must be a valid port number (1-65535)",
        ],
        id="the visibility server",
    ),
    pytest.param(
        "metrics: {customLabels: [{name: a-b}, {name: t, sourceKind: Workload}, {name: t, sourceKind: Pod}, "
        "{name: u, sourceLabelKey: x, sourceAnnotationKey: y, trackedValues: [v, v]}]}",
        [
            'metrics.customLabels[0].name: Invalid value: "a-b": must match ^[a-zA-Z][a-zA-Z0-9_]*$',
            "metrics.customLabels[1].trackedValues: Invalid value: []: must not be empty when sourceKind is 'Workload'",
            'metrics.customLabels[2].name: Duplicate value: "t"',
            'metrics.customLabels[2].sourceKind: Invalid value: "Pod": unknown source kind: Pod',
            'metrics.customLabels[3]: Invalid value: "u": sourceLabelKey and sourceAnnotationKey are mutually exclusive',
            'metrics.customLabels[3].trackedValues: Invalid value: ["v","v"]: must not contain duplicates',
        ],
        id="custom labels",
    ),
    pytest.param(
        "internalCertManagement: {webhookServiceName: 1a, webhookSecretName: ok}",
        [
            (
                'internalCertManagement.webhookServiceName: Invalid value: "1a": a DNS-1035 label must consist of lower case '
                "alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character "
                "(e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
            )
        ],
        id="names of certificates",
    ),
]


@pytest.mark.parametrize(("text", "want"), CASES)
def test_every_fault_is_told_in_kueues_words(text, want):
    """Validation collects all faults of a file."""
    assert faults(V2 + text) == want


def test_topology_aware_scheduling_is_off_only_with_its_profile():
    """The gates that depend on it complain, and so does validation."""
    told = faults("", feature_gates="TopologyAwareScheduling=false")
    assert any("depends on features that are disabled" in fault for fault in told)
    assert told[-1] == "featureGates: Invalid value: {}: cannot use a TAS profile with TAS disabled"


def test_gates_in_both_places_are_refused():
    """The file's gates are shown."""
    assert faults(V2 + "featureGates: {PartialAdmission: false}", feature_gates="PartialAdmission=false") == [
        (
            'featureGates: Invalid value: {"PartialAdmission":false}: '
            "feature gates for CLI and configuration cannot both specified"
        )
    ]


def test_decoding_faults_come_before_validation():
    """A file that cannot be decoded is not validated."""
    assert faults(V2 + "x: 1\nfairSharing: {}") == ['unknown field "x"']
