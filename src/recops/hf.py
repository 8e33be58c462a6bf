"""Semantic IDs in transformers ``generate()``: public name of :mod:`recops.integrations.hf`."""

from recops.integrations.hf import SidTrieLogitsProcessor

__all__ = ["SidTrieLogitsProcessor"]
