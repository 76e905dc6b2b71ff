"""The reconcilers of the job side, of every integration in `integrations/registry.py` by how its jobs are held.

Source: jobs.md §1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pykueue.controllers.jobs.pods import PodReconciler
from pykueue.controllers.jobs.set_pods import SetPodReconciler
from pykueue.controllers.jobs.sets import SetReconciler
from pykueue.controllers.jobs.slice_pods import SlicePodReconciler
from pykueue.controllers.jobs.suspended import SuspendedJobReconciler
from pykueue.core.features import Gate
from pykueue.integrations.registry import INTEGRATIONS, SETS
from pykueue.integrations.settings import POD_FRAMEWORK, JobSettings
from pykueue.integrations.suspended import SuspendedJob
from pykueue.ports.reconcile import Reconciler

SUSPENDED: Sequence[SuspendedJob] = [i for i in INTEGRATIONS if isinstance(i, SuspendedJob)]


def job_reconcilers(settings: JobSettings) -> Sequence[Reconciler]:
    """The reconcilers of the enabled frameworks."""
    reconcilers: list[Reconciler] = [
        SuspendedJobReconciler(integration, settings)
        for integration in SUSPENDED
        if settings.is_enabled(integration.name)
    ]
    if reconcilers and settings.features[Gate.ELASTIC_JOBS_VIA_WORKLOAD_SLICES]:
        reconcilers.append(SlicePodReconciler())
    for integration in SETS:
        if settings.is_enabled(integration.name):
            reconcilers += [SetReconciler(integration, settings), SetPodReconciler(integration, settings)]
    if settings.is_enabled(POD_FRAMEWORK):
        reconcilers.append(PodReconciler(settings))
    return reconcilers
