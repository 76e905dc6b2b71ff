"""The Job controller, emulated."""

from pykueue.emulation.job.controller import JobController

__all__ = ["JobController"]
