"""Off-policy estimates of a click model's lists, compared with the truth of a simulation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recops_models as rm
from recops_models.cli import run
from recops_models.data import DataError
from recops_models.exploration.explore_config import ExploreConfig
from recops_models.recipes import off_policy
from small_shop import CLICK, SETTINGS, write_shop

pytestmark = pytest.mark.usefixtures("one_thread")

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "feedback-loop.md"
ITEMS = 6
TRUTH = np.array([0.1, 0.2, 0.3, 0.5, 0.6, 0.9])


def logged(rows: int = 6000) -> rm.Dataset:
    """Return single impressions of a policy that prefers bad items."""
    rng = np.random.default_rng(1)
    propensity = np.array([0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
    item = rng.choice(ITEMS, size=rows, p=propensity)
    return rm.Dataset.from_frames(
        {
            "user_id": rng.integers(300, size=rows),
            "item_id": item,
            "timestamp": np.arange(rows),
            "label": rng.random(rows) < TRUTH[item],
            "propensity": propensity[item],
        },
        repeats="keep",
    )


@pytest.fixture(scope="module")
def model() -> rm.Model:
    return rm.train("sum-pool", logged(), {"epochs": 1, "width": 4, "hidden": (8,), "max_len": 4})


@pytest.mark.parametrize("policy", ["softmax=0.1", "epsilon=0.5"])
def test_intervals_cover_the_true_value(
    model: rm.Model, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = list[torch.Tensor]()
    selection = type(ExploreConfig.parse(policy).selection)
    probabilities = selection.probabilities

    def recorded(*arguments: Any) -> torch.Tensor:
        targets.append(probabilities(*arguments))
        return targets[-1]

    monkeypatch.setattr(selection, "probabilities", recorded)
    result = model.off_policy(policy)
    truth = float((targets[0].numpy() * TRUTH).sum(1).mean())
    assert result["logged"] < truth - 0.05
    for name in ("ips", "snips", "dr"):
        estimate = result[name]
        error = (estimate["high"] - estimate["low"]) / (2 * 1.96)
        assert abs(estimate["value"] - truth) < 3.5 * error
        assert estimate["high"] - estimate["low"] < 0.25
        assert 1 < estimate["effective"] < result["impressions"]
    assert result["dr"]["high"] - result["dr"]["low"] < 0.25


def test_a_list_offers_no_item_twice() -> None:
    data = logged(1200)
    table = data.interactions
    lists = np.arange(table.num_rows) // 3
    events = table.append_column("request", [[f"r{each}" for each in lists]])
    events = events.append_column("position", [np.arange(table.num_rows) % 3 + 1.0])
    user = np.repeat(table["user_id"].to_numpy()[::3], 3)
    events = events.set_column(0, "user_id", [user])
    assert events.column_names[0] == "user_id"
    data = rm.Dataset.from_frames(events.to_pydict(), repeats="keep")
    split = off_policy.named_split(data, "global-time", clock=True)[1]
    of_log = off_policy.Events.of(split, "explicit", 4.0)
    rows = of_log.part(2)
    available = off_policy._available(of_log, rows, ITEMS)
    assert available[of_log.list_start[rows] == rows].all()
    for row in rows:
        start = of_log.list_start[row]
        earlier = [int(of_log.item[each]) for each in range(max(start, rows[0]), row)]
        assert np.flatnonzero(~available[row - rows[0]]).tolist() == sorted(set(earlier))


def test_unfit_data_and_policies_are_one_line(
    model: rm.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="policy must be epsilon or softmax, got policy or pool"):
        model.off_policy("policy=ts,epsilon=0.1")
    plain = rm.Dataset.from_frames(
        {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "timestamp": [1, 2, 3], "label": [0, 1, 1]}
    )
    with pytest.raises(DataError, match="off-policy requires the column propensity of a log"):
        model.off_policy("epsilon=0.1", plain)
    monkeypatch.setattr(off_policy, "_MOST_VALUES", 100)
    with pytest.raises(DataError, match=r"× 6 items must be at most 100"):
        model.off_policy("epsilon=0.1")
    popular = rm.train("popularity", rm.load_data(write_shop(tmp_path / "shop")))
    with pytest.raises(ValueError, match="the model must be a click model, got popularity"):
        popular.off_policy("epsilon=0.1")


@pytest.mark.slow
def test_the_commands_of_the_guide_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shop(tmp_path / "shop", users=120)
    settings = [
        word for name, value in SETTINGS["sasrec"].items() for word in ("--set", f"{name}={value}")
    ]
    assert run(["train", "sasrec", "--data", "shop", "--out", "runs/sasrec", *settings]) == 0
    commands = re.findall(r"^recops (.*)$", GUIDE.read_text("utf-8"), re.M)
    assert [words.split()[0] for words in commands] == ["recommend", "data", "train", "evaluate"]
    assert run(commands[0].split()) == 0
    shown = rm.read_impressions("shop-log").to_pylist()
    clicks = [f"{row['user_id']},{row['item_id']},{row['timestamp'] + 9}" for row in shown[::3]]
    Path("clicks.csv").write_text("\n".join(["user_id,item_id,timestamp", *clicks]) + "\n")
    assert run(commands[1].split()) == 0
    options = [word for name, value in CLICK.items() for word in ("--set", f"{name}={value}")]
    assert run([*commands[2].split(), *options, "--split", "leave-one-out"]) == 0
    assert "note: loss=ips: effective sample size" in capsys.readouterr().out
    assert run([*commands[3].split(), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["snips"].keys() == {"value", "low", "high", "effective"}
    assert run(commands[3].split()) == 0
    assert "clicks per impression" in capsys.readouterr().out
    assert run(["evaluate", "runs/din", "--max-weight", "3"]) == 2
    assert "--max-weight requires --off-policy" in capsys.readouterr().err
