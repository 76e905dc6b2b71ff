"""CEL rules on a whole Workload: what may not change while it holds quota (spec: api.md §1.3, §1.6).

"Reserved" means condition QuotaReserved with status True. Rules that mention `oldSelf` are skipped on creation.
"""

from __future__ import annotations

from pykueue.api.schema.dsl import Rule


def _is_true(subject: str, condition: str) -> str:
    return (
        f"has({subject}.status) && has({subject}.status.conditions) && "
        f"{subject}.status.conditions.exists(c, c.type == '{condition}' && c.status == 'True')"
    )


def _both(field: str) -> str:
    return f"has(oldSelf.spec.{field}) && has(self.spec.{field})"


def _same_while_reserved(field: str, member: str, also: str = "") -> str:
    path = f"{field}.{member}" if member else field
    same = f"oldSelf.spec.{path} == self.spec.{path}"
    return f"({_RESERVED_BEFORE} && {_both(field)}{also}) ? {same} : true"


_RESERVED_BEFORE = _is_true("oldSelf", "QuotaReserved")
_WHILE = "is immutable while workload quota reserved"
COUNTS_AGREE: Rule = (
    "podSetAssignments must have the same number of podSets as the spec",
    (
        f"{_is_true('self', 'QuotaReserved')} && has(self.status.admission) ? "
        "size(self.spec.podSets) == size(self.status.admission.podSetAssignments) : true"
    ),
)
QUEUE_NAME: Rule = (
    f"queueName {_WHILE}",
    (
        f"(({_RESERVED_BEFORE}) && ({_is_true('self', 'QuotaReserved')})) ? "
        "((has(oldSelf.spec.queueName) == has(self.spec.queueName)) && "
        "(!has(oldSelf.spec.queueName) || oldSelf.spec.queueName == self.spec.queueName)) : true"
    ),
)


def _or_zero(subject: str) -> str:
    field = f"{subject}.spec.maximumExecutionTimeSeconds"
    return f"(has({field})?{field}:0)"


EXECUTION_TIME: Rule = (
    f"maximumExecutionTimeSeconds {_WHILE}",
    (
        f"(({_is_true('oldSelf', 'Admitted')}) && ({_is_true('self', 'Admitted')}))?"
        f"({_or_zero('oldSelf')} ==  {_or_zero('self')}):true"
    ),
)
PRIORITY_CLASS_REF: tuple[Rule, ...] = (
    (
        f"priorityClassRef {_WHILE}",
        (
            f"({_RESERVED_BEFORE}) ? (!has(oldSelf.spec.priorityClassRef) && !has(self.spec.priorityClassRef)) || "
            f"({_both('priorityClassRef')}) : true"
        ),
    ),
    (f"priorityClassRef.group {_WHILE}", _same_while_reserved("priorityClassRef", "group")),
    (f"priorityClassRef.kind {_WHILE}", _same_while_reserved("priorityClassRef", "kind")),
    (
        "priorityClassRef.name is immutable for scheduling.k8s.io/priorityclass while workload quota reserved",
        _same_while_reserved(
            "priorityClassRef",
            "name",
            " && self.spec.priorityClassRef.group == 'scheduling.k8s.io'"
            " && self.spec.priorityClassRef.kind == 'PriorityClass'",
        ),
    ),
)
PRIORITY_CLASS_SOURCE: tuple[Rule, ...] = (
    (
        f"priorityClassSource {_WHILE}",
        (
            f"({_RESERVED_BEFORE} && {_both('priorityClassSource')}) ? "
            "(oldSelf.spec.priorityClassSource == self.spec.priorityClassSource) : true"
        ),
    ),
    (
        f"priorityClassName {_WHILE} and priorityClassSource is not equal to kueue.x-k8s.io/workloadpriorityclass",
        (
            f"({_RESERVED_BEFORE} && {_both('priorityClassSource')} && "
            "(self.spec.priorityClassSource != 'kueue.x-k8s.io/workloadpriorityclass') && "
            f"{_both('priorityClassName')}) ? (oldSelf.spec.priorityClassName == self.spec.priorityClassName) : true"
        ),
    ),
)
V1BETA2_RULES = (COUNTS_AGREE, *PRIORITY_CLASS_REF, QUEUE_NAME, EXECUTION_TIME)
V1BETA1_RULES = (COUNTS_AGREE, *PRIORITY_CLASS_SOURCE, QUEUE_NAME, EXECUTION_TIME)
