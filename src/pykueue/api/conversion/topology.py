"""The two encodings of a topology assignment's domains (spec: tas.md §7).

v1beta1 lists domains one by one; v1beta2 packs runs of them into slices, where a level is told once if all domains of the run
agree, or as a common prefix and suffix with what is between. The order of domains is the order of the pods' ranks and survives
both ways; readers take any valid encoding, writers choose a short one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pykueue.api.objects import Obj

HOSTNAME = "kubernetes.io/hostname"
_DOMAINS_PER_SLICE_MAX = 100_000
_SLICES_MAX = 1000


class Domain(NamedTuple):
    """One domain of an assignment."""

    values: tuple[str, ...]
    """One for each level."""
    n_pods: int
    """Pods in it."""


def decode_domains(assignment: Obj) -> list[Domain]:
    """The domains of a v1beta2 `topologyAssignment`, in order."""
    domains: list[Domain] = []
    for part in assignment.get("slices") or ():
        columns = [_values(level) for level in part.get("valuesPerLevel") or ()]
        counts = part.get("podCounts") or {}
        for i in range(part.get("domainCount", 0)):
            values = tuple(column[i] if isinstance(column, list) else column for column in columns)
            count = counts["individual"][i] if counts.get("individual") else counts.get("universal", 0)
            domains.append(Domain(values, count))
    return domains


def encode_slices(
    levels: Sequence[str], domains: Sequence[Domain], *, by_hostname_prefix: bool
) -> list[dict[str, Any]]:
    """`slices` of a v1beta2 `topologyAssignment`.

    Args:
        levels: node labels, from the widest level down.
        domains: in the order of ranks; each has a value for each level.
        by_hostname_prefix: break runs where the hosts' names change their beginning, if that is shorter
            (gate TASAssignmentsEncodingByHostnamePrefix); only for assignments down to hosts.

    Source: tas.md §7.2.
    """
    single = _runs_to_slices(levels, domains, [""] * len(domains))
    if not by_hostname_prefix or len(domains) < 2 or not levels or levels[-1] != HOSTNAME:
        return single
    hosts = [domain.values[-1] for domain in domains]
    packed = single
    for keys in _keys_by_depth(hosts):
        if _count_runs(keys) <= _SLICES_MAX:
            packed = _runs_to_slices(levels, domains, keys)
            break
    if len(packed) > 1 and len(domains) <= _DOMAINS_PER_SLICE_MAX and _size(single) < _size(packed):
        return single
    return packed


def _values(level: Mapping[str, Any]) -> str | list[str]:
    """One value for all domains, or a list with one for each."""
    individual = level.get("individual")
    if individual is None:
        return str(level.get("universal", ""))
    prefix, suffix = individual.get("prefix", ""), individual.get("suffix", "")
    return [prefix + middle + suffix for middle in individual.get("roots", ())]


def _keys_by_depth(hosts: Sequence[str]) -> list[list[str]]:
    """Keys of the hosts for each depth, the deepest first.

    A host's candidate keys are its beginnings up to and with a dash, numbered by depth; it takes the longest one that another
    host shares and that is not deeper than allowed, or the empty key.
    """
    candidates = [[host[: i + 1] for i, c in enumerate(host[:-1]) if c == "-"] for host in hosts]
    shared = Counter(key for keys in candidates for key in keys)
    reusable = [[key if shared[key] > 1 else "" for key in keys] for keys in candidates]
    depth_max = max(map(len, candidates), default=0)
    return [
        [next((key for key in reversed(keys[:depth]) if key), "") for keys in reusable]
        for depth in range(depth_max, 0, -1)
    ]


def _count_runs(keys: Sequence[str]) -> int:
    """Slices that runs of equal keys make."""
    runs, length = 0, 0
    for i, key in enumerate(keys):
        length = length + 1 if i and key == keys[i - 1] and length < _DOMAINS_PER_SLICE_MAX else 1
        runs += length == 1
    return runs


def _runs_to_slices(levels: Sequence[str], domains: Sequence[Domain], keys: Sequence[str]) -> list[dict[str, Any]]:
    slices: list[dict[str, Any]] = []
    start = 0
    for i in range(1, len(domains) + 1):
        if i == len(domains) or keys[i] != keys[start] or i - start == _DOMAINS_PER_SLICE_MAX:
            slices.append(_slice(levels, domains[start:i]))
            start = i
    return slices


def _slice(levels: Sequence[str], domains: Sequence[Domain]) -> dict[str, Any]:
    columns = [[d.values[i] if i < len(d.values) else "" for d in domains] for i in range(len(levels))]
    counts = [d.n_pods for d in domains]
    same = all(count == counts[0] for count in counts)
    return {
        "domainCount": len(domains),
        "valuesPerLevel": [_level(column) for column in columns],
        "podCounts": {"universal": counts[0]} if same else {"individual": counts},
    }


def _level(column: Sequence[str]) -> dict[str, Any]:
    if all(value == column[0] for value in column):
        return {"universal": column[0]}
    prefix = _common_prefix(column)
    suffix = _common_prefix([value[::-1] for value in column])[::-1]
    prefix = prefix[: max(0, min(map(len, column)) - len(suffix))]
    individual: dict[str, Any] = {"prefix": prefix} if prefix else {}
    if suffix:
        individual["suffix"] = suffix
    individual["roots"] = [value[len(prefix) : len(value) - len(suffix)] for value in column]
    return {"individual": individual}


def _common_prefix(values: Sequence[str]) -> str:
    """The longest text that all begin with; the first and the last in order decide."""
    first, last = min(values), max(values)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def _size(slices: Sequence[Mapping[str, Any]]) -> int:
    return len(json.dumps(slices, separators=(",", ":"), ensure_ascii=False))
