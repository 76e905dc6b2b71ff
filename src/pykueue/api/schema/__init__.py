"""The API's schemas: our kinds (and LeaderWorkerSet) as CustomResourceDefinitions."""

from pykueue.api.schema.crds import CONVERTED_KINDS, all_crds, crd, leaderworkerset_crd, with_conversion

__all__ = ["CONVERTED_KINDS", "all_crds", "crd", "leaderworkerset_crd", "with_conversion"]
