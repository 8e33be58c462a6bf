"""Recipes: how each named model is built from data, trained, saved and loaded."""
