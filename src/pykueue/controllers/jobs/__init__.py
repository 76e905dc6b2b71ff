"""Reconcilers of the job side: from jobs to Workloads, and from admissions back to pods."""
