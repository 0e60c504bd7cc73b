"""Hand-made networks, one per file."""
