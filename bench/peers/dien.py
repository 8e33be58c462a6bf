"""A training step of DIEN beside its plain torch form: the paper's sizes, one set of weights.

``python bench/peers/dien.py`` prints a row for each length and kind of auxiliary loss. Losses and
gradients are compared before anything is timed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from dien_loop import CONFIG, ROWS, Step

from recops.benchmarks.timing import interleave


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--seconds", type=float, default=15, help="of interleaved steps a row")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"B={ROWS}\n\n| T | auxiliary loss | recops | plain torch | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for steps in options.steps:
        for auxiliary in ("mlp", "inner"):
            step = Step(steps, replace(CONFIG, auxiliary=auxiliary))
            step.verify()
            ours, plain = interleave(step.run, step.run_plain, seconds=options.seconds)
            times = f"{ours * 1e3:.0f} ms | {plain * 1e3:.0f} ms | {plain / ours:.1f}"
            print(f"| {steps} | {auxiliary} | {times} |", flush=True)


if __name__ == "__main__":
    main()
