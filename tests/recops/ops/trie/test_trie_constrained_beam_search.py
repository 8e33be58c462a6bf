"""constrained_beam_search: the best items of the catalogue, without repeats or masked items."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import recops
from recops import reference
from trie_inputs import MASKS, Catalogue, catalogue, catalogues, mask_of

pytestmark = pytest.mark.composites


class Model:
    """Model whose logits depend on all previous tokens and have a different width at every level.

    Rows of dead slots are NaN, which must not influence the result. The state follows ``parents``,
    like the cache of a decoder.
    """

    def __init__(self, batch: int, vocab: int, seed: int) -> None:
        self.batch, self.vocab, self.seed = batch, vocab, seed
        self.state = torch.zeros(batch, 1, dtype=torch.long)
        self.level = 0

    def __call__(self, tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        if tokens is not None and parents is not None:
            assert tokens.dtype == parents.dtype == torch.int32
            self.state = self.state.gather(1, parents.clamp(min=0).long()) * 31 + tokens
        table = torch.randn(97, self.vocab + self.level, generator=_generator(self.seed))
        logits = table[self.state % 97]
        if tokens is not None:
            logits[tokens < 0] = torch.nan
        self.level += 1
        return logits


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.numerics
@given(
    catalogues(),
    st.sampled_from(["vocab", "children", "none"]),
    st.sampled_from(MASKS),
    st.tuples(st.integers(0, 3), st.integers(1, 90), st.integers(0, 2**20)),
    st.booleans(),
)
def test_agrees_with_the_reference(
    drawn: Catalogue, normalize: str, masked: str, shape: tuple[int, int, int], prior: bool
) -> None:
    batch, num_beams, seed = shape
    trie = drawn.trie
    options = {
        "batch_size": batch,
        "num_beams": num_beams,
        "normalize": normalize,
        "allowed": mask_of(drawn, masked, batch, seed),
        "item_prior": torch.rand(trie.num_items, generator=_generator(seed)) if prior else None,
    }
    vocab = trie.vocab_sizes[0]
    actual = recops.constrained_beam_search(Model(batch, vocab, seed), trie, **options)
    expected = reference.constrained_beam_search(Model(batch, vocab, seed), trie, **options)
    assert torch.equal(actual.item_ids, expected.item_ids)
    assert torch.equal(actual.sids, expected.sids)
    assert_close(actual.scores, expected.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("items", "depth", "vocab", "beams"), [(60, 1, 7, 60), (60, 3, 7, 60), (9000, 3, 16, 4096)]
)
def test_a_wide_beam_returns_the_best_items(items: int, depth: int, vocab: int, beams: int) -> None:
    """Beam search with a beam per node is exhaustive and must agree with brute force."""
    drawn = catalogue(items=items, depth=depth, vocab=vocab, skew=2)
    tables = torch.randn(depth, vocab + 1, vocab, generator=_generator(3)).log_softmax(2)
    state = {"level": 0}

    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        last = torch.full((1, 1), vocab) if tokens is None else tokens.long()
        state["level"] += 1
        return tables[state["level"] - 1][last]

    actual = recops.constrained_beam_search(step, drawn.trie, batch_size=1, num_beams=beams)
    before = torch.cat([torch.full((items, 1), vocab), drawn.sids[:, :-1]], 1)
    scores = tables[torch.arange(depth), before, drawn.sids].sum(1)
    assert_close(actual.scores[0], scores.sort(descending=True).values[:beams])
    assert len(actual.item_ids[0].unique()) == beams
    assert torch.isin(actual.item_ids[0], drawn.item_ids).all()
    by_id = dict(zip(drawn.item_ids.tolist(), drawn.sids.tolist(), strict=True))
    found_sids = zip(actual.item_ids[0].tolist(), actual.sids[0].tolist(), strict=True)
    assert all(by_id[item] == sid for item, sid in found_sids)


def test_items_of_one_leaf_are_ordered_by_prior_then_insertion() -> None:
    sids = torch.tensor([[1], [0], [1], [1], [1]])
    trie = recops.SidTrie.from_sids(sids, torch.tensor([10, 11, 12, 13, 14]))

    def search(**options: object) -> recops.BeamResult:
        logits = torch.tensor([[[0.0, 1.0]]])
        return recops.constrained_beam_search(
            lambda tokens, parents: logits, trie, batch_size=1, **{"num_beams": 6, **options}
        )

    assert search().item_ids.tolist() == [[10, 12, 13, 14, 11, -1]]
    prior = torch.tensor([0.1, 9.0, 0.7, 0.1, 0.7])
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        result = search(item_prior=prior.to(dtype))
        assert result.item_ids.tolist() == [[12, 14, 10, 13, 11, -1]]
    assert search(item_prior=prior, num_beams=2).item_ids.tolist() == [[12, 14]]
    masked = search(item_prior=prior, allowed=trie.mask(drop=[12, 11]))
    assert masked.item_ids.tolist() == [[14, 10, 13, -1, -1, -1]]
    assert masked.sids[0, :, 0].tolist() == [1, 1, 1, -1, -1, -1]
    assert masked.scores[0, 3:].tolist() == [-torch.inf] * 3
    with pytest.raises(ValueError, match=r"item_prior\[2\] = NaN"):
        search(item_prior=torch.tensor([0, 0, torch.nan, 0, 0]))


def test_widths_are_the_beams_of_each_level() -> None:
    drawn = catalogue(items=200, depth=3, vocab=9)
    seen = []

    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        width = 1 if tokens is None else tokens.shape[1]
        seen.append(width)
        return torch.zeros(2, width, 9)

    result = recops.constrained_beam_search(
        step, drawn.trie, batch_size=2, num_beams=4, widths=[5, 7, 3]
    )
    assert seen == [1, 5, 7]
    assert result.item_ids.shape == (2, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_a_prior_that_is_a_negative_view_is_read_negated(dtype: torch.dtype) -> None:
    """``complex.conj().imag`` is one. torch does not resolve such views inside an optional list."""
    trie = recops.SidTrie.from_sids(torch.zeros(6, 1, dtype=torch.long))
    prior = torch.arange(6.0).to(dtype)
    actual = recops.constrained_beam_search(
        lambda tokens, parents: torch.zeros(1, 1, 1),
        trie,
        batch_size=1,
        num_beams=6,
        item_prior=torch._neg_view(-prior),
    )
    assert actual.item_ids.tolist() == [[5, 4, 3, 2, 1, 0]]


def test_an_empty_catalogue_recommends_nothing() -> None:
    trie = recops.SidTrie.from_sids(torch.empty(0, 2, dtype=torch.long))
    result = recops.constrained_beam_search(
        Model(2, 1, 0), trie, batch_size=2, num_beams=3, item_prior=torch.empty(0)
    )
    assert result.item_ids.tolist() == [[-1] * 3] * 2
    assert (result.scores == -torch.inf).all()


def test_float64_logits_are_searched_in_float64() -> None:
    drawn = catalogue(items=100, depth=2, vocab=9)
    result = recops.constrained_beam_search(
        lambda tokens, parents: torch.zeros(1, 1 if tokens is None else 4, 9).double(),
        drawn.trie,
        batch_size=1,
        num_beams=4,
    )
    assert result.scores.dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_beams": 0}, ValueError, "num_beams must be from 1 to 1048576, got 0"),
        ({"batch_size": -1}, ValueError, "batch_size must be from 0 to"),
        ({"widths": [4]}, ValueError, "widths must be 2 numbers, one per level, got 1"),
        ({"widths": [4, 0]}, ValueError, "widths[1] must be from 1 to 1048576, got 0"),
        ({"item_prior": torch.zeros(7)}, ValueError, "item_prior must have 50 entries, got 7"),
        ({"item_prior": torch.zeros(50).int()}, TypeError, "item_prior must be one of float32"),
        ({"trie": None}, TypeError, "trie must be a SidTrie, got NoneType"),
        ({"step": lambda t, p: None}, TypeError, "step's logits must be a tensor, got NoneType"),
        (
            {"step": lambda t, p: torch.zeros(2, 2, 9)},
            ValueError,
            "step must return logits of shape (2, 1, V), the first batch_size, got (2, 2, 9)",
        ),
    ],
)
def test_bad_input_is_refused(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    trie = catalogue(items=50, depth=2, vocab=9).trie
    good = {"step": Model(2, 9, 0), "trie": trie, "batch_size": 2, "num_beams": 3}
    with pytest.raises(error, match=re.escape(f"constrained_beam_search: {message}")):
        recops.constrained_beam_search(**{**good, **change})
