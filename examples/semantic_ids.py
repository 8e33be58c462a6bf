"""Semantic IDs of a catalogue: similar items share their first codes.

python examples/semantic_ids.py
"""

from __future__ import annotations

import numpy as np

import recops_models as rm

CLUSTERS, ITEMS, WIDTH = 8, 400, 32


def main() -> None:
    """Tokenize vectors of items, look up neighbours by prefix, and encode a new item."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, WIDTH))
    cluster = rng.integers(CLUSTERS, size=ITEMS)
    vectors = centres[cluster] + 0.2 * rng.normal(size=(ITEMS, WIDTH))
    catalogue = {"item_id": [f"sku-{item}" for item in range(ITEMS)], "vector": vectors}

    ids = rm.tokenize(catalogue, levels=3, codes=8)
    print(f"items whose semantic ID is unique: {1 - ids.metrics['collision_rate']:.0%}")

    table = ids.sids
    prefixes = np.stack([table["c0"], table["c1"]], axis=1)
    same = (prefixes == prefixes[0]).all(axis=1)
    print(f"items with the first codes of {table['item_id'][0]}: {list(table['item_id'][same])}")

    new_item = centres[:1] + 0.2 * rng.normal(size=(1, WIDTH))
    print(f"codes of a new item: {ids.encode(new_item)[0].tolist()}")
    print(f"nodes of the trie: {ids.trie().num_nodes}")


if __name__ == "__main__":
    main()
