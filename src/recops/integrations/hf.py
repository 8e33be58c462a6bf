"""Semantic IDs in ``transformers``' ``generate()``. Needs the extra ``hf``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._checks import check_integer, check_list
from recops.ops.trie.trie_next_logits import trie_next_logits
from recops.state.item_mask import ItemMask
from recops.state.token_map import TokenMap
from recops.state.trie import SidTrie

try:
    from transformers import LogitsProcessor
except ImportError as error:
    raise ImportError(
        "recops.hf needs transformers, which is not installed: pip install 'recops[hf]'"
    ) from error

__all__ = ["SidTrieLogitsProcessor"]


class SidTrieLogitsProcessor(LogitsProcessor):
    """Lets ``generate()`` write nothing but the semantic IDs of real items.

    For beam search, greedy search and sampling, with decoder-only and encoder-decoder models::

        processor = SidTrieLogitsProcessor(
            trie, [1000, 1256, 1512], prompt_length=inputs.shape[1], eos_token_id=2
        )
        model.generate(inputs, logits_processor=[processor], num_beams=20, max_new_tokens=4)

    What may follow is read off the tokens of each sequence alone, so that beams may be reordered at
    will and one processor serves any number of calls. Within a semantic ID every token that leads
    to no allowed item gets −inf and the others keep their score; after it only the end of sequence
    is left, with score 0: with beams, whose scores are log-probabilities, ending costs nothing.
    So the beams are those of :func:`recops.constrained_beam_search` on the same log-probabilities
    with ``normalize="none"``. Fewer items than beams are the exception: transformers then fills up
    with repeated or dead sequences of scores from −10⁹ down to −inf.

    Args:
        trie: the catalogue. May be assigned anew between calls, to a trie of the same vocabularies:
            a newer version then serves what comes.
        token_map: for each level, the model's ids of its tokens: an integer tensor
            ``[vocab_sizes[l]]``, or the id of token 0, whence the others follow one another.
        prompt_length: the semantic ID begins after so many tokens: the (left-padded) prompt's
            length, or 1 for an encoder-decoder model, for the token its decoder starts with.
        begin_token_id: it begins after the last such token instead, and other tokens are free
            before and once it has ended. Give one of the two.
        eos_token_id: the end of sequence, or several.
        allowed: the items to recommend from: one mask for all, or one for each prompt of the batch.
            May be assigned anew too.

    Raises:
        TypeError: something else than a trie or a mask; neither or both of ``prompt_length`` and
            ``begin_token_id``; token ids that are no integers.
        ValueError: ``token_map`` does not name each level's tokens, once each, or names an
            end or begin token.
    """

    def __init__(
        self,
        trie: SidTrie,
        token_map: Sequence[int | Tensor],
        *,
        prompt_length: int | None = None,
        begin_token_id: int | None = None,
        eos_token_id: int | Sequence[int],
        allowed: ItemMask | None = None,
    ) -> None:
        op = "SidTrieLogitsProcessor"
        if not isinstance(trie, SidTrie):
            raise TypeError(f"{op}: trie must be a SidTrie, got {type(trie).__name__}")
        if allowed is not None and not isinstance(allowed, ItemMask):
            raise TypeError(f"{op}: allowed must be an ItemMask, got {type(allowed).__name__}")
        if (prompt_length is None) == (begin_token_id is None):
            given = "neither" if prompt_length is None else "both"
            raise TypeError(f"{op}: prompt_length or begin_token_id must be given, got {given}")
        if prompt_length is not None:
            check_integer(op, "prompt_length", prompt_length)
        if begin_token_id is not None:
            check_integer(op, "begin_token_id", begin_token_id)
        self.trie = trie
        self.allowed = allowed
        self._tokens = TokenMap.of(token_map, trie.vocab_sizes)
        self._prompt_length = prompt_length
        self._begin_token = -1 if begin_token_id is None else begin_token_id
        ends = [eos_token_id] if isinstance(eos_token_id, int) else eos_token_id
        self._end_tokens = check_list(op, "eos_token_id", ends)
        if not self._end_tokens:
            raise ValueError(f"{op}: eos_token_id must name a token, got none")
        for token in self._end_tokens:
            check_integer(op, "eos_token_id", token)
        named = self._tokens.model_tokens
        for name, ids in (("eos", self._end_tokens), ("begin", [self._begin_token])):
            if bool(torch.isin(named, torch.tensor(ids, device=named.device)).any()):
                raise ValueError(f"{op}: token_map must not hold the {name}_token_id, got {ids}")

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``scores [R, V]`` of the sequences ``input_ids [R, T]``, with −inf for what may not be.

        Raises:
            ValueError: a token of the map or the end is outside V; a mask of another trie or batch;
                sequences shorter than ``prompt_length``.
        """
        return trie_next_logits(
            scores,
            input_ids,
            self.trie,
            self._tokens,
            prompt_length=self._prompt_length,
            begin_token=self._begin_token,
            end_tokens=self._end_tokens,
            allowed=self.allowed,
        )
