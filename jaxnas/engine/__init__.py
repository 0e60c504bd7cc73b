"""States, the host loop, checkpoints, logs, evaluation."""
