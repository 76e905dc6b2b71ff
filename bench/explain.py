#!/usr/bin/env python3
"""What one explanation costs beside many Workloads that wait, or one request for their places, and how that grows.

    explain.py [--json FILE]

The world is that of *pending* in `core.py`: ClusterQueues in cohorts that lend everything, all quota held, and Workloads of three shapes that
wait. Asked is the engine alone, for the first, the middle and the last of one queue, and for the queue itself; and the visibility API without its
sockets, for the thousand that it tells by default, and for all. CPU milliseconds, the median of some rounds. One line of JSON at the end:
`explain_<pending>_<queues>q_{first,middle,last,queue,places,all_places}_ms`.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from core import NAMESPACE, START, Play, new_engine, new_workload
from report import report

from pykueue.api.instant import Instant
from pykueue.cli.visibility import visibility_resources

ROUNDS = 7


def crowd(n_pending: int, queues: int) -> Play:
    """Queues whose quota is all held, and what waits for it."""
    play = Play(new_engine(max(1, queues // 100), min(queues, 100)))
    names = [f"cq-{n // 100}-{n % 100}" for n in range(queues)]
    for n, queue in enumerate(names):
        play.arrive(new_workload(f"holder-{n}", queue, 20, 100, START))
    play.run()
    for n in range(n_pending):
        cpu = 1 + n // queues % 3 * 2
        play.arrive(new_workload(f"waits-{n}", names[n % queues], cpu, 50, Instant(START + n * 1000)))
    play.run()
    return play


def cpu_ms(ask: Callable[[], object]) -> float:
    gc.collect()
    gc.freeze()
    took = []
    for _ in range(ROUNDS):
        start = time.process_time()
        assert ask() is not None
        took.append((time.process_time() - start) * 1e3)
    return round(statistics.median(took), 2)


def measure(n_pending: int, queues: int) -> dict[str, float]:
    play = crowd(n_pending, queues)
    explainer = play.engine.explainer(play.now)
    waiting = [info.key for info in play.engine.waiting("cq-0-0") or ()]
    label = f"explain_{n_pending // 1000}k_{queues}q"
    asked = {"first": waiting[0], "middle": waiting[len(waiting) // 2], "last": waiting[-1]}
    assert all(key.namespace == NAMESPACE for key in waiting)
    found = {f"{label}_{name}_ms": cpu_ms(lambda key=key: explainer.workload(key)) for name, key in asked.items()}
    places = visibility_resources(play.engine)[0].computed[0].answer
    return found | {
        f"{label}_queue_ms": cpu_ms(lambda: explainer.cluster_queue("cq-0-0")),
        f"{label}_places_ms": cpu_ms(lambda: places("", "cq-0-0", {})),
        f"{label}_all_places_ms": cpu_ms(lambda: places("", "cq-0-0", {"limit": "100000"})),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    sizes = ((1_000, 1), (10_000, 1), (10_000, 100), (50_000, 1), (100_000, 1))
    report((measure(n_pending, queues) for n_pending, queues in sizes), options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
