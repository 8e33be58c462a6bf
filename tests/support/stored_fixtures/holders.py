"""A trie, a catalogue and a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from recops import ItemMask, SidCatalog, SidTrie, constrained_beam_search
from stored_fixtures.fixture import StoredFixture, Values

_SIZES = (4, 3, 5)
_ITEMS = 30


def _items() -> tuple[Tensor, Tensor]:
    """Return item ids and semantic IDs; some items share theirs."""
    index = torch.arange(_ITEMS)
    sids = torch.stack([index % 4, index // 4 % 3, index // 2 % 5], 1)
    return 100 + 7 * index, sids.int()


def _search(trie: SidTrie, mask: ItemMask | None = None) -> Values:
    """Decode ten items with logits that depend on the token alone."""
    logits = [torch.linspace(0, level + 1, size).cos() for level, size in enumerate(_SIZES)]
    steps = iter(logits)

    def step(tokens: Tensor | None, _: Tensor | None) -> Tensor:
        beams = 1 if tokens is None else tokens.shape[1]
        return next(steps).expand(1, beams, -1)

    result = constrained_beam_search(step, trie, batch_size=1, num_beams=10, allowed=mask)
    return {
        "item_ids": result.item_ids.tolist(),
        "sids": result.sids.tolist(),
        "scores": result.scores.tolist(),
    }


def _write_trie(folder: Path) -> None:
    ids, sids = _items()
    SidTrie.from_sids(sids, ids, vocab_sizes=_SIZES).save(folder / "trie.safetensors")


def _open_trie(folder: Path) -> SidTrie:
    return SidTrie.load(folder / "trie.safetensors")


def _read_trie(folder: Path) -> Values:
    trie = _open_trie(folder)
    tensors = ("first_child", "tokens", "item_ids", "item_rows", "id_order")
    return {
        "vocab_sizes": list(trie.vocab_sizes),
        **{name: getattr(trie, name).tolist() for name in tensors},
        "search": _search(trie),
    }


def _write_catalogue(folder: Path) -> None:
    ids, sids = (tensor.numpy() for tensor in _items())
    catalogue = SidCatalog(_SIZES)
    catalogue.insert(ids[:20], sids[:20])
    catalogue.remove(ids[3:6])
    catalogue.insert(ids[20:], sids[20:])
    catalogue.save(folder / "catalogue.safetensors")


def _read_catalogue(folder: Path) -> Values:
    """Open a catalogue, search in it, and change it."""
    catalogue = SidCatalog.load(folder / "catalogue.safetensors")
    values: Values = {
        "vocab_sizes": list(catalogue.vocab_sizes),
        "version": catalogue.version,
        "items": len(catalogue),
        "item_ids": catalogue.snapshot().item_ids.tolist(),
        "search": _search(catalogue.snapshot()),
    }
    catalogue.insert(np.array([1]), np.array([[0, 0, 0]]))
    values["version after a change"] = catalogue.version
    return values


def _write_mask(folder: Path) -> None:
    _write_trie(folder)
    trie = _open_trie(folder)
    mask = trie.mask(drop=trie.item_ids[::3])
    tensors = {"words": mask.words, "stamp": mask.stamp}
    safetensors.torch.save_file(tensors, folder / "mask.safetensors")


def _read_mask(folder: Path) -> Values:
    """Search with the stored words of a mask."""
    trie = _open_trie(folder)
    mask = ItemMask(**safetensors.torch.load_file(folder / "mask.safetensors"))
    return {
        "words": mask.words.tolist(),
        "search": _search(trie, mask),
    }


HOLDERS = {
    "trie": StoredFixture(_write_trie, _read_trie),
    "catalogue": StoredFixture(_write_catalogue, _read_catalogue),
    "mask": StoredFixture(_write_mask, _read_mask),
}
