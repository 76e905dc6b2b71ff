"""Roles of pods, by known vectors (jobs.md §18.1) and by pods that were seen on a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from pykueue.integrations.role_hash import role_hash, shape_hash

# What a control plane adds before webhooks are asked.
ADDED: dict[str, Any] = {
    "priority": 0,
    "tolerations": [
        {"effect": "NoExecute", "key": f"node.kubernetes.io/{key}", "operator": "Exists", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ],
}


def make_spec(requests: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}], **spec}


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        (make_spec({}), "a9f06f3a"),
        (make_spec({"cpu": "1"}), "dc85db45"),
        (make_spec({"cpu": "1", "memory": "1Gi"}), "4ebdd4a6"),
        (make_spec({"memory": "1Gi", "cpu": 1}), "4ebdd4a6"),
        (make_spec({"cpu": "1000m"}), "dc85db45"),
        (make_spec({"cpu": 1}, **ADDED), "4b0469f7"),
        (make_spec({"cpu": 2}, **ADDED), "c3465716"),
        (make_spec({"cpu": 1, "memory": "512Mi"}, **ADDED), "ad58b949"),
    ],
)
def test_vectors(spec: dict[str, Any], want: str) -> None:
    """Requests, tolerations and priority make the role; the way they are written does not."""
    assert shape_hash(spec) == want


def test_what_does_not_count() -> None:
    """Volumes, images and labels leave the role as it is; an annotation that is there wins."""
    spec = make_spec({"cpu": "1"}, volumes=[{"name": "v"}], restartPolicy="Never")
    assert role_hash({"metadata": {"labels": {"a": "b"}}, "spec": spec}) == "dc85db45"
    assert role_hash({"metadata": {"annotations": {"kueue.x-k8s.io/role-hash": "main"}}, "spec": spec}) == "main"


def test_selectors_count() -> None:
    """Where a pod may run is part of its role."""
    hashes = {shape_hash(make_spec({"cpu": 1}, nodeSelector=selector)) for selector in ({}, {"a": "b"}, {"a": "c"})}
    assert len(hashes) == 3
