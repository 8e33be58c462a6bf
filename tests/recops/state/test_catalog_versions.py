"""Versions of SidCatalog: merges, rollbacks and the limit of the history."""

from __future__ import annotations

import gc
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import recops
from catalogue_calls import Items, assert_holds, change


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([1, 2, 3, 9, 70_000]), min_size=1, max_size=6),
    st.integers(0, 4),
    st.integers(1, 150),
    st.floats(0.05, 0.9),
    st.integers(0, 2**20),
)
def test_merged_tries_equal_newly_built_tries(
    vocab: list[int], history: int, calls: int, looking: float, seed: int
) -> None:
    """Changes, snapshots and rollbacks are in random order."""
    generator = np.random.default_rng(seed)
    catalog = recops.SidCatalog(vocab, history=history)
    items: Items = {}
    versions: dict[int, Items] = {0: {}}
    for _ in range(calls):
        chance = generator.random()
        if chance < looking / 2:
            assert_holds(catalog, items)
        elif chance < looking:
            version = int(generator.choice(list(versions)))
            if version < max(versions) - history:
                with pytest.raises(ValueError, match=f"version {version} is not kept, only "):
                    catalog.rollback(version)
            else:
                catalog.rollback(version)
                items = dict(versions[version])
                assert catalog.version == version
        else:
            change(catalog, items, generator)
            versions[catalog.version] = dict(items)
    assert_holds(catalog, items)


def test_large_changes_merge_like_small_ones() -> None:
    """The writer merges if there are more than 65,536 pending changes."""
    generator = np.random.default_rng(0)
    catalog = recops.SidCatalog([300, 300])
    ids, sids = generator.permutation(200_000), generator.integers(0, 300, (200_000, 2))
    items: Items = dict(zip(ids.tolist(), map(tuple, sids.tolist()), strict=True))
    catalog.insert(ids[:120_000], sids[:120_000])
    for chunk in np.array_split(np.arange(120_000, 200_000), 20):
        catalog.insert(ids[chunk], sids[chunk])
    assert_holds(catalog, items)
    catalog.remove(ids[:90_000])
    for item in ids[:90_000].tolist():
        del items[item]
    assert_holds(catalog, items)
    catalog.rollback(1)
    assert (len(catalog), catalog.snapshot().num_items) == (120_000, 120_000)


def test_version_numbers_are_unique() -> None:
    catalog = recops.SidCatalog([9])
    catalog.insert([1], [[1]])
    catalog.insert([2], [[2]])
    mask = catalog.snapshot().mask(keep=[2])
    catalog.rollback(1)
    assert (catalog.version, len(catalog), catalog.snapshot().version) == (1, 1, 1)
    catalog.insert([3], [[3]])
    assert (catalog.version, mask.version) == (3, 2)
    catalog.rollback(2)  # versions after a rollback are kept too
    assert_holds(catalog, {1: (1,), 2: (2,)})
    with pytest.raises(ValueError, match=r"rollback: version 4 is not kept, only 0 to 3"):
        catalog.rollback(4)
    assert catalog.version == 2


@pytest.mark.parametrize("history", [0, 3, 64])
def test_rollback_reaches_every_version_in_the_history(history: int) -> None:
    catalog = recops.SidCatalog([200], history=history)
    for item in range(300):
        catalog.insert([item], [[item % 200]])
    assert catalog.history == history
    with pytest.raises(ValueError, match=re.escape(f"only {300 - history} to 300")):
        catalog.rollback(299 - history)
    catalog.rollback(300 - history)
    assert_holds(catalog, {item: (item % 200,) for item in range(300 - history)})


@pytest.mark.parametrize("history", [-1, 4097])
def test_the_length_of_the_history_is_checked(history: int) -> None:
    with pytest.raises(ValueError, match=f"history must be from 0 to 4096, got {history}"):
        recops.SidCatalog([9], history=history)


def test_a_snapshot_outlives_its_catalogue() -> None:
    catalog = recops.SidCatalog([9, 9])
    catalog.insert([5, 6], [[1, 2], [3, 4]])
    trie = catalog.snapshot()
    assert catalog.snapshot() is trie
    del catalog
    gc.collect()
    trie.validate()
    assert trie.find(torch.tensor([[3, 4]])).tolist() == [4]
