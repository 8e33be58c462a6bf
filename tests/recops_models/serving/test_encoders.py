"""Encoded events and requests, with and without the tables of a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from centers import untrained
from click_inputs import batch, schema
from click_recipes import net
from jobs import job_of
from recops_models.data import Dataset, load
from recops_models.examples.batch import Batch
from recops_models.recipes.files import MODEL, save_model
from recops_models.recipes.job import save_job
from recops_models.serving.center import Center
from recops_models.serving.errors import FieldError
from recops_models.serving.event import UserEvent
from recops_models.serving.served_model import ServedModel

EVENTS = 6


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of streamed examples, which has no tables of a data set."""
    home = tmp_path_factory.mktemp("streamed")
    (home / "data").mkdir()
    (home / "data" / "features.json").write_text("{}")  # Serving does not read the training data.
    torch.manual_seed(0)
    model = net("hpmn", replace(schema(), moments={"age": (3.0, 2.0)}), width=4, hidden=(8,))
    for table in model.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    save_job(home, job_of("hpmn", str(home / "data"), {}, seed=0, quick=False))
    save_model(home / MODEL, "hpmn", model)
    return home


def id_of(row: int) -> int:
    """Return the id of a row in a table of the ids 0, 1, …; −1 is unknown."""
    return row - 2


def one_user(candidates: int) -> Batch:
    """Return a batch of candidates that all have the history of the first one."""
    examples = batch([EVENTS] * candidates, seed=3)
    return examples._replace(
        features={
            name: tensor[:1].expand_as(tensor) if name.startswith("history") else tensor
            for name, tensor in examples.features.items()
        }
    )


def request(examples: Batch) -> dict[str, Any]:
    """Return the features of candidates as fields of a request."""
    tags = [
        [id_of(row) for row in rows[:length]]
        for rows, length in zip(
            examples.features["tags"].tolist(), examples.lengths["tags"].tolist(), strict=True
        )
    ]
    return {
        "user": [id_of(row) for row in examples.features["user"].tolist()],
        "category": [id_of(row) for row in examples.features["category"].tolist()],
        "age": (examples.features["age"].double() * 2 + 3).tolist(),
        "picture": examples.features["picture"].tolist(),
        "tags": tags,
    }


def test_events_and_requests_may_have_all_features(streamed: Path, tmp_path: Path) -> None:
    examples = one_user(5)
    with Center.open(streamed, f"lmdb:{tmp_path / 'store'}") as center:
        served, _ = center._serving
        events = [
            {
                **{"user_id": "u", "item_id": id_of(item), "timestamp": 0, "seq": position + 1},
                "category": id_of(category),
            }
            for position, (item, category) in enumerate(
                zip(
                    examples.features["history_item"][0].tolist(),
                    examples.features["history_category"][0].tolist(),
                    strict=True,
                )
            )
        ]
        assert center.ingest(events).accepted == EVENTS
        items = [id_of(row) for row in examples.features["item"].tolist()]
        result = center.score("u", items, request(examples))
        with torch.no_grad():
            expected = served.model(examples)
        torch.testing.assert_close(torch.from_numpy(result.logits), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["user", "category", "age", "picture", "tags"])
def test_a_missing_feature_is_an_error_with_its_name(
    streamed: Path, tmp_path: Path, name: str
) -> None:
    examples = one_user(2)
    features = {key: value for key, value in request(examples).items() if key != name}
    with (
        Center.open(streamed, f"lmdb:{tmp_path / 'store'}") as center,
        pytest.raises(FieldError, match=f"{name} must be given"),
    ):
        center.score("u", [1, 2], features)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("picture", [1.0, 2.0]),
        ("picture", 5),
        ("picture", ["a", "b", "c"]),
        ("tags", 5),
        ("tags", ["a"]),
        ("tags", [[1], [2], [3]]),
        ("age", [1.0, 2.0, 3.0]),
        ("category", {"a": 5}),
        ("category", "drama"),
        ("category", "\ud800"),
        ("category", 2**63),
        ("category", 2**70),
        ("picture", [[1.0, 2.0, 1e19]] * 2),
        ("user", [1, [2]]),
    ],
)
def test_an_invalid_value_is_an_error_with_its_name(
    streamed: Path, tmp_path: Path, name: str, value: object
) -> None:
    features = {**request(one_user(2)), name: value}
    with Center.open(streamed, f"lmdb:{tmp_path / 'store'}") as center:
        with pytest.raises(FieldError) as caught:
            center.score("u", [1, 2], features)
        assert caught.value.field == name


