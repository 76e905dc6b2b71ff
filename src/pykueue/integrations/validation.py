"""Rules that every job kind shares: queue name, priority class, execution time, prebuilt Workload, admission gates.

Each rule is a function from the object (and the former one) to field errors, in Kueue's words; webhooks string them together.

Source: jobs.md §14, webhooks.md §3.7, §4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pykueue.api import fields, objects
from pykueue.api.constants import DEFAULT_LOCAL_QUEUE, Annotation, Label
from pykueue.api.errors import FieldError
from pykueue.api.kinds import KUEUE_GROUP, LOCAL_QUEUE, Kind
from pykueue.api.objects import Obj
from pykueue.core.features import Features, Gate
from pykueue.integrations.identity import prebuilt_workload_name
from pykueue.ports.reader import Reader

_GATE_CHARS_MAX = 63
# Kubernetes' text for the path of a domain-prefixed name.
_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_PATH_TEXT = r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"
_INTEGER = re.compile(r"[+-]?\d+")
_INT64_MAX = 2**63 - 1
_PREBUILT_KINDS = frozenset(
    {
        "Job", "JobSet", "TFJob", "PaddleJob", "PyTorchJob", "XGBoostJob", "TrainJob", "MPIJob", "RayJob", "RayCluster",
        "RayService", "Pod", "AppWrapper",
    }
)  # fmt: skip
_ELASTIC_KINDS = frozenset({"Job", "RayCluster", "RayJob", "RayService"})

QUEUE_PATH = f"metadata.labels[{Label.QUEUE_NAME}]"
PRIORITY_PATH = f"metadata.labels[{Label.PRIORITY_CLASS}]"
MAX_EXEC_PATH = f"metadata.labels[{Label.MAX_EXEC_TIME_SECONDS}]"
GATES_PATH = f"metadata.annotations[{Annotation.ADMISSION_GATED_BY}]"
ELASTIC_PATH = f"metadata.annotations[{Annotation.ELASTIC_JOB}]"


def validate_create(job: Obj, kind: Kind, features: Features) -> Iterator[FieldError]:
    """What every new job must obey, in order."""
    yield from validate_queue_name(job)
    yield from validate_prebuilt_name(job, kind, features)
    yield from validate_max_exec_time(job)
    yield from validate_elastic(job, kind, features)
    if features[Gate.ADMISSION_GATED_BY]:
        yield from validate_admission_gates(objects.annotations(job))


def validate_update(
    job: Obj,
    old: Obj,
    kind: Kind,
    features: Features,
    reader: Reader,
    *,
    is_suspended: bool,
    was_suspended: bool,
    is_told_late: bool = False,
) -> Iterator[FieldError]:
    """What a change of a job must obey, in order.

    Args:
        job: the new object.
        old: the former one.
        kind: of both.
        features: the gates.
        reader: for the namespace's default queue.
        is_suspended: whether the new object is held back.
        was_suspended: whether the old one was.
        is_told_late: whether the object may learn its prebuilt Workload while it runs.
    """
    yield from _validate_queue_change(job, old, reader, is_suspended=is_suspended)
    if is_suspended or is_elastic(job, features) or is_told_late:
        yield from validate_prebuilt_name(job, kind, features)
    elif prebuilt_workload_name(job, features) != prebuilt_workload_name(old, features):
        yield fields.invalid(_prebuilt_path(job, features), prebuilt_workload_name(job, features), fields.IMMUTABLE)
    if not (is_suspended and was_suspended):
        new_time = _label(job, Label.MAX_EXEC_TIME_SECONDS)
        if new_time != _label(old, Label.MAX_EXEC_TIME_SECONDS):
            yield fields.invalid(MAX_EXEC_PATH, new_time, fields.IMMUTABLE)
    yield from validate_priority_change(job, old, is_suspended=is_suspended)
    if is_elastic(job, features) != is_elastic(old, features):
        yield fields.invalid(ELASTIC_PATH, is_elastic(job, features), fields.IMMUTABLE)
    if features[Gate.ADMISSION_GATED_BY]:
        yield from validate_admission_gates_update(objects.annotations(job), objects.annotations(old))


def validate_queue_name(job: Obj) -> Iterator[FieldError]:
    """The queue name, where the label is there, is a DNS-1123 subdomain."""
    name = objects.labels(job).get(Label.QUEUE_NAME)
    if name is not None and (faults := fields.subdomain_faults(name)):
        yield fields.invalid(QUEUE_PATH, name, ",".join(faults))


def validate_prebuilt_name(job: Obj, kind: Kind, features: Features) -> Iterator[FieldError]:
    """A prebuilt Workload is named properly, and its kind can have one."""
    name = prebuilt_workload_name(job, features)
    if not name:
        return
    path = _prebuilt_path(job, features)
    if faults := fields.subdomain_faults(name):
        yield fields.invalid(path, name, ",".join(faults))
    if kind.kind not in _PREBUILT_KINDS:
        yield fields.forbidden(path, f'Is not supported for "{kind.gvk}"')


def validate_max_exec_time(job: Obj) -> Iterator[FieldError]:
    """The execution time is a positive integer."""
    text = objects.labels(job).get(Label.MAX_EXEC_TIME_SECONDS)
    if text is None:
        return
    if fault := atoi_fault(text):
        yield fields.invalid(MAX_EXEC_PATH, text, fault)
    elif int(text) <= 0:
        yield fields.invalid(MAX_EXEC_PATH, int(text), "should be greater than 0")


def validate_elastic(job: Obj, kind: Kind, features: Features) -> Iterator[FieldError]:
    """Only some kinds can be elastic."""
    if is_elastic(job, features) and kind.kind not in _ELASTIC_KINDS:
        yield fields.forbidden(ELASTIC_PATH, f'elastic job is not supported for "{kind.gvk}"')


def validate_priority_change(job: Obj, old: Obj, *, is_suspended: bool) -> Iterator[FieldError]:
    """A priority class is not taken away, and not given to what runs."""
    new, former = _label(job, Label.PRIORITY_CLASS), _label(old, Label.PRIORITY_CLASS)
    if not is_suspended and not former and new:
        yield fields.invalid(PRIORITY_PATH, new, "WorkloadPriorityClass cannot be added to a non-suspended workload")
    if former and not new:
        yield fields.invalid(PRIORITY_PATH, new, "WorkloadPriorityClass cannot be removed from a workload")


def validate_queue_immutable(job: Obj, old: Obj) -> Iterator[FieldError]:
    """The queue name is the same as before."""
    new = _label(job, Label.QUEUE_NAME)
    if new != _label(old, Label.QUEUE_NAME):
        yield fields.invalid(QUEUE_PATH, new, fields.IMMUTABLE)


def _validate_queue_change(job: Obj, old: Obj, reader: Reader, *, is_suspended: bool) -> Iterator[FieldError]:
    if not is_suspended:
        yield from validate_queue_immutable(job, old)
    elif (
        _label(old, Label.QUEUE_NAME)
        and not _label(job, Label.QUEUE_NAME)
        and reader.get(LOCAL_QUEUE, objects.namespace(job), DEFAULT_LOCAL_QUEUE) is not None
    ):
        detail = "queue-name must not be empty in namespace with default queue"
        yield fields.invalid(QUEUE_PATH, "", detail)


def is_elastic(job: Obj, features: Features) -> bool:
    """Whether the job asks for workload slices, and they are on."""
    wanted = objects.annotations(job).get(Annotation.ELASTIC_JOB) == "true"
    return wanted and features[Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES]


def validate_admission_gates(annotations: Mapping[str, str]) -> Iterator[FieldError]:
    """The format of `admission-gated-by`: a list of domain-prefixed paths, each once; an empty value is fine."""
    text = annotations.get(Annotation.ADMISSION_GATED_BY)
    if not text:
        return
    seen: list[str] = []
    for gate in _gates(text):
        if not gate:
            yield fields.invalid(GATES_PATH, text, "cannot contain empty gate names")
            continue
        if gate in seen:
            yield fields.invalid(GATES_PATH, text, f"duplicate gate name: {gate}")
        seen.append(gate)
        yield from _validate_gate(gate)


def validate_admission_gates_update(annotations: Mapping[str, str], old: Mapping[str, str]) -> Iterator[FieldError]:
    """Gates are only ever taken away; then the format."""
    new_text = annotations.get(Annotation.ADMISSION_GATED_BY, "")
    old_text = old.get(Annotation.ADMISSION_GATED_BY, "")
    if not old_text and new_text:
        yield fields.forbidden(GATES_PATH, "cannot add admission gate after creation")
    elif new_text and any(gate not in _gates(old_text) for gate in _gates(new_text)):
        yield fields.forbidden(GATES_PATH, "can only remove gates, not add new ones")
    yield from validate_admission_gates(annotations)


def atoi_fault(text: str) -> str:
    """What Go's `strconv.Atoi` says of a text; empty if it is an integer."""
    if not _INTEGER.fullmatch(text):
        return f"strconv.Atoi: parsing {fields.render(text)}: invalid syntax"
    if not -_INT64_MAX - 1 <= int(text) <= _INT64_MAX:
        return f"strconv.Atoi: parsing {fields.render(text)}: value out of range"
    return ""


