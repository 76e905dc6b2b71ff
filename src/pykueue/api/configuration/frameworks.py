"""Names of the job frameworks that `integrations.frameworks` may list (spec: jobs.md §1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Framework:
    """One integration, as the configuration knows it.

    Attributes:
        gvk: `Kind.version.group`, the form of external frameworks.
        enables: frameworks that are switched on with it.
        gate: feature gate without which it must not be enabled.
        supported: whether this release manages its jobs.
        multikueue: whether a built-in MultiKueue adapter exists for the kind.
    """

    gvk: str
    enables: tuple[str, ...] = ()
    gate: str | None = None
    supported: bool = False
    multikueue: bool = True


FRAMEWORKS: Mapping[str, Framework] = {
    "batch/job": Framework("Job.v1.batch", supported=True),
    "jobset.x-k8s.io/jobset": Framework("JobSet.v1alpha2.jobset.x-k8s.io"),
    "kubeflow.org/mpijob": Framework("MPIJob.v2beta1.kubeflow.org"),
    "kubeflow.org/pytorchjob": Framework("PyTorchJob.v1.kubeflow.org"),
    "kubeflow.org/tfjob": Framework("TFJob.v1.kubeflow.org"),
    "kubeflow.org/xgboostjob": Framework("XGBoostJob.v1.kubeflow.org"),
    "kubeflow.org/paddlejob": Framework("PaddleJob.v1.kubeflow.org"),
    "kubeflow.org/jaxjob": Framework("JAXJob.v1.kubeflow.org"),
    "trainer.kubeflow.org/trainjob": Framework("TrainJob.v1alpha1.trainer.kubeflow.org"),
    "ray.io/rayjob": Framework("RayJob.v1.ray.io"),
    "ray.io/raycluster": Framework("RayCluster.v1.ray.io"),
    "ray.io/rayservice": Framework("RayService.v1.ray.io"),
    "workload.codeflare.dev/appwrapper": Framework("AppWrapper.v1beta2.workload.codeflare.dev"),
    "sparkoperator.k8s.io/sparkapplication": Framework(
        "SparkApplication.v1beta2.sparkoperator.k8s.io", gate="SparkApplicationIntegration", multikueue=False
    ),
    "pod": Framework("Pod.v1.", supported=True),
    "deployment": Framework("Deployment.v1.apps", enables=("pod",), supported=True, multikueue=False),
    "statefulset": Framework("StatefulSet.v1.apps", enables=("pod",), supported=True),
    "leaderworkerset.x-k8s.io/leaderworkerset": Framework(
        "LeaderWorkerSet.v1.leaderworkerset.x-k8s.io", enables=("pod",), supported=True
    ),
}


def with_implied(names: Iterable[str]) -> tuple[str, ...]:
    """The frameworks in force: those named, in order, and those that they switch on.

    Pods of an implied `pod` framework are managed only if a parent suspends them (annotation `pod-suspending-parent`); whether it
    is implied or named is told by `"pod" in configuration.integrations.frameworks`.
    """
    listed = list(dict.fromkeys(names))
    implied = [other for name in listed if name in FRAMEWORKS for other in FRAMEWORKS[name].enables]
    return tuple(dict.fromkeys([*listed, *implied]))


def parse_external(text: str) -> str | None:
    """`Kind.version.group` as a normal form, or None if the text is not one."""
    kind, _, rest = text.partition(".")
    version, _, group = rest.partition(".")
    return text if kind and version and group else None
