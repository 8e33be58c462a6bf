"""Several tries in one batch, and bans per row, in the step and in the search."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from torch.utils import _pytree

import recops
from recops import reference
from tolerances import DTYPES
from trie_inputs import Beams, Catalogue, assert_same_step, beams, catalogue

pytestmark = pytest.mark.composites


@dataclass(frozen=True)
class Batch:
    """Catalogues of one depth, and the index of the catalogue of each row of a batch."""

    catalogues: list[Catalogue]
    index: Tensor
    seed: int

    @property
    def tries(self) -> list[recops.SidTrie]:
        return [each.trie for each in self.catalogues]

    def masks(self, kind: str) -> list[recops.ItemMask] | None:
        """Return no masks, or one per trie, shared by all rows or separate per row."""
        if kind == "none":
            return None
        return [
            each.trie.mask(drop=self._some(each, 0, 0.4))
            if kind == "shared"
            else each.trie.mask(keep=[self._some(each, b, 0.6) for b in range(len(self.index))])
            for each in self.catalogues
        ]

    def bans(self, share: float) -> list[Tensor]:
        """Return unsorted ids per row; one is repeated and one is not in the row's trie."""
        rows = []
        for b, t in enumerate(self.index.tolist()):
            ids = self._some(self.catalogues[t], b + 7, share)
            rows.append(torch.cat([ids, ids[:1], torch.tensor([10**9])]).flip(0))
        return rows

    def _some(self, drawn: Catalogue, salt: int, share: float) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed + salt)
        return drawn.item_ids[torch.rand(len(drawn.item_ids), generator=generator) < share]

    def beams(self, width: int, **options: object) -> Beams:
        """Return the beams of each row at random nodes of the row's trie."""
        rows = [
            beams(self.tries[t], batch=1, width=width, vocab=44, seed=self.seed + b, **options)
            for b, t in enumerate(self.index.tolist())
        ]
        return Beams(
            torch.cat([row.logits for row in rows]) if rows else torch.empty(0, width, 44),
            torch.cat([row.nodes for row in rows]) if rows else torch.empty(0, width).int(),
            torch.cat([row.scores for row in rows]) if rows else torch.empty(0, width),
        )


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    depth, seed = draw(st.integers(1, 10)), draw(st.integers(0, 2**20))
    drawn = [
        catalogue(
            items=draw(st.integers(0, 50)),
            depth=depth,
            vocab=draw(st.sampled_from([1, 2, 7, 40])),
            skew=draw(st.sampled_from([1.0, 4.0])),
            seed=seed + t,
        )
        for t in range(draw(st.integers(1, 3)))
    ]
    index = draw(st.lists(st.integers(0, len(drawn) - 1), min_size=0, max_size=4))
    return Batch(
        drawn, torch.tensor(index, dtype=draw(st.sampled_from([torch.int32, torch.int64]))), seed
    )


OPTIONS = st.fixed_dictionaries(
    {
        "normalize": st.sampled_from(["vocab", "children", "none"]),
        "masks": st.sampled_from(["none", "shared", "rows"]),
        "bans": st.sampled_from([0.0, 0.3, 1.0]),
        "num_beams": st.integers(1, 90),
    }
)


def check_step(batch: Batch, options: dict[str, object], dtype: torch.dtype, ties: bool) -> None:
    start = batch.beams(5, dtype=dtype, ties=ties)
    arguments = (start.logits, batch.tries, start.nodes, start.scores)
    named = {
        "num_beams": options["num_beams"],
        "normalize": options["normalize"],
        "allowed": batch.masks(options["masks"]),
        "banned": recops.item_bans(
            batch.tries, batch.bans(options["bans"]), trie_index=batch.index
        ),
        "trie_index": batch.index,
    }
    actual = recops.trie_beam_step(*arguments, **named)
    assert_same_step(actual, reference.trie_beam_step(*arguments, **named))


