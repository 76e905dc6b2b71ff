"""The API's schemas: our kinds (and LeaderWorkerSet) as CustomResourceDefinitions."""

from pykueue.api.schema.crds import (
    CONVERTED_KINDS,
    all_crds,
    crd,
    leaderworkerset_crd,
    with_conversion,
    with_lean_templates,
    without_v1beta1,
)
from pykueue.api.schema.shape import shape_fault

__all__ = [
    "CONVERTED_KINDS",
    "all_crds",
    "crd",
    "leaderworkerset_crd",
    "shape_fault",
    "with_conversion",
    "with_lean_templates",
    "without_v1beta1",
]
