"""The foundation of every room: configuration, randomness, trees, files, errors."""
