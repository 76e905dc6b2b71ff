"""Reading raw Kubernetes objects.

Foreign kinds stay raw mappings (decision 0002), so that fields we do not know survive. These helpers read
the parts that every object has. Nothing here changes its argument: **raw objects are shared and never mutated**;
whoever wants another one builds it anew (`with_metadata`, `{**obj, ...}`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from pykueue.api.instant import Instant, parse_time
from pykueue.api.kinds import Kind

Obj: TypeAlias = Mapping[str, Any]
"""A raw object, as decoded from JSON. Shared: never mutated."""

_EMPTY: Mapping[str, Any] = {}


class ObjectKey(NamedTuple):
    """Namespace and name; the namespace of cluster-scoped objects is empty."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class OwnerReference(NamedTuple):
    """One entry of `metadata.ownerReferences`."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool


def metadata(obj: Obj) -> Mapping[str, Any]:
    """`metadata`, or an empty mapping."""
    return obj.get("metadata") or _EMPTY


def name(obj: Obj) -> str:
    """`metadata.name`, or the empty string."""
    return str(metadata(obj).get("name") or "")


def namespace(obj: Obj) -> str:
    """`metadata.namespace`, or the empty string."""
    return str(metadata(obj).get("namespace") or "")


def key(obj: Obj) -> ObjectKey:
    """Namespace and name."""
    return ObjectKey(namespace(obj), name(obj))


def uid(obj: Obj) -> str:
    """`metadata.uid`, or the empty string."""
    return str(metadata(obj).get("uid") or "")


def resource_version(obj: Obj) -> str:
    """`metadata.resourceVersion`, or the empty string."""
    return str(metadata(obj).get("resourceVersion") or "")


def generation(obj: Obj) -> int:
    """`metadata.generation`, or 0."""
    return int(metadata(obj).get("generation") or 0)


def labels(obj: Obj) -> Mapping[str, str]:
    """`metadata.labels`, or an empty mapping."""
    return metadata(obj).get("labels") or _EMPTY


def annotations(obj: Obj) -> Mapping[str, str]:
    """`metadata.annotations`, or an empty mapping."""
    return metadata(obj).get("annotations") or _EMPTY


def finalizers(obj: Obj) -> Sequence[str]:
    """`metadata.finalizers`, or an empty sequence."""
    return metadata(obj).get("finalizers") or ()


def is_deleting(obj: Obj) -> bool:
    """Whether `metadata.deletionTimestamp` is set."""
    return bool(metadata(obj).get("deletionTimestamp"))


def created_at(obj: Obj) -> Instant:
    """`metadata.creationTimestamp`, or 0 for an object that was never stored."""
    text = metadata(obj).get("creationTimestamp")
    return parse_time(text) if text else Instant(0)


def owner_references(obj: Obj) -> list[OwnerReference]:
    """`metadata.ownerReferences`, in order."""
    return [
        OwnerReference(
            ref.get("apiVersion", ""),
            ref.get("kind", ""),
            ref.get("name", ""),
            ref.get("uid", ""),
            bool(ref.get("controller")),
        )
        for ref in metadata(obj).get("ownerReferences") or ()
    ]


def controller_of(obj: Obj) -> OwnerReference | None:
    """The owner reference with `controller: true`, if there is one."""
    return next((ref for ref in owner_references(obj) if ref.controller), None)


def get_path(obj: Any, *path: str) -> Any:
    """Read nested mappings; None where a step is missing or not a mapping."""
    for step in path:
        # The exact type first: asking for an abstract one costs more than the whole step.
        if type(obj) is not dict and not isinstance(obj, Mapping):
            return None
        obj = obj.get(step)
    return obj


def condition(obj: Obj, type_: str) -> Mapping[str, Any] | None:
    """The entry of `status.conditions` with this type."""
    return next((c for c in get_path(obj, "status", "conditions") or () if c.get("type") == type_), None)


def is_condition_true(obj: Obj, type_: str) -> bool:
    """Whether the condition is there with status `True`."""
    found = condition(obj, type_)
    return found is not None and found.get("status") == "True"


def with_metadata(obj: Obj, **changes: Any) -> dict[str, Any]:
    """A copy with some metadata fields replaced; a value of None removes the field."""
    merged = {**metadata(obj), **changes}
    return {**obj, "metadata": {k: v for k, v in merged.items() if v is not None}}


def make_owner_reference(kind: Kind, owner: Obj, *, controller: bool) -> dict[str, Any]:
    """An owner reference; a controller's also blocks the owner's foreground deletion."""
    ref: dict[str, Any] = {"apiVersion": kind.api_version, "kind": kind.kind, "name": name(owner), "uid": uid(owner)}
    if controller:
        ref |= {"controller": True, "blockOwnerDeletion": True}
    return ref


def matches_labels(selector: Mapping[str, Any] | None, values: Mapping[str, str]) -> bool:
    """Evaluate a `metav1.LabelSelector`: None selects nothing, `{}` selects everything.

    Raises:
        ValueError: an operator that does not exist.
    """
    if not selector:
        return selector is not None
    if any(values.get(k) != v for k, v in (selector.get("matchLabels") or _EMPTY).items()):
        return False
    return all(_matches(expression, values) for expression in selector.get("matchExpressions") or ())


def _matches(expression: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    key_, operator = expression.get("key", ""), expression.get("operator", "")
    wanted: Iterable[str] = expression.get("values") or ()
    match operator:
        case "In":
            return key_ in values and values[key_] in wanted
        case "NotIn":
            return key_ not in values or values[key_] not in wanted
        case "Exists":
            return key_ in values
        case "DoesNotExist":
            return key_ not in values
        case _:
            raise ValueError(f"{operator!r} is not a valid label selector operator")


def merge_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch (RFC 7386) that makes `new` of `old`; empty where they are equal. Neither may hold None."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        former = old.get(key)
        if value == former:
            continue
        if isinstance(value, Mapping) and isinstance(former, Mapping):
            patch[key] = merge_difference(former, value)
        else:
            patch[key] = value
    return patch
