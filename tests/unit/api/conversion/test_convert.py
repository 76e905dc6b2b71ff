"""v1beta1 and v1beta2 of each kind."""

import copy

import pytest

from pykueue.api.conversion import convert

V1, V2 = "kueue.x-k8s.io/v1beta1", "kueue.x-k8s.io/v1beta2"
PROFILE = {"name": "profile"}
KUBE_CONFIG = {"location": "secret", "locationType": "Secret"}
QUEUE_USAGE = [{"name": "default", "resources": [{"name": "cpu", "total": "1"}]}]
DOMAINS = [{"values": ["r1", "a"], "count": 2}, {"values": ["r1", "b"], "count": 1}]
SLICES = [
    {
        "domainCount": 2,
        "valuesPerLevel": [{"universal": "r1"}, {"individual": {"roots": ["a", "b"]}}],
        "podCounts": {"individual": [2, 1]},
    }
]


def admission(**topology):
    levels = ["rack", "kubernetes.io/hostname"]
    assignment = {"name": "main", "topologyAssignment": {"levels": levels, **topology}}
    return {"admission": {"clusterQueue": "cq", "podSetAssignments": [assignment, {"name": "other"}]}}


def check(kind, source, target, given, want):
    """Converts and compares; the given object is not touched."""
    obj = {"apiVersion": source, "kind": kind, "metadata": {"name": "x"}, **given}
    before = copy.deepcopy(obj)
    assert convert(obj, target) == {"apiVersion": target, "kind": kind, "metadata": {"name": "x"}, **want}
    assert obj == before


UP_AND_DOWN = [
    pytest.param(
        "Workload",
        {"spec": {"priorityClassName": "high", "priorityClassSource": "kueue.x-k8s.io/workloadpriorityclass"}},
        {"spec": {"priorityClassRef": {"group": "kueue.x-k8s.io", "kind": "WorkloadPriorityClass", "name": "high"}}},
        id="a workload priority class",
    ),
    pytest.param(
        "Workload",
        {"spec": {"priorityClassName": "high", "priorityClassSource": "scheduling.k8s.io/priorityclass"}},
        {"spec": {"priorityClassRef": {"group": "scheduling.k8s.io", "kind": "PriorityClass", "name": "high"}}},
        id="a pod priority class",
    ),
    pytest.param(
        "Workload",
        {"status": {"accumulatedPastExexcutionTimeSeconds": 7}},
        {"status": {"accumulatedPastExecutionTimeSeconds": 7}},
        id="the misspelt field",
    ),
    pytest.param(
        "Workload",
        {"status": admission(domains=DOMAINS)},
        {"status": admission(slices=SLICES)},
        id="domains and slices",
    ),
    pytest.param("ClusterQueue", {"spec": {"cohort": "c"}}, {"spec": {"cohortName": "c"}}, id="the cohort's name"),
    pytest.param(
        "LocalQueue", {"status": {"flavorUsage": QUEUE_USAGE}}, {"status": {"flavorsUsage": QUEUE_USAGE}}, id="usage"
    ),
    pytest.param(
        "MultiKueueCluster",
        {"spec": {"kubeConfig": KUBE_CONFIG}},
        {"spec": {"clusterSource": {"kubeConfig": KUBE_CONFIG}}},
        id="a kubeconfig",
    ),
    pytest.param(
        "MultiKueueCluster",
        {"spec": {"kubeConfig": {"location": "", "locationType": "Secret"}, "clusterProfileRef": PROFILE}},
        {"spec": {"clusterSource": {"clusterProfileRef": PROFILE}}},
        id="a cluster profile",
    ),
    pytest.param("Topology", {"spec": {"levels": []}}, {"spec": {"levels": []}}, id="a kind that has not changed"),
    pytest.param("WorkloadPriorityClass", {"value": 3}, {"value": 3}, id="a kind without spec"),
]


@pytest.mark.parametrize(("kind", "older", "newer"), UP_AND_DOWN)
def test_what_both_versions_can_say_goes_both_ways(kind, older, newer):
    """Nothing is lost."""
    check(kind, V1, V2, older, newer)
    check(kind, V2, V1, newer, older)


