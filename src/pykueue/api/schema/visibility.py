"""Schemas of the visibility API: what its answers look like, for OpenAPI documents.

The same for both versions. The kinds `ClusterQueue` and `LocalQueue` of this group are nothing but the places below which the answers are.

Source: observability.md §3.
"""

from __future__ import annotations

from pykueue.api.schema.dsl import Node, int32, listing, obj, root, string, time

_OWNER = obj(
    "An object that the Workload belongs to.",
    {
        "apiVersion!": string("API version of the owner."),
        "kind!": string("Kind of the owner."),
        "name!": string("Name of the owner."),
        "uid!": string("UID of the owner."),
    },
)
_PENDING_WORKLOAD = obj(
    "A Workload that waits.",
    {
        "metadata": obj(
            "Name, namespace, time of creation and owners of the Workload.",
            {
                "name": string("Name of the Workload."),
                "namespace": string("Namespace of the Workload."),
                "creationTimestamp": time("When the Workload was created."),
                "ownerReferences": listing("Whom the Workload belongs to.", _OWNER),
            },
        ),
        "priority!": int32("Priority of the Workload, without boost."),
        "localQueueName!": string("The LocalQueue that the Workload names."),
        "positionInClusterQueue!": int32("How many Workloads are before it in the ClusterQueue."),
        "positionInLocalQueue!": int32("How many Workloads of its LocalQueue are before it."),
    },
)
SUMMARY: Node = root(
    "PendingWorkloadsSummary lists the Workloads that wait in a queue, in order.",
    {"items!": listing("Who waits.", _PENDING_WORKLOAD)},
)
QUEUE: Node = root("A queue, as far as this API shows it: it has nothing but the sub-resource pendingworkloads.", {})
