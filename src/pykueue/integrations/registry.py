"""The explicit list of the kinds of jobs; there is no other.

Pods are not in it: they are what jobs are made of, and queue by themselves in more than one way (`single_pods.py` and `groups.py` in
`controllers/jobs`).

Source: jobs.md §1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.integrations.base import JobIntegration, PodSetOwner
from pykueue.integrations.deployment import Deployment
from pykueue.integrations.job import Job
from pykueue.integrations.leaderworkerset import LeaderWorkerSet
from pykueue.integrations.statefulset import StatefulSet

INTEGRATIONS: Sequence[JobIntegration] = (Job(), LeaderWorkerSet(), StatefulSet(), Deployment())
SETS: Sequence[PodSetOwner] = [i for i in INTEGRATIONS if isinstance(i, PodSetOwner)]
"""Those whose pods are held by gates and admitted in groups."""
