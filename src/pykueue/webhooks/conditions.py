"""When an API server may leave a webhook uncalled: CEL conditions for `matchConditions`.

Most pods, StatefulSets and Workloads that pass an API server are of no interest to a webhook, or were written by controllers whose objects have
nothing to find fault with; a call for each of them costs the server and the manager more than anything else in a burst. Where a condition is
false the webhook would answer "yes, unchanged": that is the contract, `tests/properties/test_match_conditions.py` holds each condition to it, and the
embedded server, which calls in process, ignores them. On updates it rests on this: what is stored was checked when it was stored, so parts that
did not change need no second look. What the manager itself writes into a status it need not be asked about either: that condition hangs on who
asks, not on the object, and its `unless_own_status` says why it is safe. A condition must not fail on any object, for then the server refuses the request.

Source: webhooks.md §1, §3.5, §3.6; Kubernetes documentation, "Dynamic Admission Control", matching requests by matchConditions.
"""

from __future__ import annotations

from collections.abc import Iterable

from pykueue.api.constants import PREFIX, Annotation, Label
from pykueue.ports.admission import MatchCondition

_LABELS, _ANNOTATIONS = "object.metadata.?labels", "object.metadata.?annotations"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_PLAIN_LABELS = (
    Label.PRIORITY_CLASS, Label.POD_SET, Label.LOCAL_QUEUE_NAME, Label.CLUSTER_QUEUE_NAME, Label.POD_GROUP_POD_INDEX,
)  # fmt: skip
"""Labels of a new pod about which there is no rule."""
_PLAIN_ANNOTATIONS = (
    Annotation.POD_SUSPENDING_PARENT, Annotation.POD_GROUP_SERVING, Annotation.POD_GROUP_FAST_ADMISSION,
    Annotation.POD_GROUP_POD_INDEX_LABEL, Annotation.POD_INDEX_OFFSET, Annotation.ROLE_HASH, Annotation.WORKLOAD,
)  # fmt: skip
"""Annotations of a new pod about which there is no rule."""
_GROUP_ANNOTATIONS = (
    Annotation.POD_GROUP_NAME, Annotation.PREBUILT_WORKLOAD_NAME, Annotation.POD_GROUP_TOTAL_COUNT,
)  # fmt: skip


def _listed(keys: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{key}'" for key in keys) + "]"


def _is_subdomain(value: str) -> str:
    return f"(size({value}) <= 253 && {value}.matches('^{_SUBDOMAIN}$'))"


def _of(holder: str, key: str) -> str:
    return f"{holder}[?'{key}']"


_has_good_group = " && ".join(
    (
        f"{_of(_ANNOTATIONS, Annotation.POD_SUSPENDING_PARENT)}.hasValue()",
        f"{_of(_ANNOTATIONS, Annotation.POD_GROUP_NAME)} == {_of(_ANNOTATIONS, Annotation.PREBUILT_WORKLOAD_NAME)}",
        _is_subdomain(f"{_of(_ANNOTATIONS, Annotation.POD_GROUP_NAME)}.orValue('')"),
        f"{_of(_ANNOTATIONS, Annotation.POD_GROUP_TOTAL_COUNT)}.orValue('').matches('^[1-9][0-9]{{0,8}}$')",
    )
)
"""A pod of a set, whose group and Workload are one, of a good name and number."""
_has_checked_label = (
    f"{_LABELS}.orValue({{}}).exists(k, k.startsWith('{PREFIX}') && !(k in {_listed(_PLAIN_LABELS)}"
    f" || (k == '{Label.MANAGED}' && object.metadata.labels[k] == 'true')"
    f" || (k == '{Label.QUEUE_NAME}' && {_is_subdomain('object.metadata.labels[k]')})))"
)
_has_checked_annotation = (
    f"{_ANNOTATIONS}.orValue({{}}).exists(k, k.startsWith('{PREFIX}') && !(k in {_listed(_PLAIN_ANNOTATIONS)}"
    f" || (k in {_listed(_GROUP_ANNOTATIONS)} && {_has_good_group})))"
)
_metadata_changes = " || ".join(
    f"object.metadata.?{part} != oldObject.metadata.?{part}" for part in ("labels", "annotations")
)

POD_VALIDATION = (
    MatchCondition(
        "has-something-to-check",
        f"request.operation == 'CREATE' ? ({_has_checked_label} || {_has_checked_annotation}) : ({_metadata_changes})",
    ),
)
"""Every rule about pods is about labels and annotations of ours; those that our own controllers write are good as long as they look like this."""

OWN_PODS = (
    MatchCondition(
        "holds-its-own-pods",
        "object.spec.template.?metadata.?annotations"
        f"[?'{Annotation.POD_SUSPENDING_PARENT}'].orValue('statefulset') == 'statefulset'",
    ),
)
"""A StatefulSet that another framework made for itself is none of the StatefulSet integration's."""

WORKLOAD_DEFAULTS = (
    MatchCondition("may-be-partially-admitted", "object.spec.?podSets.orValue([]).exists(p, has(p.minCount))"),
)
"""There is nothing else to default."""

WORKLOAD_VALIDATION = (
    MatchCondition(
        "has-something-to-check",
        "request.operation == 'CREATE' || object.?status != oldObject.?status || object.?spec != oldObject.?spec"
        " || object.metadata.?annotations != oldObject.metadata.?annotations",
    ),
)
"""Owners, finalizers and labels come and go unchecked. The status, which changes most, is compared first: templates of pods are long."""


def unless_own_status(account: str) -> MatchCondition:
    """False for writes of a status by the manager itself.

    What a user says is in the object's spec, and a Workload that is made of it is checked. Its status is the manager's own word: the schema
    of the definition guards its form, and the resource version that goes with each write the order of changes.

    Args:
        account: the user name under which the manager, and nobody else, asks the API server.
    """
    expression = f"!has(request.subResource) || request.userInfo.username != '{account}'"
    return MatchCondition("is-not-the-managers-own-status", expression)
