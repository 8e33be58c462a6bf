"""SidCatalog: a dictionary for many reading threads and one writing thread."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import recops

VOCAB = (4, 5)


def contents(catalog: recops.SidCatalog) -> dict[int, tuple[int, ...]]:
    """Return the items and their SIDs in a snapshot."""
    trie = catalog.snapshot()
    trie.validate()
    sids = np.indices(VOCAB).reshape(2, -1).T
    offsets, ids = trie.items(trie.find(torch.from_numpy(sids.copy())))
    actual = zip(sids.tolist(), offsets.diff().tolist(), strict=True)
    owners = [tuple(sid) for sid, count in actual for _ in range(count)]
    return dict(zip(ids.tolist(), owners, strict=True))


IDS = st.lists(st.integers(-3, 8), max_size=6)
CALLS = st.lists(st.tuples(st.sampled_from(["insert", "remove"]), IDS, st.booleans()), max_size=25)


@given(CALLS, st.integers(0, 2**20))
def test_behaves_like_a_dictionary(calls: list[tuple[str, list[int], bool]], seed: int) -> None:
    """Every call either succeeds completely, or raises and changes nothing."""
    generator = np.random.default_rng(seed)
    catalog = recops.SidCatalog(VOCAB)
    model: dict[int, tuple[int, ...]] = {}
    version = 0
    for call, ids, lenient in calls:
        sids = generator.integers(0, [4, 5], (len(ids), 2))
        live = [id for id in ids if id in model]
        repeated = len(set(ids)) < len(ids)
        try:
            if call == "insert":
                refused = repeated or (bool(live) and not lenient)
                changed = bool(ids)
                catalog.insert(ids, sids, replace=lenient)
            else:
                refused = repeated or (len(live) < len(ids) and not lenient)
                changed = bool(live)
                catalog.remove(ids, missing_ok=lenient)
        except ValueError:
            assert refused
        else:
            assert not refused
            if call == "insert":
                model.update(zip(ids, map(tuple, sids.tolist()), strict=True))
            else:
                model = {id: sid for id, sid in model.items() if id not in live}
            version += changed
        assert len(catalog) == len(model)
        assert catalog.version == version
    assert contents(catalog) == model
    assert catalog.snapshot().version == version


def test_items_keep_their_order_of_insertion() -> None:
    catalog = recops.SidCatalog([9])
    catalog.insert([5, 3, 8], [[1], [1], [1]])
    catalog.insert([7, 3], [[1], [1]], replace=True)
    catalog.remove([5])
    assert catalog.snapshot().items(torch.tensor([0]))[1].tolist() == [3, 8, 7]
    catalog.remove([3])  # more deleted than live rows, so the live ones move up
    catalog.remove([8])
    catalog.insert([5], [[1]])
    assert catalog.snapshot().items(torch.tensor([0]))[1].tolist() == [7, 5]


def test_a_snapshot_does_not_change() -> None:
    catalog = recops.SidCatalog([9, 9])
    catalog.insert([1, 2], [[0, 1], [2, 3]])
    before = catalog.snapshot()
    catalog.remove([1])
    assert before.item_ids.tolist() == [1, 2]
    assert (before.version, catalog.snapshot().version) == (1, 2)
    mask = before.mask(keep=[1])
    with pytest.raises(ValueError, match="allowed must be of trie version 2, got version 1"):
        recops.trie_beam_step(
            torch.zeros(1, 1, 9),
            catalog.snapshot(),
            torch.zeros(1, 1, dtype=torch.int32),
            torch.zeros(1, 1),
            num_beams=1,
            allowed=mask,
        )


def test_arrays_may_have_any_integer_dtype_and_layout() -> None:
    sids = np.arange(12, dtype=np.uint8).reshape(2, 6).T[::2]
    catalog = recops.SidCatalog([20, 20])
    catalog.insert(np.array([3, 1, 2], dtype=np.int16), sids)
    catalog.insert([], np.empty((0, 2), dtype=np.int64))
    assert catalog.version == 1
    assert catalog.snapshot().contains(torch.tensor([[0, 6], [2, 8], [4, 10]])).all()


def test_an_empty_insert_changes_nothing() -> None:
    catalog = recops.SidCatalog([20, 20])
    catalog.insert([], [])
    assert (len(catalog), catalog.version) == (0, 0)
    catalog.insert([1], [[2, 3]])
    catalog.insert(np.array([], np.int64), [], replace=True)
    assert contents(catalog) == {1: (2, 3)}


SHAPES = "item_ids must be [n] and sids [n, 2]"


@pytest.mark.parametrize(
    ("ids", "sids", "error", "message"),
    [
        ([1, 2, 1], [[0, 0]] * 3, ValueError, "item id 1 is repeated"),
        ([1, 7], [[0, 0]] * 2, ValueError, "item id 7 is in the catalogue (replace=True"),
        ([1, 2], [[0, 0], [0, 5]], ValueError, "sids[1, 1] must be from 0 to 4, got 5"),
        ([1, 2], [[0, -1], [0, 0]], ValueError, "sids[0, 1] must be from 0 to 4, got -1"),
        ([1.5, 2], [[0, 0]] * 2, TypeError, "item_ids must be integers that fit into int64"),
        (np.array([1], np.uint64), [[0, 0]], TypeError, "item_ids must be integers that fit"),
        ([1, 2], [[0.0, 0.0]] * 2, TypeError, "sids must be integers that fit into int64"),
        ([[1, 2]], [[0, 0]] * 2, ValueError, "item_ids must have 1 dimensions, got shape (1, 2)"),
        ([1, 2], [[0, 0]] * 3, ValueError, f"{SHAPES}, got shapes (2,) and (3, 2)"),
        ([1], [[0, 0, 0]], ValueError, f"{SHAPES}, got shapes (1,) and (1, 3)"),
        ([1], [], ValueError, f"{SHAPES}, got shapes (1,) and (0, 2)"),
        ([], [[]], ValueError, f"{SHAPES}, got shapes (0,) and (1, 0)"),
        ([1], [7], ValueError, "sids must have 2 dimensions, got shape (1,)"),
    ],
)
def test_a_refused_insert_changes_nothing(
    ids: object, sids: object, error: type[Exception], message: str
) -> None:
    catalog = recops.SidCatalog(VOCAB)
    catalog.insert([7], [[3, 4]])
    with pytest.raises(error, match=re.escape(f"SidCatalog.insert: {message}")):
        catalog.insert(ids, sids)
    assert (len(catalog), catalog.version, contents(catalog)) == (1, 1, {7: (3, 4)})


def test_a_refused_removal_changes_nothing() -> None:
    catalog = recops.SidCatalog(VOCAB)
    catalog.insert([7, 8], [[3, 4], [0, 0]])
    for ids, message in (
        ([7, 9], r"SidCatalog.remove: item id 9 is not in the catalogue \(missing_ok=True"),
        ([7, 7], r"SidCatalog.remove: item id 7 is repeated"),
    ):
        with pytest.raises(ValueError, match=message):
            catalog.remove(ids)
        assert (len(catalog), catalog.version) == (2, 1)


@pytest.mark.parametrize(
    ("sizes", "message"), [([], "at least one level"), ([4, 0], "got 0"), ([2**31], "2147483648")]
)
def test_bad_vocabularies_are_refused(sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=f"SidCatalog: vocab_sizes.* must .*{message}"):
        recops.SidCatalog(sizes)


def test_readers_see_complete_versions_during_writes() -> None:
    """The writer moves all items in one call. No snapshot may contain two moves."""
    catalog = recops.SidCatalog([64])
    ids = np.arange(500)
    catalog.insert(ids, np.zeros((500, 1), dtype=np.int64))
    failures: list[str] = []
    finished = threading.Event()

    def read() -> None:
        while not finished.is_set():
            trie = catalog.snapshot()
            token = (trie.version - 1) % 64
            if (trie.num_items, trie.num_leaves, int(trie.tokens[1])) != (500, 1, token):
                failures.append(f"version {trie.version} is torn")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for move in range(1, 200):
        catalog.insert(ids, np.full((500, 1), move % 64), replace=True)
    finished.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert catalog.version == 200
