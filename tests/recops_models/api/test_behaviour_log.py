"""A shop's log of behaviours: labels from the schema, heads, KEEP's tasks and UniRec's levels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recops_models as rm
from behaviour_log import SCHEMA, write_behaviour_log
from click_recipes import CLICK, net
from recops_models.cli import run
from recops_models.click.loss import training_loss
from recops_models.data import DataError, Dataset, load_dataset, save_dataset
from recops_models.evaluation.click_metrics import auc
from recops_models.examples.batch import task_feature
from recops_models.examples.click import click_data
from recops_models.examples.domains import DomainConfig
from recops_models.examples.engagement import Engagement, EngagementConfig
from recops_models.examples.scenes import SceneConfig
from recops_models.recipes.knowledge_task import KnowledgeTask
from recops_models.training.alignment_config import AlignmentConfig
from recops_models.training.example_config import ExampleConfig
from recops_models.training.path_task import PathTask

TINY = {"width": 8, "hidden": (16, 8), "dropout": 0.0, "max_len": 8, "batch": 128}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_behaviour_log(tmp_path_factory.mktemp("shop"))


def behaviours(data: Dataset) -> np.ndarray:
    return np.array(data.interactions["behaviour"].to_pylist())


def cheap_items(data: Dataset) -> np.ndarray:
    """Return which items are bought in at least a tenth of their events."""
    item = data.item_vocabulary.index(data.interactions["item_id"].to_numpy())
    is_bought = behaviours(data) == "buy"
    share: np.ndarray = np.bincount(item, weights=is_bought) / np.bincount(item)
    return share > 0.1


def test_a_behaviour_column_gives_labels(shop: Path, tmp_path: Path) -> None:
    data = rm.load_data(shop)
    assert data.labels == ("cart", "purchase")
    assert "category" in data.items.column_names
    behaviour = behaviours(data)
    purchase = data.interactions["purchase"].to_numpy()
    assert (purchase == (behaviour == "buy")).all()
    assert (data.interactions["cart"].to_numpy() == np.isin(behaviour, ("cart", "buy"))).all()
    save_dataset(data, tmp_path / "saved")
    assert load_dataset(tmp_path / "saved").labels == data.labels
    examples = click_data(data, rare_count=1)
    names = [feature.name for feature in examples.fitted.schema.features]
    assert "event_behaviour" not in names, "an outcome"
    assert "history_event_behaviour" in names
    (batch,) = examples.train.batches(100_000, seed=0)
    bought = batch.features[task_feature("purchase")]
    number = examples.train.num_examples // 2
    assert bought.sum() == purchase[:number].sum()
    assert not bought[batch.label == 0].any(), "negatives are not bought"


def test_keep_and_unirec_read_the_labels_by_default(shop: Path) -> None:
    data = rm.load_data(shop)
    examples = ExampleConfig(max_len=8)
    task = KnowledgeTask(data, DomainConfig(), examples)
    assert task.tasks == ("click", "cart", "purchase")
    own = KnowledgeTask(data, DomainConfig(task_labels=("purchase",)), examples)
    assert own.tasks == ("click", "purchase")
    path = PathTask(data, EngagementConfig(), SceneConfig(), AlignmentConfig())
    train = path.parts.train
    level = Engagement.of(train, EngagementConfig().of_dataset(data), name="shop").level
    expected = np.select([behaviours(data) == "buy", behaviours(data) == "cart"], [2, 1], 0)[
        : train.num_rows
    ]
    assert len(level) == train.num_rows
    assert (
        np.bincount(level).tolist()
        == np.bincount(
            (train["cart"].to_numpy() + train["purchase"].to_numpy()).astype(int)
        ).tolist()
    )
    assert set(path.events.level.tolist()) == set(expected.tolist()) == {0, 1, 2}


def test_clicks_and_values_of_impressions_are_named(tmp_path: Path) -> None:
    number = 60
    log = {
        "user_id": np.repeat(np.arange(10), 6),
        "item_id": np.tile(np.arange(6), 10),
        "timestamp": np.arange(number),
        "clicked": np.arange(number) % 2,
        "paid": (np.arange(number) % 4 == 1) * 9.5,
    }
    (tmp_path / "s.yaml").write_text("labels:\n  click: clicked\n  purchase: paid\n  value: paid\n")
    data = Dataset.from_frames(log, schema=tmp_path / "s.yaml")
    assert data.interactions["label"].to_pylist() == (np.arange(number) % 2).tolist()
    assert (data.labels, data.value) == (("purchase",), "paid")
    config = EngagementConfig().of_dataset(data)
    assert (config.engagement, config.value) == ("label,purchase", "paid")
    engagement = Engagement.of(data.interactions, config, name="shop")
    assert engagement.level.tolist() == [0, 2, 0, 1] * 15
    assert engagement.reward[1] == pytest.approx(2 * (1 + np.log1p(9.5)))
    examples = click_data(data)
    assert examples.negatives == "real"
    assert examples.labels == ("purchase",)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            "labels:\n  purchase: behaviour = 5\n",
            "labels: purchase: where: column 'behaviour'",
        ),
        (
            "labels:\n  purchase: kind = 'x'\n",
            "labels: purchase: where: no column 'kind' of",
        ),
        ("labels:\n  purchase: behaviour = 'rent'\n", "labels: no event has the label 'purchase'"),
        ("labels:\n  purchase:\n", "line 2: must be `label: condition`, got"),
        ("labels:\n  behaviour: behaviour = 'buy'\n", "labels: behaviour must be the column"),
        (
            "labels:\n  value: amount\n",
            "labels: value must be a column of the events, got",
        ),
        (
            "event:\n  behaviour: category\nlabels:\n  purchase: behaviour = 'buy'\n",
            "behaviour is an outcome, as the label purchase reads it: mark it",
        ),
    ],
)
def test_unfit_labels_are_refused(schema: str, message: str, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(schema)
    with pytest.raises(DataError, match=message) as error:
        rm.load_data(shop, schema=tmp_path / "s.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", CLICK)
@pytest.mark.parametrize("heads", ["shared-bottom", "mmoe"])
def test_every_click_model_has_heads(name: str, heads: str, shop: Path) -> None:
    data = click_data(rm.load_data(shop), max_len=4)
    model = net(name, data.fitted, width=4, hidden=(8, 4), heads=heads, labels=data.labels)
    batch = next(data.train.batches(64, seed=0))
    training_loss(model, batch).backward()
    assert model.label_logits(model.bottom(batch)[0]).shape == (64, 3)
    for tower in model.head.towers:  # type: ignore[union-attr]
        assert (tower[-1].weight.grad != 0).any()


def test_heads_without_labels_are_refused(shop: Path) -> None:
    data = replace(rm.load_data(shop), labels=())
    with pytest.raises(ValueError, match="heads needs labels in addition to clicks: name them"):
        rm.train("din", data, {"heads": "mmoe"})
    with pytest.raises(ValueError, match="din has no setting 'labels'"):
        rm.train("din", data, {"labels": "x"})
    with pytest.raises(ValueError, match="heads must be one of one, shared-bottom, mmoe"):
        rm.train("din", data, {"heads": "three"})


@pytest.mark.slow
@pytest.mark.parametrize("heads", ["shared-bottom", "mmoe"])
def test_din_learns_purchases_that_clicks_do_not_predict(heads: str, shop: Path) -> None:
    settings = TINY | {"epochs": 6, "patience": 6, "learning_rate": 0.01, "heads": heads}
    settings |= {"select": "auc_purchase", "rare_count": 1, "rare_share": 0.0}
    model = rm.train("din", shop, settings)
    test = model.metrics["test"]
    assert test["auc_purchase"] > 0.75
    frame = {"user_id": [0] * 60 + [1] * 60, "item_id": list(range(60)) * 2}
    click, purchase = (model.score(frame, label=label) for label in ("click", "purchase"))
    is_cheap = cheap_items(rm.load_data(shop))
    assert auc(purchase[:60], is_cheap) > 0.9
    ratios = [p[:60][is_cheap].mean() / p[:60][~is_cheap].mean() for p in (purchase, click)]
    assert ratios[0] > 1.3 > 1.15 > ratios[1], "clicks do not depend on the price"
    weights = {"click": 1.0, "purchase": 0.5}
    np.testing.assert_allclose(
        model.score(frame, label=weights), click * np.sqrt(purchase), rtol=1e-4
    )
    best = np.asarray(model.recommend([0], k=5, label="purchase")["item_id"])
    assert set(best) == set(np.argsort(-purchase[:60], kind="stable")[:5])
    assert set(best) != set(np.asarray(model.recommend([0], k=5)["item_id"]))
    with pytest.raises(ValueError, match="label must be among click, cart, purchase, got 'like'"):
        model.recommend([0], label="like")


@pytest.mark.slow
def test_keep_and_unirec_train_on_the_log(shop: Path) -> None:
    small = {"batch": 128, "epochs": 1, "base.hidden": (8,), "extractor.hidden": (8,)}
    keep = rm.train("keep", shop, small | {"extracting.epochs": 1, "max_len": 8})
    assert keep.metrics["test"]["auc"] > 0
    ranker = {"width": 8, "heads": 2, "history": 6, "epochs": 1, "codes": 4, "levels": 2}
    unirec = rm.train("unirec", shop, ranker | {"expert_hidden": 8, "head_hidden": 8})
    assert "hr@10_engaged" in unirec.metrics["test"]


@pytest.mark.slow
def test_the_command_line_runs_from_import_to_a_list_of_purchases(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out, trained = shop / "interactions.csv", tmp_path / "data", tmp_path / "din"
    (tmp_path / "s.yaml").write_text(SCHEMA)

    def call(*arguments: object) -> str:
        assert run([str(each) for each in arguments]) == 0
        return capsys.readouterr().out

    call("data", "import", "csv", log, "--schema", tmp_path / "s.yaml", "--out", out)
    call("data", "describe", out, "--schema", tmp_path / "written.yaml")
    written = (tmp_path / "written.yaml").read_text()
    assert "behaviour: {role: category, known: after}" in written
    sets = [f"{name}={value}" for name, value in TINY.items() if name != "hidden"]
    sets += ["hidden=16,8", "epochs=1", "heads=mmoe"]
    options = [word for each in sets for word in ("--set", each)]
    call("train", "din", "--data", out, "--out", trained, *options)
    assert "auc_purchase" in json.loads(call("evaluate", trained, "--json"))["test"]
    request = ("recommend", trained, "--user", "0", "-k", "3", "--label")
    clicks, purchases = call(*request, "click"), call(*request, "click=1,purchase=0.5")
    assert clicks != purchases
    assert run([str(each) for each in (*request, "purchase=x")]) == 2
    assert "--label must be like click=1,purchase=0.5" in capsys.readouterr().err
