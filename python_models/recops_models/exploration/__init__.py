"""Exploration policies: they choose what to show and report the probability of each choice."""
