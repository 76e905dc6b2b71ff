"""Parents and variants of concurrent admission."""

from __future__ import annotations

import pytest

from pykueue.api.v1beta2 import ObjectMeta, OwnerRef, Workload
from pykueue.core.workload.variants import parent_of


@pytest.mark.parametrize(
    ("api_version", "is_parent"),
    [("kueue.x-k8s.io/v1beta2", True), ("kueue.x-k8s.io/v1beta1", True), ("other.example/v1beta2", False)],
)
def test_a_parent_is_a_workload_of_ours(api_version: str, is_parent: bool) -> None:
    """In any version; somebody else's kind of the same name makes no variant."""
    owner = OwnerRef(api_version, "Workload", "w", "uid")
    variant = Workload(metadata=ObjectMeta(name="v", owner_references=(owner,)))
    assert (parent_of(variant) == owner) is is_parent
