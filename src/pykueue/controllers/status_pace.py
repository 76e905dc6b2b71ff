"""When statuses of queues are written: soon when little happens, seldom while much does.

A status is a summary, each admission and each end changes two of them, and each write costs the API server as much as an admission does. So

* the first change after a rest is told 200 ms later, with whatever came meanwhile;
* while more changes come, a queue is told once it was quiet for a second, or after five seconds without that.

So a status is right a second after the last change, and a queue whose Workloads come and go without pause costs a write in five seconds.

Pure: it names queues that are due, and knows neither what their status is nor who writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey

DELAY_US = 200_000
QUIET_US = SECOND_US
INTERVAL_US = 5 * SECOND_US
Queue: TypeAlias = tuple[str, ObjectKey]
"""Name of the reconciler that writes it, and key."""


@dataclass(slots=True)
class StatusPace:
    """Queues that changed, and when each is due."""

    _due: dict[Queue, tuple[Instant, Instant]] = field(default_factory=dict)
    """When a queue is due, and until when more changes may put that off."""
    _told: dict[Queue, Instant] = field(default_factory=dict)
    """When a queue was due last, if that was within the last second."""
    _next: Instant | None = None
    """Nothing is due before this time."""

    def note(self, queue: Queue, now: Instant) -> None:
        """A queue's status changed."""
        known = self._due.get(queue)
        told = self._told.get(queue)
        if known is not None:
            due, latest = known
            due = min(max(due, Instant(now + QUIET_US)), latest)
        elif told is None or told + QUIET_US <= now:
            due = latest = Instant(now + DELAY_US)
        else:
            due, latest = Instant(now + QUIET_US), Instant(told + INTERVAL_US)
        self._due[queue] = due, latest
        self._next = due if self._next is None else min(self._next, due)

    def next_due(self) -> Instant | None:
        """When to call `take`; maybe for nothing. None if no queue changed."""
        return self._next

    def take(self, now: Instant) -> list[Queue]:
        """The queues that are due, in order of their first change; they count as told."""
        if self._next is None or self._next > now:
            return []
        found = [queue for queue, (due, _) in self._due.items() if due <= now]
        for queue in found:
            del self._due[queue]
        self._told = {queue: at for queue, at in self._told.items() if at + QUIET_US > now}
        self._told |= dict.fromkeys(found, now)
        self._next = min((due for due, _ in self._due.values()), default=None)
        return found
