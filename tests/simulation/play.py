"""One seeded run from beginning to end. `python tests/simulation/play.py [SEED [N]]` plays N seeds from one on.

A failure tells what did not hold, and with a single seed the whole story. The digest of a run depends on its seed and on the code
alone: two runs that differ in it have found something that is not deterministic.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pykueue.api.kinds import EVENT
from simulation.checks import QuotaWatch, StartWatch, faults_at_rest, faults_when_empty, faults_without_queues
from simulation.memory import faults_of_memory
from simulation.user import User
from support.simulated import SimulatedCluster

ACTS_MAX = 24
REST_S = 900.0
"""Longer than any backoff or timeout of the product."""


class Errors(logging.Handler):
    """Collects what the product logs as its own fault: it contains them, and goes on."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        self.told.append(logging.Formatter("%(name)s: %(message)s").format(record))


class SimulationError(AssertionError):
    """A seed went wrong; the story is the message."""


@dataclass(frozen=True, slots=True)
class Played:
    """How a seed went.

    Attributes:
        lives: how many managers it took.
        digest: of all that was done, told and recorded.
    """

    lives: int
    digest: str


def play(seed: int, feature_gates: str = "") -> Played:
    """Play a seed, with more gates than every seed has if any are given.

    Raises:
        SimulationError: something did not hold.
    """
    log, errors = logging.getLogger("pykueue"), Errors()
    before = log.level, log.propagate
    log.addHandler(errors)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        return asyncio.run(_play(seed, errors, feature_gates))
    finally:
        log.removeHandler(errors)
        log.setLevel(before[0])
        log.propagate = before[1]


async def _play(seed: int, errors: Errors, feature_gates: str) -> Played:
    # Groups that wait for replacement pods would be tried again every half hour, for ever: nothing would come to rest.
    gates = ",".join(filter(None, ("DisableWaitForPodsReady=true", feature_gates)))
    async with SimulatedCluster.start(seed, feature_gates=gates) as cluster:
        user, quota, starts = User(cluster, seed), QuotaWatch(cluster), StartWatch(cluster)
        try:
            quota.begin()
            starts.begin()
            await user.set_up()
            for _ in range(user.dice.randint(4, ACTS_MAX)):
                await user.act()
                await cluster.advance(user.dice.choice((0, 0.05, 0.5, 2, 20)))
            await cluster.calm()
            await _rests(cluster, faults_at_rest)
            await user.open_queues()
            await _rests(cluster, faults_at_rest)
            await user.crowd()
            await _rests(cluster, faults_at_rest)
            await user.make_room()
            await _rests(cluster, faults_at_rest)
            await user.delete_everything()
            await _rests(cluster, faults_when_empty)
            await user.delete_queues()
            await _rests(cluster, faults_without_queues)
            await _rests(cluster, faults_of_memory)
        except AssertionError as error:
            quota.faults.append(str(error))
        faults = [*quota.faults, *starts.faults, *dict.fromkeys(cluster.refused), *errors.told]
        if faults:
            told = "\n  ".join(faults)
            raise SimulationError(f"seed {seed}:\n  {told}\nThe story:\n  " + "\n  ".join(cluster.story))
        seen = [cluster.story, cluster.server.store.revision, cluster.list(EVENT)]
        return Played(cluster.lives, hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:16])


async def _rests(cluster: SimulatedCluster, faults: Callable[[SimulatedCluster], Iterator[str]]) -> None:
    await cluster.advance(REST_S)
    revision = cluster.server.store.revision
    await cluster.advance(REST_S)
    found = [*faults(cluster), *cluster.restless()]
    if writes := cluster.writes_after(revision):
        found.append(f"the cluster does not come to rest; in {REST_S} s these were written: {writes[:20]}")
    assert not found, "\n  ".join(found)


def main() -> None:
    """Play seeds until one fails."""
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    n_seeds = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    failed = []
    for seed in range(first, first + n_seeds):
        began = time.monotonic()
        try:
            played = play(seed)
        except SimulationError as error:
            failed.append(seed)
            sys.stdout.write(f"{error}\n" if n_seeds == 1 else f"{str(error).split('The story')[0]}")
        else:
            took = f"{played.lives} managers, {time.monotonic() - began:.1f} s"
            sys.stdout.write(f"seed {seed}: well, digest {played.digest} ({took})\n")
    sys.exit(f"failed: {failed}" if failed else 0)


if __name__ == "__main__":
    main()
