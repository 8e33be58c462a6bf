"""Whether a trie, its items' paths and a model belong together."""

from __future__ import annotations

import torch
from torch import Tensor

import recops

_LOOKED_UP = 1000
"""Items of a trie whose paths are looked up. All 1.5 M of a catalogue would take .3 s of one core
of an AMD EPYC (Zen 4), where an insertion takes 6 ms."""


def check_trie(trie: recops.SidTrie, paths: Tensor, vocab_sizes: tuple[int, ...]) -> None:
    """That a model of ``vocab_sizes`` can decode ``trie``, whose items have ``paths [N, S]``.

    Raises:
        ValueError: other vocabularies; a token outside its own; an item that is not one of the N,
            or stands on another path. Of many items, some evenly spaced ones are looked up.
    """
    if trie.vocab_sizes != vocab_sizes:
        raise ValueError(
            f"UniRec.over: trie must have the model's vocab_sizes {vocab_sizes}, got "
            f"{trie.vocab_sizes}"
        )
    sizes = torch.tensor(vocab_sizes, device=paths.device)
    outside = ((paths < 0) | (paths >= sizes)).nonzero()
    if len(outside):
        item, step = outside[0].tolist()
        raise ValueError(
            f"UniRec.over: paths must be from 0 to {vocab_sizes[step] - 1} at step {step}, got "
            f"{int(paths[item, step])} of item {item}"
        )
    ids = trie.item_ids
    strange = ids[(ids < 0) | (ids >= len(paths))]
    if len(strange):
        raise ValueError(
            f"UniRec.over: trie must hold items from 0 to {len(paths) - 1}, those that have paths, "
            f"got {int(strange[0])}"
        )
    place = torch.arange(0, len(ids), max(1, len(ids) // _LOOKED_UP), device=ids.device)
    leaf, position = trie.find(paths[ids[place]]).long(), trie.num_nodes + place
    below = trie.first_child
    there = (leaf >= 0) & (below[leaf] <= position) & (position < below[leaf + 1])
    if not there.all():
        item = int(ids[place[~there][0]])
        raise ValueError(
            f"UniRec.over: trie must have the items on their paths, got item {item} on another "
            f"than {paths[item].tolist()}"
        )