@pytest.mark.parametrize(
    ("kind", "given", "want"),
    [
        pytest.param(
            "Workload",
            {"spec": {"priorityClassName": "x", "priorityClassSource": ""}},
            {"spec": {}},
            id="no source, no class",
        ),
        pytest.param(
            "ClusterQueue",
            {"spec": {"admissionChecks": ["a", "b"], "admissionChecksStrategy": {"admissionChecks": [{"name": "c"}]}}},
            {"spec": {"admissionChecksStrategy": {"admissionChecks": [{"name": "a"}, {"name": "b"}]}}},
            id="flat checks replace the strategy",
        ),
        pytest.param(
            "ClusterQueue",
            {"spec": {"admissionChecks": [], "admissionChecksStrategy": {"admissionChecks": [{"name": "c"}]}}},
            {"spec": {"admissionChecksStrategy": {"admissionChecks": [{"name": "c"}]}}},
            id="an empty flat list leaves the strategy",
        ),
        pytest.param(
            "ClusterQueue",
            {"spec": {"flavorFungibility": {"whenCanBorrow": "Borrow", "whenCanPreempt": "Preempt"}}},
            {"spec": {"flavorFungibility": {"whenCanBorrow": "MayStopSearch", "whenCanPreempt": "MayStopSearch"}}},
            id="old names of fungibility",
        ),
        pytest.param(
            "ClusterQueue",
            {
                "status": {
                    "pendingWorkloads": 1,
                    "pendingWorkloadsStatus": {"lastChangeTime": "t"},
                    "fairSharing": {"weightedShare": 1, "admissionFairSharingStatus": {}},
                }
            },
            {"status": {"pendingWorkloads": 1, "fairSharing": {"weightedShare": 1}}},
            id="status that is no more",
        ),
        pytest.param(
            "Cohort",
            {"status": {"fairSharing": {"weightedShare": 1, "admissionFairSharingStatus": {}}}},
            {"status": {"fairSharing": {"weightedShare": 1}}},
            id="a cohort's usage history",
        ),
        pytest.param("LocalQueue", {"status": {"flavors": []}}, {"status": {}}, id="a queue's flavors"),
        pytest.param("AdmissionCheck", {"spec": {"retryDelayMinutes": 15}}, {"spec": {}}, id="the retry delay"),
        pytest.param(
            "MultiKueueCluster",
            {"spec": {"kubeConfig": KUBE_CONFIG, "clusterProfileRef": PROFILE}},
            {"spec": {"clusterSource": {"kubeConfig": KUBE_CONFIG, "clusterProfileRef": PROFILE}}},
            id="two sources stay two, for the schema to refuse",
        ),
    ],
)
def test_what_only_the_older_version_says(kind, given, want):
    """It is mapped or dropped on the way up."""
    check(kind, V1, V2, given, want)


@pytest.mark.parametrize(
    ("kind", "given", "want"),
    [
        pytest.param(
            "Workload",
            {
                "spec": {
                    "preemptionGates": [{"name": "g"}],
                    "podSets": [
                        {
                            "name": "main",
                            "topologyRequest": {"required": "rack", "podsetSliceRequiredTopologyConstraints": []},
                        }
                    ],
                },
                "status": {"preemptionGates": []},
            },
            {"spec": {"podSets": [{"name": "main", "topologyRequest": {"required": "rack"}}]}, "status": {}},
            id="gates and slice constraints",
        ),
        pytest.param(
            "ClusterQueue", {"spec": {"concurrentAdmissionPolicy": {}}}, {"spec": {}}, id="concurrent admission"
        ),
        pytest.param(
            "MultiKueueConfig",
            {"spec": {"clusters": ["a"], "quotaManagement": "Manual"}},
            {"spec": {"clusters": ["a"]}},
            id="quota management",
        ),
    ],
)
def test_what_only_the_newer_version_says(kind, given, want):
    """It is dropped on the way down."""
    check(kind, V2, V1, given, want)


def test_the_same_version_is_the_same_object():
    """Nothing is copied without need."""
    obj = {"apiVersion": V2, "kind": "Cohort"}
    assert convert(obj, V2) is obj


@pytest.mark.parametrize(("source", "target"), [(V1, "kueue.x-k8s.io/v1"), ("kueue.x-k8s.io/v1alpha1", V2)])
def test_other_versions_are_refused(source, target):
    """The error names both known versions."""
    with pytest.raises(ValueError, match=r"known versions are kueue\.x-k8s\.io/v1beta1 and kueue\.x-k8s\.io/v1beta2"):
        convert({"apiVersion": source, "kind": "Workload"}, target)
