"""Neural architecture search for MRI in JAX."""

__version__ = "0.1.0"
