"""Memory on assist2017: how much of its lead follows recent labels, and how much the items.

Runs use the examples and metrics of the league, one thread each, with fixed settings.

    python -m recops_evidence.league.memory_question --out runs/memory --share 0.33 --seeds 1
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recops.files import write_json
from recops_evidence.experiments import recent_labels
from recops_evidence.harness.experiment import Run, Setting
from recops_evidence.harness.run_store import Record, RunStore
from recops_evidence.harness.runner import run_ahead
from recops_evidence.league.click_league import ClickLeague
from recops_evidence.league.row import LeagueRow
from recops_models.callbacks import Callbacks
from recops_models.data import load
from recops_models.data.digest import dataset_digest
from recops_models.evaluation.bootstrap import draw_means, percentiles
from recops_models.versions import versions

DATA, RIVAL = "assist2017", "DIN"
METRICS = ("gauc", "auc", "logloss", "gauc_frozen", "auc_frozen", "logloss_frozen")
RESAMPLES = 10_000


_NET: Mapping[str, Setting] = {
    "select": "gauc",
    "epochs": 3,
    "patience": 3,
    "batch": 512,
    "warmup_epochs": 0.3,
    "learning_rate": 0.003,
    "weight_decay": 0.03,
    "dropout": 0.3,
    "table_std": 0.1,
    "width": 32,
    "hidden": "200,80",
    "attention_hidden": "80,40",
}
_DIN: Mapping[str, Setting] = {**_NET, "max_len": 50}
_MIMN: Mapping[str, Setting] = {
    **_NET,
    "max_len": 200,
    "targets_per_history": 10,
    "usage_scale": 200.0,
    "slots": 8,
}


def _rates(scores: str) -> dict[str, Setting]:
    return {"select": "gauc", "max_len": 50, "half_life": 10.0, "trees": 300, "scores": scores}


ROWS = (
    LeagueRow("item and user rates", "rates", _rates("all:item,user"), is_seeded=False),
    LeagueRow("recent labels", "rates", _rates("recent"), is_seeded=False),
    LeagueRow("recent labels of the skill", "rates", _rates("recent:skill"), is_seeded=False),
    LeagueRow(
        "item rate and recent labels",
        "rates",
        _rates("all:item,recent,recent:item,recent:skill"),
        is_seeded=False,
    ),
    LeagueRow("boosting on all rates", "rates", _rates("boosting"), is_seeded=False),
    LeagueRow(RIVAL, "din", _DIN),
    LeagueRow("MIMN", "mimn", _MIMN),
    LeagueRow("DIN + recent rates", recent_labels.din_recent.name, _DIN),
    LeagueRow("MIMN, labels hidden", recent_labels.mimn_unlabelled.name, _MIMN),
    LeagueRow("DIN, labels hidden", recent_labels.din_unlabelled.name, _DIN),
)


@dataclass(frozen=True)
class FixedPlan:
    """Runs that do not depend on each other's results.

    Attributes:
        runs: the runs, in order.
    """

    runs: Sequence[Run]

    def ahead(self, finished: Mapping[Run, Record]) -> list[Run]:
        """See :meth:`RunPlan.ahead`."""
        return [run for run in self.runs if run not in finished]

    def ready(self, finished: Mapping[Run, Record]) -> list[Run]:
        """See :meth:`RunPlan.ready`."""
        return self.ahead(finished)


def memory_runs(share: float, seeds: int) -> dict[str, list[Run]]:
    """Return the measured runs by row; a row that needs no seed has one."""
    return {
        row.name: [
            Run(
                ClickLeague(),
                row.model,
                DATA,
                tuple(sorted(row.fixed(DATA).items())),
                seed,
                test=True,
                quick=False,
                share=share,
            )
            for seed in range(seeds if row.is_seeded else 1)
        ]
        for row in ROWS
    }


def summary(runs: Mapping[str, Sequence[Run]], finished: Mapping[Run, Record]) -> list[object]:
    """Return the figures of the finished rows.

    Each has the mean of every metric over seeds, its costs, and the difference in gAUC and frozen
    gAUC from DIN with its 95 % interval over users alone.
    """
    records = {
        name: [finished[run] for run in some if run in finished] for name, some in runs.items()
    }
    rows: list[object] = []
    for name, some in records.items():
        if not some:
            continue
        gains = {
            metric: _gain(some, records[RIVAL], metric)
            for metric in ("gauc", "gauc_frozen")
            if records[RIVAL] and name != RIVAL
        }
        rows.append(
            {
                "row": name,
                "settings": dict(runs[name][0].settings),
                "seeds": len(some),
                "test": {metric: _mean([each.test[metric] for each in some]) for metric in METRICS},
                "gain_over_din": gains,
                "core_seconds": [each.costs["core_seconds"] for each in some],
            }
        )
    return rows


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([np.nan if value is None else value for value in values]))


def _gain(some: Sequence[Record], rival: Sequence[Record], metric: str) -> dict[str, object]:
    mean, rival_mean = (
        np.mean([each.users.values[metric].astype(np.float64) for each in records if each.users], 0)
        for records in (some, rival)
    )
    difference = mean - rival_mean
    low, high = percentiles(draw_means(difference, resamples=RESAMPLES), 0.95)
    return {"mean": float(difference.mean()), "users": [low, high]}


class _Printed(Callbacks):
    def start(self, stage: str, **details: object) -> None:
        print(stage, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and results")
    parser.add_argument("--share", type=float, default=1.0, help="share of the users")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hours", type=float, default=3.0, help="start no run after this time")
    parser.add_argument("--resume", action="store_true", help="keep the finished runs")
    options = parser.parse_args()
    recent_labels.register_recipes()
    runs = memory_runs(options.share, options.seeds)
    store = RunStore(options.out, "memory-question", resume=options.resume)
    digest = dataset_digest(load(DATA))
    store.begin({DATA: digest})
    plan = FixedPlan([run for some in runs.values() for run in some])
    finished = run_ahead(plan, store, _Printed(), hours=options.hours)
    content = {
        "data": {DATA: digest},
        "share": options.share,
        "rows": summary(runs, finished),
        "versions": versions(),
    }
    write_json(options.out / "results.json", content, kind="memory-question")


if __name__ == "__main__":
    main()
