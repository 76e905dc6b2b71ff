"""From events to keys, and from keys to passes of reconcilers.

Faults are contained here: an exception in a reconciler, or in the mapping of one of its watches, is logged with what it was about,
counted, and costs that key a retry; the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pykueue.api.errors import InvariantError, PykueueError, Retry
from pykueue.api.events import ObjectEvent
from pykueue.api.instant import Instant
from pykueue.api.kinds import Kind
from pykueue.api.objects import ObjectKey, key
from pykueue.ports.reader import Indexer
from pykueue.ports.reconcile import Reconciler, Result, Watch
from pykueue.runtime.metrics import RuntimeMetrics
from pykueue.runtime.workqueue import WorkQueue

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """One key that is being reconciled.

    Attributes:
        reconciler: its name.
        key: which.
        result: what it asked for.
    """

    reconciler: str
    key: ObjectKey
    result: Result

    @property
    def cause(self) -> str:
        """What logs call it."""
        return f"{self.reconciler} {self.key}"


class Dispatch:
    """The reconcilers of one manager, with their queue."""

    def __init__(self, reconcilers: Sequence[Reconciler], reader: Indexer, metrics: RuntimeMetrics) -> None:
        """Take up reconcilers.

        Raises:
            InvariantError: two have the same name.
        """
        self._reconcilers = {reconciler.name: reconciler for reconciler in reconcilers}
        if len(self._reconcilers) != len(reconcilers):
            raise InvariantError("names of reconcilers differ", ", ".join(r.name for r in reconcilers))
        self._reader, self._metrics = reader, metrics
        self._watches: dict[Kind, list[tuple[str, Watch]]] = {}
        for reconciler in reconcilers:
            for watch in reconciler.watches():
                self._watches.setdefault(watch.kind, []).append((reconciler.name, watch))
            for index in reconciler.indexes():
                reader.add_index(index.kind, index.name, index.fn)
        self.queue = WorkQueue(self._reconcilers)

    def kinds(self) -> Iterable[Kind]:
        """What must be watched."""
        return self._watches

    def take(self, event: ObjectEvent, now: Instant) -> None:
        """Wake the keys that an event concerns."""
        for reconciler, watch in self._watches.get(event.kind, ()):
            try:
                for object_key in watch.keys(event, self._reader):
                    self.queue.add(reconciler, object_key, now, watch.delay_us)
            except Exception:
                _log.exception("%s: %s %s wakes nobody", reconciler, event.kind.kind, key(event.new))
                self._metrics.faults.labels("watch").inc()

    def wake(self, keys: Iterable[tuple[str, ObjectKey]], now: Instant) -> None:
        """Wake keys by name; names of reconcilers that are switched off are ignored."""
        for reconciler, object_key in keys:
            if reconciler in self._reconcilers:
                self.queue.add(reconciler, object_key, now)

    def next_pass(self, now: Instant) -> Pass | None:
        """Reconcile the next key; `finish` must follow. None if none may run now."""
        popped = self.queue.pop(now)
        if popped is None:
            return None
        name, object_key = popped
        try:
            result = self._reconcilers[name].reconcile(self._reader, object_key, now)
        except PykueueError as error:
            result = Result(error=str(error))
            if isinstance(error, InvariantError):
                self._fault(name, object_key)
        except Exception as fault:
            self._fault(name, object_key)
            result = Result(error=repr(fault))
        return Pass(name, object_key, result)

    def finish(self, work: Pass, error: PykueueError | None, now: Instant) -> None:
        """A pass and its commands have ended."""
        refused = error is not None and error.retry is Retry.NEVER
        failed = bool(work.result.error) or (error is not None and not refused)
        told = error if error is not None else work.result.error
        after = None if refused else work.result.requeue_after_us
        failures = self.queue.done(work.reconciler, work.key, now, failed=failed, requeue_after_us=after)
        outcome = "error" if failed else "refused" if refused else "done"
        self._metrics.reconciles.labels(work.reconciler, outcome).inc()
        if refused:
            _log.error("%s: %s; not tried again until it changes", work.cause, told)
        elif failed:
            # The first failures are part of the game (conflicts, objects that are not there yet).
            _log.log(
                logging.DEBUG if failures < 4 else logging.WARNING,
                "%s failed %d times: %.400s",
                work.cause,
                failures,
                told,
            )

    def _fault(self, reconciler: str, object_key: ObjectKey) -> None:
        _log.exception("%s %s: unexpected error", reconciler, object_key)
        self._metrics.faults.labels("reconcile").inc()
