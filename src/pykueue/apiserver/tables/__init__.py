"""Server-side tables: what `kubectl get` prints.

`render.py` makes `meta.k8s.io/v1` Tables; `custom.py` has the columns of custom resources, `kinds.py`, `workloads.py` and
`pods.py` those of built-in kinds; `jsonpath.py` and `ages.py` are their tools.
"""

from pykueue.apiserver.tables.render import TABLE_ACCEPT, to_table, wants_table

__all__ = ["TABLE_ACCEPT", "to_table", "wants_table"]
