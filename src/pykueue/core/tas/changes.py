"""What changed, for readers that catch up when they are asked; and values that are kept while they are in use.

Whoever owns a truth notes every change of it and computes nothing. Whoever derives something from it remembers how far he has read. So
a change costs the same whatever is derived from it, and what nobody asks for is never computed. A reader that slept for too long
is told to begin anew.

Neighbours: `tree.py`, `ledger.py` (who note), `capacity.py`, `counts.py` (who catch up).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
_KEPT_MAX = 1 << 14


class Changes(Generic[T]):
    """The latest changes, in order, each as what it happened to."""

    __slots__ = ("_first", "_items")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._first = 0

    @property
    def end(self) -> int:
        """Where the next change will be."""
        return self._first + len(self._items)

    def note(self, *items: T) -> None:
        """Something happened to these."""
        known = self._items
        known += items
        if len(known) > _KEPT_MAX:
            n_forgotten = len(known) - _KEPT_MAX // 2
            del known[:n_forgotten]
            self._first += n_forgotten

    def since(self, position: int) -> list[T] | None:
        """Changes from a former `end` on, perhaps one several times; None if they are forgotten."""
        return self._items[position - self._first :] if position >= self._first else None


class Recent(Generic[K, T]):
    """A bounded table of values that can be made again; what was not asked for the longest time goes first."""

    __slots__ = ("_known", "_n_max")

    def __init__(self, n_max: int) -> None:
        self._known: dict[K, T] = {}
        self._n_max = n_max

    def get(self, key: K, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not known."""
        known = self._known.pop(key, None)
        if known is None:
            known = make()
            if len(self._known) >= self._n_max:
                del self._known[next(iter(self._known))]
        self._known[key] = known
        return known
