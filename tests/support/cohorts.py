"""Cohort trees written as the case tables write them: `root 5{left 10 BL5{cq1 10 used 2, cq2 0 w2 RWC=A}, cq3 1}`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from support.world import World

_LIMIT = re.compile(r"[BL]L[0-9.]+")
_WEIGHT = re.compile(r"w([0-9.]+)")


def plant(world: World, text: str, **options: str) -> None:
    """Set up Cohorts and ClusterQueues.

    A name with braces is a Cohort, one without is a ClusterQueue. After the name come, in any order: the quota (`5` of the flavor
    `default`, or `red:5→blue:10`), `BL5` and `LL5`, `w2` (weight), `used 2` or `used red:2` (one Workload `held-<queue>[-<flavor>]`), and
    options of `World.queue` (`RWC=A`).

    Args:
        world: where to.
        text: the drawing; several roots are separated by commas.
        options: of every ClusterQueue.
    """
    above: list[str] = []
    for words, mark in _items(text):
        if words:
            name, *rest = words
            if mark == "{":
                _cohort(world, name, rest, above[-1] if above else "")
            else:
                _cluster_queue(world, name, rest, above[-1] if above else "", options)
        if mark == "{":
            above.append(words[0])
        elif mark == "}":
            above.pop()


def _items(text: str) -> Iterator[tuple[list[str], str]]:
    for words, mark in re.findall(r"([^{},]*)([{},]|$)", text):
        yield words.split(), mark


def _cohort(world: World, name: str, words: list[str], parent: str) -> None:
    quotas, weight, _, _ = _read(words)
    world.cohort(name, quotas, parent, weight)


def _cluster_queue(world: World, name: str, words: list[str], cohort: str, options: dict[str, str]) -> None:
    quotas, weight, used, own = _read(words)
    world.queue(name, quotas or "default:0", cohort, **options, **own, **({} if weight is None else {"weight": weight}))
    for flavor, amount in used:
        world.workload(f"held-{name}" + (f"-{flavor}" if len(used) > 1 else ""), name, amount, at=flavor)


def _read(words: list[str]) -> tuple[str, str | None, list[tuple[str, str]], dict[str, str]]:
    """Quotas, weight, usage by flavor, other options."""
    quota, limits, weight = "", "", None
    used: list[tuple[str, str]] = []
    options: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word == "used":
            flavor, _, amount = next(rest).rpartition(":")
            used.append((flavor or "default", amount))
        elif _LIMIT.fullmatch(word):
            limits += f" {word}"
        elif found := _WEIGHT.fullmatch(word):
            weight = found.group(1)
        elif "=" in word:
            key, _, value = word.partition("=")
            options[key] = value
        else:
            quota = word if ":" in word else f"default:{word}"
    return (quota + limits if quota else ""), weight, used, options
