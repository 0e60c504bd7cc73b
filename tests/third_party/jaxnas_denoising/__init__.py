"""A task, a space, an operation and a reader of somebody else, installed beside jaxnas."""
