"""The Job controller, emulated."""

from pykueue.emulation.job.controller import JobController
from pykueue.emulation.job.orphans import OrphanedJobPods

__all__ = ["JobController", "OrphanedJobPods"]
