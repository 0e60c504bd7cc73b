"""Everything that is only about segmentation: labels out of an image."""
