"""What a cluster needs."""

import pytest
import yaml

from pykueue.api.configuration import unsupported
from pykueue.api.schema import CONVERTED_KINDS
from pykueue.cli.manifests import manifests
from pykueue.core.configuration import load
from pykueue.core.features import without_effect

ALL = manifests(namespace="queueing", image="image:1")


def of_kind(kind):
    return {obj["metadata"]["name"]: obj for obj in ALL if obj["kind"] == kind}


def test_every_object_has_a_name_of_its_own():
    """Applying the list leaves as many objects as it has."""
    keys = [(o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]) for o in ALL]
    assert len(set(keys)) == len(keys)


def test_namespaced_objects_are_in_the_managers_namespace():
    """The namespace is asked for once."""
    namespaced = {"ConfigMap", "Secret", "Service", "Deployment", "ServiceAccount", "Role", "RoleBinding"}
    for obj in ALL:
        want = "queueing" if obj["kind"] in namespaced else None
        if obj["metadata"]["name"] == "kueue-visibility-server-auth-reader":
            want = "kube-system"  # where the role is that every cluster has
        assert obj["metadata"].get("namespace") == want, obj["metadata"]["name"]
    assert of_kind("Namespace").keys() == {"queueing"}


def test_five_definitions_are_converted_by_the_webhook():
    """The others differ by nothing that a webhook must translate."""
    converted = {
        crd["spec"]["names"]["kind"]: crd["spec"]["conversion"]["webhook"]["clientConfig"]["service"]
        for crd in of_kind("CustomResourceDefinition").values()
        if "conversion" in crd["spec"]
    }
    service = {"name": "kueue-webhook-service", "namespace": "queueing", "path": "/convert"}
    assert converted == dict.fromkeys(CONVERTED_KINDS, service)


def test_the_lean_definition_is_a_fourth_of_the_full_one():
    """Most of what the API server must check of a Workload is its pod templates; the other definitions stay as they are."""
    lean = {
        o["metadata"]["name"]: o for o in manifests(namespace="queueing", image="image:1", only=["crds"], is_lean=True)
    }
    full = of_kind("CustomResourceDefinition")
    assert lean.keys() == full.keys()
    assert {name for name in full if lean[name] != full[name]} == {"workloads.kueue.x-k8s.io"}
    assert len(str(lean["workloads.kueue.x-k8s.io"])) < len(str(full["workloads.kueue.x-k8s.io"])) / 4


def test_the_older_version_may_be_left_out():
    """Then nothing is converted; the newest version is the same."""
    found = manifests(only=["crds"], has_v1beta1=False)
    assert {tuple(v["name"] for v in crd["spec"]["versions"]) for crd in found} == {("v1beta2",)}
    assert not [crd for crd in found if "conversion" in crd["spec"]]
    both = {crd["metadata"]["name"]: crd["spec"]["versions"] for crd in manifests(only=["crds"])}
    assert all(crd["spec"]["versions"] == both[crd["metadata"]["name"]][1:] for crd in found)


