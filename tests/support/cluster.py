"""A cluster for tests of pure reconcilers: the embedded API server, an `Indexer`, and a synchronous loop with its own clock.

Commands are carried out against the real request core, without sockets or tasks, and what they changed is fed into the cache. `settle`
runs every woken key until nothing is left to do that is due; `advance` lets time pass. Everything is in order, so a failure repeats.

    cluster = Cluster([StatefulSetController(), Kubelet()])
    cluster.create(STATEFUL_SET, {...})
    cluster.settle()
    assert cluster.names(POD) == ["web-0", "web-1"]
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pykueue.api import objects
from pykueue.api.commands import Chain, Command, Create, Delete, Emit, Patch, PatchType, Together
from pykueue.api.errors import AlreadyExists, ApiError, NotFound, error_from_status
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import SECOND_US, Instant, parse_time
from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, ObjectKey
from pykueue.api.schema import all_crds, leaderworkerset_crd
from pykueue.apiserver.messages import HttpRequest, Response, User
from pykueue.apiserver.server import EmbeddedApiServer, Sources
from pykueue.apiserver.store import ChangeType, Storage
from pykueue.ports.admission import Webhook
from pykueue.ports.reader import Indexer
from pykueue.ports.reconcile import Reconciler, Watch
from pykueue.ports.requests import write_request
from pykueue.runtime.admission import InProcessAdmission, WebhookSet

STEPS_MAX = 200_000
_RETRY_US = 100_000


class Cluster:
    """An API server with reconcilers."""

    def __init__(
        self,
        reconcilers: Sequence[Reconciler],
        *,
        webhooks: Sequence[Webhook] = (),
        kinds: Sequence[Kind] = (),
        definitions: Sequence[Obj] | None = None,
        start: str = "2026-01-01T00:00:00Z",
    ) -> None:
        """An empty cluster.

        Args:
            reconcilers: with different names.
            webhooks: called at every write.
            kinds: to be cached besides what reconcilers watch and index.
            definitions: of custom resources; LeaderWorkerSet's alone unless told otherwise. `every_definition()` has all.
            start: the time it begins.
        """
        self.now = parse_time(start)
        self.events: list[Emit] = []
        self.errors: list[str] = []
        self.story: list[str] = []
        self._numbers = itertools.count(1)
        sources = Sources(
            lambda: self.now, lambda: f"uid-{next(self._numbers):06}", lambda: f"{next(self._numbers):05}"
        )
        self.server = EmbeddedApiServer(sources=sources)
        self.reader = Indexer()
        for definition in [leaderworkerset_crd()] if definitions is None else definitions:
            self._ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        self.server.set_admission(InProcessAdmission([WebhookSet("test", webhooks, self.reader)]))
        self._reconcilers = {r.name: r for r in reconcilers}
        assert len(self._reconcilers) == len(reconcilers), "names of reconcilers differ"
        self._watches: list[tuple[str, Watch]] = [(r.name, w) for r in reconcilers for w in r.watches()]
        for index in (index for r in reconcilers for index in r.indexes()):
            self.reader.add_index(index.kind, index.name, index.fn)
        wanted = [w.kind for _, w in self._watches] + [i.kind for r in reconcilers for i in r.indexes()] + list(kinds)
        self._due: dict[tuple[str, ObjectKey], Instant] = {}
        self._heap: list[tuple[Instant, str, ObjectKey]] = []
        self._cursors: dict[Kind, tuple[Storage, int]] = {}
        for kind in dict.fromkeys(wanted):
            self._begin(kind)

    # What a user does.

    def create(self, kind: Kind, obj: Mapping[str, Any]) -> Obj:
        """Create an object; in namespace `default` unless it says otherwise."""
        meta = dict(obj.get("metadata") or {})
        if kind.namespaced:
            meta.setdefault("namespace", "default")
        return self.run(Create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **obj, "metadata": meta}))

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Any,
        *,
        subresource: str = "",
        type_: PatchType = PatchType.MERGE,
        namespace: str = "default",
    ) -> Obj:
        """Patch an object."""
        return self.run(Patch(kind, self.key(kind, name, namespace), body, type_, subresource))

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        propagation: str = "Background",
        namespace: str = "default",
        grace_s: int | None = None,
    ) -> None:
        """Delete an object."""
        self.run(Delete(kind, self.key(kind, name, namespace), propagation=propagation, grace_period_s=grace_s))

    def get(self, kind: Kind, name: str, namespace: str = "default") -> Obj:
        """An object as the API server has it.

        Raises:
            NotFound: it has not.
        """
        return self._ask("GET", kind.path(namespace if kind.namespaced else "", name))  # type: ignore[no-any-return]

    def list(self, kind: Kind) -> list[Obj]:
        """All objects of a kind, by name."""
        return list(self._ask("GET", kind.path())["items"])

    def names(self, kind: Kind) -> list[str]:
        """Names of all objects of a kind."""
        return [objects.name(obj) for obj in self.list(kind)]

    def exists(self, kind: Kind, name: str, namespace: str = "default") -> bool:
        """Whether the API server has the object."""
        try:
            self.get(kind, name, namespace)
        except NotFound:
            return False
        return True

    def notes(self, reason: str = "") -> list[str]:
        """Events so far, as `Kind/name reason: note`; of one reason."""
        return [
            f"{e.kind.kind}/{objects.name(e.about)} {e.reason}: {e.note}"
            for e in self.events
            if not reason or e.reason == reason
        ]

    @staticmethod
    def key(kind: Kind, name: str, namespace: str = "default") -> ObjectKey:
        """The key of a name."""
        return ObjectKey(namespace if kind.namespaced else "", name)

    # What time does.

    def settle(self, *, until_idle_s: float = 2.0) -> None:
        """Run what is due, and what becomes due within this time of standing still."""
        for _ in range(STEPS_MAX):
            self._see()
            if not self._due:
                return
            if not self._step(Instant(self.now + int(until_idle_s * SECOND_US))):
                return
        raise AssertionError("the cluster does not come to rest; last steps:\n" + "\n".join(self.story[-40:]))

    def advance(self, seconds: float) -> None:
        """Let time pass, running what falls due on the way."""
        end = Instant(self.now + int(seconds * SECOND_US))
        for _ in range(STEPS_MAX):
            self._see()
            if not self._step(end):
                self.now = end
                return
        raise AssertionError("the cluster does not come to rest; last steps:\n" + "\n".join(self.story[-40:]))

    def run(self, command: Command) -> Any:
        """Carry out a command as a user would.

        Raises:
            ApiError: refused.
        """
        answer = self._carry_out(command, "user")
        self._see()
        return answer

    # How it works.

    def _begin(self, kind: Kind) -> None:
        resource = self.server.registry.for_kind(kind)
        assert resource is not None, f"{kind.gvk} is not served; give its definition"
        storage = self.server.store.storage(resource.storage_name)
        for obj in storage.list():
            event = self.reader.apply(kind, resource.from_storage(obj))
            if event is not None:
                self._wake(event)
        self._cursors[kind] = (storage, self.server.store.revision)

    def _see(self) -> None:
        """Take in what changed, in order of revisions, and wake who waits for it."""
        seen = []
        for kind, (storage, cursor) in self._cursors.items():
            fresh = storage.events_after(cursor)
            if fresh:
                self._cursors[kind] = (storage, fresh[-1].revision)
                seen += [(stored.revision, kind, stored) for stored in fresh]
        for _, kind, stored in sorted(seen, key=lambda item: item[:2]):
            resource = self.server.registry.for_kind(kind)
            assert resource is not None
            obj = resource.from_storage(stored.obj)
            event = self.reader.apply(kind, obj, deleted=stored.type is ChangeType.DELETED)
            if event is not None:
                self._wake(event)

    def _wake(self, event: ObjectEvent) -> None:
        for name, watch in self._watches:
            if watch.kind == event.kind:
                for key in watch.keys(event, self.reader):
                    self._schedule(name, key, watch.delay_us)

    def _schedule(self, name: str, key: ObjectKey, delay_us: int) -> None:
        at = Instant(self.now + delay_us)
        if at < self._due.get((name, key), at + 1):
            self._due[name, key] = at
            heapq.heappush(self._heap, (at, name, key))

    def _step(self, end: Instant) -> bool:
        """Run the key that is due first, if it is due by then; entries that were overtaken are dropped."""
        while self._heap and self._due.get(self._heap[0][1:]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap or self._heap[0][0] > end:
            return False
        at, name, key = heapq.heappop(self._heap)
        self.now = Instant(max(self.now, at))
        del self._due[name, key]
        self._reconcile(name, key)
        return True

    def _reconcile(self, name: str, key: ObjectKey) -> None:
        result = self._reconcilers[name].reconcile(self.reader, key, self.now)
        for command in result.commands:
            self.story.append(f"{self.now} {name} {key}: {_brief(command)}")
            try:
                self._carry_out(command, name)
            except ApiError as error:
                self.errors.append(f"{name} {key}: {_brief(command)}: {error}")
                self._schedule(name, key, _RETRY_US)
                return
        if result.error:
            self.errors.append(f"{name} {key}: {result.error}")
            self._schedule(name, key, _RETRY_US)
        if result.requeue_after_us is not None:
            self._schedule(name, key, result.requeue_after_us)

    def _carry_out(self, command: Command, reporter: str) -> Any:
        match command:
            case Chain(inner):
                for one in inner:
                    self._carry_out(one, reporter)
            case Together(inner):
                failures = [error for one in inner if (error := self._attempt(one, reporter)) is not None]
                if failures:
                    raise failures[0]
            case Emit():
                self.events.append(command)
            case _:
                request = write_request(command, reporter)
                try:
                    return self._ask(request.method, request.path, request.body, request.query, request.content_type)
                except NotFound:
                    if not getattr(command, "missing_ok", False):
                        raise
                except AlreadyExists:
                    if not getattr(command, "exists_ok", False):
                        raise
        return None

    def _attempt(self, command: Command, reporter: str) -> ApiError | None:
        try:
            self._carry_out(command, reporter)
        except ApiError as error:
            return error
        return None

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        request = HttpRequest(method, path, query or {}, body, content_type, user_agent="test", user=User())
        answer = self.server.handler.answer(request)
        assert isinstance(answer, Response)
        if answer.status >= 400:
            raise error_from_status(answer.status, answer.body if isinstance(answer.body, dict) else {})
        return answer.body


def every_definition() -> list[Obj]:
    """Definitions of our kinds and of LeaderWorkerSet."""
    return [*all_crds(), leaderworkerset_crd()]


def _brief(command: Command) -> str:
    match command:
        case Chain(inner) | Together(inner):
            return f"{type(command).__name__}({', '.join(map(_brief, inner))})"
        case Emit(_, about, _, reason, note):
            return f"Emit {objects.name(about)} {reason}: {note}"
        case Create(kind, obj):
            return f"Create {kind.kind} {objects.name(obj)}"
        case Patch(kind, key, body):
            return f"Patch {kind.kind} {key} {body}"
        case Delete(kind, key):
            return f"Delete {kind.kind} {key} {command.propagation}"
        case _:
            return (
                f"{type(command).__name__} {getattr(command, 'pod', '') or objects.name(getattr(command, 'obj', {}))}"
            )
