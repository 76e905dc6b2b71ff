"""One scheduling cycle written as the case tables write it: queues, who holds quota, who waits, and what becomes of whom."""

from __future__ import annotations

import re

from pykueue.core.scheduler.cycle import NO_LONGER_FITS, OVERLAP, OVERLAP_DEFERRED
from pykueue.core.scheduler.decisions import CycleResult
from support.cohorts import plant
from support.world import World, admits, pendings, victims

IQ, CR, RWB, FSH = "InClusterQueue", "InCohortReclamation", "InCohortReclaimWhileBorrowing", "InCohortFairSharing"
MESSAGES = {"NO_LONGER_FITS": NO_LONGER_FITS, "OVERLAP": OVERLAP, "OVERLAP_DEFERRED": OVERLAP_DEFERRED}
_QUEUE = re.compile(r"(\S+?)(?:\[(\S+)\])? ([^|]*)(?:\|(.*))?")


def set_stage(world: World, queues: str) -> None:
    """Set up ClusterQueues, one a line.

    A line with braces is a drawing of a tree (`support.cohorts.plant`), another one is `name[cohort] quotas | options`, where the
    quotas are as `support.world.quota_groups` reads them, and options are `strict`, `WCQ=L` and the others of `World.queue`.
    """
    for line in filter(None, (line.strip() for line in queues.splitlines())):
        if "{" in line:
            plant(world, line)
            continue
        match = _QUEUE.fullmatch(line)
        assert match is not None, line
        name, cohort, quotas, words = match.groups()
        options = dict(word.split("=") if "=" in word else (word, "yes") for word in (words or "").split())
        world.queue(name, quotas.strip(), cohort or "", **options)


def enter(world: World, text: str, *, holding: bool) -> None:
    """Bring Workloads on.

    Separated by semicolons: `name@queue amount [p3] [t5] [flavor]`; the flavor is for those that hold quota (`default` unless told), `t`
    is seconds after the start, by default the place in the text, or well before it for holders.
    """
    for n, words in enumerate(text.split() for text in filter(None, text.split(";"))):
        name, queue = words[0].split("@")
        priority, created, flavor = 0, -100 + n if holding else n, "default"
        for word in words[2:]:
            if re.fullmatch(r"p-?\d+", word):
                priority = int(word[1:])
            elif re.fullmatch(r"t-?\d+", word):
                created = int(word[1:])
            else:
                flavor = word
        world.workload(name, queue, words[1], priority, t=created, **({"at": flavor} if holding else {}))


def outcome(world: World, result: CycleResult) -> dict[str, str]:
    """What became of whom: `on <flavors>`, a reason of preemption, or `heap` or `parked` with the condition's reason.

    A message that says the same of everybody stands for its reason.
    """
    told = victims(result)
    for name, admit in admits(result).items():
        flavors = {f for a in admit.admission.pod_set_assignments for f in a.flavors.values()}
        told[name] = "on " + ",".join(sorted(flavors))
    texts = {text: name for name, text in MESSAGES.items()}
    for name, waiting in pendings(result).items():
        place = "parked" if world.is_parked(name) else "heap"
        told[name] = f"{place} {texts.get(waiting.message, waiting.reason.value)}"
    return told
