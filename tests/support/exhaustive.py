"""Every placement that a request allows on a small tree, found by trying them all: no counts of domains, no order, no search.

A placement is a number of pods for every host, and a host for the leader. It is valid if it keeps what the request says, and nothing else
is known about it here; how a good one is found is the business of `pykueue.core.tas.place`.

Source: tas.md §2.3 (levels), §4.1 (capacity), §5 (leaders), §6.1 (slices; a remainder that fills none has no place).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Path = tuple[str, ...]
Amounts = Mapping[str, int]


class Spread(NamedTuple):
    """One placement: pods on every host, and the host of the leader, None without one; hosts by position."""

    pods: tuple[int, ...]
    leader: int | None


@dataclass(frozen=True)
class Problem:
    """What is to be placed, and where.

    Attributes:
        hosts: path of every host to what is free there, `pods` too.
        is_required: all of it must be in one domain of the main level.
        main: that level.
        layers: (level, size) of the slices and of every layer inside.
        count: workers, those too that fill no slice.
        worker: what each takes.
        leader: what the leader takes; None without one.
    """

    hosts: Mapping[Path, Amounts]
    is_required: bool
    main: int
    layers: Sequence[tuple[int, int]]
    count: int
    worker: Amounts
    leader: Amounts | None

    @property
    def slice_size(self) -> int:
        return self.layers[0][1]

    @property
    def n_slices(self) -> int:
        return self.count // self.slice_size

    def used(self, spread: Spread, level: int) -> frozenset[Path]:
        """Domains of a level that have a pod."""
        return frozenset(path[: level + 1] for i, path in enumerate(self.hosts) if spread.pods[i] or spread.leader == i)

    def seat(self, spread: Spread, level: int) -> Path | None:
        """The domain of a level that has the leader."""
        return None if spread.leader is None else list(self.hosts)[spread.leader][: level + 1]

    def spreads(self, n_slices: int | None = None, inside: Path = ()) -> Iterator[Spread]:
        """Every valid placement of all slices, or of another number of them, within a domain (the empty path: anywhere)."""
        n_pods = (self.n_slices if n_slices is None else n_slices) * self.slice_size
        open_hosts = [i for i, path in enumerate(self.hosts) if path[: len(inside)] == inside]
        for leader in open_hosts if self.leader is not None else [None]:
            choices = [self._numbers(i, leader) if i in open_hosts else [0] for i in range(len(self.hosts))]
            for pods in _ways(n_pods, choices):
                spread = Spread(pods, leader)
                if self._is_valid(spread):
                    yield spread

    def most_slices(self, inside: Path) -> int:
        """The largest number of slices, with the leader if there is one, that a domain holds; -1 if the leader alone is too much."""
        return next(n for n in itertools.count() if not any(True for _ in self.spreads(n, inside))) - 1

    def _numbers(self, host: int, leader: int | None) -> list[int]:
        """Numbers of workers that the host has room for; none if the leader is there and does not fit."""
        free = list(self.hosts.values())[host]
        taken = self.leader if self.leader is not None and leader == host else {}
        fits = itertools.takewhile(
            lambda n: all(n * self.worker.get(name, 0) + taken.get(name, 0) <= amount for name, amount in free.items()),
            itertools.count(),
        )
        return list(fits)

    def _is_valid(self, spread: Spread) -> bool:
        """Slices and the layers in them are whole in their domains; what must be together is."""
        if self.is_required and len(self.used(spread, self.main)) > 1:
            return False
        for level, size in self.layers:
            inside: dict[Path, int] = {}
            for path, n in zip(self.hosts, spread.pods, strict=True):
                inside[path[: level + 1]] = inside.get(path[: level + 1], 0) + n
            if any(n % size for n in inside.values()):
                return False
        return True


def _ways(n_pods: int, choices: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Every way to choose one number from each, so that they sum up to `n_pods`."""
    if not choices:
        if n_pods == 0:
            yield ()
        return
    for n in choices[0]:
        if n <= n_pods:
            for rest in _ways(n_pods - n, choices[1:]):
                yield (n, *rest)
