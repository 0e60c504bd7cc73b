"""Volumes on disk and in memory, as NumPy arrays; never imports jax."""
