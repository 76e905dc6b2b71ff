"""Rows of kinds that run pods: StatefulSet, Deployment, ReplicaSet, DaemonSet, Job, CronJob, PodTemplate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.instant import Instant, format_time
from pykueue.api.objects import Obj, condition, get_path, is_condition_true, is_deleting, metadata
from pykueue.apiserver.resources import Column
from pykueue.apiserver.tables.ages import between, since
from pykueue.apiserver.tables.texts import CREATED

AGE = Column("Age", "string", description=CREATED)
_CONTAINERS = Column("Containers", "string", description="Names of each container in the template.", priority=1)
_IMAGES = Column("Images", "string", description="Images referenced by each container in the template.", priority=1)
_SELECTOR = Column("Selector", "string", description="Label selector for the pods of this object.", priority=1)

STATEFUL_SET_COLUMNS = (
    Column("Ready", "string", description="Number of the pod with ready state"),
    AGE,
    _CONTAINERS,
    _IMAGES,
)
DEPLOYMENT_COLUMNS = (
    Column("Ready", "string", description="Number of the pod with ready state"),
    Column("Up-to-date", "string", description="Total number of non-terminated pods targeted by this deployment that have the desired template spec."),
    Column("Available", "string", description="Total number of available pods (ready for at least minReadySeconds) targeted by this deployment."),
    AGE, _CONTAINERS, _IMAGES, _SELECTOR,
)  # fmt: skip
REPLICA_SET_COLUMNS = (
    Column("Desired", "integer", description="Replicas is the number of desired pods."),
    Column("Current", "integer", description="Replicas is the most recently observed number of non-terminating pods."),
    Column("Ready", "integer", description="The number of pods targeted by this ReplicaSet with a Ready Condition."),
    AGE, _CONTAINERS, _IMAGES, _SELECTOR,
)  # fmt: skip
DAEMON_SET_COLUMNS = (
    Column("Desired", "integer", description="The total number of nodes that should be running the daemon pod."),
    Column("Current", "integer", description="The number of nodes that are running at least 1 daemon pod and are supposed to."),
    Column("Ready", "integer", description="The number of nodes that have a ready daemon pod."),
    Column("Up-to-date", "integer", description="The total number of nodes that are running updated daemon pod"),
    Column("Available", "integer", description="The number of nodes with an available daemon pod."),
    Column("Node Selector", "string", description="A selector which must be true for the pod to fit on a node."),
    AGE, _CONTAINERS, _IMAGES, _SELECTOR,
)  # fmt: skip
JOB_COLUMNS = (
    Column("Status", "string", description="Status of the job."),
    Column("Completions", "string", description="Number of successfully finished pods, of those that are wanted."),
    Column("Duration", "string", description="Time required to complete the job."),
    AGE, _CONTAINERS, _IMAGES, _SELECTOR,
)  # fmt: skip
CRON_JOB_COLUMNS = (
    Column("Schedule", "string", description="The schedule in Cron format."),
    Column("Timezone", "string", description="The time zone name for the given schedule."),
    Column("Suspend", "boolean", description="This flag tells the controller to suspend subsequent executions."),
    Column("Active", "integer", description="A list of pointers to currently running jobs."),
    Column("Last Schedule", "string", description="Information when was the last time the job was successfully scheduled."),
    AGE, _CONTAINERS, _IMAGES, _SELECTOR,
)  # fmt: skip
POD_TEMPLATE_COLUMNS = (
    Column("Containers", "string", description="Names of each container in the template."),
    Column("Images", "string", description="Images referenced by each container in the template."),
    Column("Pod Labels", "string", description="The labels for the pod template."),
)


def stateful_set_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    """Row of a StatefulSet."""
    ready, wanted = get_path(obj, "status", "readyReplicas") or 0, get_path(obj, "spec", "replicas") or 0
    return (f"{ready}/{wanted}", age(obj, now), *_containers(obj))


def deployment_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    """Row of a Deployment."""
    status = obj.get("status") or {}
    return (
        f"{status.get('readyReplicas') or 0}/{get_path(obj, 'spec', 'replicas') or 0}",
        str(status.get("updatedReplicas") or 0),
        str(status.get("availableReplicas") or 0),
        age(obj, now),
        *_containers(obj),
        selector_text(get_path(obj, "spec", "selector")),
    )


def replica_set_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    """Row of a ReplicaSet."""
    status = obj.get("status") or {}
    counts = (get_path(obj, "spec", "replicas") or 0, status.get("replicas") or 0, status.get("readyReplicas") or 0)
    return (*counts, age(obj, now), *_containers(obj), selector_text(get_path(obj, "spec", "selector")))


def daemon_set_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    """Row of a DaemonSet."""
    status = obj.get("status") or {}
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    chosen = get_path(obj, "spec", "template", "spec", "nodeSelector")
    return (
        *(status.get(name) or 0 for name in names),
        labels_text(chosen),
        age(obj, now),
        *_containers(obj),
        selector_text(get_path(obj, "spec", "selector")),
    )


def job_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    """Row of a Job."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    succeeded, wanted, parallelism = status.get("succeeded") or 0, spec.get("completions"), spec.get("parallelism") or 0
    if wanted is not None:
        completions = f"{succeeded}/{wanted}"
    else:
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    return (
        _job_status(obj),
        completions,
        _job_duration(obj, now),
        age(obj, now),
        *_containers(obj),
        selector_text(spec.get("selector")),
    )


def cron_job_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    """Row of a CronJob."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    template = get_path(spec, "jobTemplate", "spec", "template", "spec") or {}
    return (
        spec.get("schedule") or "",
        spec.get("timeZone") or "<none>",
        bool(spec.get("suspend")),
        len(status.get("active") or ()),
        since(status.get("lastScheduleTime"), now, "<none>"),
        age(obj, now),
        *_names_and_images(template),
        selector_text(get_path(spec, "jobTemplate", "spec", "selector")),
    )


def pod_template_cells(obj: Obj, now: Instant) -> Sequence[Any]:  # noqa: ARG001 - one form for all
    """Row of a PodTemplate."""
    template = obj.get("template") or {}
    return (*_names_and_images(template.get("spec") or {}), labels_text(get_path(template, "metadata", "labels")))


def age(obj: Obj, now: Instant) -> str:
    """How long ago an object was created."""
    return since(metadata(obj).get("creationTimestamp"), now)


def labels_text(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector as `kubectl` writes it."""
    if selector is None:
        return "<none>"
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key", ""), ",".join(sorted(expression.get("values") or ()))
        forms = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append(forms.get(expression.get("operator", ""), key))
    return ",".join(sorted(parts)) or "<none>"


def _containers(obj: Obj) -> tuple[str, str]:
    return _names_and_images(get_path(obj, "spec", "template", "spec") or {})


def _names_and_images(pod_spec: Mapping[str, Any]) -> tuple[str, str]:
    containers = pod_spec.get("containers") or ()
    return ",".join(c.get("name") or "" for c in containers), ",".join(c.get("image") or "" for c in containers)


def _job_status(obj: Obj) -> str:
    for type_, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if is_condition_true(obj, type_):
            return word
    if is_deleting(obj):
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if is_condition_true(obj, type_):
            return type_
    return "Running"


def _job_duration(obj: Obj, now: Instant) -> str:
    start = get_path(obj, "status", "startTime")
    if not start:
        return ""
    end = get_path(obj, "status", "completionTime")
    if not end and (failed := condition(obj, "Failed")) is not None and failed.get("status") == "True":
        end = failed.get("lastTransitionTime")
    return between(start, end or format_time(now))
