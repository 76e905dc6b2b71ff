"""Structural schemas: what an object's fields are, and pruning, defaulting and validation compiled from that."""
