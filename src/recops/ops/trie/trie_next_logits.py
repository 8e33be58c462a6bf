"""A language model's logits, with what leads to no item forbidden."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_tensor
from recops._load import ops
from recops.ops.trie._batch import masks_of, tensors_of
from recops.state.item_mask import ItemMask
from recops.state.token_map import TokenMap
from recops.state.trie import SidTrie


def trie_next_logits(
    logits: Tensor,
    sequences: Tensor,
    trie: SidTrie,
    token_map: TokenMap,
    *,
    prompt_length: int | None,
    begin_token: int,
    end_tokens: Sequence[int],
    allowed: ItemMask | None = None,
) -> Tensor:
    """``logits``, and −inf for each token that may not follow its sequence.

    A sequence's semantic ID begins after ``prompt_length`` tokens, or (None) after its last
    ``begin_token``. Allowed are the children of the node that its tokens lead to; where there are
    none, the ``end_tokens``, with logit 0. Without a ``begin_token`` in reach of the trie's depth,
    a row is as it was.

    Args:
        logits: ``[R, V]`` float32, bfloat16, float16 or float64.
        sequences: ``[R, T]`` int32 or int64, the model's tokens.
        trie: the catalogue.
        token_map: its tokens among the model's.
        prompt_length: T or less.
        begin_token: read where ``prompt_length`` is None.
        end_tokens: below V.
        allowed: one mask for all rows, or B masks for R / B rows each.

    Returns:
        ``[R, V]`` of the logits' dtype. O(R · V) to write, and the real children.

    Raises:
        ValueError: another shape, dtype or number of masks; a token outside V; a sequence shorter
            than ``prompt_length``; a mask of another trie.
    """
    op = "SidTrieLogitsProcessor"
    check_tensor(op, "scores", logits, ndim=2, dtypes=FLOATS, device=trie.device)
    check_tensor(op, "input_ids", sequences, ndim=2, dtypes=INDICES, device=trie.device)
    sequences = sequences.long()
    return ops.trie_next_logits(
        logits,
        sequences,
        -1 if prompt_length is None else prompt_length,
        begin_token,
        tensors_of([trie]),
        trie.vocab_sizes,
        token_map.model_tokens,
        token_map.trie_tokens,
        end_tokens,
        [] if allowed is None else masks_of(op, allowed, [trie]),
    )


def _fake_next_logits(
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    begin_token: int,
    trie: list[Tensor],
    vocab_sizes: list[int],
    model_tokens: Tensor,
    trie_tokens: Tensor,
    end_tokens: list[int],
    allowed: list[Tensor],
) -> Tensor:
    return logits.new_empty(logits.shape)


torch.library.register_fake("recops::trie_next_logits", _fake_next_logits)
