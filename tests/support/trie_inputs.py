"""Random catalogues, beams and logits for the tests of the trie family."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

import recops


@dataclass(frozen=True)
class Catalogue:
    """SIDs, unsorted item ids, and the trie of both."""

    sids: Tensor
    item_ids: Tensor
    trie: recops.SidTrie


def catalogue(*, items: int, depth: int, vocab: int, skew: float = 1.0, seed: int = 0) -> Catalogue:
    """Return a catalogue with tokens ``u ** skew``; a higher skew gives more shared prefixes."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(items, depth, generator=generator, dtype=torch.float64)
    sids = (uniform**skew * vocab).long()
    item_ids = torch.randperm(4 * items + 1, generator=generator)[:items] - items
    return Catalogue(sids, item_ids, recops.SidTrie.from_sids(sids, item_ids, vocab_sizes=vocab))


@dataclass(frozen=True)
class Beams:
    """Inputs of a step of beam search."""

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
    """Return beams at random nodes of any level, some of them dead.

    With ``ties``, logits and scores have few distinct values.
    """
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
    """Return a strategy for catalogues of all sizes, vocabularies, skews and depths 1 to 10."""
    return st.builds(
        catalogue,
        items=st.integers(0, 70),
        depth=st.integers(1, 10),
        vocab=st.sampled_from([1, 2, 7, 40]),
        skew=st.sampled_from([1.0, 4.0]),
        seed=st.integers(0, 2**20),
    )


def mask_of(drawn: Catalogue, kind: str, batch: int, seed: int = 0) -> recops.ItemMask | None:
    """Return no mask, a mask for all rows, or a mask per row, depending on ``kind``."""
    generator = torch.Generator().manual_seed(seed)

    def some_ids() -> Tensor:
        is_selected = torch.rand(len(drawn.item_ids), generator=generator) < 0.4
        return drawn.item_ids[is_selected]

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
    """Check that scores agree, and beams up to swaps of nearly equal scores."""
    assert_close(actual.scores, expected.scores, rtol=1e-5, atol=1e-5)
    for row in range(len(actual.scores)):
        beams, expected_beams = (
            list(zip(*(t[row].tolist() for t in (s.tokens, s.parents, s.nodes)), strict=True))
            for s in (actual, expected)
        )
        scores = expected.scores[row].double()
        for rank in range(len(beams)):
            if beams[rank] == expected_beams[rank]:
                continue
            near = (scores - scores[rank]).abs() <= 1e-5 * (1 + scores[rank].abs())
            at_cutoff = bool(near[-1])  # A beam with nearly the last score may be missing.
            candidates = [expected_beams[i] for i in near.nonzero().flatten().tolist()]
            assert at_cutoff or beams[rank] in candidates
