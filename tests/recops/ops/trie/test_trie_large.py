"""Tries of ten million items, in time and memory, and tries of the largest depth."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import recops
from recops.benchmarks.trie import zipf_sids


@pytest.mark.full
@pytest.mark.parametrize("exponent", [0.0, 1.0], ids=["uniform", "Zipf"])
def test_ten_million_items_of_eight_levels(exponent: float) -> None:
    items, vocab, depth = 10_000_000, 2048, 8
    sids, _ = zipf_sids(items, vocab, depth, exponent=exponent)
    started = time.process_time()
    trie = recops.SidTrie.from_sids(sids, vocab_sizes=vocab)
    seconds = time.process_time() - started
    structure = (trie.first_child.nbytes + trie.tokens.nbytes) / trie.num_nodes
    print(f"built in {seconds:.1f} s of one core, {trie.num_nodes:,} nodes of {structure:.2f} B")
    assert structure < 8
    trie.validate()
    assert trie.contains(sids[::1000]).all()
    # numpy takes longer to sort by half of the levels.
    columns = np.ascontiguousarray(sids[:, : depth // 2].numpy().T[::-1])
    started = time.process_time()
    order = np.lexsort(columns)
    assert time.process_time() - started > seconds
    first = torch.from_numpy(order[:1])
    assert torch.equal(sids[first, : depth // 2], sids[trie.item_rows[:1].long(), : depth // 2])


@pytest.mark.slow
@pytest.mark.composites
@pytest.mark.parametrize("items", [65, 5])
def test_sids_of_the_largest_depth(items: int) -> None:
    depth = 65_536
    sids = torch.zeros(items, depth, dtype=torch.int32)
    sids[-1, -1] = 1
    trie = recops.SidTrie.from_sids(sids, vocab_sizes=[2**30] * depth)
    assert trie.num_nodes == depth + 2
    assert trie.item_ids.tolist() == list(range(items))


def test_a_catalogue_has_the_depth_limit_of_a_trie() -> None:
    recops.SidCatalog([2] * 65_536)
    with pytest.raises(ValueError, match=r"SidCatalog: .* at most 65536 levels, got 65537"):
        recops.SidCatalog([2] * 65_537)
