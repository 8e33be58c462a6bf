"""Stores of user states: one interface, and one module per backend."""
