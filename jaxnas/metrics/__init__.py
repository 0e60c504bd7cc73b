"""Image quality, parameter and arithmetic counts."""
