"""Bags of rows of embedding tables."""
