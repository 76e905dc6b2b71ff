"""Names of Workloads: readable, bounded, and the same at every attempt.

A name is the owner's kind and name, cut to fit, with five hexadecimal digits over kind, group, name and UID. Whoever knows the owner knows
the name, without looking anything up: so a name that is taken is a Workload that exists already.

Source: jobs.md §4, leaderworkerset.md A5.
"""

from __future__ import annotations

import hashlib

from pykueue.api import objects
from pykueue.api.constants import Annotation, Label
from pykueue.api.objects import Obj

NAME_CHARS_MAX = 253
SHORT_NAME_CHARS_MAX = 63
_HASH_CHARS = 5


def workload_name(kind: str, group: str, owner_name: str, uid: str, *, extra: str = "", short: bool = False) -> str:
    """The name of an owner's Workload.

    Args:
        kind: of the owner, in CamelCase.
        group: API group of the owner; empty for the core group.
        owner_name: name of the owner, or of the unit within it (`<lws>-<group index>`).
        uid: UID of the owner; `origin_uid` tells which one counts.
        extra: another part of the hash (generation of an elastic job); empty for none.
        short: names of at most 63 characters (gate ShortWorkloadNames) instead of 253.

    Returns:
        for example `leaderworkerset-lws-0-69d9c`.
    """
    parts = [kind, group, owner_name, uid] + ([extra] if extra else [])
    digest = hashlib.sha1("\n".join(parts).encode(), usedforsecurity=False).hexdigest()[:_HASH_CHARS]
    chars_max = (SHORT_NAME_CHARS_MAX if short else NAME_CHARS_MAX) - _HASH_CHARS - 1
    return f"{kind.lower()}-{owner_name}"[:chars_max] + f"-{digest}"


def variant_name(parent: str, uid: str, kind: str, group: str, flavor: str, *, short: bool = False) -> str:
    """The name of a parent's variant for one flavor: that of the parent, with another hash.

    Args:
        parent: name of the parent.
        uid: of the parent.
        kind: of the parent's owner; `group` is its API group.
        group: see `kind`.
        flavor: of the variant.
        short: as for `workload_name`.
    """
    hashed = workload_name(kind, group, parent, uid, extra=flavor)[-_HASH_CHARS:]
    chars_max = (SHORT_NAME_CHARS_MAX if short else NAME_CHARS_MAX) - _HASH_CHARS - 1
    return f"{parent.rpartition('-')[0] or parent}-variant-{flavor}"[:chars_max] + f"-{hashed}"


def origin_uid(obj: Obj) -> str:
    """The UID that names depend on: on a MultiKueue worker the one on the manager cluster."""
    if Label.MULTIKUEUE_ORIGIN in objects.labels(obj):
        return objects.annotations(obj).get(Annotation.MULTIKUEUE_ORIGIN_UID, "")
    return objects.uid(obj)
