"""Words on Workloads that wait, held back while the API server is slow.

Each cycle says of the Workloads at which it stopped why they wait. While the API server keeps up, that is written at once. While it does not, such a word
takes the place of an admission, and is often out of date when it is read: so it waits until there is room, or for five seconds; the last word
stands for those before it, and an admission makes it superfluous.

Pure; `admission.py` asks, and writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from pykueue.api.instant import SECOND_US, Instant
from pykueue.api.objects import ObjectKey
from pykueue.controllers.acts import Act
from pykueue.core.scheduler.decisions import Admit, Pending

HELD_US_MAX = 5 * SECOND_US
AT_ONCE_MAX = 8
"""Words that are let go at once when there is room."""


@dataclass(slots=True)
class Words:
    """What is not said yet, oldest first."""

    _held: dict[ObjectKey, tuple[Pending, Instant]] = field(default_factory=dict)
    """The word, and until when it may be held."""

    def hold(self, act: Act, now: Instant, *, is_slow: bool) -> bool:
        """Take note of an act that is about to be written; True if it is a word that is held back instead."""
        if isinstance(act, Admit):
            self._held.pop(act.key, None)
        if not isinstance(act, Pending):
            return False
        held = self._held.get(act.key)
        if held is None and not is_slow:
            return False
        former, until = held or (act, Instant(now + HELD_US_MAX))
        self._held[act.key] = msgspec.structs.replace(act, is_event_due=act.is_event_due or former.is_event_due), until
        return True

    def next_due(self, now: Instant, *, is_slow: bool) -> Instant | None:
        """When `take` has something; None if nothing is held."""
        first = next((until for _, until in self._held.values()), None)
        return first if first is None or is_slow else now

    def take(self, now: Instant, *, is_slow: bool) -> list[Pending]:
        """Words to say now: those that were held for long, or the oldest if there is room."""
        due = [key for key, (_, until) in self._held.items() if until <= now]
        if not due and not is_slow:
            due = list(self._held)[:AT_ONCE_MAX]
        return [self._held.pop(key)[0] for key in due]
