"""How weights and alphas move: DARTS, random search, stopping."""
