"""Command line of the daily loop.

python -m recops_evidence.daily_loop --data nyc-checkins --model din --out runs/daily-din
python -m recops_evidence.daily_loop --data log.csv --model sasrec --update epochs=2
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.compute as pc
import torch

from recops.files import write_json
from recops_evidence.daily_loop.arguments import add_setting_arguments, setting_texts
from recops_evidence.daily_loop.loop import LoopPlan, LoopStep, run_loop
from recops_evidence.daily_loop.report import as_json, tables
from recops_evidence.daily_loop.slices import SliceBy
from recops_evidence.experiments.training import some_users
from recops_models.data import Dataset, load
from recops_models.recipes.registry import recipe_of
from recops_models.recipes.setting_text import parse_settings
from recops_models.versions import versions

METRICS = {"dataset": ("ndcg@10", "hr@10", "hr@50"), "click": ("gauc", "auc", "logloss")}
"""Metrics to show, by the kind of data that a model is trained on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the loop, print its tables, and write ``loop.json`` and ``loop.md``."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not 0 < options.share <= 1:
        parser.error(f"argument --share: must be above 0 and at most 1, got {options.share}")
    torch.set_num_threads(1)  # CPU seconds of one core.
    dataset = some_users(load(options.data), options.share)
    if options.repeats is not None:
        dataset = dataclasses.replace(dataset, repeats=options.repeats)
    by: SliceBy = options.by or ("time" if dataset.time == "seconds" else "order")
    texts, updates = (
        {**setting_texts(options.set), **more} for more in ({}, setting_texts(options.update))
    )
    plan = LoopPlan(
        options.model,
        options.slices,
        by,
        parse_settings(options.model, texts),
        parse_settings(options.model, updates),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    steps: list[LoopStep] = []
    for seed in range(options.seeds):
        for step in run_loop(dataset, plan, options.out, seed=seed):
            steps.append(step)
            metric = METRICS[recipe_of(options.model).data_kind][0]
            value = step.result.metrics[metric]
            print(
                f"seed {seed}, slice {step.day + 1}, {step.arm}: {metric} {value:.4f}, "
                f"{step.cpu_seconds:.1f} CPU s",
                file=sys.stderr,
                flush=True,
            )
        _write(options.out, steps, plan, dataset, texts, setting_texts(options.update))
    print((options.out / "loop.md").read_text(), end="")
    return 0


def _write(
    folder: Path,
    steps: Sequence[LoopStep],
    plan: LoopPlan,
    dataset: Dataset,
    texts: Mapping[str, str],
    updates: Mapping[str, str],
) -> None:
    """Write the tables and figures of the finished seeds."""
    text = tables(steps, METRICS[recipe_of(plan.model).data_kind])
    (folder / "loop.md").write_text(text + "\n")
    content = {
        "data": dataset.name,
        "by": plan.by,
        "repeats": dataset.repeats,
        "users": pc.count_distinct(dataset.interactions["user_id"]).as_py(),
        "model": plan.model,
        "settings": dict(texts),
        "update": dict(updates),
        "steps": as_json(steps),
        "versions": versions(),
    }
    write_json(folder / "loop.json", content, kind="daily-loop")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recops_evidence.daily_loop",
        description="Update a model after every slice of the data: by full retraining, by "
        "continued training, or not at all. Reports quality on the next slice, and the cost.",
    )
    parser.add_argument("--data", required=True, help="name or folder of a data set, or a file")
    parser.add_argument("--model", required=True, help="a model of `recops train`")
    parser.add_argument("--out", type=Path, default=Path("runs/daily-loop"))
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="share of the users, in (0, 1]")
    parser.add_argument(
        "--by", choices=("time", "order"), help="default: time, if the data has times"
    )
    parser.add_argument("--repeats", choices=("keep", "drop"), help="default: as in the data")
    add_setting_arguments(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
