"""Serving custom resources: from CustomResourceDefinitions in the store to resources in the registry.

`CustomResources` follows the definitions' storage. A definition is served from the very write that stores it. One that is being
deleted takes no more creations of its objects' kind: its objects are deleted first, each by the ordinary rules (finalizers hold
them), and the definition's own finalizer is taken off when the last one is gone. Writes never happen inside the store's
notification: they are left to `later`, which runs them soon.

Conversion: `None` changes the `apiVersion` alone. `Webhook` asks a converter of this process, given per API group; there is no
call to a server outside.

Source: Kubernetes documentation, "Versions in CustomResourceDefinitions"; "Finalizers".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pykueue.api.errors import ApiError, InternalError, NotFound
from pykueue.api.kinds import CUSTOM_RESOURCE_DEFINITION, Kind
from pykueue.api.objects import Obj, ObjectKey, finalizers, is_condition_true, is_deleting, key, name, with_metadata
from pykueue.apiserver.backend import Backend
from pykueue.apiserver.crd.custom import CustomStrategy
from pykueue.apiserver.crd.definition import CLEANUP_FINALIZER, storage_version
from pykueue.apiserver.deletes import DeleteOptions, delete_object
from pykueue.apiserver.messages import HttpRequest, Target, User
from pykueue.apiserver.resources import ALL_VERBS, Column, Converter, Resource, ScalePaths, field_at
from pykueue.apiserver.schema.types import from_crd
from pykueue.apiserver.writes import update_object

_USER = User("system:apiserver", ("system:masters", "system:authenticated"))


def resources_of(definition: Obj, convert: Converter | None = None) -> list[Resource]:
    """What a definition serves: one resource per served version.

    Args:
        definition: a valid CustomResourceDefinition.
        convert: between its versions, where it asks for a webhook.

    Raises:
        CelError: a validation rule cannot be compiled.
    """
    spec = definition["spec"]
    kinds = {version["name"]: _kind(spec, version) for version in spec["versions"]}
    stored = kinds[storage_version(definition)]
    converter = _converter(spec, convert) if len(kinds) > 1 else None
    return [_resource(spec, version, stored, converter) for version in spec["versions"] if version.get("served")]


class CustomResources:
    """Keeps the registry in step with the stored definitions."""

    def __init__(
        self,
        backend: Backend,
        *,
        converters: Mapping[str, Converter] | None = None,
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        """Serve what is stored now, and follow what comes.

        Args:
            backend: the server's state; its registry must serve CustomResourceDefinitions.
            converters: by API group, for definitions with `conversion.strategy: Webhook`.
            later: runs a function soon, outside of the present call (`loop.call_soon`).

        Raises:
            NotFound: the registry does not serve CustomResourceDefinitions.
        """
        resource = backend.registry.for_kind(CUSTOM_RESOURCE_DEFINITION)
        if resource is None:
            raise NotFound("the registry does not serve customresourcedefinitions.apiextensions.k8s.io")
        self._backend = backend
        self._converters = dict(converters or {})
        self._later = later
        self._definitions = resource
        self._served: dict[str, list[Resource]] = {}
        self._seen: dict[str, Obj] = {}
        self._cleanup_asked = False
        self._unsubscribe: dict[str, Callable[[], None]] = {}
        self._storage = backend.storage(resource)
        self._storage.subscribe(self._follow)
        self._follow()

    def settle(self) -> None:
        """Delete the objects of definitions that are being deleted, then release those definitions."""
        self._cleanup_asked = False
        for definition in list(self._storage.list()):
            if is_deleting(definition) and CLEANUP_FINALIZER in finalizers(definition) and self._is_emptied(definition):
                self._release(definition)

    def _follow(self) -> None:
        """Bring the registry in step. Cheap where nothing changed: definitions are compared by identity."""
        present = {name(definition): definition for definition in self._storage.list()}
        for gone in [known for known in self._seen if known not in present]:
            self._serve(gone, [])
            del self._seen[gone], self._served[gone]
        for known, definition in present.items():
            if self._seen.get(known) is definition:
                continue
            before = self._seen.get(known)
            self._seen[known] = definition
            if before is None or before.get("spec") != definition.get("spec") or not self._served.get(known):
                group = definition["spec"]["group"]
                is_established = is_condition_true(definition, "Established")
                self._serve(known, resources_of(definition, self._converters.get(group)) if is_established else [])
            if is_deleting(definition):
                self._ask_cleanup()

    def _serve(self, definition: str, resources: list[Resource]) -> None:
        registry = self._backend.registry
        kept = {resource.kind for resource in resources}
        for resource in self._served.get(definition, ()):
            if resource.kind not in kept:
                registry.remove(resource.kind.group, resource.kind.version, resource.kind.plural)
        for resource in resources:
            registry.add(resource)
        self._served[definition] = resources

    def _ask_cleanup(self) -> None:
        if not self._cleanup_asked:
            self._cleanup_asked = True
            self._later(self.settle)

    def _is_emptied(self, definition: Obj) -> bool:
        """Delete what can be deleted; whether nothing is left. What is left wakes us when it changes."""
        served = self._served.get(name(definition))
        if not served:
            return True
        resource = served[0]
        storage = self._backend.storage(resource)
        for obj in list(storage.list()):
            if not is_deleting(obj):
                request = HttpRequest("DELETE", resource.kind.path(), user=_USER)
                self._delete(request, resource, key(obj))
        if not storage.list():
            return True
        if resource.storage_name not in self._unsubscribe:
            self._unsubscribe[resource.storage_name] = storage.subscribe(self._ask_cleanup)
        return False

    def _delete(self, request: HttpRequest, resource: Resource, at: ObjectKey) -> None:
        try:
            delete_object(self._backend, request, resource, at, DeleteOptions())
        except NotFound:
            return

    def _release(self, definition: Obj) -> None:
        kept = [finalizer for finalizer in finalizers(definition) if finalizer != CLEANUP_FINALIZER]
        kind = CUSTOM_RESOURCE_DEFINITION
        target = Target(kind.group, kind.version, kind.plural, name=name(definition))
        request = HttpRequest("PUT", kind.path(name=name(definition)), user=_USER, user_agent="apiserver")
        served = self._served.get(name(definition), [])
        try:
            update_object(
                self._backend,
                request,
                self._definitions,
                target,
                lambda old: with_metadata(old, finalizers=kept or None),
            )
        except ApiError:
            # Somebody else wrote or removed it meanwhile: the next change asks again.
            self._ask_cleanup()
            return
        for resource in served[:1]:
            if (unsubscribe := self._unsubscribe.pop(resource.storage_name, None)) is not None:
                unsubscribe()


def _kind(spec: Mapping[str, Any], version: Mapping[str, Any]) -> Kind:
    names = spec["names"]
    return Kind(spec["group"], version["name"], names["kind"], names["plural"], spec["scope"] == "Namespaced")


def _resource(
    spec: Mapping[str, Any], version: Mapping[str, Any], stored: Kind, converter: Converter | None
) -> Resource:
    kind, names = _kind(spec, version), spec["names"]
    schema = from_crd((version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"})
    subresources = version.get("subresources") or {}
    scale = _scale(subresources.get("scale"))
    strategy = CustomStrategy(kind, schema, has_status=subresources.get("status") is not None, scale=scale)
    warning = version.get("deprecationWarning") or f"{kind.api_version} {kind.kind} is deprecated"
    return Resource(
        kind=kind,
        strategy=strategy,
        singular=names.get("singular") or kind.kind.lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=ALL_VERBS,
        subresources=tuple(sub for sub in ("status", "scale") if subresources.get(sub) is not None),
        scale=scale,
        schema=schema,
        decode=strategy.decode,
        storage=f"{kind.plural}.{kind.group}",
        storage_kind=stored,
        convert=converter,
        columns=columns_of(version),
        fields={
            path: field_at(path)
            for selectable in version.get("selectableFields") or ()
            for path in [selectable["jsonPath"].removeprefix(".")]
        },
        custom=True,
        deprecation=warning if version.get("deprecated") else "",
    )


def columns_of(version: Mapping[str, Any]) -> tuple[Column, ...]:
    """The printer columns of a version after the name; only the age where it names none."""
    raws = version.get("additionalPrinterColumns")
    if not raws:
        return (Column("Age", "date", ".metadata.creationTimestamp", _AGE_TEXT),)
    return tuple(
        Column(
            raw["name"],
            raw["type"],
            raw["jsonPath"],
            raw.get("description") or f"Custom resource definition column (in JSONPath format): {raw['jsonPath']}",
            raw.get("format") or "",
            raw.get("priority") or 0,
        )
        for raw in raws
    )


_AGE_TEXT = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set "
    "in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and "
    "is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)


def _scale(raw: Mapping[str, Any] | None) -> ScalePaths | None:
    if raw is None:
        return None
    return ScalePaths(
        raw["specReplicasPath"].removeprefix("."),
        raw["statusReplicasPath"].removeprefix("."),
        (raw.get("labelSelectorPath") or "").removeprefix("."),
    )


def _converter(spec: Mapping[str, Any], convert: Converter | None) -> Converter:
    strategy = (spec.get("conversion") or {}).get("strategy") or "None"
    if strategy == "None":
        return lambda obj, version: obj if obj.get("apiVersion") == version else {**obj, "apiVersion": version}
    if convert is not None:
        return convert

    def refuse(obj: Obj, version: str) -> Obj:
        if obj.get("apiVersion") == version:
            return obj
        raise InternalError(
            f"conversion webhook for {obj.get('apiVersion')}, Kind={obj.get('kind')} failed: this server calls no webhooks "
            f"over the network, and has no converter of its own for group {spec['group']}; use the stored version"
        )

    return refuse
