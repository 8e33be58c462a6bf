"""Peer methods for a step of constrained beam search on a trie.

``step(logits [B, M, V], nodes [B, M] int64, scores [B, M], num_beams, level)`` returns scores,
tokens, parents and nodes ``[B, num_beams]``.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

import recops

PeerStep = tuple[Tensor, Tensor, Tensor, Tensor]


class PaddedRows:
    """Step that pads each beam's children to the level's widest branch, masks them and runs top-k.

    This is the method of STATIC (arXiv 2602.22647) for levels past its dense head, in PyTorch. The
    work is B · M · (the widest branch) and does not depend on the beams' own numbers of children.
    All beams must be live.
    """

    def __init__(self, trie: recops.SidTrie) -> None:
        self.first_child = trie.first_child.long()
        self.tokens = trie.tokens.long()
        counts = self.first_child.diff()
        bounds = trie.level_starts()[:-1]
        self.widest = [int(counts[a:b].max()) for a, b in pairwise(bounds)]

    def step(
        self, logits: Tensor, nodes: Tensor, scores: Tensor, num_beams: int, level: int
    ) -> PeerStep:
        """Run one exact step; the order of ties is that of topk."""
        first = self.first_child[nodes]
        offset = torch.arange(self.widest[level], device=nodes.device)
        is_child = offset < (self.first_child[nodes + 1] - first).unsqueeze(2)
        children = torch.where(is_child, first.unsqueeze(2) + offset, 0)
        tokens = self.tokens[children]
        log_probs = logits.log_softmax(2, dtype=torch.float32).gather(2, tokens)
        totals = log_probs + scores.unsqueeze(2)
        totals = torch.where(is_child, totals, -torch.inf).flatten(1)
        best, chosen = totals.topk(num_beams)
        return (
            best,
            tokens.flatten(1).gather(1, chosen),
            chosen // self.widest[level],
            children.flatten(1).gather(1, chosen),
        )


# Caches only the last trie, because building the arrays of a large one takes long.
padded_rows_in = lru_cache(maxsize=1)(PaddedRows)


class SortedKeys:
    """Step that looks up each beam's best ``2 · num_beams`` tokens in sorted keys (node, token).

    This is the method of FlashRec for a large vocabulary, in PyTorch. It chooses the best tokens of
    the whole vocabulary before it looks at the trie, so valid beams are lost. The step is not
    exact. If few of the chosen tokens are children, some beams are dead.
    """

    def __init__(self, trie: recops.SidTrie) -> None:
        inner = trie.level_starts()[trie.depth]
        parents = torch.arange(inner).repeat_interleave(trie.first_child[: inner + 1].diff())
        self.vocab = max(trie.vocab_sizes)
        keys = parents * self.vocab + trie.tokens[1:].long()
        self.keys = torch.cat([keys, torch.tensor([torch.iinfo(torch.int64).max])])

    def step(
        self, logits: Tensor, nodes: Tensor, scores: Tensor, num_beams: int, level: int
    ) -> PeerStep:
        """Run one inexact step; scores are −inf if too few of the chosen tokens are children."""
        num_tokens = min(logits.shape[2], 2 * num_beams)
        log_probs, tokens = logits.log_softmax(2, dtype=torch.float32).topk(num_tokens)
        keys = nodes.unsqueeze(2) * self.vocab + tokens
        index = torch.searchsorted(self.keys, keys)
        totals = torch.where(self.keys[index] == keys, log_probs + scores.unsqueeze(2), -torch.inf)
        totals = totals.flatten(1)
        missing = max(0, num_beams - totals.shape[1])  # in the first step with many beams
        best, chosen = nn.functional.pad(totals, (0, missing), value=-torch.inf).topk(num_beams)
        chosen = chosen.clamp(max=totals.shape[1] - 1)
        return (
            best,
            tokens.flatten(1).gather(1, chosen),
            chosen // num_tokens,
            index.flatten(1).gather(1, chosen) + 1,
        )


sorted_keys_in = lru_cache(maxsize=1)(SortedKeys)


def allowed_after(trie: recops.SidTrie, prefixes: Tensor) -> dict[tuple[int, ...], list[int]]:
    """Return the tokens that may follow each of ``prefixes`` ``[n, l]``, all in the trie."""
    nodes = trie.find(prefixes).long()
    first, end = trie.first_child[nodes].tolist(), trie.first_child[nodes + 1].tolist()
    return {
        tuple(prefix): trie.tokens[a:b].tolist()
        for prefix, a, b in zip(prefixes.tolist(), first, end, strict=True)
    }


class PrefixAllowedTokens:
    """Step of transformers' generate() with a ``prefix_allowed_tokens_fn`` that reads a dict.

    The logits processor of transformers calls the function for every beam in Python and masks the
    vocabulary. It runs between log-softmax and top-k. The step is exact except for ties, as long as
    every beam has a child.
    """

    def __init__(self, trie: recops.SidTrie, prefixes: Tensor) -> None:
        """Prepare the step for ``prefixes`` ``[B, M, l]``, all in the trie."""
        from transformers.generation.logits_process import PrefixConstrainedLogitsProcessor

        self.prefixes = prefixes.flatten(0, 1)
        allowed = allowed_after(trie, self.prefixes)
        self.processor = PrefixConstrainedLogitsProcessor(
            lambda _, prefix: allowed[tuple(prefix.tolist())], prefixes.shape[1]
        )

    def step(self, logits: Tensor, scores: Tensor, num_beams: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, tokens and parents ``[B, num_beams]``."""
        batch, width, vocab = logits.shape
        log_probs = logits.flatten(0, 1).log_softmax(1, dtype=torch.float32)
        masked = self.processor(self.prefixes, log_probs)
        totals = masked.view(batch, width, vocab) + scores.unsqueeze(2)
        best, chosen = totals.flatten(1).topk(num_beams)
        return best, chosen % vocab, chosen // vocab
