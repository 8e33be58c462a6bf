"""Composites of tries and constrained beam search.

Each op reads the data checks of a call from the device at once. The sizes of a trie are read at its
first use only.
"""

from __future__ import annotations

from recops.ops.trie.composite.beam_items import trie_beam_items
from recops.ops.trie.composite.beam_step import trie_beam_step
from recops.ops.trie.composite.build import trie_build
from recops.ops.trie.composite.item_sets import trie_bans, trie_mask
from recops.ops.trie.composite.lookups import trie_allowed_tokens, trie_find, trie_items
from recops.ops.trie.composite.next_logits import trie_next_logits, trie_next_logits_

__all__ = [
    "trie_allowed_tokens",
    "trie_bans",
    "trie_beam_items",
    "trie_beam_step",
    "trie_build",
    "trie_find",
    "trie_items",
    "trie_mask",
    "trie_next_logits",
    "trie_next_logits_",
]
