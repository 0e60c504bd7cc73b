"""What every room stands on: configuration, randomness, trees, files, errors."""
