"""Layers shared by several models, one file per layer."""
