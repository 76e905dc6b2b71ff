# ruff: noqa: ARG002 - the base answers "nothing special" whatever it is handed
"""What is special about a resource: the contract between the request core and the kinds it serves.

The request core (`handler.py` and its neighbours) knows what all objects have in common: names, versions, finalizers,
conflicts, patches, admission. Whatever differs from kind to kind is behind `Strategy`. Built-in kinds implement it under
`builtins/`, custom resources in `crd.py`.

Rules: a strategy is pure. It has no clock (`Context.now`), reads other objects through `Context.lookup` alone, and returns
new objects instead of changing its arguments. Answering with the argument itself says "nothing to change" and is cheap.

The order in which the core calls a strategy is Kubernetes' own:

| Write | Steps |
|---|---|
| create | `default` → `admit` → mutating webhooks → `default` → `prepare_create` → `validate` → validating webhooks |
| update, patch, apply | `default` → `prepare_update` → `admit` → mutating webhooks → `default`, `prepare_update` → `validate` → validating webhooks |
| delete | validating webhooks → `grace_period_s` → `begin_delete` → `is_finalized` |

(Before all of them the body is decoded by `Resource.decode`, which drops and reports unknown fields.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pykueue.api.errors import FieldError
from pykueue.api.instant import Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, finalizers, generation, with_metadata

_NOT_SPEC = frozenset(("apiVersion", "kind", "metadata", "status"))


class Lookup(Protocol):
    """Read other objects of the store, as they are now; shared objects, never mutated."""

    def get(self, kind: Kind, namespace: str, name: str) -> Obj | None:
        """One object in the version of `kind`, or None."""
        ...

    def list(self, kind: Kind, namespace: str = "") -> Sequence[Obj]:
        """All objects of a kind, sorted by namespace and name; of one namespace if it is not empty."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a strategy may know of the request.

    Attributes:
        now: the server's time.
        lookup: other objects of the store.
        username: who asks.
        dry_run: nothing will be stored.
    """

    now: Instant
    lookup: Lookup
    username: str = ""
    dry_run: bool = False


class Strategy:
    """The plain resource: spec, status, generation, no defaults of its own. Kinds override what differs.

    Attributes:
        has_generation: whether `metadata.generation` counts changes outside of metadata and status.
        has_status: whether `status` belongs to the `status` sub-resource: dropped on create, kept on updates of the object.
        create_on_update: whether PUT of a missing object creates it (Lease, Event and a few others).
        unconditional_update: whether PUT may leave out the resource version (custom resources: never).
        default_propagation: what deletion without a `propagationPolicy` means: `Background` or `Orphan` (Job).
        generated_name_max: longest base that `generateName` is cut to before its random suffix.
    """

    has_generation: bool = True
    has_status: bool = True
    create_on_update: bool = False
    unconditional_update: bool = True
    default_propagation: str = "Background"
    generated_name_max: int = 58

    def default(self, obj: Obj) -> Obj:
        """Fill in defaults that depend on the object alone; idempotent."""
        return obj

    def prepare_create(self, obj: Obj, context: Context) -> Obj:
        """Reset what a creator may not say.

        `metadata` has its final name, namespace, uid and creationTimestamp already; deletionTimestamp and
        resourceVersion are gone.
        """
        if self.has_status and "status" in obj:
            obj = {k: v for k, v in obj.items() if k != "status"}
        return with_metadata(obj, generation=1 if self.has_generation else None)

    def prepare_update(self, new: Obj, old: Obj, subresource: str, context: Context) -> Obj:
        """Reset what this writer may not change, and count the generation.

        Args:
            new: the object as the writer wants it; identity fields (uid, creationTimestamp, ...) are checked already.
            old: the stored object, in the same version.
            subresource: `""`, `status`, `scale` (replicas changed, as by a plain update), `finalize`, or `binding` (the core has
                set `spec.nodeName` and the PodScheduled condition together: both stay).
            context: see `Context`.
        """
        if subresource == "status":
            new = {**{k: v for k, v in old.items() if k != "status"}, "metadata": new.get("metadata") or {}} | (
                {"status": new["status"]} if "status" in new else {}
            )
        elif subresource != "binding" and self.has_status and new.get("status") != old.get("status"):
            new = {k: v for k, v in new.items() if k != "status"} | (
                {"status": old["status"]} if "status" in old else {}
            )
        if not self.has_generation:
            return new
        return with_generation(new, old, self.spec_changed(new, old))

    def spec_changed(self, new: Obj, old: Obj) -> bool:
        """Whether a field that counts for `metadata.generation` differs: by default all but metadata and status."""
        return differs(new, old)

    def admit(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> Obj:
        """The effect of Kubernetes' own mutating admission plugins (Priority, LimitRanger, ...); `old` is None on create.

        Raises:
            ApiError: the plugin refuses the request.
        """
        return new

    def validate(self, new: Obj, old: Obj | None, subresource: str, context: Context) -> Sequence[FieldError]:
        """Every fault of the object and, with `old`, of the transition. Empty means valid. Includes `metadata`."""
        return ()

    def warnings(self, new: Obj, old: Obj | None) -> Sequence[str]:
        """Sentences for the `Warning` header of the answer."""
        return ()

    def grace_period_s(self, obj: Obj, requested_s: int | None) -> int | None:
        """Seconds that the object's owner gets to end it gracefully; None for kinds that are deleted at once.

        0 is immediate deletion of a kind that knows graceful deletion (`deletionGracePeriodSeconds: 0` is recorded when
        finalizers keep the object).
        """
        return None

    def begin_delete(self, obj: Obj, context: Context) -> Obj:
        """The object as stored while it is being deleted but not gone yet; deletionTimestamp is set by the core."""
        return obj

    def is_finalized(self, obj: Obj) -> bool:
        """Whether nothing holds a deleted object back (Namespace has finalizers in its spec as well)."""
        return not finalizers(obj)


def differs(new: Obj, old: Obj) -> bool:
    """Whether anything outside of apiVersion, kind, metadata and status differs."""
    return any(new.get(k) != old.get(k) for k in {**new, **old} if k not in _NOT_SPEC)


def with_generation(new: Obj, old: Obj, changed: bool) -> dict[str, Any] | Obj:
    """`new` with the old generation, one more if something changed."""
    want = generation(old) + (1 if changed else 0)
    return new if generation(new) == want else with_metadata(new, generation=want or None)
