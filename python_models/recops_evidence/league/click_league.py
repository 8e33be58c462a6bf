"""Runs of click models in the league."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from recops_evidence.experiments.training import job_of
from recops_evidence.harness.experiment import Metrics, Run
from recops_evidence.league.click_examples import league_examples
from recops_evidence.league.league_run import LeagueRun, Tested
from recops_evidence.league.predictions import Predictions, click_user_values
from recops_evidence.league.trained_run import Trained, median_ms, train_run
from recops_models.callbacks import Callbacks
from recops_models.click.model import ClickScorer
from recops_models.data import Dataset
from recops_models.examples.candidates import Candidates
from recops_models.recipes.parts import part
from recops_models.training.example_config import ExampleConfig

_CANDIDATES, _REQUESTS = 100, 21


@dataclass(frozen=True)
class ClickLeague(LeagueRun):
    """Trainings of click models on all events, tested on each user's last events.

    Test metrics are ``gauc``, ``auc`` and ``logloss``; those of known candidates (``_known``); and
    those with states and rates that end before the test part (``_frozen``). A request shows 100
    items to one user.
    """

    def trained(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Trained, Tested | None]:
        """See :meth:`LeagueRun.trained`."""
        config = part(job_of(run).parts, "examples", ExampleConfig)
        examples = league_examples(data, config)
        clicks = examples.clicks
        trained = train_run(run, clicks, folder, callbacks)
        model = trained.result.model.eval()
        validation = Predictions.of(model, clicks.validation, clicks.fitted).metrics()
        if not run.test:
            return {**validation}, trained, None
        live, frozen = (
            Predictions.of(model, source, clicks.fitted)
            for source in (clicks.test, examples.frozen)
        )
        metrics = live.metrics() | frozen.metrics(suffix="_frozen")
        request_ms = median_ms(_requests(trained, data, config))
        tested = Tested({**metrics}, click_user_values(live, frozen), request_ms)
        return {**validation}, trained, tested


def _requests(
    trained: Trained, data: Dataset, config: ExampleConfig
) -> Iterator[Callable[[], torch.Tensor]]:
    """Yield functions that score items for one user each; the model's input is made before."""
    model = trained.saved
    assert isinstance(model, ClickScorer)
    candidates = Candidates(data, model.schema, feedback=config.feedback, positive=config.positive)
    rng = np.random.default_rng(0)
    for user in rng.integers(data.users.num_rows, size=_REQUESTS):
        shown = torch.from_numpy(rng.integers(data.items.num_rows, size=_CANDIDATES))
        yield partial(model, candidates.shown_to(int(user), shown))
