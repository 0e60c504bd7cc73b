"""The stages of a run, each written once for any task and setting."""
