"""Recommend with a package of ``recops export``: torch and recops, no model's Python code.

recops train tiger --data ml-100k --out runs/tiger
recops export runs/tiger --out tiger.pt2
python examples/exported_decoder.py tiger.pt2 50 172 181
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch._inductor.package import load_package

import recops


class ExportedDecoder:
    """A compiled encoder, its steps, and the trie beside them; a newer trie may take its place.

    Args:
        package: what ``recops export`` wrote of a model that spells items.
    """

    def __init__(self, package: Path) -> None:
        self.encode = load_package(str(package), "encode")
        told = self.encode.get_metadata()
        self.window = int(told["window"])
        self.steps = [
            load_package(str(package), f"step_{step}") for step in range(int(told["steps"]))
        ]
        self.rescore = load_package(str(package), "rescore") if told["rescores"] == "yes" else None
        self.trie = recops.SidTrie.load(package.with_suffix(".trie.safetensors"))

    def recommend(self, histories: Sequence[Sequence[int]], beams: int) -> recops.BeamResult:
        """The best ``beams`` items after each history of item ids, none of which is in it."""
        last = [list(history[-self.window :]) for history in histories]
        lengths = torch.tensor([len(items) for items in last])
        ids = torch.tensor([items + [0] * (self.window - len(items)) for items in last])
        read, steps = self.encode(ids, lengths), iter(self.steps)
        kept: list[Tensor] = []

        def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
            nonlocal kept
            grown = () if tokens is None else (kept, tokens, parents)
            logits, kept = next(steps)(read, *grown)
            return logits

        found = recops.constrained_beam_search(
            step,
            self.trie,
            batch_size=len(histories),
            num_beams=beams,
            banned=[torch.tensor(history) for history in histories],
        )
        if self.rescore is None:
            return found
        scores = found.scores + self.rescore(read, found.item_ids)
        best = scores.sort(dim=-1, descending=True, stable=True)
        sids = found.sids.gather(1, best.indices[..., None].expand_as(found.sids))
        return recops.BeamResult(found.item_ids.gather(1, best.indices), sids, best.values)


if __name__ == "__main__":
    package, *history = sys.argv[1:]
    found = ExportedDecoder(Path(package)).recommend([[int(item) for item in history]], beams=50)
    for item, score in zip(found.item_ids[0, :10].tolist(), found.scores[0].tolist(), strict=False):
        print(item, round(score, 3))
