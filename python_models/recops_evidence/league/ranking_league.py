"""Runs of rankers in the league."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from recops_evidence.harness.experiment import Metrics, Run
from recops_evidence.harness.user_values import UserValues
from recops_evidence.league.league_run import LeagueRun, Tested
from recops_evidence.league.trained_run import Trained, median_ms, train_run
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset
from recops_models.evaluation.metrics import gains, hits
from recops_models.generative.ranker import Ranking, Recommender
from recops_models.training.ranking_task import RankingTask

_TOP, _REQUESTS = 10, 21


@dataclass(frozen=True)
class RankingLeague(LeagueRun):
    """Trainings of rankers, tested on each user's last event among all items.

    Test metrics are ``ndcg@10``, ``hr@10`` and ``hr@50``. A request recommends ten items to one
    user.
    """

    def trained(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Trained, Tested | None]:
        """See :meth:`LeagueRun.trained`."""
        trained = train_run(run, data, folder, callbacks)
        task, model = trained.result.task, trained.result.model.eval()
        validation = task.measure(model, "validation")[0]
        if not run.test:
            return {**validation}, trained, None
        metrics, table = task.measure(model, "test")
        order = np.argsort(table["user"].to_numpy(), kind="stable")
        ranks = torch.from_numpy(table["rank"].to_numpy()[order])
        values = {"ndcg@10": gains(ranks, 10), "hr@10": hits(ranks, 10), "hr@50": hits(ranks, 50)}
        users = UserValues.of(
            table["user"].to_numpy()[order], {name: each.numpy() for name, each in values.items()}
        )
        request_ms = median_ms(_requests(trained))
        return {**validation}, trained, Tested({**metrics}, users, request_ms)


def _requests(trained: Trained) -> Iterator[Callable[[], Ranking]]:
    task, model = trained.result.task, trained.saved
    assert isinstance(task, RankingTask)
    assert isinstance(model, Recommender)
    histories = task.test.histories
    for user in np.random.default_rng(0).integers(len(histories), size=_REQUESTS):
        yield partial(model.recommend, histories.take(np.array([user])), _TOP)
