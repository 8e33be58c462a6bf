"""Semantic IDs in the format of MiniOneRec and LETTER: ``{"0": ["<a_183>", "<b_70>", …], …}``."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import torch
from torch import Tensor

from recops.files import read_bounded

__all__ = ["codes_of_tokens", "read_index_json"]

_TOKEN = re.compile(r"<([a-z])_(\d{1,9})>")
_ID_LIMIT = 1 << 63


def codes_of_tokens(tokens: object) -> list[int] | None:
    """Convert ``["<a_183>", "<b_70>"]`` to ``[183, 70]``; return None for any other format."""
    if not isinstance(tokens, list):
        return None
    codes = []
    for level, token in enumerate(tokens):
        match = _TOKEN.fullmatch(token) if isinstance(token, str) else None
        if match is None or ord(match[1]) - ord("a") != level:
            return None
        codes.append(int(match[2]))
    return codes


def read_index_json(path: str | os.PathLike[str]) -> tuple[Tensor, Tensor]:
    """Read the semantic IDs of an ``….index.json`` file, for :meth:`recops.SidTrie.from_sids`.

    ::

        trie = recops.SidTrie.from_sids(*recops.read_index_json("office.index.json"))

    Args:
        path: a file with a JSON object. Its keys are item ids, integers as strings. Its values are
            lists with one token per level: ``<a_…>``, then ``<b_…>``, and so on, with the code.

    Returns:
        ``(sids [N, L] int32, item_ids [N] int64)`` in the order of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file has another format, contains an item twice (the message names the
            first), or is larger than 1 GiB.

    Time and memory are O(size of the file).

    Source: the files that MiniOneRec and LETTER write.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "office.index.json"
        ...     _ = file.write_text('{"7": ["<a_3>", "<b_0>"], "9": ["<a_0>", "<b_1>"]}')
        ...     sids, item_ids = recops.read_index_json(file)
        >>> sids.tolist(), item_ids.tolist()
        ([[3, 0], [0, 1]], [7, 9])
    """
    try:
        pairs = json.loads(read_bounded(path), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(pairs, _Pairs) or not pairs:
        raise ValueError(f"{path}: must hold an object from item id to tokens such as <a_183>")
    sids: dict[int, list[int]] = {}
    depth = 0
    for key, tokens in pairs:
        item = _item_id(path, key)
        codes = codes_of_tokens(tokens)
        depth = depth or len(codes or ())
        if not codes or len(codes) != depth:
            shape = f"{depth} tokens" if depth else "a list of tokens"
            raise ValueError(
                f"{path}: the semantic ID of item {key} must be {shape} <a_…>, <b_…>, …, "
                f"got {json.dumps(tokens)[:80]}"
            )
        if item in sids:
            raise ValueError(f"{path}: item ids must be unique, got {key} twice")
        sids[item] = codes
    return torch.tensor(list(sids.values()), dtype=torch.int32), torch.tensor(list(sids))


class _Pairs(list[tuple[str, Any]]):
    """Key-value pairs of a JSON object, including repeated keys."""


def _item_id(path: str | os.PathLike[str], key: str) -> int:
    if (
        not re.fullmatch(r"-?\d{1,19}", key, flags=re.ASCII)
        or not -_ID_LIMIT <= int(key) < _ID_LIMIT
    ):
        raise ValueError(f"{path}: item ids must be integers of 64 bits, got {key[:40]!r}")
    return int(key)
