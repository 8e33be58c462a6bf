"""Composite of the mask of a language model's next logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops._checks import check_integer
from recops.ops._data_checks import DataChecks
from recops.ops._shapes import check_dim, check_numel
from recops.ops.trie.composite._filter import ItemFilter
from recops.ops.trie.composite._tries import FlatTries

_OP = "SidTrieLogitsProcessor"


def trie_next_logits(
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    begin_token: int,
    trie: Sequence[Tensor],
    vocab_sizes: Sequence[int],
    model_tokens: Tensor,
    trie_tokens: Tensor,
    end_tokens: Sequence[int],
    allowed: Sequence[Tensor],
) -> Tensor:
    """Compute ``recops::trie_next_logits``. Reads the device once, for the checks.

    Slower than a dedicated kernel: it copies all logits three times and finds the node of a
    sequence by a binary search per level, each step of which is several kernels.
    """
    check_dim(_OP, "scores", logits, 2)
    check_dim(_OP, "input_ids", sequences, 2)
    (rows, vocab), depth = logits.shape, len(vocab_sizes)
    _check_shapes(logits, sequences, prompt_length, trie_tokens, depth, end_tokens)
    checks = DataChecks()
    checks.add(
        (model_tokens < 0) | (model_tokens >= vocab),
        lambda wrong: ValueError(
            f"{_OP}: token_map must hold columns of scores, from 0 to {vocab - 1}, "
            f"got {int(model_tokens[wrong[0]])}"
        ),
    )
    masks = _masks_of_rows(allowed, rows)
    for vocab_size in vocab_sizes:
        check_integer(_OP, "vocab_sizes", vocab_size, least=1)
    tries = FlatTries(_OP, [trie], depth, None, rows, checks)
    items = ItemFilter(_OP, tries, [trie[2]], masks, None, checks)
    check_numel(_OP, "token_map", model_tokens, sum(vocab_sizes))

    level = _tokens_so_far(sequences, prompt_length, begin_token, depth)
    node = _last_node(tries, sequences, level, trie_tokens)
    begin, end = tries.children(node.where(level < depth, -1))
    size, first = _levels(level, vocab_sizes)
    width = min(max(vocab_sizes), tries.most_children)
    child = begin[:, None] + torch.arange(width, device=logits.device)
    is_child = child < end[:, None]
    token = tries.token(child)
    # Tokens of siblings ascend, so the last child has the largest.
    is_bad = (end - begin > width) | ((end > begin) & (tries.token(end - 1) >= size))
    checks.add(
        is_bad | (is_child & ((token < 0) | (token >= size[:, None]))).any(1),
        lambda _: ValueError(
            f"{_OP}: trie must hold tokens of its levels' vocabularies, got others"
        ),
    )
    if not items.allows_all:
        is_child &= items.allows_any(*tries.items(child))
    entry = (first[:, None] + token).clamp(0, len(model_tokens) - 1)
    column = model_tokens[entry].long().clamp(0, max(vocab - 1, 0)).where(is_child, vocab)
    # Absent children write −inf to an extra column.
    wide = pad(logits, (0, 1), value=-torch.inf)
    result = torch.full_like(wide, -torch.inf).scatter(1, column, wide.gather(1, column))
    result = result[:, :vocab].masked_fill(
        ~is_child.any(1, keepdim=True) & _ends(logits, end_tokens), 0
    )
    if prompt_length < 0:
        result = torch.where((level > depth)[:, None], logits, result)
    checks.read()
    return result.contiguous()


def trie_next_logits_(
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    begin_token: int,
    trie: Sequence[Tensor],
    vocab_sizes: Sequence[int],
    model_tokens: Tensor,
    trie_tokens: Tensor,
    end_tokens: Sequence[int],
    allowed: Sequence[Tensor],
) -> None:
    """Compute ``recops::trie_next_logits_``, which overwrites the logits."""
    logits.copy_(
        trie_next_logits(
            *(logits, sequences, prompt_length, begin_token, trie, vocab_sizes),
            *(model_tokens, trie_tokens, end_tokens, allowed),
        )
    )


def _masks_of_rows(allowed: Sequence[Tensor], rows: int) -> Sequence[Tensor]:
    """Return masks with one row of words per row of logits, or one mask for all."""
    if not allowed or allowed[0].ndim != 2:
        return allowed
    words, stamp = allowed
    masks = len(words)
    if (rows % masks if masks else rows) != 0:
        raise ValueError(
            f"{_OP}: allowed must have rows that divide those of scores, {rows}, got {masks}"
        )
    return [words.repeat_interleave(rows // masks, 0) if masks else words, stamp]


def _tokens_so_far(sequences: Tensor, prompt_length: int, begin_token: int, depth: int) -> Tensor:
    """Return the number of tokens of its semantic ID that each sequence has.

    It is above ``depth`` if the ID is complete or has no start.
    """
    rows, length = sequences.shape
    if prompt_length >= 0:
        return torch.full((rows,), length - prompt_length, device=sequences.device)
    tail = sequences[:, max(length - depth - 1, 0) :].flip(1)
    if tail.shape[1] == 0:
        return torch.full((rows,), depth + 1, device=sequences.device)
    is_begin = tail == begin_token
    count = torch.arange(tail.shape[1], device=sequences.device)
    return count.where(is_begin, depth + 1).amin(1)


def _last_node(tries: FlatTries, sequences: Tensor, level: Tensor, trie_tokens: Tensor) -> Tensor:
    """Return the node that the last ``level`` tokens of each sequence lead to, or −1."""
    rows, length = sequences.shape
    nodes = torch.zeros(rows, dtype=torch.int64, device=sequences.device)
    width = trie_tokens.shape[1]
    for step in range(min(tries.depth, length)):
        column = (length - level + step).clamp(0, length - 1)
        token = sequences.gather(1, column[:, None])[:, 0]
        is_known = (token >= 0) & (token < width)
        if width:
            token = trie_tokens[step][token.clamp(0, width - 1)].long()
        child = tries.find_child(nodes, token.where(is_known, -1))
        nodes = child.where(step < level, nodes)
    return nodes


def _levels(level: Tensor, vocab_sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the vocabulary size of each row's level, and the first entry in ``model_tokens``."""
    size = torch.full_like(level, vocab_sizes[-1])
    first = torch.full_like(level, sum(vocab_sizes[:-1]))
    for own, own_size in enumerate(vocab_sizes[:-1]):  # scalars need no copy from the host
        is_own = level == own
        size = size.masked_fill(is_own, own_size)
        first = first.masked_fill(is_own, sum(vocab_sizes[:own]))
    return size, first


def _ends(logits: Tensor, end_tokens: Sequence[int]) -> Tensor:
    """Return which columns of logits are end tokens."""
    is_end = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    for token in end_tokens:
        is_end[token].fill_(True)
    return is_end


def _check_shapes(
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    trie_tokens: Tensor,
    levels: int,
    end_tokens: Sequence[int],
) -> None:
    (rows, vocab), length = logits.shape, sequences.shape[1]
    if len(sequences) != rows:
        raise ValueError(
            f"{_OP}: input_ids must have a row for each of scores', {rows}, got {len(sequences)}"
        )
    if length < prompt_length:
        raise ValueError(
            f"{_OP}: prompt_length must be at most {length}, the tokens of input_ids, "
            f"got {prompt_length}"
        )
    depth, width = trie_tokens.shape
    if depth != levels or width > vocab:
        raise ValueError(
            f"{_OP}: token_map must name tokens of {levels} levels below the model's vocabulary of "
            f"{vocab}, got {list(trie_tokens.shape)}"
        )
    for token in end_tokens:
        if not 0 <= token < vocab:
            raise ValueError(
                f"{_OP}: eos_token_id must be a column of scores, from 0 to {vocab - 1}, "
                f"got {token}"
            )
