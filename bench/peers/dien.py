"""Training steps of DIEN in recops and in plain torch, with the paper's sizes and equal weights.

``python bench/peers/dien.py`` prints a row for each length and kind of auxiliary loss. Losses and
gradients are compared before the timing. If DeepCTR-Torch is installed, its DIEN, whose scorer is
an MLP, is timed as well, from different weights.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.util import find_spec

import torch
from dien_loop import CONFIG, ROWS, Step

from recops.benchmarks.timing import interleave_all


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 400])
    parser.add_argument(
        "--seconds", type=float, default=15, help="time of interleaved steps per row"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"B={ROWS}\n\n| T | auxiliary loss | peer | recops (ms) | peer (ms) | peer : recops |")
    print("| --- | --- | --- | --- | --- | --- |")
    for steps in options.steps:
        for auxiliary in ("mlp", "inner"):
            step = Step(steps, replace(CONFIG, auxiliary=auxiliary))
            step.verify()
            peers = {"plain torch": step.run_plain}
            if auxiliary == "mlp" and find_spec("deepctr_torch"):
                from dien_deepctr import make_step

                peers["DeepCTR-Torch"] = make_step(steps)
            seconds, *peer_seconds = interleave_all(
                [step.run, *peers.values()], seconds=options.seconds
            )
            for name, peer in zip(peers, peer_seconds, strict=True):
                times = f"{seconds * 1e3:.0f} | {peer * 1e3:.0f} | {peer / seconds:.1f}"
                print(f"| {steps} | {auxiliary} | {name} | {times} |", flush=True)


if __name__ == "__main__":
    main()
