"""Recommendations from a package of ``recops export``, with torch and recops only.

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
    """Compiled encoder and decoding steps of a model, with the trie of its catalogue.

    A newer trie file may replace the one next to the package.

    Args:
        package: output of ``recops export`` for a model with beam search.

    Raises:
        ValueError: the package has another format, or the trie has other vocabulary sizes.
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
        self.inputs = [name for name in metadata["told"].split(",") if name]
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
                f"ExportedDecoder: the trie's vocab_sizes must be {metadata['vocab_sizes']}, "
                f"like the package's, got {sizes}"
            )

    def recommend(
        self,
        histories: Sequence[Sequence[int]],
        k: int,
        *,
        tasks: Sequence[str] = (),
        users: Sequence[int] = (),
    ) -> recops.BeamResult:
        """Return the best ``k`` items for each history, without the items of the history.

        Args:
            histories: item ids of B requests, oldest first.
            k: number of items.
            tasks: name of each request's task, if the model has tasks.
            users: user id of each request, if the model has user fields. A user whom training did
                not know has no fields.

        Raises:
            ValueError: a history is empty, ``k`` < 1, the number of tasks or users is wrong, or a
                task is unknown.
        """
        context = self._context(histories, tasks, users)
        if k < 1:
            raise ValueError(f"recommend: k must be 1 or more, got {k}")
        last = [list(history[-self.window :]) for history in histories]
        lengths = torch.tensor([len(items) for items in last])
        ids = torch.tensor([items + [0] * (self.window - len(items)) for items in last])
        read, steps = self.encode(ids, lengths, *context), iter(self.steps)
        state: list[Tensor] = []

        def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
            nonlocal state
            beams = () if tokens is None else (state, tokens, parents)
            logits, state = next(steps)(read, *beams)
            return logits

        result = recops.constrained_beam_search(
            step,
            self.trie,
            batch_size=len(histories),
            num_beams=max(k, self.beams),
            banned=[torch.tensor(history) for history in histories],
        )
        scores = result.scores
        if self.rescore is not None:
            scores = scores + self.rescore(read, result.item_ids)
        best = scores.sort(dim=-1, descending=True, stable=True)
        order = best.indices[:, :k]
        sids = result.sids.gather(1, order[..., None].expand(-1, -1, result.sids.shape[-1]))
        return recops.BeamResult(result.item_ids.gather(1, order), sids, best.values[:, :k])

    def _context(
        self, histories: Sequence[Sequence[int]], tasks: Sequence[str], users: Sequence[int]
    ) -> list[Tensor]:
        """Check and convert the additional inputs of ``encode``, which it does not check."""
        for row, history in enumerate(histories):
            if not len(history):
                raise ValueError(f"recommend: histories[{row}] must have at least 1 item, got 0")
        inputs = " and ".join(["history", *self.inputs])
        for name, values in (("task", tasks), ("user", users)):
            expected = len(histories) if name in self.inputs else 0
            if len(values) != expected:
                raise ValueError(
                    f"recommend: {name}s must have {expected} entries, because the model's inputs "
                    f"are {inputs}, got {len(values)}"
                )
        for task in tasks:
            if task not in self.tasks:
                known = ", ".join(self.tasks[:20])
                raise ValueError(f"recommend: tasks must be among {known}, got {task}")
        values_of = {"task": [self.tasks.index(task) for task in tasks], "user": list(users)}
        return [torch.tensor(values_of[name]) for name in self.inputs]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("package", type=Path)
    parser.add_argument("history", type=int, nargs="+", help="item ids, the latest last")
    parser.add_argument("--task", nargs=1, default=[], help="task name, if the model has tasks")
    parser.add_argument(
        "--user", nargs=1, default=[], type=int, help="user id, if the model has user fields"
    )
    options = parser.parse_args()
    decoder = ExportedDecoder(options.package)
    result = decoder.recommend([options.history], 10, tasks=options.task, users=options.user)
    for item, score in zip(result.item_ids[0].tolist(), result.scores[0].tolist(), strict=True):
        print(item, round(score, 3))
