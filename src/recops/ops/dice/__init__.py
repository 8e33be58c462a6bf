"""Dice: an activation that adapts to the distribution of its input."""
