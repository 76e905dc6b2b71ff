"""Nodes written as briefly as the topology case tables write them: `b1{r1{x3:1} r2{x5:1,x1:1}}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

BLOCK, RACK, HOST = "cloud.com/topology-block", "cloud.com/topology-rack", "kubernetes.io/hostname"
GPU = "example.com/gpu"
LEVELS = {"B": BLOCK, "R": RACK, "H": HOST}


def node(name: str, labels: dict[str, str], allocatable: dict[str, Any], **spec: Any) -> dict[str, Any]:
    ready = spec.pop("ready", "True")
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {
            "allocatable": {"pods": "10", **allocatable},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def nodes(text: str, levels: tuple[str, ...] = (BLOCK, RACK, HOST)) -> list[dict[str, Any]]:
    """Nodes of a drawing; a host's amounts are `cpu` or `cpu/gpu`; hosts without amounts share those of the next one."""
    found: list[dict[str, Any]] = []
    path: list[str] = []
    waiting: list[str] = []
    for name, amounts, mark in _tokens(text):
        if mark == "{":
            path.append(name)
            continue
        if name:
            waiting.append(name)
        if amounts:
            cpu, _, gpu = amounts.partition("/")
            allocatable = {"cpu": cpu, "memory": "1Gi"} | ({GPU: gpu} if gpu else {})
            for host in waiting:
                # A rack's name is shared between blocks in the tables; the path tells them apart.
                values = [*path, host][-len(levels) :]
                found.append(node(host, dict(zip(levels, values, strict=True)), allocatable))
            waiting.clear()
        if mark == "}":
            path.pop()
    return found


def _tokens(text: str) -> Iterator[tuple[str, str, str]]:
    for match in re.finditer(r"([\w-]+)\{|([\w-]+)(?::([\w./]+))?|(\})", text):
        if match.group(1):
            yield match.group(1), "", "{"
        elif match.group(4):
            yield "", "", "}"
        else:
            yield match.group(2), match.group(3) or "", ""
