"""Random changes of a catalogue, compared with a dictionary."""

from __future__ import annotations

import numpy as np
import torch

import recops

Items = dict[int, tuple[int, ...]]
"""SIDs by item, in order of insertion."""


def assert_holds(catalog: recops.SidCatalog, items: Items) -> None:
    """Check that the catalogue's trie equals, bit for bit, the trie built from ``items``."""
    assert len(catalog) == len(items)
    trie = catalog.snapshot()
    assert trie.version == catalog.version
    sids = torch.tensor(list(items.values()), dtype=torch.int64)
    expected = recops.SidTrie.from_sids(
        sids.reshape(len(items), len(catalog.vocab_sizes)),
        torch.tensor(list(items), dtype=torch.int64),
        vocab_sizes=catalog.vocab_sizes,
    )
    for name in ("first_child", "tokens", "item_ids", "item_rows", "id_order"):
        assert torch.equal(getattr(trie, name), getattr(expected, name)), name


def change(catalog: recops.SidCatalog, items: Items, generator: np.random.Generator) -> None:
    """Insert, move or remove a few of sixty items, in the catalogue and in ``items``."""
    ids = generator.choice(60, generator.integers(1, 12), replace=False)
    if generator.random() < 0.6:
        sids = np.stack([generator.integers(0, size, len(ids)) for size in catalog.vocab_sizes], 1)
        catalog.insert(ids, sids, replace=True)
        items.update(zip(ids.tolist(), map(tuple, sids.tolist()), strict=True))
    else:
        catalog.remove(ids, missing_ok=True)
        for item in ids.tolist():
            items.pop(item, None)
