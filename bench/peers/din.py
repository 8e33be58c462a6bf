"""DIN beside the DINs of DeepCTR-Torch and FuxiCTR: the same data, sizes and weights, one process.

``python bench/peers/din.py`` needs ``pip install "recops[models,peers]"``. All models start from
the same weights, and their probabilities are compared before anything is timed. Then steps on one
batch are interleaved, minimum against minimum; and each model is trained on the same batches in the
same order, for its test AUC. Each model is handed a batch in the form in which its own loader would
give it.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial

import torch
from din_contestants import Contestant, contestants

from recops.benchmarks.timing import interleave_all
from recops_models.evaluation.click_metrics import ClickMetrics
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.open_click import open_click_data

BATCH = 1024


def verify(sides: dict[str, Contestant], batch: Batch) -> None:
    """Raise where probabilities differ on rows that have a history.

    Rows without one are left out: peers take the mean of the padding's vectors there.
    """
    there = batch.lengths["history_item"] > 0
    due = sides["recops"].probability(batch)[there]
    for side in sides.values():
        found = side.probability(side.prepare(batch))[there]
        torch.testing.assert_close(found, due, rtol=1e-5, atol=1e-6)


def full_width(data: ClickData, max_len: int) -> Batch:
    """The first training batch whose longest history is ``max_len``."""
    batches = data.train.batches(BATCH, seed=0)
    return next(some for some in batches if some.features["history_item"].shape[1] == max_len)


def step_times(sides: dict[str, Contestant], batch: Batch, seconds: float) -> list[float]:
    """Seconds of a training step, each side's minimum."""
    steps = [partial(side.step, side.prepare(batch)) for side in sides.values()]
    return interleave_all(steps, seconds=seconds)


def test_auc(side: Contestant, data: ClickData, epochs: int) -> float:
    """AUC on the test part after so many epochs."""
    side.model.train()
    for epoch in range(epochs):
        for batch in data.train.batches(BATCH, seed=0, epoch=epoch):
            side.step(side.prepare(batch))
    side.model.eval()
    metrics = ClickMetrics(logits=False)
    with torch.no_grad():
        for batch in data.test.batches(BATCH, seed=None):
            metrics.update(side.probability(side.prepare(batch)), batch.label, batch.group)
    return metrics.compute()["auc"]


def main() -> None:
    """Print a table for each history length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-100k")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30, help="of interleaved steps a table")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    for max_len in (50, 100):
        data = open_click_data(options.data, max_len=max_len)
        sides = contestants(data, max_len)
        batch = full_width(data, max_len)
        verify(sides, batch)
        times = step_times(sides, batch, options.seconds)
        print(f"\nT={max_len}, {int(batch.lengths['history_item'].sum()):,} events in {BATCH} rows")
        print("\n| | step | ratio | test AUC |\n| --- | --- | --- | --- |")
        for (name, side), seconds in zip(contestants(data, max_len).items(), times, strict=True):
            auc = test_auc(side, data, options.epochs)
            row = f"| {name} | {seconds * 1e3:.0f} ms | {seconds / times[0]:.2f} | {auc:.4f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
