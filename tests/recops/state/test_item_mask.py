"""ItemMask: one bit per item position, valid for one version of a trie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import recops
from recops import reference
from trie_inputs import Catalogue, catalogue, catalogues

pytestmark = pytest.mark.composites


@given(catalogues(), st.integers(0, 2**20))
def test_bits_follow_the_ids(drawn: Catalogue, seed: int) -> None:
    trie, ids = drawn.trie, drawn.item_ids
    generator = torch.Generator().manual_seed(seed)
    chosen = [ids[torch.rand(len(ids), generator=generator) < share] for share in (0.5, 0.0, 1.0)]
    for some in chosen:
        is_kept = torch.isin(trie.item_ids, some)
        assert torch.equal(reference.item_mask(trie.mask(keep=some), trie), is_kept)
        assert torch.equal(reference.item_mask(trie.mask(drop=some.int()), trie), ~is_kept)
        assert torch.equal(trie.mask(keep=some.tolist()).words, trie.mask(keep=some).words)
    rows = torch.stack([torch.isin(trie.item_ids, some) for some in chosen])
    assert torch.equal(reference.item_mask(trie.mask(keep=chosen), trie), rows)
    assert torch.equal(reference.item_mask(trie.mask(drop=chosen), trie), ~rows)


@pytest.mark.parametrize("kind", [torch.tensor, np.array, list, tuple])
def test_rows_may_be_any_sequences_of_integers(kind: Callable[[list[int]], Any]) -> None:
    trie = catalogue(items=70, depth=2, vocab=9).trie
    ids = trie.item_ids.tolist()
    rows = [ids[:3], [], ids[7:8]]
    correct = trie.mask(keep=[torch.tensor(row, dtype=torch.int64) for row in rows])
    assert torch.equal(trie.mask(keep=[kind(row) for row in rows]).words, correct.words)
    assert torch.equal(trie.mask(keep=tuple(kind(row) for row in rows)).words, correct.words)
    assert torch.equal(trie.mask(keep=kind(ids[:3])).words, correct.words[0])
    assert trie.mask(drop=[kind([])]).words.tolist() == [[-1, 2**6 - 1]]


def test_bits_past_the_last_item_are_clear() -> None:
    trie = catalogue(items=70, depth=2, vocab=9).trie
    words = trie.mask(drop=[]).words
    assert words.tolist() == [-1, 2**6 - 1]


def test_repeated_ids_count_once() -> None:
    drawn = catalogue(items=70, depth=2, vocab=9)
    twice = torch.cat([drawn.item_ids[:5], drawn.item_ids[:5]])
    expected = drawn.trie.mask(drop=drawn.item_ids[:5]).words
    assert torch.equal(drawn.trie.mask(drop=twice).words, expected)


def test_unknown_ids_are_refused_or_skipped() -> None:
    drawn = catalogue(items=70, depth=2, vocab=9)
    unknown = int(drawn.item_ids.max()) + 1
    ids = [int(drawn.item_ids[3]), unknown]
    with pytest.raises(ValueError, match=f"SidTrie.mask: keep must be in the trie .*got {unknown}"):
        drawn.trie.mask(keep=ids)
    with pytest.raises(ValueError, match=f"SidTrie.mask: drop must be in the trie .*got {unknown}"):
        drawn.trie.mask(drop=[[unknown], ids[:1]])
    is_kept = drawn.trie.mask(keep=ids, missing_ok=True)
    assert torch.equal(is_kept.words, drawn.trie.mask(keep=ids[:1]).words)


def test_bad_requests_are_refused() -> None:
    trie = catalogue(items=70, depth=2, vocab=9).trie
    with pytest.raises(TypeError, match=r"SidTrie.mask: keep or drop must be given"):
        trie.mask()
    with pytest.raises(TypeError, match=r"SidTrie.mask: keep or drop must be given"):
        trie.mask(keep=[], drop=[])
    with pytest.raises(TypeError, match=r"SidTrie.mask: keep must be one of int32, int64"):
        trie.mask(keep=torch.rand(3))
    with pytest.raises(ValueError, match=r"SidTrie.mask: keep must have 1 dimensions"):
        trie.mask(keep=torch.zeros(2, 2, dtype=torch.long))
    with pytest.raises(TypeError, match=r"SidTrie.mask: drop\[1\] must be one of int32, int64"):
        trie.mask(drop=[[1], [2.5]])
    with pytest.raises(ValueError, match=r"SidTrie.mask: keep\[0\] must have 1 dimensions"):
        trie.mask(keep=[1, [2, 3]])


def test_a_mask_belongs_to_its_trie_and_moves_between_devices() -> None:
    trie = catalogue(items=70, depth=2, vocab=9).trie
    mask = trie.mask(keep=[])
    assert mask.version == trie.version
    assert mask.to("meta").words.device.type == "meta"


def test_a_mask_of_another_version_is_refused() -> None:
    first, second = (catalogue(items=70, depth=2, vocab=9, seed=seed).trie for seed in (0, 1))
    beams = torch.zeros(1, 1, 9), second, torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1)
    with pytest.raises(ValueError, match=f"allowed must be .*got version {first.version}"):
        recops.trie_beam_step(*beams, num_beams=3, allowed=first.mask(keep=[]))
