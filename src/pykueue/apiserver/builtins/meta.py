# ruff: noqa: ARG002 - hooks of the base answer "nothing special" whatever they are handed
"""What all built-in kinds share: validation of ObjectMeta in Kubernetes' words, and the strategy that kinds derive from.

A kind derives from `BuiltinStrategy`, names its rule for names, and adds `defaulted`, `faults` and the hooks it needs. Custom
resources use `validate_metadata` as well.

Source: Kubernetes API reference, ObjectMeta; webhooks.md §2 for the form of field errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from pykueue.api.errors import FieldError
from pykueue.api.fields import (
    dns1123_label_faults,
    forbidden,
    invalid,
    label_key_faults,
    required,
    subdomain_faults,
    validate_annotations,
    validate_labels,
)
from pykueue.api.objects import Obj, finalizers, is_deleting, metadata
from pykueue.apiserver.strategy import Context, Strategy

NameRule: TypeAlias = Callable[[str], Sequence[str]]
"""What is wrong with a name; empty for nothing."""

_OWNER_FIELDS = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
_STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))


def path_segment_faults(value: str) -> list[str]:
    """What is wrong with a name that only has to fit into a URL (RBAC kinds)."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in value]


def validate_metadata(obj: Obj, old: Obj | None, *, namespaced: bool, name_rule: NameRule) -> list[FieldError]:
    """Every fault of `metadata`; on updates also of its transition.

    Args:
        obj: the object as it will be stored.
        old: the stored object, or None on create.
        namespaced: whether the kind lives in namespaces.
        name_rule: of the kind.
    """
    meta = metadata(obj)
    if old is not None and metadata(old) is meta:
        return []
    errors: list[FieldError] = []
    name = str(meta.get("name") or "")
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    elif old is None:
        errors += [invalid("metadata.name", name, fault) for fault in name_rule(name)]
    errors += _namespace_faults(str(meta.get("namespace") or ""), namespaced)
    errors += validate_labels("metadata.labels", meta.get("labels") or {})
    errors += validate_annotations("metadata.annotations", meta.get("annotations") or {})
    errors += _owner_faults(meta.get("ownerReferences") or ())
    errors += _finalizer_faults(meta.get("finalizers") or ())
    if old is not None and is_deleting(old):
        added = [f for f in finalizers(obj) if f not in finalizers(old)]
        if added:
            listed = ", ".join(f'"{f}"' for f in added)
            detail = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            errors.append(forbidden("metadata.finalizers", detail))
    return errors


def _namespace_faults(namespace: str, namespaced: bool) -> list[FieldError]:
    if not namespaced:
        return [forbidden("metadata.namespace", "not allowed on this type")] if namespace else []
    if not namespace:
        return [required("metadata.namespace")]
    return [invalid("metadata.namespace", namespace, fault) for fault in dns1123_label_faults(namespace)]


def _owner_faults(references: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    errors: list[FieldError] = []
    controllers: list[str] = []
    # Kubernetes parity: the path has no index.
    path = "metadata.ownerReferences"
    for ref in references:
        api_version = str(ref.get("apiVersion") or "")
        if not api_version.rpartition("/")[2]:
            errors.append(invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
        errors += [
            invalid(f"{path}.{field}", "", "must not be empty")
            for field in ("kind", "name", "uid")
            if not ref.get(field)
        ]
        if (api_version, ref.get("kind")) == ("v1", "Event"):
            errors.append(invalid(path, dict(ref), f"{api_version}, Kind=Event is disallowed from being an owner"))
        if ref.get("controller"):
            controllers.append(f"{ref.get('kind')}/{ref.get('name')}")
    if len(controllers) > 1:
        detail = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {controllers[1]}"
        )
        errors.append(
            invalid(
                "metadata.ownerReferences", [{k: r[k] for k in _OWNER_FIELDS if k in r} for r in references], detail
            )
        )
    return errors


def _finalizer_faults(names: Sequence[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for i, name in enumerate(names):
        path = f"metadata.finalizers[{i}]"
        errors += [invalid(path, name, fault) for fault in label_key_faults(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(path, name, detail))
    if "orphan" in names and "foregroundDeletion" in names:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(invalid("metadata.finalizers", list(names), detail))
    return errors


class BuiltinStrategy(Strategy):
    """A built-in kind: validates metadata, and asks `faults` for the rest. By itself: a kind that is stored as it comes.

    Args:
        namespaced: whether it lives in namespaces.
        generation: whether `metadata.generation` is counted.
        status: whether it has a status sub-resource.
        create_on_update: whether PUT creates.
        name_rule: what is wrong with a name of this kind.
        inert: what the writer of a new object should know who expects somebody to act on it; empty where somebody does.
    """

    def __init__(
        self,
        *,
        namespaced: bool = True,
        generation: bool = False,
        status: bool = False,
        create_on_update: bool = False,
        name_rule: NameRule = subdomain_faults,
        inert: str = "",
    ) -> None:
        self.namespaced = namespaced
        self.has_generation = generation
        self.has_status = status
        self.create_on_update = create_on_update
        self.name_rule = name_rule
        self.inert = inert

    def warnings(self, new: Obj, old: Obj | None) -> Sequence[str]:
        """See `Strategy.warnings`."""
        return (f"the embedded cluster stores this, but {self.inert}",) if self.inert and old is None else ()

    def validate(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> Sequence[FieldError]:
        """See `Strategy.validate`."""
        faults = validate_metadata(new, old, namespaced=self.namespaced, name_rule=self.name_rule)
        if subresource == "status":
            return [*faults, *self.status_faults(new, old)]
        return [*faults, *self.faults(new, old, context)]

    def faults(self, new: Obj, old: Obj | None, context: Context) -> Sequence[FieldError]:
        """Faults outside of metadata and status."""
        return ()

    def status_faults(self, new: Obj, old: Obj | None) -> Sequence[FieldError]:
        """Faults of the status, when it is written."""
        return ()
