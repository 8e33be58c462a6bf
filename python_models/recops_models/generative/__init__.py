"""Recommenders that rank or generate items from a history."""
