"""Dice: an activation that bends where its input's distribution is."""
