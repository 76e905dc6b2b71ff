"""ResourceFlavor: labels, taints and tolerations that Kubernetes would take.

Source: webhooks.md §3.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pykueue.api import fields
from pykueue.api.errors import FieldError
from pykueue.api.kinds import RESOURCE_FLAVOR
from pykueue.api.objects import Obj
from pykueue.ports.admission import AdmissionRequest
from pykueue.ports.reader import Reader
from pykueue.webhooks.base import CREATE_ONLY, KindWebhook
from pykueue.webhooks.kueue.clusterqueue import with_in_use_finalizer

_TAINT_FIELDS = ("key", "value", "effect", "timeAdded")


class ResourceFlavorWebhook(KindWebhook):
    """Admission of ResourceFlavors."""

    kind = RESOURCE_FLAVOR
    mutating_operations = CREATE_ONLY

    def default(self, request: AdmissionRequest, reader: Reader) -> Obj:
        """Add the finalizer, and the empty effect of taints that name none.

        Kueue parity: its defaulting webhook writes the whole object again, with an effect that the schema then finds and a
        rule refuses, so users read the rule's message.
        """
        del reader
        obj = with_in_use_finalizer(request.obj)
        spec = obj.get("spec") or {}
        taints = spec.get("nodeTaints") or ()
        if all("effect" in taint for taint in taints):
            return obj
        return {**obj, "spec": {**spec, "nodeTaints": [{"effect": "", **taint} for taint in taints]}}

    def validate(self, request: AdmissionRequest, reader: Reader) -> Sequence[FieldError]:
        """Node labels, taints, tolerations."""
        del reader
        spec = request.obj.get("spec") or {}
        return [
            *fields.validate_labels("spec.nodeLabels", spec.get("nodeLabels") or {}),
            *_validate_taints(spec.get("nodeTaints") or ()),
            *_validate_tolerations(spec.get("tolerations") or ()),
        ]


def _validate_taints(taints: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(taints):
        path = f"spec.nodeTaints[{i}]"
        key, value = str(taint.get("key", "")), str(taint.get("value", ""))
        yield from (fields.invalid(f"{path}.key", key, fault) for fault in fields.label_key_faults(key))
        if faults := fields.label_value_faults(value):
            yield fields.invalid(f"{path}.value", value, ";".join(faults))
        pair = (key, str(taint.get("effect", "")))
        if pair in seen:
            shown = fields.render({name: taint[name] for name in _TAINT_FIELDS if name in taint})
            yield FieldError("Duplicate value", path, shown, "taints must be unique by key and effect pair")
        seen.add(pair)


def _validate_tolerations(tolerations: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for i, toleration in enumerate(tolerations):
        if key := str(toleration.get("key", "")):
            path = f"spec.tolerations[{i}].key"
            yield from (fields.invalid(path, key, fault) for fault in fields.label_key_faults(key))
