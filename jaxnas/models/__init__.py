"""Hand-made networks, one family per file."""
