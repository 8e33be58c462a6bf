"""Experiments: trainings, tokenizations and simulations behind the claims."""
