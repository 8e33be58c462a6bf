"""Other ways to take a step of constrained beam search, each on the same trie, logits and beams.

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
    """Every beam's children padded to the level's widest branch, masked, then top-k.

    The idea of STATIC (arXiv 2602.22647) for levels past its dense head, in plain torch: the work
    is B · M · (the widest branch), whatever the beams' own branching. All beams must be live.
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
        """Exact; ties go as topk likes."""
        first = self.first_child[nodes]
        place = torch.arange(self.widest[level])
        is_child = place < (self.first_child[nodes + 1] - first).unsqueeze(2)
        children = torch.where(is_child, first.unsqueeze(2) + place, 0)
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


# Of the last trie alone: the arrays of a large one take longer to make than to use.
padded_rows_in = lru_cache(maxsize=1)(PaddedRows)


class SortedKeys:
    """Every beam's best ``2 · num_beams`` tokens, looked up among sorted keys (node, token).

    As FlashRec decodes with a large vocabulary, written anew in plain torch. What the vocabulary
    prefers is cut off before the trie is asked, so that valid beams are lost: the step is not
    exact, and where few children are among the best tokens it leaves dead beams.
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
        """Inexact: −inf where too few of the tokens looked up were children."""
        taken = min(logits.shape[2], 2 * num_beams)
        log_probs, tokens = logits.log_softmax(2, dtype=torch.float32).topk(taken)
        keys = nodes.unsqueeze(2) * self.vocab + tokens
        places = torch.searchsorted(self.keys, keys)
        totals = torch.where(self.keys[places] == keys, log_probs + scores.unsqueeze(2), -torch.inf)
        totals = totals.flatten(1)
        few = max(0, num_beams - totals.shape[1])  # of a first step with many beams
        best, chosen = nn.functional.pad(totals, (0, few), value=-torch.inf).topk(num_beams)
        chosen = chosen.clamp(max=totals.shape[1] - 1)
        return (
            best,
            tokens.flatten(1).gather(1, chosen),
            chosen // taken,
            places.flatten(1).gather(1, chosen) + 1,
        )


sorted_keys_in = lru_cache(maxsize=1)(SortedKeys)


def allowed_after(trie: recops.SidTrie, prefixes: Tensor) -> dict[tuple[int, ...], list[int]]:
    """The tokens that may follow each of ``prefixes`` ``[n, l]``, all in the trie."""
    nodes = trie.find(prefixes).long()
    first, end = trie.first_child[nodes].tolist(), trie.first_child[nodes + 1].tolist()
    return {
        tuple(prefix): trie.tokens[a:b].tolist()
        for prefix, a, b in zip(prefixes.tolist(), first, end, strict=True)
    }


class PrefixAllowedTokens:
    """A step of transformers' generate() with a ``prefix_allowed_tokens_fn`` that asks a dict.

    Its own logits processor, which asks for every beam in Python and masks the vocabulary, between
    its log-softmax and its top-k. Exact, ties aside, while every beam has a child.
    """

    def __init__(self, trie: recops.SidTrie, prefixes: Tensor) -> None:
        """``prefixes``: ``[B, M, l]``, all in the trie."""
        from transformers.generation.logits_process import PrefixConstrainedLogitsProcessor

        self.prefixes = prefixes.flatten(0, 1)
        allowed = allowed_after(trie, self.prefixes)
        self.processor = PrefixConstrainedLogitsProcessor(
            lambda _, prefix: allowed[tuple(prefix.tolist())], prefixes.shape[1]
        )

    def step(self, logits: Tensor, scores: Tensor, num_beams: int) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, tokens and parents ``[B, num_beams]``."""
        batch, width, vocab = logits.shape
        log_probs = logits.flatten(0, 1).log_softmax(1, dtype=torch.float32)
        masked = self.processor(self.prefixes, log_probs)
        totals = masked.view(batch, width, vocab) + scores.unsqueeze(2)
        best, chosen = totals.flatten(1).topk(num_beams)
        return best, chosen % vocab, chosen // vocab
