"""Runs of two UniRec models that rank together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from recops_evidence.experiments.ensemble_runs import EnsembleRuns
from recops_evidence.experiments.ranking_runs import RankingRuns
from recops_evidence.harness.experiment import Run
from recops_models.callbacks import Callbacks
from recops_models.data.storage import read_table
from recops_models.recipes.semantic_ids import SIDS
from synthetic_histories import write_ring

_SMALL = {"width": "8", "heads": "2", "history": "6", "codes": "4", "levels": "2", "beams": "8"}


class Shares(Callbacks):
    """Callbacks that record the reported progress, from 0 to 1."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self.shares.append(share)


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


@pytest.fixture
def shop(tmp_path: Path) -> str:
    return write_ring(tmp_path / "shop", users=40)


def _run(data: str, model: str = "unirec", **changes: str) -> Run:
    settings = tuple(sorted({**_SMALL, **changes}.items()))
    return Run(EnsembleRuns(), model, data, settings, 0, True, True)


@pytest.mark.parametrize("codes", ["own", "shared"])
def test_two_models_are_measured_as_one_ranker(shop: str, tmp_path: Path, codes: str) -> None:
    run, folder = _run(shop, codes_of_two=codes), tmp_path / "run"
    folder.mkdir()
    callbacks = Shares()
    validation, test = run.experiment.on(shop)(run, folder, callbacks)
    first, second = (read_table(folder / name / SIDS) for name in ("first", "second"))
    assert first.equals(second) == (codes == "shared")
    ranks = read_table(folder / "predictions.parquet")["rank"].to_numpy()
    assert test["hr@10"] == pytest.approx((ranks < 10).mean())
    assert set(validation) == set(test)
    assert callbacks.shares == sorted(callbacks.shares)
    assert callbacks.shares[-1] == 1


def test_progress_covers_both_trainings_of_a_model(shop: str, tmp_path: Path) -> None:
    callbacks = Shares()
    run, folder = _run(shop, collaborative="true"), tmp_path / "run"
    folder.mkdir()
    run.experiment.on(shop)(run, folder, callbacks)
    assert callbacks.shares == sorted(callbacks.shares)
    assert callbacks.shares[-1] == 1
    steps = [share for share in callbacks.shares if share < 1]
    assert min(steps) < 0.3
    assert any(0.4 < share < 0.6 for share in steps)


def test_a_single_model_has_the_key_of_a_ranking_run(shop: str) -> None:
    run = _run(shop)
    ranking_run = Run(RankingRuns(), *(run.model, run.data, run.settings, 0, True, True))
    assert run.key == ranking_run.key
    assert run.key != _run(shop, codes_of_two="own").key


def test_unsupported_ensembles_are_refused(shop: str) -> None:
    with pytest.raises(ValueError, match="codes_of_two must be one of own, shared with unirec"):
        _ = _run(shop, codes_of_two="neither").key
    with pytest.raises(ValueError, match="got 'own' with sasrec"):
        _ = Run(EnsembleRuns(), "sasrec", shop, (("codes_of_two", "own"),), 0, True, True).key
