"""AdmissionCheck, MultiKueueConfig, MultiKueueCluster and ProvisioningRequestConfig (spec: api.md §8–§11)."""

from __future__ import annotations

from pykueue.api.schema.common import IMMUTABLE, LABEL_63, LABEL_KEY, SUBDOMAIN, UNIQUE, conditions, subdomain
from pykueue.api.schema.dsl import (
    Node,
    choice,
    derive,
    drop,
    edit,
    int32,
    int64,
    listing,
    mapping,
    obj,
    put,
    root,
    string,
)


def admission_check() -> dict[str, Node]:
    """Schemas of AdmissionCheck, by version."""
    parameters = obj(
        "object with the parameters of the check",
        {
            "apiGroup!": string("its group", at_least=1, at_most=253, pattern=SUBDOMAIN),
            "kind!": string("its kind", at_least=1, at_most=63, pattern="^(?i)[a-z]([-a-z0-9]*[a-z0-9])?$"),
            "name!": string("its name", at_least=1, at_most=63, pattern=LABEL_63),
        },
    )
    spec = obj(
        "who checks",
        {
            "controllerName!": string("controller that owns the check", IMMUTABLE, at_least=1, at_most=253),
            "parameters": parameters,
        },
    )
    newest = root(
        "something to wait for between quota reservation and admission",
        {"spec": spec, "status": obj("state of the check", {"conditions": conditions()})},
    )
    older = derive(
        newest,
        {
            "spec.controllerName": edit(minLength=None, maxLength=None),
            "spec.parameters.apiGroup": edit(minLength=None),
            "spec.parameters.kind": edit(minLength=None),
            "spec.parameters.name": edit(minLength=None),
            "spec.retryDelayMinutes": put(int64("not used any more", default=15)),
            "status.conditions": edit(maxItems=None),
        },
    )
    return {"v1beta2": newest, "v1beta1": older}


def multikueue_config() -> dict[str, Node]:
    """Schemas of MultiKueueConfig, by version."""
    clusters = listing(
        "MultiKueueClusters to dispatch to, in the order they are tried",
        string("name of a MultiKueueCluster", at_most=256),
        UNIQUE,
        at_least=1,
        at_most=20,
    )
    quota = choice("who sets the quota of the manager's queues", "Manual", "Automated")
    newest = root("worker clusters", {"spec": obj("the clusters", {"clusters!": clusters, "quotaManagement": quota})})
    older = derive(
        newest,
        {
            "spec.clusters": edit(x_kubernetes_list_type="set", x_kubernetes_validations=None),
            "spec.clusters[]": edit(maxLength=None),
            "spec.quotaManagement": drop,
        },
    )
    return {"v1beta2": newest, "v1beta1": older}


def multikueue_cluster() -> dict[str, Node]:
    """Schemas of MultiKueueCluster, by version."""
    location = string("name of the Secret, or path of the file", at_least=1, at_most=256)
    kube_config = obj(
        "a kubeconfig",
        {
            "location!": location,
            "locationType": choice("what location names", "Secret", "Path", default="Secret"),
        },
    )
    profile = obj("a ClusterProfile", {"name!": string("its name", at_least=1, at_most=256)})
    source = obj(
        "how to reach the cluster",
        {"kubeConfig": kube_config, "clusterProfileRef": profile},
        (
            "exactly one of the fields in [kubeConfig clusterProfileRef] must be set",
            "[has(self.kubeConfig),has(self.clusterProfileRef)].filter(x,x==true).size() == 1",
        ),
    )
    newest = root(
        "a worker cluster",
        {
            "spec": obj("the cluster", {"clusterSource!": source}),
            "status": obj("state of the connection", {"conditions": conditions()}),
        },
    )
    older_kube_config = derive(
        kube_config,
        {"location": edit(minLength=None, maxLength=None), "": edit(required=["location", "locationType"])},
    )
    older = derive(
        newest,
        {
            "spec.clusterSource": drop,
            "spec.kubeConfig": put(older_kube_config, required=True),
            "spec.clusterProfileRef": put(profile),
            "status.conditions": edit(maxItems=None),
        },
    )
    return {"v1beta2": newest, "v1beta1": older}


def provisioning_request_config() -> dict[str, Node]:
    """Schemas of ProvisioningRequestConfig, by version."""
    detail = obj(
        "a node selector taken from the answer",
        {
            "key!": string("label key", at_least=1, at_most=317, pattern=LABEL_KEY),
            "valueFromProvisioningClassDetail!": string("detail that holds the value", at_least=1, at_most=32768),
        },
    )
    retry = obj(
        "how often a failed request is tried again",
        {
            "backoffLimitCount": int32("most retries", default=3),
            "backoffBaseSeconds": int32("wait before the first", default=60),
            "backoffMaxSeconds": int32("the longest wait", default=1800),
        },
        default={"backoffLimitCount": 3, "backoffBaseSeconds": 60, "backoffMaxSeconds": 1800},
    )
    spec = obj(
        "how ProvisioningRequests are made",
        {
            "provisioningClassName!": subdomain("class of the requests", at_least=1),
            "parameters": mapping("parameters of the class", string(at_most=255), max_entries=100),
            "managedResources": listing(
                "resources that need the request; empty: all", string(), kind="set", at_most=100
            ),
            "retryStrategy": retry,
            "podSetUpdates": obj(
                "changes to the pods", {"nodeSelector": listing("selectors", detail, keys=["key"], at_most=8)}
            ),
            "podSetMergePolicy": choice(
                "which pod sets become one", "IdenticalPodTemplates", "IdenticalWorkloadSchedulingRequirements"
            ),
        },
    )
    newest = root("parameters of the provisioning check", {"spec": spec})
    older = derive(
        newest,
        {
            "spec.provisioningClassName": edit(minLength=None),
            "spec.podSetUpdates.nodeSelector": edit(x_kubernetes_list_type=None, x_kubernetes_list_map_keys=None),
        },
    )
    return {"v1beta2": newest, "v1beta1": older}