def check_search(batch: Batch, options: dict[str, object], dtype: torch.dtype, ties: bool) -> None:
    """Check a search with different logits per beam, so that any reordered beam changes the result.

    Only raw scores tie exactly; after normalization rounding would break ties.
    """
    normalize = "none" if ties else options["normalize"]
    rows, depth = len(batch.index), batch.tries[0].depth
    widths = [1 + (batch.seed >> level) % options["num_beams"] for level in range(depth)]
    named = {
        "batch_size": rows,
        "num_beams": options["num_beams"],
        "normalize": normalize,
        "allowed": batch.masks(options["masks"]),
        "trie_index": batch.index,
        "widths": widths,
        "item_prior": [torch.arange(trie.num_items) % 3 * 0.5 for trie in batch.tries],
    }

    def model() -> object:
        generator = torch.Generator().manual_seed(batch.seed)

        def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
            width = 1 if tokens is None else tokens.shape[1]
            logits = 2 * torch.randn(rows, width, 44, generator=generator)
            return (logits.round().clamp(-1, 1) if ties else logits).to(dtype)

        return step

    ids = batch.bans(options["bans"])
    bans = recops.item_bans(batch.tries, ids, trie_index=batch.index)
    actual = recops.constrained_beam_search(model(), batch.tries, banned=ids, **named)
    expected = reference.constrained_beam_search(model(), batch.tries, banned=bans, **named)
    assert_close(actual.scores, expected.scores, rtol=1e-5, atol=1e-5)
    assert torch.equal(actual.item_ids, expected.item_ids)
    assert torch.equal(actual.sids, expected.sids)


CASES = (batches(), OPTIONS, st.sampled_from(DTYPES), st.booleans())


@pytest.mark.numerics
@settings(max_examples=60)
@given(*CASES)
def test_steps_agree_with_the_reference(batch, options, dtype, ties) -> None:
    check_step(batch, options, dtype, ties)


@pytest.mark.numerics
@settings(max_examples=40)
@given(*CASES)
def test_searches_agree_with_the_reference(batch, options, dtype, ties) -> None:
    check_search(batch, options, dtype, ties)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(*CASES)
def test_thousands_of_catalogues_agree_with_the_reference(batch, options, dtype, ties) -> None:
    check_step(batch, options, dtype, ties)
    check_search(batch, options, dtype, ties)


