"""LeaderWorkerSet v1, so that the embedded cluster can serve it (spec: leaderworkerset.md B1)."""

from __future__ import annotations

from pykueue.api.schema.common import conditions
from pykueue.api.schema.dsl import Node, choice, int32, int64, int_or_string, listing, obj, root, string
from pykueue.api.schema.pod_template import persistent_volume_claim, pod_template


def leader_worker_set() -> dict[str, Node]:
    """Schema of LeaderWorkerSet."""
    rolling_update = obj(
        "pace of a rolling update",
        {
            "partition": int32("groups from this index on are updated", default=0),
            "maxUnavailable": int_or_string("groups that may be missing, a number or a percentage", default=1),
            "maxSurge": int_or_string("groups that may be too many, a number or a percentage", default=0),
        },
    )
    rollout = obj(
        "how changes are rolled out",
        {
            "type!": choice("kind of update", "RollingUpdate", default="RollingUpdate"),
            "rollingUpdateConfiguration": rolling_update,
        },
    )
    spec = obj(
        "the groups",
        {
            "replicas": int32("number of groups", minimum=0, maximum=1000000, default=1),
            "leaderWorkerTemplate!": _group_template(),
            "rolloutStrategy": rollout,
            "startupPolicy": choice("when workers are made", "LeaderCreated", "LeaderReady", default="LeaderCreated"),
            "networkConfig": obj(
                "names of the pods", {"subdomainPolicy!": choice("headless services", "Shared", "UniquePerReplica")}
            ),
        },
    )
    status = obj(
        "state of the groups",
        {
            "conditions": conditions(at_most=None),
            "readyReplicas": int32("groups that are ready"),
            "updatedReplicas": int32("groups of the newest revision"),
            "replicas": int32("groups that exist"),
            "hpaPodSelector": string("label selector of the leader pods, for autoscalers"),
            "observedGeneration": int64("generation that this was observed of"),
        },
    )
    return {"v1": root("groups of pods with a leader and workers", {"spec": spec, "status": status})}


def _group_template() -> Node:
    sub_groups = obj(
        "smaller groups within a group",
        {
            "subGroupPolicyType": choice(
                "where the leader belongs", "LeaderWorker", "LeaderExcluded", default="LeaderWorker"
            ),
            "subGroupSize": int32("pods in a sub-group"),
        },
    )
    retention = obj(
        "what happens to claims",
        {
            "whenDeleted": string("Retain or Delete, when the set is deleted"),
            "whenScaled": string("Retain or Delete, when the set shrinks"),
        },
    )
    claims = listing("claims of each pod", persistent_volume_claim("a claim"), kind=None)
    return obj(
        "the pods of a group",
        {
            "leaderTemplate": pod_template("template of the leader; absent: that of the workers"),
            "workerTemplate!": pod_template("template of the workers"),
            "size": int32("pods in a group, with the leader", default=1),
            "restartPolicy": choice(
                "what happens to the group when a pod fails; Default is deprecated and means None",
                "Default",
                "RecreateGroupOnPodRestart",
                "RecreateGroupAfterStart",
                "None",
                default="RecreateGroupOnPodRestart",
            ),
            "subGroupPolicy": sub_groups,
            "volumeClaimTemplates": claims,
            "persistentVolumeClaimRetentionPolicy": retention,
        },
    )
