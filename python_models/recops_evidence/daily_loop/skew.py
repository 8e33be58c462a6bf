"""Skew of kept states: a new model on the states of the old one, compared with a replay.

python -m recops_evidence.daily_loop.skew --data nyc-checkins --model mimn --update epochs=1
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from recops.files import write_json
from recops_evidence.daily_loop.arguments import add_setting_arguments, setting_texts
from recops_evidence.daily_loop.skew_runs import ARMS, SkewPlan, SkewRun, measure_skew
from recops_models.data import load
from recops_models.evaluation.comparison import compare
from recops_models.recipes.setting_text import parse_settings
from recops_models.versions import versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the skew, print its tables, and write ``skew.json`` and ``skew.md``."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # CPU seconds of one core.
    dataset = load(options.data)
    texts = setting_texts(options.set)
    updates = {**texts, **setting_texts(options.update)}
    plan = SkewPlan(
        options.model,
        options.slices,
        parse_settings(options.model, texts),
        parse_settings(options.model, updates),
        tuple(options.after),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    runs: list[SkewRun] = []
    for seed in range(options.seeds):
        runs.append(measure_skew(dataset, plan, options.out, seed=seed))
        (options.out / "skew.md").write_text(skew_tables(runs) + "\n")
        content = {
            "data": dataset.name,
            "model": plan.model,
            "slices": plan.slices,
            "settings": texts,
            "update": setting_texts(options.update),
            "rows": _as_json(runs),
            "keep_seconds": [round(run.keep_seconds, 3) for run in runs],
            "replay_seconds": [round(run.replay_seconds, 3) for run in runs],
            "versions": versions(),
        }
        write_json(options.out / "skew.json", content, kind="daily-loop-skew")
    print((options.out / "skew.md").read_text(), end="")
    return 0


def skew_tables(runs: Sequence[SkewRun]) -> str:
    """Return the Markdown tables of a skew measurement: quality, distance, and differences.

    Args:
        runs: the run of each seed.
    """
    lines = [
        "| events since the refresh | arm | AUC | mean distance of probabilities | top 10 shared |",
        "| --- | --- | --- | --- | --- |",
    ]
    counts = sorted({row.after for run in runs for row in run.rows})
    for after in counts:
        for arm in ARMS:
            rows = [row for run in runs for row in run.rows if (row.after, row.arm) == (after, arm)]
            auc, gap, shared = (
                float(np.mean([getattr(row, name) for row in rows]))
                for name in ("auc", "score_gap", "top_shared")
            )
            lines.append(f"| {after} | {arm} | {auc:.4f} | {gap:.4f} | {shared:.1%} |")
    lines += ["", *_differences(runs, counts), ""]
    keep = float(np.mean([run.keep_seconds for run in runs]))
    replay = float(np.mean([run.replay_seconds for run in runs]))
    users = len(runs[0].rows[0].auc)
    lines.append(
        f"{users:,} users. Keeping the states took {keep:.2f} CPU seconds, a replay {replay:.2f}."
    )
    return "\n".join(lines)


def _differences(runs: Sequence[SkewRun], counts: Sequence[int]) -> list[str]:
    if len(runs) < 2:
        return ["Intervals need two seeds or more."]
    lines = [
        "| events since the refresh | difference in AUC | mean | 95 % interval, seeds and users "
        "| detectable |",
        "| --- | --- | --- | --- | --- |",
    ]
    for after in counts:
        auc = {
            arm: np.array(
                [
                    row.auc
                    for run in runs
                    for row in run.rows
                    if (row.after, row.arm) == (after, arm)
                ]
            )
            for arm in ARMS
        }
        for arm in ARMS[1:]:
            result = compare(auc[arm], auc[ARMS[0]])
            low, high = result.interval
            lines.append(
                f"| {after} | {arm} − {ARMS[0]} | {result.difference:+.4f} "
                f"| {low:+.4f} to {high:+.4f} | {result.detectable:.4f} |"
            )
    return lines


def _as_json(runs: Sequence[SkewRun]) -> list[dict[str, object]]:
    """Return the rows as JSON values, with means over users."""
    return [
        {
            "arm": row.arm,
            "seed": row.seed,
            "after": row.after,
            "users": len(row.auc),
            "auc": round(float(row.auc.mean()), 5),
            "score_gap": round(float(row.score_gap.mean()), 5),
            "top_shared": round(float(row.top_shared.mean()), 5),
        }
        for run in runs
        for row in run.rows
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recops_evidence.daily_loop.skew",
        description="Compare `recops uic refresh --keep-states` with a replay: scores, quality and "
        "cost, right after the refresh and after further events.",
    )
    parser.add_argument("--data", required=True, help="name or folder of a data set, or a file")
    parser.add_argument("--model", choices=("mimn", "hpmn"), default="mimn")
    parser.add_argument("--out", type=Path, default=Path("runs/skew"))
    parser.add_argument("--slices", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--after",
        type=int,
        nargs="+",
        default=[0, 5, 20],
        help="events per user between the refresh and a request, in increasing order; users need "
        "one more than the last in the last slice",
    )
    add_setting_arguments(parser)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
