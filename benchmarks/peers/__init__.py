"""The same mathematics written with other libraries."""
