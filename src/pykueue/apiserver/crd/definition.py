# ruff: noqa: ARG002 - hooks of a strategy that need only a part of what they are handed
"""The strategy of CustomResourceDefinitions themselves: names, versions, conditions.

A definition is accepted and established in the write that creates it: this server has no controller that would do it a moment
later. Names are refused by condition, as in a cluster: `NamesAccepted` turns False, and the definition is stored without being
served.

Source: Kubernetes API reference, CustomResourceDefinition; texts as a real server answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api.errors import FieldError
from pykueue.api.fields import dns1035_label_faults, invalid, not_supported, required, subdomain_faults
from pykueue.api.instant import format_time
from pykueue.api.kinds import CUSTOM_RESOURCE_DEFINITION
from pykueue.api.objects import (
    Obj,
    condition,
    finalizers,
    get_path,
    is_condition_true,
    is_deleting,
    name,
    with_metadata,
)
from pykueue.apiserver.crd.structural import schema_errors
from pykueue.apiserver.resources import Resource
from pykueue.apiserver.schema.decode import builtin_decoder
from pykueue.apiserver.schema.types import builtin_schema
from pykueue.apiserver.strategy import Context, Strategy

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_PROTECTED_GROUPS = (".k8s.io", ".kubernetes.io")
_APPROVAL = "api-approved.kubernetes.io"


def definition_resource() -> Resource:
    """The built-in resource `customresourcedefinitions`."""
    return Resource(
        CUSTOM_RESOURCE_DEFINITION,
        DefinitionStrategy(),
        singular="customresourcedefinition",
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        subresources=("status",),
        schema=builtin_schema(CUSTOM_RESOURCE_DEFINITION),
        decode=builtin_decoder(CUSTOM_RESOURCE_DEFINITION),
    )


def storage_version(definition: Obj) -> str:
    """The name of the version that is stored."""
    return str(next(v["name"] for v in definition["spec"]["versions"] if v.get("storage")))


class DefinitionStrategy(Strategy):
    """The strategy of `customresourcedefinitions`."""

    def default(self, obj: Obj) -> Obj:
        """See `Strategy.default`."""
        spec = obj.get("spec")
        if not isinstance(spec, Mapping):
            return obj
        names = dict(spec.get("names") or {})
        kind = names.get("kind") or ""
        if kind and not names.get("singular"):
            names["singular"] = kind.lower()
        if kind and not names.get("listKind"):
            names["listKind"] = f"{kind}List"
        conversion = spec.get("conversion") or {"strategy": "None"}
        filled = {**spec, "names": names, "conversion": conversion}
        return obj if filled == spec else {**obj, "spec": filled}

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.prepare_create`: the definition is established at once, if its names are free."""
        created = super().prepare_create(obj, context)
        kept = [finalizer for finalizer in finalizers(created) if finalizer != CLEANUP_FINALIZER]
        return _with_status(with_metadata(created, finalizers=[*kept, CLEANUP_FINALIZER]), None, context)

    def prepare_update(self, new: Obj, old: Obj, subresource: str, context: Context) -> Obj:
        """See `Strategy.prepare_update`."""
        updated = super().prepare_update(new, old, subresource, context)
        if subresource or is_deleting(old) or updated.get("spec") == old.get("spec"):
            return updated
        return _with_status(updated, old, context)

    def begin_delete(self, obj: Obj, context: Context) -> Obj:
        """See `Strategy.begin_delete`."""
        status = obj.get("status") or {}
        terminating = {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": format_time(context.now),
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        }
        others = [c for c in status.get("conditions") or () if c.get("type") != "Terminating"]
        return {**obj, "status": {**status, "conditions": [*others, terminating]}}

    def validate(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> Sequence[FieldError]:
        """See `Strategy.validate`."""
        spec = new.get("spec")
        if not isinstance(spec, Mapping):
            return [required("spec")]
        errors = (
            [invalid("metadata.name", name(new), fault) for fault in subdomain_faults(name(new))] if old is None else []
        )
        plural, group = get_path(spec, "names", "plural") or "", spec.get("group") or ""
        if name(new) != f"{plural}.{group}":
            errors.append(invalid("metadata.name", name(new), 'must be spec.names.plural+"."+spec.group'))
        errors += _group_errors(new, group)
        errors += _name_errors(spec)
        errors += _version_errors(spec)
        if old is not None and is_condition_true(old, "Established"):
            errors += _immutable_errors(spec, old["spec"])
        if old is None or old.get("spec") != spec:
            errors += schema_errors(spec)
        return errors


def _group_errors(definition: Obj, group: str) -> list[FieldError]:
    if not group:
        return [required("spec.group")]
    errors = [invalid("spec.group", group, fault) for fault in subdomain_faults(group)]
    if len(group.split(".")) < 2:
        errors.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    if group.endswith(_PROTECTED_GROUPS) or group in {"k8s.io", "kubernetes.io"}:
        value = get_path(definition, "metadata", "annotations", _APPROVAL)
        if not value:
            text = 'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
            errors.append(required(f"metadata.annotations[{_APPROVAL}]", text))
        elif not re.match(r"https?://|unapproved", str(value)):
            text = 'protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111'
            errors.append(invalid(f"metadata.annotations[{_APPROVAL}]", value, text))
    return errors


def _name_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    scope = spec.get("scope") or ""
    if not scope:
        errors.append(required("spec.scope"))
    elif scope not in {"Cluster", "Namespaced"}:
        errors.append(not_supported("spec.scope", scope, ("Cluster", "Namespaced")))
    names = spec.get("names") or {}
    for field in ("plural", "singular", "kind", "listKind"):
        value = names.get(field) or ""
        if not value:
            if field in {"plural", "kind"}:
                errors.append(required(f"spec.names.{field}"))
            continue
        told = value.lower() if field in {"kind", "listKind"} else value
        detail = (
            "may have mixed case, but should otherwise match: "
            if told != value or field in {"kind", "listKind"}
            else ""
        )
        errors += [invalid(f"spec.names.{field}", value, detail + fault) for fault in dns1035_label_faults(told)]
    for field in ("shortNames", "categories"):
        for idx, value in enumerate(names.get(field) or ()):
            errors += [invalid(f"spec.names.{field}[{idx}]", value, fault) for fault in dns1035_label_faults(value)]
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        errors.append(invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same"))
    return errors


def _version_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    versions: Sequence[Mapping[str, Any]] = spec.get("versions") or ()
    if not versions:
        return [required("spec.versions", "must have at least one version")]
    seen: dict[str, None] = {}
    for idx, version in enumerate(versions):
        named = version.get("name") or ""
        errors += [invalid(f"spec.versions[{idx}].name", named, fault) for fault in dns1035_label_faults(named)]
        if named in seen:
            errors.append(invalid("spec.versions", named, "must contain unique version names"))
        seen[named] = None
        if not get_path(version, "schema", "openAPIV3Schema"):
            errors.append(required(f"spec.versions[{idx}].schema.openAPIV3Schema", "schemas are required"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        told = [version.get("name") for version in versions]
        errors.append(invalid("spec.versions", told, "must have exactly one version marked as storage version"))
    if spec.get("preserveUnknownFields"):
        text = "must be false in order to use defaults in the schema"
        errors.append(invalid("spec.preserveUnknownFields", value=True, detail=text))
    strategy = get_path(spec, "conversion", "strategy") or "None"
    if strategy not in {"None", "Webhook"}:
        errors.append(not_supported("spec.conversion.strategy", strategy, ("None", "Webhook")))
    elif strategy == "Webhook" and not get_path(spec, "conversion", "webhook", "clientConfig"):
        errors.append(required("spec.conversion.webhook.clientConfig", "required when strategy is set to Webhook"))
    return errors


def _immutable_errors(spec: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    fields = (("group",), ("scope",), ("names", "kind"), ("names", "plural"))
    return [
        invalid(f"spec.{'.'.join(path)}", get_path(spec, *path), "field is immutable")
        for path in fields
        if get_path(spec, *path) != get_path(old, *path)
    ]


def _with_status(definition: Obj, old: Obj | None, context: Context) -> Obj:
    """Accept the names if they are free, and establish the definition if they are."""
    spec = definition.get("spec")
    if not isinstance(spec, Mapping) or not spec.get("versions"):
        return definition  # validation will say what is missing
    conflict = _taken_name(definition, context)
    was_established = old is not None and is_condition_true(old, "Established")
    before: Mapping[str, Any] = (old or {}).get("status") or {}
    accepted = _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
    established = _condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    if conflict is not None:
        reason, taken = conflict
        accepted = _condition("NamesAccepted", "False", reason, f'"{taken}" is already in use')
        if not was_established:
            established = _condition("Established", "False", "NotAccepted", "not all names are accepted")
    conditions = [_timed(new, old, context) for new in (accepted, established)]
    stored = [version for version in before.get("storedVersions") or () if version]
    marked = [str(v.get("name")) for v in spec.get("versions") or () if v.get("storage")]
    status = {
        **before,
        "conditions": conditions,
        "acceptedNames": spec.get("names")
        if conflict is None
        else before.get("acceptedNames") or {"plural": "", "kind": ""},
        "storedVersions": [*stored, *(version for version in marked if version not in stored)],
    }
    return {**definition, "status": status}


def _taken_name(definition: Obj, context: Context) -> tuple[str, str] | None:
    """The first name that another definition of the group has already: (reason, name)."""
    spec = definition["spec"]
    names: Mapping[str, Any] = spec.get("names") or {}
    others = [
        get_path(other, "status", "acceptedNames") or {}
        for other in context.lookup.list(CUSTOM_RESOURCE_DEFINITION)
        if name(other) != name(definition) and get_path(other, "spec", "group") == spec.get("group")
    ]
    resource_names = {text for other in others for text in _resource_names(other)}
    kinds = {other.get(field) for other in others for field in ("kind", "listKind")}
    asked = [("PluralConflict", names.get("plural")), ("SingularConflict", names.get("singular"))]
    asked += [("ShortNamesConflict", short) for short in names.get("shortNames") or ()]
    for reason, text in asked:
        if text in resource_names:
            return reason, str(text)
    for reason, text in (("KindConflict", names.get("kind")), ("ListKindConflict", names.get("listKind"))):
        if text in kinds:
            return reason, str(text)
    return None


def _resource_names(names: Mapping[str, Any]) -> list[str]:
    found = [names.get("plural"), names.get("singular"), *(names.get("shortNames") or ())]
    return [text for text in found if text]


def _condition(type_: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def _timed(new: dict[str, str], old: Obj | None, context: Context) -> dict[str, Any]:
    """The condition with the time since when it has its status."""
    before = condition(old, new["type"]) if old is not None else None
    since = before.get("lastTransitionTime") if before is not None and before.get("status") == new["status"] else None
    return {"lastTransitionTime": since or format_time(context.now), **new}
