"""Masking of a language model's logits to tokens that lead to items."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops._checks import FLOATS, INDICES, check_tensor
from recops._load import ops
from recops.ops._data_errors import raise_data_errors
from recops.ops.trie._batch import mask_tensors, trie_tensors
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
    in_place: bool = False,
) -> Tensor:
    """Return ``logits`` with −inf for each token that may not follow its sequence.

    The semantic ID of a sequence begins after ``prompt_length`` tokens. If that is None, it begins
    after the last ``begin_token``. The children of the node at the end of the sequence are allowed.
    If there are none, the ``end_tokens`` are allowed, with logit 0. If ``begin_token`` is used, a
    row without it, or with more than ``trie.depth`` tokens after the last one, is unchanged.

    On CUDA tensors a kernel runs for V up to 2^20 and at most 16 levels and 16 end tokens, and a
    composite otherwise. The kernel cannot raise errors in data: it fills the row with NaN, and
    :func:`recops.debug` raises the error.

    Args:
        logits: ``[R, V]`` float32, bfloat16, float16 or float64.
        sequences: ``[R, T]`` int32 or int64, the model's tokens.
        trie: the catalogue.
        token_map: the model's tokens that represent the trie's tokens.
        prompt_length: at most T.
        begin_token: token before a semantic ID; used if ``prompt_length`` is None.
        end_tokens: tokens below V that end a sequence.
        allowed: one mask for all rows, or B masks for R / B rows each.
        in_place: overwrite ``logits``, as a serving engine does. On CUDA this takes no memory.

    Returns:
        ``[R, V]`` of the logits' dtype, or ``logits`` if ``in_place``. Time is O(R · V) plus the
        number of children.

    Raises:
        ValueError: a shape, dtype or number of masks does not match, a token is outside V, a
            sequence is shorter than ``prompt_length``, or a mask is of another trie.
    """
    op = "SidTrieLogitsProcessor"
    check_tensor(op, "scores", logits, ndim=2, dtypes=FLOATS, device=trie.device)
    check_tensor(op, "input_ids", sequences, ndim=2, dtypes=INDICES, device=trie.device)
    sequences = sequences.long()
    arguments = (
        logits,
        sequences,
        -1 if prompt_length is None else prompt_length,
        begin_token,
        trie_tensors([trie]),
        trie.vocab_sizes,
        token_map.model_tokens,
        token_map.trie_tokens,
        end_tokens,
        [] if allowed is None else mask_tensors(op, allowed, [trie]),
    )
    if in_place:
        ops.trie_next_logits_(*arguments)
        result = logits
    else:
        result = ops.trie_next_logits(*arguments)
    raise_data_errors("trie_next_logits", arguments, result)
    return result


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


def _fake_next_logits_(
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
) -> None:
    return None


torch.library.register_fake("recops::trie_next_logits_", _fake_next_logits_)