@pytest.mark.parametrize(
    ("kind", "name", "want"),
    [
        (
            "MutatingWebhookConfiguration",
            "kueue-mutating-webhook-configuration",
            {
                "mclusterqueue.kb.io": ("/mutate-kueue-x-k8s-io-v1beta2-clusterqueue", ["CREATE"], ["clusterqueues"]),
                "mresourceflavor.kb.io": (
                    "/mutate-kueue-x-k8s-io-v1beta2-resourceflavor", ["CREATE"], ["resourceflavors"],
                ),
                "mworkload.kb.io": ("/mutate-kueue-x-k8s-io-v1beta2-workload", ["CREATE"], ["workloads"]),
                "mjob.kb.io": ("/mutate-batch-v1-job", ["CREATE"], ["jobs"]),
                "mpod.kb.io": ("/mutate--v1-pod", ["CREATE"], ["pods"]),
                "mdeployment.kb.io": ("/mutate-apps-v1-deployment", ["CREATE", "UPDATE"], ["deployments"]),
                "mstatefulset.kb.io": ("/mutate-apps-v1-statefulset", ["CREATE", "UPDATE"], ["statefulsets"]),
                "mleaderworkerset.kb.io": (
                    "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset", ["CREATE", "UPDATE"], ["leaderworkersets"],
                ),
            },
        ),
        (
            "ValidatingWebhookConfiguration",
            "kueue-validating-webhook-configuration",
            {
                "vclusterqueue.kb.io": (
                    "/validate-kueue-x-k8s-io-v1beta2-clusterqueue", ["CREATE", "UPDATE"], ["clusterqueues"],
                ),
                "vcohort.kb.io": ("/validate-kueue-x-k8s-io-v1beta2-cohort", ["CREATE", "UPDATE"], ["cohorts"]),
                "vresourceflavor.kb.io": (
                    "/validate-kueue-x-k8s-io-v1beta2-resourceflavor", ["CREATE", "UPDATE"], ["resourceflavors"],
                ),
                "vworkload.kb.io": (
                    "/validate-kueue-x-k8s-io-v1beta2-workload",
                    ["CREATE", "UPDATE"],
                    ["workloads", "workloads/status"],
                ),
                "vjob.kb.io": ("/validate-batch-v1-job", ["CREATE", "UPDATE"], ["jobs"]),
                "vpod.kb.io": ("/validate--v1-pod", ["CREATE", "UPDATE"], ["pods"]),
                "vdeployment.kb.io": ("/validate-apps-v1-deployment", ["CREATE", "UPDATE"], ["deployments"]),
                "vstatefulset.kb.io": ("/validate-apps-v1-statefulset", ["CREATE", "UPDATE"], ["statefulsets"]),
                "vleaderworkerset.kb.io": (
                    "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset", ["CREATE", "UPDATE"], ["leaderworkersets"],
                ),
            },
        ),
    ],
)  # fmt: skip
def test_webhooks_have_kueues_names_and_paths(kind, name, want):
    """Tools and people know them by these."""
    webhooks = of_kind(kind)[name]["webhooks"]
    got = {
        w["name"]: (w["clientConfig"]["service"]["path"], w["rules"][0]["operations"], w["rules"][0]["resources"])
        for w in webhooks
    }
    assert got == want
    assert all((w["failurePolicy"], w["sideEffects"]) == ("Fail", "None") for w in webhooks)


def test_job_webhooks_leave_the_system_and_the_manager_alone():
    """Kueue's own kinds are checked everywhere."""
    for webhook in of_kind("MutatingWebhookConfiguration")["kueue-mutating-webhook-configuration"]["webhooks"]:
        own = "kueue-x-k8s-io" in webhook["clientConfig"]["service"]["path"]
        assert ("namespaceSelector" not in webhook) is own
    assert webhook["namespaceSelector"]["matchExpressions"][0]["values"] == ["kube-system", "queueing"]


def test_the_shipped_configuration_is_valid_and_has_full_effect():
    """What we ship loads without a warning."""
    text = of_kind("ConfigMap")["kueue-manager-config"]["data"]["controller_manager_config.yaml"]
    config, features = load(text, namespace="queueing")
    assert [*unsupported(config), *unsupported(config, embedded=True), *without_effect(features)] == []
    assert "leaderworkerset.x-k8s.io/leaderworkerset" in config.integrations.frameworks


def test_bindings_refer_to_roles_that_are_there():
    """No binding dangles, and all are for the manager's account."""
    every_cluster_has = {"extension-apiserver-authentication-reader"}
    roles = {"Role": of_kind("Role").keys() | every_cluster_has, "ClusterRole": of_kind("ClusterRole").keys()}
    for binding in [*of_kind("RoleBinding").values(), *of_kind("ClusterRoleBinding").values()]:
        assert binding["roleRef"]["name"] in roles[binding["roleRef"]["kind"]]
        assert binding["subjects"][0]["name"] in of_kind("ServiceAccount")


def test_secrets_are_read_in_the_managers_namespace_only():
    """No cluster-wide rule mentions them."""
    for role in of_kind("ClusterRole").values():
        assert all("secrets" not in rule.get("resources", ()) for rule in role["rules"])
        assert all("*" not in rule.get("verbs", ()) for rule in role["rules"])


