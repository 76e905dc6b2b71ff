"""The garbage collector, set for a process that keeps very many objects for very long.

Python looks for unreachable cycles after every few hundred new objects, and now and then through all objects that it knows. A cluster's caches are
a million objects without cycles: looking through them stops the process for a second and finds nothing. So nothing is collected while the
caches are filled (`pause`); what is there then is set aside for good, and from then on a search comes after many more new objects (`settle`).

Everything without cycles, which is nearly all garbage of ours, is freed at once as ever.
"""

from __future__ import annotations

import gc

YOUNG_MAX = 50_000
"""New objects between two searches among the young ones: some megabytes of garbage, should all of it be cycles."""


def pause() -> None:
    """Collect nothing, until `settle`."""
    gc.disable()


def settle() -> None:
    """Leave alone whatever there is now, and collect again what comes later."""
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 10, 10)
    gc.enable()
