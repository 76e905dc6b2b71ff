"""Reconcilers of our own kinds: the queues' statuses, the Workload's life, the finalizers of what is in use."""
