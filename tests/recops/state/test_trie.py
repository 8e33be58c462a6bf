"""SidTrie: construction equals the reference, and look-ups equal those of a dictionary."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import recops
from recops import reference
from trie_inputs import Catalogue, catalogue, catalogues

pytestmark = pytest.mark.composites


@pytest.mark.numerics
@given(catalogues(), st.sampled_from([torch.int32, torch.int64]))
def test_build_agrees_with_the_reference(drawn: Catalogue, dtype: torch.dtype) -> None:
    wide = torch.cat([drawn.sids, drawn.sids], 1).to(dtype)
    sids = wide[:, : drawn.sids.shape[1]]  # not contiguous
    trie = recops.SidTrie.from_sids(sids, drawn.item_ids)
    trie.validate()
    expected = reference.sid_trie(drawn.sids, drawn.item_ids)
    for name, values in expected._asdict().items():
        assert torch.equal(getattr(trie, name).long(), values), name
    distinct = {tuple(sid) for sid in drawn.sids.tolist()}
    assert trie.num_leaves == len(distinct)
    assert trie.num_items == len(drawn.item_ids)
    assert trie.num_nodes == len(
        {sid[:n] for sid in distinct for n in range(trie.depth + 1)} | {()}
    )


@pytest.mark.parametrize(
    ("vocab", "depth", "items"),
    [(8192, 10, 3000), (2**31 - 1, 3, 500), (65536, 4, 2000), (65537, 2, 2000), (1, 4, 9)],
)
def test_wide_vocabularies_need_several_sort_keys(vocab: int, depth: int, items: int) -> None:
    drawn = catalogue(items=items, depth=depth, vocab=vocab, skew=3)
    drawn.trie.validate()
    assert drawn.trie.tokens.dtype == (torch.uint16 if vocab <= 65536 else torch.int32)
    order = sorted(range(items), key=lambda row: drawn.sids[row].tolist())
    assert drawn.trie.item_rows.tolist() == order
    assert drawn.trie.contains(drawn.sids).all()


@pytest.mark.parametrize("low", [-(2**63), 2**63 - 10**6, 0, -5])
def test_ids_of_any_size_are_found(low: int) -> None:
    ids = low + torch.randperm(10**6)[:300]
    if low == -(2**63):
        ids[17] = 2**63 - 1
    trie = recops.SidTrie.from_sids(torch.randint(0, 9, (300, 2)), ids)
    trie.validate()
    assert torch.equal(trie.item_ids[trie.id_order.long()], ids.sort().values)


@pytest.mark.numerics
@given(catalogues())
def test_find_and_items_agree_with_a_dictionary(drawn: Catalogue) -> None:
    trie = drawn.trie
    for length in range(trie.depth + 1):
        below: dict[tuple[int, ...], list[int]] = {}
        for row in drawn.trie.item_rows.tolist():
            prefix = tuple(drawn.sids[row, :length].tolist())
            below.setdefault(prefix, []).append(int(drawn.item_ids[row]))
        prefixes = torch.tensor(list(below), dtype=torch.long).view(len(below), length)
        offsets, ids = trie.items(trie.find(prefixes))
        bounds = offsets.tolist()
        actual = [ids[a:b].tolist() for a, b in pairwise(bounds)]
        assert actual == list(below.values())


@given(catalogues())
def test_contains_is_true_only_for_inserted_items(drawn: Catalogue) -> None:
    known = {tuple(sid) for sid in drawn.sids.tolist()}
    changed = drawn.sids.clone()
    changed[::2, -1] += 1
    changed[1::3, 0] = -1
    for sids in (drawn.sids, changed, changed.int()):
        expected = [tuple(sid) in known for sid in sids.tolist()]
        assert drawn.trie.contains(sids).tolist() == expected


@pytest.mark.numerics
@given(catalogues(), st.integers(0, 3))
def test_allowed_tokens_are_the_children(drawn: Catalogue, spare: int) -> None:
    trie = drawn.trie
    vocab = trie.vocab_sizes[0] + spare
    nodes = torch.arange(-1, trie.num_nodes)
    allowed = trie.allowed_tokens(nodes.int(), vocab)
    assert allowed.shape == (len(nodes), vocab)
    first_leaf = trie.num_nodes - trie.num_leaves
    for node, row in zip(nodes.tolist(), allowed, strict=True):
        first, last = (trie.first_child[max(node, 0) + i] for i in (0, 1))
        inner = 0 <= node < first_leaf
        children = trie.tokens[first:last].tolist() if inner else []
        assert row.nonzero().flatten().tolist() == children


def test_an_empty_trie_has_a_root_and_nothing_else() -> None:
    trie = recops.SidTrie.from_sids(torch.empty(0, 3, dtype=torch.long))
    trie.validate()
    assert (trie.depth, trie.num_nodes, trie.num_items, trie.num_leaves) == (3, 1, 0, 0)
    assert not trie.contains(torch.zeros(2, 3, dtype=torch.long)).any()
    assert trie.items(torch.tensor([0, -1]))[0].tolist() == [0, 0, 0]
    assert not trie.allowed_tokens(torch.tensor([0]), 5).any()
    assert [level["max"] for level in trie.branching()] == [0, 0, 0]


def test_items_of_one_leaf_keep_their_order_of_insertion() -> None:
    sids = torch.tensor([[1, 2], [0, 5], [1, 2], [1, 2], [0, 5]])
    trie = recops.SidTrie.from_sids(sids, torch.tensor([9, 8, 7, 6, 5]))
    offsets, ids = trie.items(trie.find(torch.tensor([[0, 5], [1, 2]])))
    assert (offsets.tolist(), ids.tolist()) == ([0, 2, 5], [8, 5, 9, 7, 6])
    assert trie.items(torch.tensor([0]))[1].tolist() == [8, 5, 9, 7, 6]


@pytest.mark.composites(False)
def test_structure_takes_under_eight_bytes_per_node() -> None:
    for skew, depth in ((1.0, 8), (5.0, 4)):
        trie = catalogue(items=20_000, depth=depth, vocab=256, skew=skew).trie
        structure = trie.nbytes - 16 * trie.num_items - trie.stamp.nbytes
        assert structure < 6 * trie.num_nodes + 8


def test_branching_counts_children() -> None:
    sids = torch.tensor([[0, 0], [0, 1], [0, 2], [1, 0]])
    top, bottom = recops.SidTrie.from_sids(sids).branching()
    assert top == {"level": 0, "nodes": 1, "mean": 2, "p50": 2, "p90": 2, "p99": 2, "max": 2}
    assert bottom == {"level": 1, "nodes": 2, "mean": 2, "p50": 1, "p90": 3, "p99": 3, "max": 3}


def test_versions_differ_between_contents() -> None:
    sids = torch.randint(0, 9, (50, 3))
    ids = torch.arange(50)
    version = recops.SidTrie.from_sids(sids, ids).version
    assert version == recops.SidTrie.from_sids(sids, ids).version
    assert version != recops.SidTrie.from_sids(sids, ids.flip(0)).version
    sids[7, 2] = (sids[7, 2] + 1) % 9
    assert version != recops.SidTrie.from_sids(sids, ids).version


def test_a_trie_moves_between_devices() -> None:
    trie = catalogue(items=30, depth=3, vocab=5).trie
    there = trie.to("meta")
    assert there.device.type == "meta"
    assert (there.num_nodes, there.num_items) == (trie.num_nodes, trie.num_items)
    assert torch.equal(trie.to("cpu").tokens, trie.tokens)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"sids": [[1, 2]]}, TypeError, "sids must be a tensor, got list"),
        ({"sids": torch.zeros(2, 3)}, TypeError, "sids must be one of int32, int64, got float32"),
        ({"sids": torch.zeros(3, dtype=torch.long)}, ValueError, "sids must have 2 dimensions"),
        (
            {"sids": torch.zeros(3, 0, dtype=torch.long)},
            ValueError,
            "sids must have at least one level",
        ),
        (
            {"sids": torch.empty(0, 2**40, dtype=torch.int32)},
            ValueError,
            "sids must have at most 65,536 levels, got 1,099,511,627,776",
        ),
        ({"item_ids": torch.arange(3)}, ValueError, "item_ids must have 4 entries, got 3"),
        ({"item_ids": torch.rand(4)}, TypeError, "item_ids must be one of int32, int64"),
        ({"item_ids": torch.tensor([5, -3, 5, 2])}, ValueError, "item id 5 is repeated"),
        ({"vocab_sizes": [4]}, ValueError, "vocab_sizes must have 2 entries, got 1"),
        ({"vocab_sizes": [4, 0]}, ValueError, "vocab_sizes[1] must be from 1 to 2147483647, got 0"),
        (
            {"vocab_sizes": [4, 3]},
            ValueError,
            "sids[1, 1] must be from 0 to 2, got 3",
        ),
        (
            {"sids": torch.tensor([[0, 0], [1, 1], [-1, 3], [0, -2]]), "vocab_sizes": 5},
            ValueError,
            "sids[2, 0] must be from 0 to 4, got -1",
        ),
    ],
)
def test_bad_catalogues_are_refused(
    kwargs: dict[str, object], error: type[Exception], message: str
) -> None:
    given_sids = torch.tensor([[0, 1], [1, 3], [0, 2], [0, 1]])
    with pytest.raises(error, match=re.escape(f"SidTrie.from_sids: {message}")):
        recops.SidTrie.from_sids(**{"sids": given_sids, **kwargs})


def test_bad_lookups_are_refused() -> None:
    trie = catalogue(items=30, depth=3, vocab=5).trie
    with pytest.raises(ValueError, match=r"SidTrie.contains: sids must have 3 tokens, got 2"):
        trie.contains(torch.zeros(4, 2, dtype=torch.long))
    with pytest.raises(ValueError, match=r"SidTrie.find: sids must be \[n, at most 3\]"):
        trie.find(torch.zeros(4, 4, dtype=torch.long))
    with pytest.raises(IndexError, match=rf"SidTrie.items: nodes must .*got {trie.num_nodes}"):
        trie.items(torch.tensor([0, trie.num_nodes]))
    with pytest.raises(IndexError, match=r"SidTrie.items: nodes must .*got -2"):
        trie.items(torch.tensor([-2]))
    with pytest.raises(
        IndexError, match=r"SidTrie.allowed_tokens: nodes .*got 9223372036854775807"
    ):
        trie.allowed_tokens(torch.tensor([2**63 - 1]), 9)
    with pytest.raises(ValueError, match=r"SidTrie.allowed_tokens: vocab_size must cover"):
        trie.allowed_tokens(torch.tensor([0]), 1)
    with pytest.raises(ValueError, match=r"SidTrie.items: nodes must be on cpu, got meta"):
        trie.items(torch.zeros(2, dtype=torch.int32, device="meta"))


@pytest.mark.composites(False)
def test_lookups_do_not_depend_on_the_number_of_threads(set_threads) -> None:
    drawn = catalogue(items=40_000, depth=4, vocab=64, skew=2)
    actual = []
    for threads in (1, 2, 5):
        set_threads(threads)
        actual.append((drawn.trie.find(drawn.sids), drawn.trie.mask(keep=drawn.item_ids).words))
    for nodes, words in actual[1:]:
        assert torch.equal(nodes, actual[0][0])
        assert torch.equal(words, actual[0][1])
