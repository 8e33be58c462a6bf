"""DIN of recops compared with the DINs of DeepCTR-Torch and FuxiCTR.

``python bench/peers/din.py`` needs ``pip install "recops[models,peers]"``. All models have equal
sizes and start from equal weights, and their probabilities are compared before the timing. Then
steps on one batch are interleaved in one process, and minima are reported. For its test AUC, each
model is trained on the same batches in the same order. The batches have the form of that library's
loader.
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
    """Check that probabilities agree on rows with a history.

    Rows with an empty history are excluded, because the peers average padding vectors there.

    Raises:
        AssertionError: they differ.
    """
    present = batch.lengths["history_item"] > 0
    expected = sides["recops"].probability(batch)[present]
    for side in sides.values():
        actual = side.probability(side.prepare(batch))[present]
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def full_width(data: ClickData, max_len: int) -> Batch:
    """Return the first training batch whose longest history has ``max_len`` events."""
    batches = data.train.batches(BATCH, seed=0)
    return next(each for each in batches if each.features["history_item"].shape[1] == max_len)


def step_times(sides: dict[str, Contestant], batch: Batch, seconds: float) -> list[float]:
    """Return the minimum time of a training step of each side, in seconds."""
    steps = [partial(side.step, side.prepare(batch)) for side in sides.values()]
    return interleave_all(steps, seconds=seconds)


def test_auc(side: Contestant, data: ClickData, epochs: int) -> float:
    """Train ``side`` for ``epochs`` epochs and return its AUC on the test part."""
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
    """Print a table for each maximum length of a history."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-100k")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--seconds", type=float, default=30, help="time of interleaved steps per table"
    )
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
        print(
            "\n| library | step (ms) | relative to recops | test AUC |\n| --- | --- | --- | --- |"
        )
        for (name, side), seconds in zip(contestants(data, max_len).items(), times, strict=True):
            auc = test_auc(side, data, options.epochs)
            row = f"| {name} | {seconds * 1e3:.0f} | {seconds / times[0]:.2f} | {auc:.4f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
