"""Recommend with a package of ``recops export``: torch and recops, no model's Python code.

recops train tiger --data ml-100k --out runs/tiger
recops export runs/tiger --out tiger.pt2
python examples/exported_decoder.py tiger.pt2 50 172 181
"""

from __future__ import annotations

import argparse
import json
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

    Raises:
        ValueError: the package is of another format, or the trie of other vocabularies.
    """

    def __init__(self, package: Path) -> None:
        self.encode = load_package(str(package), "encode")
        metadata = self.encode.get_metadata()
        if metadata["recops_format"] != "2":
            raise ValueError(
                "ExportedDecoder: package must be of format 2, got "
                f"{metadata['recops_format']}; export its model again"
            )
        self.window, self.beams = int(metadata["window"]), int(metadata["beams"])
        self.told = [name for name in metadata["told"].split(",") if name]
        self.tasks: list[str] = json.loads(metadata["tasks"])
        self.steps = [
            load_package(str(package), f"step_{step}") for step in range(int(metadata["steps"]))
        ]
        rescores = metadata["rescores"] == "yes"
        self.rescore = load_package(str(package), "rescore") if rescores else None
        self.trie = recops.SidTrie.load(package.with_suffix(".trie.safetensors"))
        sizes = ",".join(map(str, self.trie.vocab_sizes))
        if sizes != metadata["vocab_sizes"]:
            raise ValueError(
                f"ExportedDecoder: the trie's vocab_sizes must be {metadata['vocab_sizes']}, as "
                f"the package's, got {sizes}"
            )

    def recommend(
        self,
        histories: Sequence[Sequence[int]],
        k: int,
        *,
        tasks: Sequence[str] = (),
        users: Sequence[int] = (),
    ) -> recops.BeamResult:
        """The best ``k`` items after each history of item ids, none of which is in it.

        Args:
            histories: of B requests.
            k: how many items.
            tasks: where each request is made, by name, if the model tells tasks apart.
            users: who makes it, by id, if the model has fields of users; one whom training did not
                know is nobody.

        Raises:
            ValueError: an empty history; ``k`` < 1; more or fewer tasks or users than the model
                goes by; there is no such task.
        """
        told = self._told(histories, tasks, users)
        if k < 1:
            raise ValueError(f"recommend: k must be 1 or more, got {k}")
        last = [list(history[-self.window :]) for history in histories]
        lengths = torch.tensor([len(items) for items in last])
        ids = torch.tensor([items + [0] * (self.window - len(items)) for items in last])
        read, steps = self.encode(ids, lengths, *told), iter(self.steps)
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
            num_beams=max(k, self.beams),
            banned=[torch.tensor(history) for history in histories],
        )
        scores = found.scores
        if self.rescore is not None:
            scores = scores + self.rescore(read, found.item_ids)
        best = scores.sort(dim=-1, descending=True, stable=True)
        place = best.indices[:, :k]
        sids = found.sids.gather(1, place[..., None].expand(-1, -1, found.sids.shape[-1]))
        return recops.BeamResult(found.item_ids.gather(1, place), sids, best.values[:, :k])

    def _told(
        self, histories: Sequence[Sequence[int]], tasks: Sequence[str], users: Sequence[int]
    ) -> list[Tensor]:
        """What ``encode`` takes beside histories, which it does not check."""
        for row, history in enumerate(histories):
            if not len(history):
                raise ValueError(f"recommend: histories[{row}] must be 1 item or more, got 0")
        goes_by = " and ".join(self.told) or "histories alone"
        for name, values in (("task", tasks), ("user", users)):
            due = len(histories) if name in self.told else 0
            if len(values) != due:
                raise ValueError(
                    f"recommend: {name}s must be {due}, as the model goes by {goes_by}, got "
                    f"{len(values)}"
                )
        for task in tasks:
            if task not in self.tasks:
                known = ", ".join(self.tasks[:20])
                raise ValueError(f"recommend: tasks must be among {known}, got {task}")
        given = {"task": [self.tasks.index(task) for task in tasks], "user": list(users)}
        return [torch.tensor(given[name]) for name in self.told]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", type=Path)
    parser.add_argument("history", type=int, nargs="+", help="ids of items, the latest one last")
    parser.add_argument("--task", nargs=1, default=[], help="if the model tells tasks apart")
    parser.add_argument("--user", nargs=1, default=[], type=int, help="if it has fields of users")
    asked = parser.parse_args()
    decoder = ExportedDecoder(asked.package)
    found = decoder.recommend([asked.history], 10, tasks=asked.task, users=asked.user)
    for item, score in zip(found.item_ids[0].tolist(), found.scores[0].tolist(), strict=True):
        print(item, round(score, 3))
