"""Mapping between the tokens of a trie and those of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recops._checks import (
    INDICES,
    INT32_MAX,
    check_device,
    check_integer,
    check_list,
    check_tensor,
)
from recops.state._holder import map_tensors, require_fit


@dataclass(frozen=True, eq=False)
class TokenMap:
    """Mapping between the tokens of each level of a trie and those of a language model.

    Attributes:
        model_tokens: ``[Σ vocab_sizes]`` int32, the model's token of each trie token, level by
            level.
        trie_tokens: ``[L, W]`` int32, the inverse: the trie token of each model token, or −1.

    Raises:
        TypeError: a tensor has another dtype.
        ValueError: a tensor has another shape or layout, or the tensors are on several devices.
    """

    model_tokens: Tensor
    trie_tokens: Tensor

    def __post_init__(self) -> None:
        require_fit(
            self,
            model_tokens=([torch.int32], "tokens"),
            trie_tokens=([torch.int32], "levels, width"),
        )

    def to(self, device: torch.device | str) -> TokenMap:
        """Return the map on ``device``; the same object if it is there already."""
        target = check_device("TokenMap.to", "device", device)
        return map_tensors(self, lambda tensor: tensor.to(target))

    @staticmethod
    def of(levels: Sequence[int | Tensor], vocab_sizes: Sequence[int]) -> TokenMap:
        """Build a map on the CPU from each level's first model token, or from all its tokens.

        Raises:
            TypeError: the ids are not integers.
            ValueError: the number of levels is wrong, a level has fewer ids than tokens, an id is
                negative, or one id stands for two tokens of a level.
        """
        op = "SidTrieLogitsProcessor"
        levels = check_list(op, "token_map", levels)
        if len(levels) != len(vocab_sizes):
            raise ValueError(
                f"{op}: token_map must have {len(vocab_sizes)} levels, got {len(levels)}"
            )
        tables = []
        for level, (level_ids, size) in enumerate(zip(levels, vocab_sizes, strict=True)):
            name = f"token_map[{level}]"
            if isinstance(level_ids, Tensor):
                check_tensor(op, name, level_ids, ndim=(0, 1), dtypes=INDICES)
            else:
                check_integer(op, name, level_ids)
            ids = torch.as_tensor(level_ids, device="cpu")
            ids = torch.arange(size, device="cpu") + ids if ids.ndim == 0 else ids[:size]
            if ids.shape != (size,):
                raise ValueError(f"{op}: {name} must name {size} tokens, got {len(ids)}")
            if not 0 <= int(ids.min()) <= int(ids.max()) <= INT32_MAX:
                raise ValueError(
                    f"{op}: {name} must hold ids from 0 to {INT32_MAX}, "
                    f"got {int(ids.min())} to {int(ids.max())}"
                )
            if len(ids.unique()) < size:
                raise ValueError(f"{op}: {name} must name each token once, got one twice")
            tables.append(ids.long())
        width = max(int(ids.max()) for ids in tables) + 1
        inverse = torch.full((len(tables), width), -1, device="cpu")
        for level, ids in enumerate(tables):
            inverse[level, ids] = torch.arange(len(ids), device="cpu")
        return TokenMap(torch.cat(tables).int(), inverse.int())
