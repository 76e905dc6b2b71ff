"""What integrations know of the configuration: which frameworks are on, and which jobs without a queue name are managed.

A framework can be known without being served here: an owner of a known kind is followed, and counts as a manager if it is enabled.

Source: jobs.md §1, §2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pykueue.api import kinds, objects
from pykueue.api.configuration.types import Configuration
from pykueue.api.constants import Annotation, Label
from pykueue.api.events import ObjectEvent
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, OwnerReference
from pykueue.core.features import Features, Gate
from pykueue.ports.reader import Reader

POD_FRAMEWORK = "pod"

# Kinds of owners that can be looked up, and the framework that stands for each; a ReplicaSet is only passed through.
_FRAMEWORK_OF: dict[Kind, str] = {
    kinds.JOB: "batch/job",
    kinds.POD: POD_FRAMEWORK,
    kinds.DEPLOYMENT: "deployment",
    kinds.STATEFUL_SET: "statefulset",
    kinds.LEADER_WORKER_SET: "leaderworkerset.x-k8s.io/leaderworkerset",
    kinds.REPLICA_SET: "",
}
_BRINGS_PODS = frozenset({"deployment", "statefulset", "leaderworkerset.x-k8s.io/leaderworkerset"})


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The configuration and the gates, as integrations ask for them."""

    config: Configuration
    features: Features

    def is_enabled(self, framework: str) -> bool:
        """Whether a framework is on, by name or because another one brings it along."""
        names = self.config.integrations.frameworks
        return framework in names or (framework == POD_FRAMEWORK and any(name in _BRINGS_PODS for name in names))

    def serves_pod(self, pod: Obj) -> bool:
        """Whether a pod is ours: where `pod` came along with another framework, only pods of such a parent are."""
        if POD_FRAMEWORK in self.config.integrations.frameworks:
            return True
        return self.is_enabled(POD_FRAMEWORK) and Annotation.POD_SUSPENDING_PARENT in objects.annotations(pod)

    def has_short_names(self) -> bool:
        """Whether Workload names have at most 63 characters."""
        return self.features[Gate.SHORT_WORKLOAD_NAMES]

    def owner_kind(self, ref: OwnerReference) -> Kind | None:
        """The kind of an owner that can be looked up; None for kinds we do not know."""
        return next((kind for kind in _FRAMEWORK_OF if kind.is_kind_of(ref)), None)

    def is_managing_kind(self, ref: OwnerReference) -> bool:
        """Whether objects of the owner's kind are handled by Kueue: an enabled framework or an external one."""
        kind = self.owner_kind(ref)
        if kind is not None and self.is_enabled(_FRAMEWORK_OF[kind]):
            return True
        group, _, version = ref.api_version.rpartition("/")
        return f"{ref.kind}.{version}.{group}" in self.config.integrations.external_frameworks

    def selects_namespace(self, reader: Reader, namespace: str) -> bool:
        """Whether `managedJobsNamespaceSelector` matches; never for a namespace that does not exist."""
        found = reader.get(kinds.NAMESPACE, "", namespace)
        if found is None:
            return False
        return objects.matches_labels(self.config.managed_jobs_namespace_selector, objects.labels(found))


def judged_anew(event: ObjectEvent, reader: Reader, kind: Kind) -> Sequence[Obj]:
    """The objects of a kind in a Namespace of which `selects_namespace` may say something else now: it became known, or was labelled."""
    if event.old is not None and objects.labels(event.old) == objects.labels(event.new):
        return ()
    return tuple(reader.list(kind, objects.name(event.new)))


def queue_name(obj: Obj) -> str:
    """The LocalQueue that an object names; empty for none."""
    return objects.labels(obj).get(Label.QUEUE_NAME, "")


def priority_class(obj: Obj) -> str:
    """The WorkloadPriorityClass that an object names; empty for none."""
    return objects.labels(obj).get(Label.PRIORITY_CLASS, "")
