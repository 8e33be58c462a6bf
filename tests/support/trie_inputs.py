"""Catalogues, beams and logits for the tests of the trie family, drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import recops


@dataclass(frozen=True)
class Catalogue:
    """SIDs, item ids in no order, and the trie of both."""

    sids: Tensor
    item_ids: Tensor
    trie: recops.SidTrie


def catalogue(*, items: int, depth: int, vocab: int, skew: float = 1.0, seed: int = 0) -> Catalogue:
    """Tokens are drawn as ``u ** skew``: the higher the skew, the more SIDs share prefixes."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(items, depth, generator=generator, dtype=torch.float64)
    sids = (uniform**skew * vocab).long()
    item_ids = torch.randperm(4 * items + 1, generator=generator)[:items] - items
    return Catalogue(sids, item_ids, recops.SidTrie.from_sids(sids, item_ids, vocab_sizes=vocab))


@dataclass(frozen=True)
class Beams:
    """What a step of beam search starts from."""

    logits: Tensor
    nodes: Tensor
    scores: Tensor


def beams(
    trie: recops.SidTrie,
    *,
    batch: int,
    width: int,
    vocab: int,
    ties: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Beams:
    """Beams at random nodes of any level, dead ones among them; with ties, few distinct values."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, width, vocab, generator=generator, dtype=torch.float64) * 3
    scores = torch.randn(batch, width, generator=generator, dtype=torch.float64)
    if ties:
        logits, scores = logits.round().clamp(-1, 1), scores.round()
    logits[torch.rand(logits.shape, generator=generator) < 0.1] = -torch.inf
    nodes = torch.randint(-1, trie.num_nodes, (batch, width), generator=generator)
    scores[torch.rand(scores.shape, generator=generator) < 0.1] = -torch.inf
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    return Beams(logits.to(dtype), nodes, scores.to(compute))


def catalogues() -> st.SearchStrategy[Catalogue]:
    """Skewed or even, of one item or many, of one token or many, 1 to 10 levels."""
    return st.builds(
        catalogue,
        items=st.integers(0, 70),
        depth=st.integers(1, 10),
        vocab=st.sampled_from([1, 2, 7, 40]),
        skew=st.sampled_from([1.0, 4.0]),
        seed=st.integers(0, 2**20),
    )


def mask_of(drawn: Catalogue, kind: str, batch: int, seed: int = 0) -> recops.ItemMask | None:
    """No mask, one for all rows, or one for each."""
    generator = torch.Generator().manual_seed(seed)

    def some_ids() -> Tensor:
        chosen = torch.rand(len(drawn.item_ids), generator=generator) < 0.4
        return drawn.item_ids[chosen]

    match kind:
        case "keep":
            return drawn.trie.mask(keep=some_ids())
        case "drop":
            return drawn.trie.mask(drop=some_ids())
        case "rows":
            return drawn.trie.mask(keep=[some_ids() for _ in range(batch)])
        case "nothing":
            return drawn.trie.mask(keep=[])
        case _:
            return None


MASKS = ["none", "keep", "drop", "rows", "nothing"]


def assert_same_step(actual: recops.BeamStep, expected: recops.BeamStep) -> None:
    """The same scores; and the same beams, but for an order that rounding decides."""
    assert_close(actual.scores, expected.scores, rtol=1e-5, atol=1e-5)
    for row in range(len(actual.scores)):
        ours, theirs = (
            list(zip(*(t[row].tolist() for t in (s.tokens, s.parents, s.nodes)), strict=True))
            for s in (actual, expected)
        )
        scores = expected.scores[row].double()
        for place in range(len(ours)):
            if ours[place] == theirs[place]:
                continue
            near = (scores - scores[place]).abs() <= 1e-5 * (1 + scores[place].abs())
            last = bool(near[-1])  # what comes next may just have missed a place
            assert last or ours[place] in [theirs[i] for i in near.nonzero().flatten().tolist()]
