"""Kubernetes' built-in kinds, as far as the embedded API server serves them: one strategy per kind or family, and their table."""
