"""MRI physics on complex64 arrays of shape (..., H, W)."""
