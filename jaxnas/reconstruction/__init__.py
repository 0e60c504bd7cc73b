"""Everything that is only about reconstruction: an image out of undersampled k-space."""
