"""Time of a request to UniRec by part, with the paper's sizes and a large catalogue.

    python bench/unirec_decoding.py --items 1500000 --beams 256

The program reports CPU time of one thread for encoding the history, for the network's steps, and
for the ops of recops: the beam step of each level and the look-up of items at the end. Weights and
catalogue are random, since neither influences the time. The item table is empty, as for items added
after training; decoding does not read it. For comparison the program ranks all items by the product
of their vectors with a state, as SASRec does.
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
"""Sizes of the levels in the paper (arXiv 2604.12234): two attributes and three codes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, default in (("items", 1_500_000), ("beams", 256), ("width", 256), ("history", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--batch", type=int, default=1, help="requests per call")
    parser.add_argument(
        "--requests", type=int, default=9, help="number of calls; the median is reported"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = build(options.items, options.width, options.history, options.beams)
    history = torch.randint(1, options.items + 1, (options.batch, options.history))
    lengths = torch.full((options.batch,), options.history)
    times = latency(
        model,
        history,
        lengths,
        beams=options.beams,
        repeats=options.requests,
        clock=time.process_time,
    )
    steps = len(SIZES)
    print(
        f"CPU time of a call with {options.batch} requests (ms): {times.total:.1f}\n"
        f"  history       {times.encode:8.2f}\n"
        f"  network       {times.steps:8.2f}, {times.steps / steps:.2f} per step\n"
        f"  recops ops    {times.beam:8.2f}, {times.beam / steps:.2f} per step, "
        f"{times.beam / (times.steps + times.beam):.1%} of network and ops"
    )
    rows = torch.randn(options.items, options.width)
    ranking_ms = statistics.median(_every_item_ms(rows, options) for _ in range(options.requests))
    print(f"Ranking all items by their vectors (ms): {ranking_ms:.1f}; {rows.nbytes / 1e9:.2f} GB")


def _every_item_ms(rows: torch.Tensor, options: argparse.Namespace) -> float:
    state = torch.randn(options.batch, options.width)
    start = time.process_time()
    (state @ rows.T).topk(options.beams)
    return 1e3 * (time.process_time() - start)


def build(items: int, width: int, history: int, beams: int) -> UniRec:
    """Return the paper's network with a catalogue of Zipf-distributed tokens at every level."""
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
