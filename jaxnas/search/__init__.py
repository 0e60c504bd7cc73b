"""The moves of weights and alphas: DARTS, random search, stopping."""
