"""Sums of rows of embedding tables."""
