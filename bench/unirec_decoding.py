"""What a request to UniRec costs by part, at the paper's sizes over a large catalogue.

    python bench/unirec_decoding.py --items 1500000 --beams 256

CPU time of one thread: of reading the history, of the network's steps, and of what is recops' own
(the beam op of each step and the look-up of items at the end). Weights and catalogue are drawn:
what is measured depends on neither. The item table holds no row, as of a catalogue that came since
training; a look-up of rows is no part of a step.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import TypeVar

import torch

import recops
from recops_models.generative.unirec import UniRec, UniRecConfig

SIZES = (30, 300, 4000, 4000, 4000)
"""Two attributes, then three codes of 4,000, the paper's (arXiv 2604.12234)."""

Out = TypeVar("Out")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, default in (("items", 1_500_000), ("beams", 256), ("width", 256), ("history", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--batch", type=int, default=1, help="requests at a time")
    parser.add_argument("--requests", type=int, default=9, help="of which the median is told")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = build(asked.items, asked.width, asked.history, asked.beams)
    history = torch.randint(1, asked.items + 1, (asked.batch, asked.history))
    lengths = torch.full((asked.batch,), asked.history)
    parts = Parts()
    parts.time(model)
    for _ in range(asked.requests + 1):
        parts.begin()
        with torch.no_grad():
            model.decode(history, lengths, 10)
        parts.end()
    print(parts.told(len(SIZES)))


class Parts:
    """CPU seconds of each part of each request."""

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []

    def time(self, model: UniRec) -> None:
        """Have ``model`` tell what it takes to read and to spell."""
        model.read = self._timed("read", model.read)  # type: ignore[method-assign]
        model.spell = self._timed("spell", model.spell)  # type: ignore[method-assign]

    def begin(self) -> None:
        self._rows.append({"read": 0.0, "spell": 0.0})
        self._started = time.process_time()

    def end(self) -> None:
        self._rows[-1]["all"] = time.process_time() - self._started

    def told(self, steps: int) -> str:
        """The medians, the first request left out."""
        read, spell, whole = (
            1e3 * median(row[name] for row in self._rows[1:]) for name in ("read", "spell", "all")
        )
        ours = whole - read - spell
        return (
            f"CPU time a request, ms: {whole:.1f}\n"
            f"  history read  {read:8.2f}\n"
            f"  network       {spell:8.2f}, {spell / steps:.2f} a step\n"
            f"  recops {ours:15.2f}, {ours / steps:.2f} a step, {ours / (spell + ours):.1%} of both"
        )

    def _timed(self, name: str, function: Callable[..., Out]) -> Callable[..., Out]:
        def timed(*arguments: object, **named: object) -> Out:
            started = time.process_time()
            out = function(*arguments, **named)
            self._rows[-1][name] += time.process_time() - started
            return out

        return timed


def build(items: int, width: int, history: int, beams: int) -> UniRec:
    """The paper's network over a catalogue with a Zipf law of tokens at every level."""
    generator = torch.Generator().manual_seed(0)
    weights = [1 / torch.arange(1.0, size + 1) ** 0.8 for size in SIZES]
    draws = [each.multinomial(items, True, generator=generator) for each in weights]
    paths = torch.stack(draws, 1)
    torch.manual_seed(0)
    config = UniRecConfig(
        num_attributes=2, history=history, width=width, heads=8, history_layers=0, layers=3,
        experts=4, expert_hidden=4 * width, head_hidden=2 * width, hash_width=64,
        events="concat", item_scores=0.0, beams=beams,
    )  # fmt: skip
    trained = UniRec(paths[:1], SIZES, torch.ones(1), config).eval()
    trie = recops.SidTrie.from_sids(paths, vocab_sizes=SIZES)
    print(
        f"{items:,} items, {trie.num_nodes:,} nodes; d = {width}, {beams} beams, {len(SIZES)} steps"
    )
    return trained.over(paths, torch.ones(items), trie)


if __name__ == "__main__":
    main()
