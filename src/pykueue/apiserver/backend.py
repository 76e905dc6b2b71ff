"""What all verbs share: the store, the registry, admission, and the server's sources of time and chance.

Neighbours: `reads.py`, `writes.py`, `deletes.py` and `subresources.py` are the verbs; `handler.py` routes to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pykueue.api.errors import ApiError, Conflict, Forbidden, NotFound
from pykueue.api.instant import Instant
from pykueue.api.kinds import NAMESPACE, Kind
from pykueue.api.objects import Obj, ObjectKey, is_deleting
from pykueue.apiserver.messages import HttpRequest
from pykueue.apiserver.resources import Resource, ResourceRegistry
from pykueue.apiserver.store import Storage, Store
from pykueue.apiserver.strategy import Context
from pykueue.ports.admission import AdmissionChain, AdmissionRequest

_LASTING_NAMESPACES = ("default", "kube-system", "kube-public")
MODIFIED_MEANWHILE = "the object has been modified; please apply your changes to the latest version and try again"


class AdmitAll:
    """An `AdmissionChain` without webhooks."""

    def mutate(self, request: AdmissionRequest) -> Obj:
        """See `AdmissionChain.mutate`."""
        return request.obj

    def validate(self, request: AdmissionRequest) -> None:
        """See `AdmissionChain.validate`."""


@dataclass(slots=True)
class Backend:
    """The state behind the API, and what else a verb needs.

    Attributes:
        store: all objects.
        registry: what is served.
        clock: the server's time.
        new_uid: makes a UID.
        random_suffix: makes the five characters that end a generated name.
        admission: webhooks; may be replaced once, when the manager has started.
    """

    store: Store
    registry: ResourceRegistry
    clock: Callable[[], Instant]
    new_uid: Callable[[], str]
    random_suffix: Callable[[], str]
    admission: AdmissionChain

    def storage(self, resource: Resource) -> Storage:
        """Where a resource's objects are."""
        return self.store.storage(resource.storage_name)

    def stored(self, resource: Resource, key: ObjectKey) -> Obj:
        """The stored object, in its storage version.

        Raises:
            NotFound: there is none.
        """
        found = self.storage(resource).get(key)
        if found is None:
            raise not_found(resource, key.name)
        return found

    def context(self, request: HttpRequest) -> Context:
        """What strategies may know of a request."""
        return Context(self.clock(), self, request.user.name, dry_run=bool(request.query.get("dryRun")))

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """See `strategy.Lookup.get`."""
        resource = self.registry.for_kind(kind)
        found = self.storage(resource).get(ObjectKey(namespace, name)) if resource else None
        return resource.from_storage(found) if resource and found is not None else None

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        """See `strategy.Lookup.list`."""
        resource = self.registry.for_kind(kind)
        if resource is None:
            return ()
        found = self.storage(resource).list(namespace)
        return found if resource.convert is None else [resource.from_storage(obj) for obj in found]

    def check_namespace(self, resource: Resource, key: ObjectKey) -> None:
        """New objects need a namespace that exists and stays (admission plugin NamespaceLifecycle).

        Raises:
            NotFound: the namespace does not exist.
            Forbidden: it is being deleted.
        """
        if not resource.kind.namespaced:
            return
        namespace = self.get(NAMESPACE, "", key.namespace)
        if namespace is None:
            raise NotFound(
                f'namespaces "{key.namespace}" not found', details={"name": key.namespace, "kind": "namespaces"}
            )
        if is_deleting(namespace):
            reason = f"unable to create new content in namespace {key.namespace} because it is being terminated"
            raise forbidden(
                resource,
                key.name,
                reason,
                causes=(
                    ("NamespaceTerminating", f"namespace {key.namespace} is being terminated", "metadata.namespace"),
                ),
            )

    @staticmethod
    def check_deletable(resource: Resource, name: str) -> None:
        """The namespaces that a cluster cannot be without stay (admission plugin NamespaceLifecycle).

        Raises:
            Forbidden: it is one of them.
        """
        if resource.kind == NAMESPACE and name in _LASTING_NAMESPACES:
            raise forbidden(resource, name, "this namespace may not be deleted")


def details(resource: Resource, name: str) -> dict[str, object]:
    """The `details` of a Status about one object."""
    named: dict[str, object] = {"name": name}
    if resource.kind.group:
        named["group"] = resource.kind.group
    return {**named, "kind": resource.kind.plural}


def not_found(resource: Resource, name: str) -> NotFound:
    """`pods "x" not found`."""
    return NotFound(f'{resource.qualified} "{name}" not found', details=details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    """`Operation cannot be fulfilled on pods "x": ...`."""
    return Conflict(
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}', details=details(resource, name)
    )


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[tuple[str, str, str]] = ()) -> Forbidden:
    """`pods "x" is forbidden: ...`; each cause is (reason, message, field)."""
    said = details(resource, name)
    if causes:
        said["causes"] = [{"reason": reason, "message": message, "field": field} for reason, message, field in causes]
    return Forbidden(f'{resource.qualified} "{name}" is forbidden: {why}', details=said)
