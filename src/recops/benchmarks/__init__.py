"""Benchmarks of the ops: verified, then compared with peers and with the machine's ceilings.

``recops bench`` runs them. The tests in ``bench/`` apply regression thresholds to the same cases.
"""
