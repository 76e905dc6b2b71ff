"""Admission of jobs: defaults that hand them to Kueue, and rules that keep what it has admitted."""
