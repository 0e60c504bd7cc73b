"""Federated runs: many clients, one program, one round written once."""
