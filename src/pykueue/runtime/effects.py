"""Carrying out commands: the only place from which the product writes.

The rules: commands of a chain run one after another and the first failure drops the rest; commands side by side all run, and
then the first failure among them, in their order, is told. The answer to a write is put into the inbox before the end of its
chain is, so that whoever asked reads its own writes. After a refusal that tells of a stale cache the object is read
once, for the same reason. How many requests run at a time is bounded, and so is the number of chains. Requests about pods do not
queue behind others: a pod that may start holds accelerators while it waits. Nothing is retried here: whoever asked is told, and
asks again from what the world has become.

Recording an event (`Emit`) never fails and never waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from pykueue.api.commands import Apply, Bind, Chain, Command, Create, Delete, Emit, Patch, Together
from pykueue.api.errors import AlreadyExists, ApiError, Conflict, InvariantError, NotFound, PykueueError
from pykueue.api.kinds import NAMESPACE, POD, Kind
from pykueue.api.objects import Obj, ObjectKey, finalizers, get_path, is_deleting, name
from pykueue.ports.requests import Write, target, verb, write_request
from pykueue.ports.transport import ApiRequest, Transport
from pykueue.runtime.inbox import Changed
from pykueue.runtime.metrics import RuntimeMetrics
from pykueue.runtime.recorder import Recorder

_log = logging.getLogger(__name__)


class Effects:
    """Runs chains of commands as tasks of their own."""

    def __init__(
        self,
        transport: Transport,
        recorder: Recorder,
        metrics: RuntimeMetrics,
        put: Callable[[Changed], Awaitable[None]],
        *,
        field_manager: str,
        rewrite: Callable[[Write], Write] = lambda command: command,
        requests_max: int = 32,
        chains_max: int = 128,
    ) -> None:
        """Effects without work.

        Args:
            transport: where to write.
            recorder: takes the events.
            metrics: counts requests.
            put: gets the answers to writes; waits while the inbox is full.
            field_manager: of writes that name none.
            rewrite: a write in the form in which it is sent.
            requests_max: requests at a time, and half as many more about pods.
            chains_max: chains at a time; see `has_room`.
        """
        self._transport, self._recorder, self._metrics, self._put = transport, recorder, metrics, put
        self._field_manager, self._chains_max, self._rewrite = field_manager, chains_max, rewrite
        self._slots, self._pod_slots = asyncio.Semaphore(requests_max), asyncio.Semaphore(max(1, requests_max // 2))
        self._tasks: set[asyncio.Task[None]] = set()

    def has_room(self) -> bool:
        """Whether another chain may start."""
        return len(self._tasks) < self._chains_max

    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._tasks

    def start(
        self,
        commands: Sequence[Command],
        reporter: str,
        cause: str,
        ended: Callable[[PykueueError | None], Awaitable[None]],
    ) -> None:
        """Carry out a chain in the background.

        Args:
            commands: the chain.
            reporter: reporting controller of events that name none.
            cause: what debug logs call it.
            ended: is told how it ended, after all answers are in the inbox; not told if cancelled.
        """
        task = asyncio.get_running_loop().create_task(self._run_and_tell(commands, reporter, cause, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self, grace_s: float) -> None:
        """Let what is under way end, for a while; then cancel it."""
        if self._tasks:
            _, late = await asyncio.wait(tuple(self._tasks), timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def run(self, commands: Sequence[Command], reporter: str, cause: str) -> None:
        """Carry out a chain, and wait for its end.

        Raises:
            PykueueError: the first failure.
        """
        for command in commands:
            match command:
                case Chain(inner):
                    await self.run(inner, reporter, cause)
                case Together(inner):
                    await self._run_together(inner, reporter, cause)
                case Emit():
                    self._recorder.record(command, reporter)
                case Create() | Patch() | Apply() | Delete() | Bind():
                    await self._write(command, reporter, cause)

    async def _run_and_tell(
        self,
        commands: Sequence[Command],
        reporter: str,
        cause: str,
        ended: Callable[[PykueueError | None], Awaitable[None]],
    ) -> None:
        error: PykueueError | None = None
        try:
            await self.run(commands, reporter, cause)
        except PykueueError as failure:
            error = failure
        except Exception as fault:
            _log.exception("%s: carrying out commands failed", cause)
            self._metrics.faults.labels("effects").inc()
            error = InvariantError("commands could not be carried out", f"{cause}: {fault!r}")
        await ended(error)

    async def _run_together(self, commands: Sequence[Command], reporter: str, cause: str) -> None:
        results = await asyncio.gather(
            *(self.run((command,), reporter, cause) for command in commands), return_exceptions=True
        )
        for result in results:
            if result is not None:
                raise result

    async def _write(self, command: Write, reporter: str, cause: str) -> None:
        command = self._rewrite(command)
        kind, object_key = target(command)
        what = verb(command)
        self._metrics.requests.labels(what, kind.kind).inc()
        _log.debug("%s: %s %s %s", cause, what, kind.kind, object_key)
        try:
            async with self._pod_slots if kind == POD else self._slots:
                answer = await self._transport.request(write_request(command, self._field_manager))
        except PykueueError as error:
            if _is_success(command, error):
                return
            reason = error.reason if isinstance(error, ApiError) else "TransportError"
            self._metrics.failures.labels(what, kind.kind, reason).inc()
            if isinstance(error, Conflict | AlreadyExists) and object_key.name:
                await self._catch_up(kind, object_key)
            elif isinstance(command, Create) and command.refused and isinstance(error, ApiError):
                said = replace(command.refused, note=f"{command.refused.note}{error.message}")
                self._recorder.record(said, reporter)
            raise
        change = observed(command, answer)
        if change is not None:
            await self._put(change)

    async def _catch_up(self, kind: Kind, object_key: ObjectKey) -> None:
        """Read an object that is not as the cache has it."""
        self._metrics.requests.labels("get", kind.kind).inc()
        try:
            async with self._slots:
                obj = await self._transport.request(ApiRequest("GET", kind.path(*object_key)))
        except PykueueError as error:
            _log.debug("%s %s could not be read after a conflict: %s", kind.kind, object_key, error)
            return
        await self._put(Changed(kind, obj, written=True))


def observed(command: Write, answer: Any) -> Changed | None:
    """What the answer to a write tells about the object; None if it tells nothing certain.

    A deletion is answered by the object if it stays for a while (finalizers, a pod's grace period), and by a Status once it
    is gone; some kinds answer with their last state in both cases, and then only the watch can tell.
    """
    if not isinstance(answer, dict) or isinstance(command, Bind):
        return None
    kind, object_key = target(command)
    if isinstance(command, Delete):
        if answer.get("kind") == "Status":
            gone_uid = get_path(answer, "details", "uid")
            if not gone_uid:
                return None
            last: Obj = {
                "apiVersion": kind.api_version,
                "kind": kind.kind,
                "metadata": {"name": object_key.name, "namespace": object_key.namespace, "uid": gone_uid},
            }
            return Changed(kind, last, deleted=True, written=True)
        stays = finalizers(answer) or int(get_path(answer, "metadata", "deletionGracePeriodSeconds") or 0) > 0
        return Changed(kind, answer, written=True) if is_deleting(answer) and stays else None
    if answer.get("kind") not in (None, kind.kind) or not name(answer):
        return None  # a sub-resource with a form of its own, such as Scale
    # A patch that takes the last finalizer away deletes; a namespace has finalizers in its spec as well.
    held = finalizers(answer) or get_path(answer, "metadata", "deletionGracePeriodSeconds") or kind == NAMESPACE
    return Changed(kind, answer, deleted=is_deleting(answer) and not held, written=True)


def _is_success(command: Write, error: PykueueError) -> bool:
    """Whether a refusal means that the world already is as the command wants it."""
    match command:
        case Create(exists_ok=exists_ok):
            return exists_ok and isinstance(error, AlreadyExists)
        case Patch(missing_ok=missing_ok) | Apply(missing_ok=missing_ok) | Delete(missing_ok=missing_ok):
            return missing_ok and isinstance(error, NotFound)
        case _:
            return False
