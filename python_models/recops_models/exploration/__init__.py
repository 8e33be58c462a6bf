"""Exploration: policies that choose what to show, and tell with what probability they did."""
