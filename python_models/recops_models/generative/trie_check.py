"""Check that a trie, the paths of its items and a model's vocabularies agree."""

from __future__ import annotations

import torch
from torch import Tensor

import recops

_SAMPLED_ITEMS = 1000
"""Number of items whose paths are looked up: each insertion into a large catalogue runs this check,
and must not cost a look-up of the whole catalogue."""


def check_trie(
    owner: str, trie: recops.SidTrie, paths: Tensor, vocab_sizes: tuple[int, ...]
) -> None:
    """Check that a model with ``vocab_sizes`` can decode ``trie``, whose items have ``paths``.

    The paths of up to about a thousand items, evenly spaced, are looked up in the trie.

    Args:
        owner: name of the caller, for errors.
        trie: its item ids are rows of ``paths``.
        paths: ``[N, S]`` integers, from 0.
        vocab_sizes: number of tokens per position.

    Raises:
        ValueError: the trie has other vocabularies or an item without a path, a token is out of
            range, or a sampled item is not on its path.

    Example:
        >>> import torch
        >>> import recops
        >>> from recops_models.generative.trie_check import check_trie
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])
        >>> trie = recops.SidTrie.from_sids(paths, vocab_sizes=(2, 2))
        >>> check_trie("serve", trie, paths, vocab_sizes=(2, 2))
        >>> check_trie("serve", trie, paths, vocab_sizes=(2, 3))
        Traceback (most recent call last):
            ...
        ValueError: serve: trie must have the model's vocab_sizes (2, 3), got (2, 2)
    """
    if trie.vocab_sizes != vocab_sizes:
        raise ValueError(
            f"{owner}: trie must have the model's vocab_sizes {vocab_sizes}, got {trie.vocab_sizes}"
        )
    sizes = torch.tensor(vocab_sizes, device=paths.device)
    outside = ((paths < 0) | (paths >= sizes)).nonzero()
    if len(outside):
        item, step = (int(index) for index in outside[0])
        raise ValueError(
            f"{owner}: paths must be from 0 to {vocab_sizes[step] - 1} at step {step}, got "
            f"{int(paths[item, step])} for item {item}"
        )
    ids = trie.item_ids
    unknown = ids[(ids < 0) | (ids >= len(paths))]
    if len(unknown):
        raise ValueError(
            f"{owner}: trie must hold items from 0 to {len(paths) - 1}, which have paths, got "
            f"{int(unknown[0])}"
        )
    row = torch.arange(0, len(ids), max(1, len(ids) // _SAMPLED_ITEMS), device=ids.device)
    leaf, position = trie.find(paths[ids[row]]).long(), trie.num_nodes + row
    first_child = trie.first_child
    on_path = (leaf >= 0) & (first_child[leaf] <= position) & (position < first_child[leaf + 1])
    if not on_path.all():
        item = int(ids[row[~on_path][0]])
        raise ValueError(
            f"{owner}: trie must have each item on its path, got item {item} on another path than "
            f"{[int(token) for token in paths[item]]}"
        )