def max_exec_time(job: Obj) -> int | None:
    """The execution time limit of a job in seconds; None if there is none or it is not a positive 32-bit integer."""
    text = _label(job, Label.MAX_EXEC_TIME_SECONDS)
    if not _INTEGER.fullmatch(text) or not 0 < int(text) < 2**31:
        return None
    return int(text)


def _gates(text: str) -> list[str]:
    return [gate.strip() for gate in text.split(",")]


def _validate_gate(gate: str) -> Iterator[FieldError]:
    host, slash, path = gate.partition("/")
    if not slash or not host or not path:
        yield fields.invalid(GATES_PATH, gate, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    yield from (fields.invalid(GATES_PATH, host, fault) for fault in fields.subdomain_faults(host))
    if not _PATH.fullmatch(path):
        yield fields.invalid(GATES_PATH, path, _PATH_TEXT)
    if len(gate) > _GATE_CHARS_MAX:
        yield fields.too_long(GATES_PATH, _GATE_CHARS_MAX)


def _prebuilt_path(job: Obj, features: Features) -> str:
    annotation = objects.annotations(job).get(Annotation.PREBUILT_WORKLOAD_NAME, "")
    uses_annotation = annotation and annotation == prebuilt_workload_name(job, features)
    place = "annotations" if uses_annotation and Label.PREBUILT_WORKLOAD_NAME not in objects.labels(job) else "labels"
    if uses_annotation and features[Gate.WORKLOAD_IDENTIFIER_ANNOTATIONS]:
        place = "annotations"
    return f"metadata.{place}[{KUEUE_GROUP}/prebuilt-workload-name]"


def _label(job: Obj, name: Label) -> str:
    return objects.labels(job).get(name, "")
