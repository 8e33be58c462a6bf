"""Ops of tries make the host wait once per call, to check data; ops of training steps do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from fake_device import DEVICE, host_waits
from recops.ops.trie.trie_next_logits import trie_next_logits
from recops.state.token_map import TokenMap
from trie_inputs import beams, catalogue

X, BOOKS = torch.randn(40, 6).to(DEVICE), torch.randn(3, 8, 6).to(DEVICE)
USAGE, CODES = torch.rand(8).to(DEVICE), torch.zeros(5, 3, dtype=torch.int32, device=DEVICE)
DRAWN, OTHER = (catalogue(items=60, depth=3, vocab=9, seed=seed) for seed in (0, 1))
TRIES, INDEX = [drawn.trie.to(DEVICE) for drawn in (DRAWN, OTHER)], torch.tensor([1, 0]).to(DEVICE)
TRIE, SIDS = TRIES[0], DRAWN.sids.to(DEVICE)
MASKS = [
    drawn.trie.mask(drop=[drawn.item_ids[:9], drawn.item_ids[5:]]).to(DEVICE)
    for drawn in (DRAWN, OTHER)
]
BANS = recops.item_bans(
    [DRAWN.trie, OTHER.trie],
    [OTHER.item_ids[:3], DRAWN.item_ids[:7]],
    trie_index=torch.tensor([1, 0]),
).to(DEVICE)
START = beams(DRAWN.trie, batch=2, width=4, vocab=9)
LOGITS, SCORES = START.logits.to(DEVICE), START.scores.to(DEVICE)
NODES = START.nodes.clamp(max=min(trie.num_nodes for trie in TRIES) - 1).to(DEVICE)
PRIORS = [torch.randn(60).to(DEVICE) for _ in TRIES]
MAP = TokenMap.of([2, 11, 20], TRIE.vocab_sizes).to(DEVICE)
MODEL_LOGITS = torch.zeros(2, 30, device=DEVICE)
SEQUENCES = torch.full((2, 4), 2, device=DEVICE)


def search(**options: Any) -> recops.BeamResult:
    def decoder(tokens: Tensor | None, _: Tensor | None) -> Tensor:
        return torch.zeros(2, 1 if tokens is None else tokens.shape[1], 9, device=DEVICE)

    return recops.constrained_beam_search(
        decoder, TRIES, batch_size=2, num_beams=4, trie_index=INDEX, **options
    )


CALLS: dict[str, tuple[Callable[[], object], int]] = {
    "rq_encode": (lambda: recops.rq_encode(X, BOOKS), 0),
    "rq_encode with beams": (lambda: recops.rq_encode(X, BOOKS, beam=3), 0),
    "rq_encode by cosine": (lambda: recops.rq_encode(X, BOOKS, metric="cosine"), 0),
    "nearest_codes": (lambda: recops.nearest_codes(X, BOOKS[0], k=2), 0),
    "rq_decode": (lambda: recops.rq_decode(CODES, BOOKS), 0),
    "codebook_overlap": (lambda: recops.codebook_overlap(BOOKS[0], USAGE, 0.5), 0),
    "beam step": (lambda: recops.trie_beam_step(LOGITS, TRIE, NODES, SCORES, num_beams=5), 1),
    "beam step of several tries with masks and bans": (
        lambda: recops.trie_beam_step(
            *(LOGITS, TRIES, NODES, SCORES),
            num_beams=5,
            allowed=MASKS,
            banned=BANS,
            trie_index=INDEX,
        ),
        1,
    ),
    "next logits": (
        lambda: trie_next_logits(
            *(MODEL_LOGITS, SEQUENCES, TRIE, MAP),
            prompt_length=3,
            begin_token=0,
            end_tokens=[1],
            allowed=MASKS[0],
        ),
        1,
    ),
    "find": (lambda: TRIE.find(SIDS), 0),
    "items": (lambda: TRIE.items(NODES[0]), 1),
    "search": (lambda: search(allowed=MASKS, banned=BANS), 4),  # three steps, then the items
    "search with priors": (lambda: search(item_prior=PRIORS), 5),
}


@pytest.mark.parametrize("name", CALLS)
def test_waits_of_a_call(name: str) -> None:
    call, count = CALLS[name]
    call()  # reads the sizes of the tries
    with host_waits() as waits:
        call()
    assert len(waits) == count, waits


@pytest.mark.parametrize("name", ["rq_encode", "nearest_codes", "rq_decode", "codebook_overlap"])
def test_debugging_checks_data_in_one_read(name: str) -> None:
    call, _ = CALLS[name]
    with recops.debug(), host_waits() as waits:
        call()
    assert len(waits) == 1, waits
