"""The pod scheduler of the emulated cluster: binds pods to nodes where they fit."""

from pykueue.emulation.pod_scheduler.scheduler import PodScheduler

__all__ = ["PodScheduler"]
