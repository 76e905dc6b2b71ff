"""Admission of our own kinds: ClusterQueue, Cohort, ResourceFlavor, Workload (spec: webhooks.md §3)."""
