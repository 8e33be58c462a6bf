"""Benchmarks of the logits processor for transformers against prefix_allowed_tokens_fn."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor

import recops
from recops.benchmarks.registry import Case, register

HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None
PROMPT, END, FIRST = 5, 1, 10
# items, tokens per level, levels, batch, beams; SIDs are uniform
SHAPES = [(100_000, 256, 4, 2, 70), (100_000, 2048, 4, 2, 70), (100_000, 256, 4, 1, 10)]


@register("trie_next_logits")
def cases(quick: bool) -> Iterator[Case]:
    if HAS_TRANSFORMERS:
        for shape in SHAPES[:1] if quick else SHAPES:
            yield decode_case(*shape)


def decode_case(items: int, vocab: int, depth: int, batch: int, beams: int) -> Case:
    """Process the logits of each step of a semantic ID and its end token.

    The vocabulary contains the tokens of all levels. The peer's function looks up prefixes in a
    precomputed dictionary of lists.
    """
    from transformers import PrefixConstrainedLogitsProcessor

    from recops.hf import SidTrieLogitsProcessor

    generator = torch.Generator().manual_seed(0)
    sids = torch.randint(0, vocab, (items, depth), generator=generator)
    words = sids + FIRST + vocab * torch.arange(depth)
    processor = SidTrieLogitsProcessor(
        recops.SidTrie.from_sids(sids, vocab_sizes=vocab),
        [FIRST + vocab * level for level in range(depth)],
        prompt_length=PROMPT,
        eos_token_id=END,
    )
    following = _following(words)
    peer_processor = PrefixConstrainedLogitsProcessor(
        lambda _, tokens: following[tuple(tokens.tolist()[PROMPT:])], beams
    )
    steps = []
    for level in range(depth + 1):
        chosen = torch.randint(0, items, (batch * beams,), generator=generator)
        prompt = torch.zeros(batch * beams, PROMPT, dtype=torch.long)
        logits = torch.randn(batch * beams, FIRST + vocab * depth, generator=generator)
        steps.append((torch.cat([prompt, words[chosen, :level]], 1), logits.log_softmax(1)))

    def run() -> list[Tensor]:
        return [processor(*step) for step in steps]

    def prefix_allowed_tokens_fn() -> list[Tensor]:
        return [peer_processor(*step) for step in steps]

    def verify() -> None:
        *inner, last = zip(run(), prefix_allowed_tokens_fn(), strict=True)
        for actual, expected in inner:
            assert torch.equal(actual, expected)
        assert all(torch.equal(step.isfinite(), last[0].isfinite()) for step in last)

    return Case(
        op="trie_next_logits",
        shape=f"N={items} uniform V={vocab} L={depth} B={batch} M={beams}",
        run=run,
        peers={"transformers": prefix_allowed_tokens_fn},
        verify=verify,
        bytes=float(sum(logits.nbytes for _, logits in steps)),
        ceiling="bandwidth",
    )


def _following(words: Tensor) -> dict[tuple[int, ...], list[int]]:
    """Map each prefix to the sorted words that may follow; END follows a complete semantic ID."""
    following: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for row in words.tolist():
        for level, word in enumerate(row):
            following[tuple(row[:level])].add(word)
        following[tuple(row)].add(END)
    return {prefix: sorted(next_words) for prefix, next_words in following.items()}