@pytest.mark.parametrize(
    ("role", "labels"),
    [
        ("kueue-clusterqueue-editor-role", {"batch-admin"}),
        ("kueue-clusterqueue-viewer-role", {"batch-admin", "aggregate-to-admin"}),
        ("kueue-workload-editor-role", {"batch-admin"}),
        (
            "kueue-localqueue-viewer-role",
            {"batch-admin", "batch-user", "aggregate-to-view", "aggregate-to-edit", "aggregate-to-admin"},
        ),
        ("kueue-leaderworkerset-editor-role", {"batch-admin", "batch-user"}),
        (
            "kueue-pending-workloads-cq-viewer-role",
            {"batch-admin", "aggregate-to-view", "aggregate-to-edit", "aggregate-to-admin"},
        ),
        (
            "kueue-pending-workloads-lq-viewer-role",
            {"batch-admin", "batch-user", "aggregate-to-view", "aggregate-to-edit", "aggregate-to-admin"},
        ),
    ],
)
def test_people_get_roles_by_aggregation(role, labels):
    """Who runs the cluster edits queues; who submits sees them."""
    found = of_kind("ClusterRole")[role]["metadata"]["labels"]
    assert {key.rpartition("/")[2] for key in found} - {"role"} == labels


def test_cohorts_have_no_status_rule():
    """As in Kueue, three kinds are seen without it."""
    rules = of_kind("ClusterRole")["kueue-cohort-viewer-role"]["rules"]
    assert [rule["resources"] for rule in rules] == [["cohorts"]]


def test_the_visibility_api_is_led_to_the_managers_port():
    """Both versions by one Service, whose port the Deployment names."""
    [service] = [s for name, s in of_kind("Service").items() if name == "kueue-visibility-server"]
    assert service["spec"]["ports"] == [{"name": "https", "port": 443, "targetPort": "visibility", "protocol": "TCP"}]
    [container] = of_kind("Deployment")["kueue-controller-manager"]["spec"]["template"]["spec"]["containers"]
    assert {"name": "visibility", "containerPort": 8082, "protocol": "TCP"} in container["ports"]
    assert {name: api_service["spec"] for name, api_service in of_kind("APIService").items()} == {
        f"{version}.visibility.kueue.x-k8s.io": {
            "group": "visibility.kueue.x-k8s.io", "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "kueue-visibility-server", "namespace": "queueing", "port": 443},
        }
        for version in ("v1beta1", "v1beta2")
    }  # fmt: skip


def test_a_part_can_be_had_alone():
    """Without the namespace, which belongs to the whole."""
    only = manifests(only=["webhooks"])
    assert {o["kind"] for o in only} == {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"}
    with pytest.raises(ValueError, match="no such part: x; parts are crds, rbac, deployment, visibility, webhooks"):
        manifests(only=["x"])


def test_the_objects_are_plain_yaml():
    """Nothing but what YAML can say, without anchors, and it reads back the same."""
    some = [obj for obj in ALL if obj["metadata"]["name"] != "workloads.kueue.x-k8s.io"]
    dumper, loader = (getattr(yaml, f"CSafe{what}", getattr(yaml, f"Safe{what}")) for what in ("Dumper", "Loader"))
    text = yaml.dump_all(some, Dumper=dumper)
    assert "*id0" not in text
    assert list(yaml.load_all(text, loader)) == some


def test_the_manager_is_not_asked_about_its_own_status():
    """Of all webhooks that of Workloads alone is about a status; its condition names the account of these manifests."""
    objects = manifests(namespace="ns", only=("webhooks", "rbac"))
    found = {
        hook["name"]: condition["expression"]
        for obj in objects
        for hook in obj.get("webhooks", ())
        for condition in hook.get("matchConditions", ())
        if "userInfo" in condition["expression"]
    }
    [account] = [obj["metadata"] for obj in objects if obj["kind"] == "ServiceAccount"]
    assert list(found) == ["vworkload.kb.io"]
    assert f"'system:serviceaccount:ns:{account['name']}'" in found["vworkload.kb.io"]
