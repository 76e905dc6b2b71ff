"""pykueue: job queueing for Kubernetes, compatible with Kueue, where one group is one Workload."""

__version__ = "0.1.0"
