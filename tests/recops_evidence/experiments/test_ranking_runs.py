"""Runs of rankers: metrics of beams and liked items, and users of two scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recops_evidence.experiments.ranking_runs import RankingRuns, SceneRuns
from recops_evidence.experiments.synthetic_scenes import SyntheticScenes
from recops_evidence.harness.experiment import ArmSettings, Metrics, Run
from recops_evidence.harness.user_draws import user_difference
from recops_models.callbacks import Callbacks
from recops_models.data import leave_one_out, load
from recops_models.data.storage import read_table

_SMALL = {"width": "8", "heads": "2", "history": "6", "codes": "4", "levels": "2"}


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # A second thread is only overhead for such small models.


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """Users who walk along a ring of 30 items; each third event is liked."""
    rows = ["user_id,item_id,timestamp,rating"]
    rows += [
        f"{user},{(user + step) % 30 + 1},{step},{5 if (user + step) % 3 == 0 else 2}"
        for user in range(40)
        for step in range(8 + user % 5)
    ]
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    return str(folder)


def make_run(model: str, data: str, *, test: bool = True, **changes: str) -> Run:
    settings: ArmSettings = tuple(sorted(changes.items()))
    return Run(RankingRuns(), model, data, settings, 0, test, True)


def measure(run: Run, folder: Path) -> tuple[Metrics, Metrics]:
    folder.mkdir(exist_ok=True)
    experiment = run.experiment
    return experiment.on(run.data)(run, folder, Callbacks())


def test_generative_rankers_report_beam_recall(shop: str, tmp_path: Path) -> None:
    layers = {"encoder_layers": "1", "decoder_layers": "1", "hidden": "8"}
    _, test = measure(make_run("tiger", shop, **_SMALL, **layers), tmp_path / "tiger")
    recall = [test[f"beam_recall@{length}"] for length in (1, 2, 3)]
    assert recall == sorted(recall, key=lambda share: -(share or 0))
    assert recall[-1] is not None
    assert recall[-1] >= (test["hr@50"] or 0)
    _, others = measure(make_run("popularity", shop), tmp_path / "popularity")
    assert set(others) == {"hr@10", "hr@50", "ndcg@10", "coverage", "hr@10_liked", "hr@50_liked"}


def test_metrics_of_liked_items_use_only_their_users(shop: str, tmp_path: Path) -> None:
    _, test = measure(make_run("popularity", shop), tmp_path / "run")
    split = leave_one_out(load(shop))
    liked = split.test["rating"].to_numpy() >= 4
    assert 0 < liked.mean() < 1
    users = split.dataset.user_vocabulary.index(split.test["user_id"].to_numpy())
    is_liked = np.isin(split.examples("test").users, users[liked])
    rank = read_table(tmp_path / "run" / "predictions.parquet")["rank"].to_numpy()
    assert test["hr@10_liked"] == pytest.approx((rank[is_liked] < 10).mean())
    assert test["hr@10_liked"] != test["hr@10"]


def test_draws_of_liked_items_use_only_their_users(shop: str, tmp_path: Path) -> None:
    draws = {}
    for model in ("popularity", "sasrec"):
        changes = {} if model == "popularity" else {"width": "8", "heads": "2", "epochs": "1"}
        run = make_run(model, shop, **changes)
        _, test = measure(run, tmp_path / model)
        draws[model] = RankingRuns().user_draws(run, tmp_path / model, test)
    first, second = [draws["popularity"]], [draws["sasrec"]]
    liked, every = (user_difference(m, first, second) for m in ("hr@10_liked", "hr@10"))
    assert liked is not None
    assert every is not None
    assert liked.shape == every.shape
    assert (liked != every).any()
    assert user_difference("hr@10_never", first, second) is None


def test_a_trial_has_no_test_metrics(shop: str, tmp_path: Path) -> None:
    validation, test = measure(make_run("popularity", shop, test=False), tmp_path / "trial")
    assert validation
    assert test == {}


def test_scenes_contain_opposite_kinds_of_items() -> None:
    law = SyntheticScenes(users=200, noise=0.0)
    data = law.draw(0)
    kinds = data.interactions["item_id"].to_numpy() % law.kinds
    is_search = data.interactions["scene"].to_numpy(zero_copy_only=False) == "search"
    assert (kinds % 2 == is_search).all()
    user = data.interactions["user_id"].to_numpy()
    pairs = {
        (one_user, one_kind // 2)
        for one_user, one_kind in zip(user.tolist(), kinds.tolist(), strict=True)
    }
    assert len(pairs) == 200
    assert 0.45 < is_search.mean() < 0.55
    user_items = data.interactions.select(["user_id", "item_id"])
    assert user_items.group_by(["user_id", "item_id"]).aggregate([]).num_rows == user_items.num_rows
    assert law.draw(0).interactions.equals(data.interactions)
    assert not law.draw(1).interactions.equals(data.interactions)


def test_models_with_a_scene_task_report_no_beam_recall(tmp_path: Path) -> None:
    experiment = SceneRuns(SyntheticScenes(users=60))
    has_beam_recall = {}
    for name, task in (("with scene", {"task": "scene"}), ("without scene", {})):
        settings = tuple(sorted({**_SMALL, **task}.items()))
        run = Run(experiment, "unirec", experiment.name, settings, 0, True, True)
        has_beam_recall[name] = "beam_recall@1" in measure(run, tmp_path / name)[1]
    assert has_beam_recall == {"with scene": False, "without scene": True}


def test_each_seed_draws_different_scenes(tmp_path: Path) -> None:
    experiment = SceneRuns(SyntheticScenes(users=60))
    assert experiment.takes(experiment.name)
    assert not experiment.takes("ml-100k")
    metrics = []
    for seed in (0, 1):
        run = Run(experiment, "popularity", experiment.name, (), seed, True, True)
        metrics.append(measure(run, tmp_path / str(seed))[1])
        assert experiment.floors(run, experiment.load(run.data))["popularity"]["hr@10"] is not None
    assert metrics[0] != metrics[1]