def test_an_event_without_a_required_feature_is_refused(streamed: Path, tmp_path: Path) -> None:
    event = {"user_id": "u", "item_id": 5, "timestamp": 0, "seq": 1}
    with Center.open(streamed, f"lmdb:{tmp_path / 'store'}") as center:
        (refused,) = center.ingest([event]).refused
        assert refused.field == "category"
        assert center.ingest([{**event, "category": 5}]).accepted == 1
        (refused,) = center.ingest([{**event, "seq": 2, "category": "x"}]).refused
        assert refused.field == "category"


@pytest.mark.parametrize(
    "item", ["9" * 30, "-9", "٣", "x", str(-(2**63)), str(2**63), "1_0", " 1", "02", "-0"]
)
def test_an_item_outside_the_tables_is_unknown(streamed: Path, tmp_path: Path, item: str) -> None:
    event = {"user_id": "u", "item_id": item, "timestamp": 0, "seq": 1, "category": 5}
    features = {"user": 3, "category": 2, "age": 30.0, "picture": [1.0, 0.0, 2.0], "tags": []}
    with Center.open(streamed, f"lmdb:{tmp_path / 'store'}") as center:
        assert center.ingest([event]).accepted == 1
        one, other = center.score("u", [item, "no item"], features).logits.tolist()
        assert one == other


def test_a_single_value_applies_to_all_candidates(streamed: Path, tmp_path: Path) -> None:
    features = {"user": 3, "category": 2, "age": 30.0, "picture": [1.0, 0.0, 2.0], "tags": [1, 2]}
    lists = {name: [value, value] for name, value in features.items()}
    with Center.open(streamed, f"lmdb:{tmp_path / 'store'}") as center:
        one, two = center.score("u", [1, 2], features), center.score("u", [1, 2], lists)
        assert one.logits.tolist() == two.logits.tolist()


def test_features_of_a_request_override_the_tables(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        known = center.score(1, [1, 2]).logits.tolist()
        assert center.score(1, [1, 2], {"user_gender": "M"}).logits.tolist() == known
        assert center.score(1, [1, 2], {"user_gender": "F"}).logits.tolist() != known
        unknown = center.score("nobody", [1, 2]).logits.tolist()
        assert unknown != known
        assert center.score(1, [1, "nothing"]).logits.tolist() != known


def test_feedback_of_events_is_encoded(
    trained: Callable[..., Path], small: Dataset, tmp_path: Path
) -> None:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        served, _ = center._serving
        feedback = [{"rating": 3}, {"feedback": 1}, {"history_sign": 1}, {"rating": 3.5}]
        feedback += [{"label": 1}, {"rating": 4}, {"feedback": 2}, {"label": 0}, {"rating": 2.5}]
        encoded = served.events.encode(
            [UserEvent("1", "2", 0.0, position + 1, one) for position, one in enumerate(feedback)]
        )
        signs = encoded.ids["history_sign"].tolist()
        assert signs[:4] == [signs[0]] * 4
        assert signs[4:7] == [signs[4]] * 3
        assert signs[7:] == [signs[7]] * 2
        assert len(set(signs)) == 3
        assert encoded.liked.tolist() == [False] * 4 + [True] * 3 + [False] * 2


@pytest.mark.parametrize("settings", [{}, {"signed": "false"}])
def test_feedback_is_read_as_in_training(
    settings: dict[str, str], trained: Callable[..., Path], small: Dataset, tmp_path: Path
) -> None:
    rating = small.interactions.column_names.index("rating")
    unrated = replace(small, interactions=small.interactions.remove_column(rating))
    feedback = [UserEvent("1", "2", 0.0, n + 1, {"rating": n + 1}) for n in range(5)]
    explicit = ServedModel.load(trained("mimn", **settings), data=unrated)
    assert explicit.events.encode(feedback).liked.tolist() == [False] * 3 + [True] * 2
    folder = untrained("mimn", unrated, tmp_path / "data", tmp_path / "model", **settings)
    implicit = ServedModel.load(folder, data=small)
    assert implicit.events.encode(feedback).liked.tolist() == [True] * 5


def test_string_ids_are_those_of_the_source(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    lines = ["user_id,item_id,timestamp,rating"]
    lines += [f"u{n % 3},i{n % 5},{n},{1 + n % 5}" for n in range(60)]
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n")
    dataset = load(folder)
    model = untrained("mimn", dataset, folder, tmp_path / "model", rare_count="1", rare_share="0")
    event = {"user_id": "u1", "item_id": "i2", "timestamp": 0, "seq": 1, "rating": 5}
    with Center.open(model, f"lmdb:{tmp_path / 'store'}") as center:
        assert center.ingest([event]).accepted == 1
        first = center.score("u1", ["i1", "i2", "i3"])
        assert len(set(first.logits.tolist())) == 3
        assert first.known