@pytest.mark.numerics
@pytest.mark.parametrize("normalize", ["vocab", "children", "none"])
def test_bans_equal_masks(normalize: str) -> None:
    drawn = catalogue(items=3000, depth=3, vocab=200, skew=2)
    trie, generator = drawn.trie, torch.Generator().manual_seed(0)
    seen = [
        drawn.item_ids[torch.rand(3000, generator=generator) < share] for share in (0, 0.01, 0.9)
    ]
    start = beams(trie, batch=3, width=40, vocab=200)
    arguments = (start.logits, trie, start.nodes, start.scores)
    options = {"num_beams": 100, "normalize": normalize}
    masked = recops.trie_beam_step(*arguments, **options, allowed=trie.mask(drop=seen))
    banned = recops.trie_beam_step(*arguments, **options, banned=recops.item_bans(trie, seen))
    ragged = (torch.cat(seen), torch.tensor([0, *(len(ids) for ids in seen)]).cumsum(0))
    again = recops.trie_beam_step(*arguments, **options, banned=recops.item_bans(trie, ragged))
    for a, b, c in zip(masked, banned, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_a_row_does_not_depend_on_the_batch() -> None:
    first, second = (catalogue(items=300, depth=2, vocab=30, seed=seed) for seed in (0, 1))
    batch = Batch([first, second], torch.tensor([1, 0, 1]), 3)
    start = batch.beams(6)
    together = recops.trie_beam_step(
        start.logits, batch.tries, start.nodes, start.scores, num_beams=9, trie_index=batch.index
    )
    for b, t in enumerate(batch.index.tolist()):
        alone = recops.trie_beam_step(
            start.logits[b : b + 1],
            batch.tries[t],
            start.nodes[b : b + 1],
            start.scores[b : b + 1],
            num_beams=9,
        )
        for of_batch, of_row in zip(together, alone, strict=True):
            assert torch.equal(of_batch[b : b + 1], of_row)


def test_bans_are_a_pytree_and_bound_to_their_version() -> None:
    first, second = (catalogue(items=70, depth=2, vocab=9, seed=seed).trie for seed in (0, 1))
    bans = recops.item_bans(first, [first.item_ids[:3]])
    leaves, spec = _pytree.tree_flatten(bans)
    assert len(leaves) == 3
    assert torch.equal(_pytree.tree_unflatten(leaves, spec).positions, bans.positions)
    root = torch.zeros(1, 1, 9), second, torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1)
    with pytest.raises(ValueError, match=f"banned must be .*got version {first.version}"):
        recops.trie_beam_step(*root, num_beams=3, banned=bans)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"trie": []}, ValueError, "trie must hold at least one SidTrie"),
        ({"trie": ["a"]}, TypeError, "trie must hold SidTries, got str"),
        ({"trie_index": None}, ValueError, "trie_index must give the index of each row's trie"),
        (
            {"trie_index": torch.tensor([0, 2])},
            IndexError,
            "trie_index must be from 0 to 1, got trie_index[1] = 2",
        ),
        (
            {"trie_index": torch.tensor([0])},
            ValueError,
            "trie_index must have 2 values, got [1]",
        ),
        ({"trie_index": torch.zeros(2)}, TypeError, "trie_index must be one of int32, int64"),
        ({"allowed": []}, ValueError, "allowed must hold 2 masks, got 0"),
        ({"allowed": [None, None]}, TypeError, "allowed must hold ItemMasks, got NoneType"),
        ({"banned": [torch.tensor([1])] * 2}, TypeError, "banned must be ItemBans, got list"),
    ],
)
def test_bad_input_is_refused(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    tries = [catalogue(items=50, depth=2, vocab=9, seed=seed).trie for seed in (0, 1)]
    good = {
        "logits": torch.zeros(2, 3, 9),
        "trie": tries,
        "nodes": torch.zeros(2, 3, dtype=torch.int32),
        "scores": torch.zeros(2, 3),
        "num_beams": 4,
        "trie_index": torch.tensor([1, 0]),
    }
    with pytest.raises(error, match=re.escape(f"trie_beam_step: {message}")):
        recops.trie_beam_step(**{**good, **change})


def test_bad_bans_are_refused() -> None:
    trie = catalogue(items=50, depth=2, vocab=9).trie
    deeper = catalogue(items=50, depth=3, vocab=9).trie
    with pytest.raises(
        ValueError, match="item_bans: trie must hold tries of one depth on one device, got"
    ):
        recops.item_bans([trie, deeper], [], trie_index=torch.empty(0, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"item_bans: ids\[0\] must be one of int32, int64"):
        recops.item_bans(trie, [torch.rand(3)])
    with pytest.raises(ValueError, match="item_bans: offsets must rise from 0 to the number of"):
        recops.item_bans(trie, (torch.arange(3), torch.tensor([0, 2])))
    bans = recops.item_bans(trie, [trie.item_ids[:2]])
    with pytest.raises(ValueError, match="banned must have the offsets of the batch"):
        recops.trie_beam_step(
            torch.zeros(2, 1, 9),
            trie,
            torch.zeros(2, 1, dtype=torch.int32),
            torch.zeros(2, 1),
            num_beams=1,
            banned=bans,
        )


def test_empty_bans_change_nothing() -> None:
    trie = catalogue(items=50, depth=2, vocab=9).trie
    bans = recops.item_bans(trie, [torch.empty(0, dtype=torch.int64)] * 2)
    logits = torch.zeros(2, 1, 9)
    actual = recops.constrained_beam_search(
        lambda tokens, parents: logits.expand(2, 1 if tokens is None else tokens.shape[1], 9),
        trie,
        batch_size=2,
        num_beams=50,
        banned=bans,
    )
    assert sorted(actual.item_ids[1].tolist()) == sorted(trie.item_ids.tolist())
