"""Patches: pure functions from an object and a patch document to a new object."""
