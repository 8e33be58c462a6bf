"""Composites wait for the device at most once per call, to check its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import recops
from device_reads import device_reads
from implementations import composites_on_cpu
from recops.ops.trie.trie_next_logits import trie_next_logits
from recops.state.token_map import TokenMap
from trie_inputs import beams, catalogue

X, BOOKS = torch.randn(40, 6), torch.randn(3, 8, 6)
DRAWN, OTHER = (catalogue(items=60, depth=3, vocab=9, seed=seed) for seed in (0, 1))
TRIE = DRAWN.trie
TRIES, INDEX = [TRIE, OTHER.trie], torch.tensor([1, 0])
MASKS = [trie.mask(drop=[trie.item_ids[:9], trie.item_ids[5:]]) for trie in TRIES]
BANS = recops.item_bans(TRIES, [OTHER.item_ids[:3], DRAWN.item_ids[:7]], trie_index=INDEX)
START = beams(OTHER.trie, batch=2, width=4, vocab=9)
NODES = START.nodes.clamp(max=min(trie.num_nodes for trie in TRIES) - 1)
PRIORS = [torch.randn(60), torch.randn(60)]
MAP = TokenMap.of([2, 11, 20], TRIE.vocab_sizes)


def step(**options: Any) -> recops.BeamStep:
    return recops.trie_beam_step(START.logits, TRIE, NODES, START.scores, num_beams=5, **options)


def search(**options: Any) -> recops.BeamResult:
    def decoder(tokens: torch.Tensor | None, _: torch.Tensor | None) -> torch.Tensor:
        return torch.zeros(2, 1 if tokens is None else tokens.shape[1], 9)

    return recops.constrained_beam_search(
        decoder, TRIES, batch_size=2, num_beams=4, trie_index=INDEX, **options
    )


CALLS: dict[str, tuple[Callable[[], object], int]] = {
    "rq_encode": (lambda: recops.rq_encode(X, BOOKS), 1),
    "rq_encode with beams": (lambda: recops.rq_encode(X, BOOKS, beam=3), 1),
    "nearest_codes": (lambda: recops.nearest_codes(X, BOOKS[0], k=2), 1),
    "rq_decode": (lambda: recops.rq_decode(torch.zeros(5, 3, dtype=torch.int32), BOOKS), 1),
    "codebook_overlap": (lambda: recops.codebook_overlap(BOOKS[0], torch.rand(8), 0.5), 1),
    "beam step": (step, 1),
    "beam step of several tries with masks and bans": (
        lambda: recops.trie_beam_step(
            *(START.logits, TRIES, NODES, START.scores),
            num_beams=5,
            allowed=MASKS,
            banned=BANS,
            trie_index=INDEX,
        ),
        1,
    ),
    "next logits": (
        lambda: trie_next_logits(
            *(torch.zeros(2, 30), torch.full((2, 4), 2), TRIE, MAP),
            prompt_length=3,
            begin_token=0,
            end_tokens=[1],
            allowed=MASKS[0],
        ),
        1,
    ),
    "find": (lambda: TRIE.find(DRAWN.sids), 0),
    "items": (lambda: TRIE.items(NODES[0]), 1),
    "search": (lambda: search(allowed=MASKS, banned=BANS), 4),  # three steps, then the items
    "search with priors": (lambda: search(item_prior=PRIORS), 5),
}


@pytest.mark.parametrize("name", CALLS)
def test_reads_of_a_call(name: str) -> None:
    call, reads = CALLS[name]
    with device_reads():
        call()  # reads the sizes of the tries
    with device_reads() as counts:
        call()
    assert counts.total() == reads, counts


def test_a_new_trie_is_read_once() -> None:
    new = TRIE.to("cpu")
    trie = recops.SidTrie(
        new.first_child.clone(),
        new.tokens,
        new.item_ids,
        new.item_rows,
        new.id_order,
        new.stamp,
        new.vocab_sizes,
    )
    with device_reads() as counts:
        for _ in range(3):
            trie.find(DRAWN.sids)
    assert counts == {"tolist": 1}


def test_a_trie_changed_in_place_is_read_again() -> None:
    first_child = TRIE.first_child.clone()
    arguments = (first_child, TRIE.tokens, 3, DRAWN.sids[:2])
    with composites_on_cpu():
        expected = torch.ops.recops.trie_find(*arguments)
        first_child[-1] = -1
        with pytest.raises(ValueError, match="trie must be of depth 3"):
            torch.ops.recops.trie_find(*arguments)
        first_child.copy_(TRIE.first_child)
        assert torch.equal(torch.ops.recops.trie_find(*arguments), expected)


def test_reads_are_counted() -> None:
    x = torch.arange(3)
    with device_reads() as counts:
        bool(x.any())
        x[x[1]]  # an index without dimensions
        x[x > 1]
        x.nonzero().tolist()
        torch.tensor([1])
    expected = {"_local_scalar_dense": 2, "index": 1, "lift_fresh": 1, "nonzero": 1, "tolist": 1}
    assert counts == expected
