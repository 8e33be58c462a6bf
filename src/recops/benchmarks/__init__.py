"""Benchmarks that verify before they time, beside their peers and the machine's own ceiling.

``recops bench`` runs them; the gates in ``bench/`` assert floors on the same cases.
"""
