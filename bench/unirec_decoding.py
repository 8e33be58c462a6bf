"""What a request to UniRec costs by part, at the paper's sizes over a large catalogue.

    python bench/unirec_decoding.py --items 1500000 --beams 256

CPU time of one thread: of reading the history, of the network's steps, and of what is recops' own
(the beam op of each step and the look-up of items at the end). Weights and catalogue are drawn:
what is measured depends on neither. The item table holds no row, as of a catalogue that came since
training; a look-up of rows is no part of a step. Beside it the control that UniRec never is: one
product of every item's row with a state, as SASRec ranks, and the best of it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import recops
from recops_models.generative.latency import latency
from recops_models.generative.unirec import UniRec, UniRecConfig

SIZES = (30, 300, 4000, 4000, 4000)
"""Two attributes, then three codes of 4,000, the paper's (arXiv 2604.12234)."""


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
    found = latency(
        model, history, lengths, beams=asked.beams, repeats=asked.requests, clock=time.process_time
    )
    steps = len(SIZES)
    print(
        f"requests at a time: {asked.batch}; CPU time of them together, ms: {found.total:.1f}\n"
        f"  history read  {found.encode:8.2f}\n"
        f"  network       {found.steps:8.2f}, {found.steps / steps:.2f} a step\n"
        f"  recops {found.beam:15.2f}, {found.beam / steps:.2f} a step, "
        f"{found.beam / (found.steps + found.beam):.1%} of both"
    )
    rows = torch.randn(asked.items, asked.width)
    spent = statistics.median(_every_item_ms(rows, asked) for _ in range(asked.requests))
    print(f"  every item by its score instead {spent:.1f}, {rows.nbytes / 1e9:.2f} GB of rows")


def _every_item_ms(rows: torch.Tensor, asked: argparse.Namespace) -> float:
    state = torch.randn(asked.batch, asked.width)
    start = time.process_time()
    (state @ rows.T).topk(asked.beams)
    return 1e3 * (time.process_time() - start)


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
    return trained.with_catalogue(paths, torch.ones(items), trie)


if __name__ == "__main__":
    main()
