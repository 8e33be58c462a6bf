"""``recops train``, ``evaluate`` and ``recommend``: results, settings, resuming, and errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch

from click_parquet import write_click_folder
from jobs import job_of
from recops.files import CorruptFileError, load_tensors, read_json
from recops_models.cli import run
from recops_models.cli.train import train
from recops_models.data import load
from recops_models.data.storage import read_table
from recops_models.out_folder import out_folder
from recops_models.recipes import ranking
from recops_models.recipes.files import load_model
from recops_models.recipes.job import load_job
from recops_models.recipes.recommending import ready_model
from recops_models.recipes.registry import names, recipe_of
from recops_models.recipes.run import load_trained, run_job, task_of
from recops_models.training import next_item_task, trainer
from small_shop import write_shop


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Return the path of a CSV folder that every command can read."""
    rows = ["user_id,item_id,timestamp"]
    rows += [f"{u},{(u + step) % 30 + 1},{step}" for u in range(40) for step in range(8 + u % 5)]
    titles = [f"{item},Film {item},{'Drama' if item % 2 else 'Comedy'}" for item in range(1, 31)]
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    (folder / "items.csv").write_text("\n".join(["item_id,title,genre", *titles]) + "\n")
    return str(folder)


SMALL = ["--set", "width=8", "--set", "heads=2", "--set", "history=6"]
CODES = ["--set", "codes=4", "--set", "levels=2"]
TINY = ["--set", "width=8", "--set", "hidden=16,8", "--set", "max_len=6", "--set", "batch=32"]
ORDER = ["--set", "cut=order", "--set", "until=0.5"]
RANKING = {"hr@10", "hr@50", "ndcg@10", "coverage"}
CLICK = {"auc", "auc_known", "gauc", "logloss", "pcoc", "ece"}


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("popularity", []),
        ("sasrec", SMALL),
        ("tiger", [*SMALL, *CODES, "--set", "hidden=8"]),
        ("unirec", SMALL + CODES),
        ("rates", ["--set", "trees=5", "--set", "max_len=6"]),
        ("sum-pool", TINY),
        ("din", TINY),
        ("can", [*TINY, "--set", "interaction=cartesian"]),
        ("gru-attention", TINY),
        ("dien", TINY),
    ],
)
def test_train_evaluate_recommend(
    model: str,
    settings: list[str],
    data: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    quick = [] if model == "popularity" else ["--quick"]
    assert run(["train", model, "--data", data, *settings, *quick, "--out", str(out)]) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert set(metrics) == {
        *("data", "model", "seed", "split", "test", "validation", "train_seconds", "versions"),
        "notes",
    }
    ranks = model in ("popularity", "sasrec", "tiger", "unirec")
    assert set(metrics["test"]) == set(metrics["validation"]) == (RANKING if ranks else CLICK)
    assert metrics["split"] == ("leave-one-out" if ranks else "global-time")
    columns = read_table(out / "predictions.parquet").column_names
    assert columns == (["user", "rank"] if ranks else ["user", "label", "probability", "known"])
    epochs = 0 if model in ("popularity", "rates") else 2
    assert len(read_json(out / "curves.json", kind="curves")["rows"]) == epochs
    assert len(list(out.glob("events.out.tfevents.*"))) == 1
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 0
    output = capsys.readouterr().out
    assert all(f"{value:.4f}" in output for value in metrics["test"].values())
    assert run(["recommend", str(out), "--user", "3", "-k", "4"]) == 0
    output = capsys.readouterr().out
    assert output.count("Film") == 4
    assert run(["recommend", str(out), "--user", "nobody"]) == 1
    assert "no user 'nobody'" in capsys.readouterr().err


def test_a_preset_is_recorded_as_plain_settings(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    preset = ["--preset", "paper", "--set", "align=none"]
    command = ["train", "unirec", "--data", data, *SMALL, *CODES, "--quick", *preset]
    assert run([*command, "--out", str(out)]) == 0
    content = read_json(out / "config.json", kind="training-config")
    assert "preset" not in content
    assert content["sizes"]["events"] == "concat"
    assert content["sizes"]["width"] == 8
    assert content["sids"]["method"] == "balanced-rq"
    assert content["alignment"]["align"] == "none"
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 0
    assert run(["train", "unirec", "--data", data, "--preset", "small"]) == 2
    assert "unirec has no preset 'small'; available: paper" in capsys.readouterr().err


def test_the_help_of_train_names_every_preset() -> None:
    option = get_type_hints(train, include_extras=True)["preset"].__metadata__[0]
    for name in names():
        for preset in recipe_of(name).presets:
            assert f"`{preset}` of {name}" in option.help


def test_timing_and_export_refuse_other_models(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    floor, tiger = str(tmp_path / "floor"), str(tmp_path / "tiger")
    assert run(["train", "popularity", "--data", data, "--out", floor]) == 0
    layers = ["--set", "encoder_layers=1", "--set", "decoder_layers=1", "--set", "hidden=8"]
    command = ["train", "tiger", "--data", data, *SMALL, *CODES, *layers, "--quick"]
    assert run([*command, "--out", tiger]) == 0
    capsys.readouterr()
    assert run(["recommend", tiger, "--user", "3", "--timing"]) == 0
    assert "ms per request with 50 beams: encode " in capsys.readouterr().out
    assert run(["recommend", floor, "--user", "3", "--timing"]) == 1
    assert "--timing: the model must be unirec or tiger, got Popularity" in capsys.readouterr().err
    assert run(["export", floor, "--out", str(tmp_path / "floor.pt2")]) == 1
    assert "such as unirec, tiger or sasrec, got popularity" in capsys.readouterr().err
    assert run(["export", tiger, "--out", str(tmp_path / "tiger.zip")]) == 1
    assert "must end in .pt2, got tiger.zip" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize("split", ["leave-one-out", "global-time", "by-user"])
@pytest.mark.parametrize(("model", "settings"), [("sasrec", SMALL), ("sum-pool", TINY)])
def test_any_split_for_any_model(
    model: str, settings: list[str], split: str, data: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ["train", model, "--data", data, *settings, "--quick", "--out", str(out)]
    assert run([*command, "--split", split]) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert metrics["split"] == split
    before = read_table(out / "predictions.parquet")
    assert run(["evaluate", str(out)]) == 0
    task = task_of(load_job(out), load(data), load_model(out / "model.safetensors"))
    assert task.split == split
    _, predictions = task.measure(load_model(out / "model.safetensors"), "test")
    assert predictions.equals(before)


def test_a_click_model_on_streamed_examples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples, out = tmp_path / "examples", tmp_path / "out"
    write_click_folder(examples, megabytes=0.01, users=20, items=40, piece=300)
    command = ["train", "din", "--data", str(examples), *TINY, "--quick", "--out", str(out)]
    assert run(command) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert (metrics["data"], metrics["split"]) == ("examples", "given")
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 0
    assert f"{metrics['test']['auc']:.4f}" in capsys.readouterr().out
    assert run([*command, "--split", "by-user", "--force"]) == 1
    assert "is already split" in capsys.readouterr().err
    assert run(["recommend", str(out), "--user", "3"]) == 1
    assert "no catalogue to recommend from" in capsys.readouterr().err


def test_a_warning_if_nearly_all_ratings_count_as_positive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rating = {u: 2 if u == 0 else 5 + u % 6 for u in range(40)}
    rows = [f"{u},{(u + s) % 30},{rating[u]},{s}" for u in rating for s in range(8)]
    header = "user_id,item_id,rating,timestamp"
    (tmp_path / "interactions.csv").write_text("\n".join([header, *rows]) + "\n")
    command = ["train", "sum-pool", "--data", str(tmp_path), *TINY, "--set", "epochs=1"]
    assert run([*command, "--out", str(tmp_path / "out")]) == 0
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "warning" in each]
    assert "warning: 97.5% of the events count as positive, as their rating is 4 or more" in line
    assert "(ratings go from 2 to 10)" in line
    assert run([*command, "--set", "positive=7", "--out", str(tmp_path / "other")]) == 0
    assert "warning" not in capsys.readouterr().err


def test_ids_are_those_of_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    rows = [f"u{u},i{(u + step) % 12:02},{step}" for u in range(9) for step in range(5)]
    (shop / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    (shop / "users.csv").write_text("\n".join(["user_id", *(f"u{u}" for u in range(10))]) + "\n")
    data, out = ["--data", str(shop)], str(tmp_path / "run")
    assert run(["train", "popularity", *data, "--out", out]) == 0
    capsys.readouterr()
    assert run(["recommend", out, "--user", "u3", "-k", "3"]) == 0
    output = re.findall(r"\d +(i\d\d)\b", capsys.readouterr().out)  # The id follows the score.
    assert len(output) == 3
    assert not set(output) & {f"i{3 + step:02}" for step in range(5)}
    assert run(["recommend", out, "--user", "u9", "-k", "1"]) == 0  # It has no events.
    assert run(["train", "item-knn", *data, "--out", str(tmp_path / "knn")]) == 0
    assert run(["recommend", str(tmp_path / "knn"), "--user", "u9"]) == 1
    assert "user u9 has no events" in capsys.readouterr().err
    sids = ["--levels", "2", "--codes", "4", "--out", str(tmp_path / "sids")]
    assert run(["tokenize", *data, *sids]) == 0
    table = read_table(tmp_path / "sids" / "sids.parquet")
    assert table["item_key"].to_pylist() == load(str(shop)).item_keys
    assert run(["diagnose", str(tmp_path / "sids"), "--out", str(tmp_path / "page")]) == 0


@pytest.mark.parametrize("model", ["popularity", "sum-pool"])
def test_predictions_have_the_text_ids_of_users(model: str, tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop", id_format="id{}")
    out, settings = tmp_path / "out", [] if model == "popularity" else ["--quick", *TINY]
    assert run(["train", model, "--data", str(shop), *settings, "--out", str(out)]) == 0
    table, dataset = read_table(out / "predictions.parquet"), load(shop)
    named = dict(zip(dataset.users["user_id"].to_pylist(), dataset.user_keys, strict=True))
    assert table["user_key"].to_pylist() == [named[user] for user in table["user"].to_pylist()]


def test_a_folder_that_has_moved_is_named_and_replaced(
    data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "popularity", "--data", "shop", "--out", "out"]) == 0
    monkeypatch.chdir("shop")
    assert run(["recommend", "../out", "--user", "1"]) == 0
    Path(data).rename(tmp_path / "moved")
    capsys.readouterr()
    assert run(["recommend", str(tmp_path / "out"), "--user", "1"]) == 1
    message = f"was trained on {data}, which does not exist: name its new place with --data"
    assert message in capsys.readouterr().err
    new = ["--data", str(tmp_path / "moved")]
    assert run(["recommend", str(tmp_path / "out"), "--user", "1", *new]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(tmp_path / "out"), "--json", *new]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["test"] == read_json(tmp_path / "out" / "metrics.json", kind="metrics")["test"]


def test_a_model_with_other_settings_is_not_overwritten(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", "item-knn", "--data", data]
    for seed, out in (("0", ""), ("0", ""), ("1", "-2"), ("2", "-3"), ("1", "-2")):
        capsys.readouterr()
        assert run([*command, "--seed", seed, "--json"]) == 0
        line = json.loads(capsys.readouterr().out.splitlines()[-1])
        folder = Path("runs") / f"item-knn{out}"
        assert line["out"] == str(folder)
        assert line["test"] == read_json(folder / "metrics.json", kind="metrics")["test"]
    explicit = [*command, "--seed", "2", "--out", "runs/item-knn"]
    assert run(explicit) == 1
    assert "holds a trained item-knn with other settings" in capsys.readouterr().err
    assert run([*explicit, "--force"]) == 0
    assert load_job(Path("runs/item-knn")).seed == 2


@pytest.mark.slow
def test_resuming_refuses_a_changed_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "click", tmp_path / "out"
    for seed in (0, 1):
        write_click_folder(folder, megabytes=1, items=50, users=20, seed=seed)
        command = ["train", "sum-pool", "--data", str(folder), *TINY, "--quick", "--out", str(out)]
        if seed == 0:
            assert run(command) == 0
            assert run([*command, "--resume"]) == 0
    capsys.readouterr()
    assert run([*command, "--resume"]) == 1
    assert "click has other events, items or users than when" in capsys.readouterr().err


def test_a_click_model_recommends_only_unseen_items(data: str, tmp_path: Path) -> None:
    dataset = load(data)
    job = job_of("din", data, {"hidden": "8", "max_len": "5"}, seed=0, quick=True)
    trained = run_job(job, dataset, tmp_path)
    ready = ready_model(tmp_path, job, trained.model, dataset)
    table = ready.lists(ready.requests(np.array([7])), 30)
    keys = [*map(str, table["item"].to_pylist())]
    recommended = dataset.item_vocabulary.index([*map(dataset.item_id, keys)]).tolist()
    events = dataset.interactions.filter(
        dataset.interactions["user_id"].to_numpy() == dataset.user_vocabulary.ids[7]
    )
    seen_items = dataset.item_vocabulary.index(events["item_id"].to_numpy()).tolist()
    assert sorted(recommended + seen_items) == list(range(30))
    scores = table["score"].to_numpy()
    assert ((scores > 0) & (scores < 1)).all()
    assert (np.diff(scores) <= 0).all()


def test_an_interrupt_keeps_the_last_checkpoint_with_a_note(
    data: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    command = ["train", "sasrec", "--data", data, *SMALL, "--set", "epochs=3", "--out", str(out)]
    window_batches = next_item_task.window_batches

    def stop_in_the_second(*arguments: Any) -> list[torch.Tensor]:
        if (out / trainer.CHECKPOINT).exists():
            raise KeyboardInterrupt
        return window_batches(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(next_item_task, "window_batches", stop_in_the_second)
        assert run(command) == 1
    advice = "has the last checkpoint: continue with --resume; its model is that of the best epoch"
    assert advice in capsys.readouterr().err
    load_trained(out)
    with monkeypatch.context() as patch:
        patch.setattr(ranking, "NextItemTask", stop_in_the_second)
        assert run([*command, "--seed", "1", "--force"]) == 1
    assert f"the training had not started, and {out} is unchanged" in capsys.readouterr().err
    assert run([*command, "--resume"]) == 0
    rows = read_json(out / "curves.json", kind="curves")["rows"]
    assert [row["epoch"] for row in rows] == [0, 1, 2]


def test_a_fresh_start_removes_the_earlier_training(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    command = ["train", "sasrec", "--data", data, *SMALL, "--quick", "--out", str(out)]
    assert run(command) == 0

    def stop(*arguments: Any) -> torch.Tensor:
        raise KeyboardInterrupt

    monkeypatch.setattr(next_item_task, "window_batches", stop)
    assert run([*command, "--seed", "1", "--force"]) == 1
    assert load_job(out).seed == 1
    with pytest.raises(FileNotFoundError):
        load_trained(out)
    assert not (out / "metrics.json").exists()


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("sasrec", ["--set", "select=nope"]),
        ("sasrec", ["--seed", "99999999999999999999"]),
        ("sum-pool", ["--set", "history=nope"]),
        ("can", ["--set", "pairs=nope:nope"]),
        ("rocket", ["--set", "teacher=missing.safetensors"]),
        ("res-embedding", ["--set", "graph_file=missing.safetensors"]),
        ("tiger", [*CODES, "--set", "vectors=missing.npy"]),
        ("unirec", [*CODES, "--set", "attributes=nope"]),
        ("unirec", [*CODES, "--set", "user_fields=nope"]),
        ("unirec", [*CODES, "--set", "task=nope"]),
        ("unirec", [*CODES, "--set", "engagement=nope"]),
        ("unirec", [*CODES, "--set", "value=nope"]),
        ("unirec", [*CODES, "--set", "level_weights=1,2,3,4,5,6,7"]),
        ("unirec", [*CODES, "--set", "select=nope"]),
        ("unirec", [*CODES, "--set", "collaborative=true", "--set", "select=nope"]),
        ("unirec", [*CODES, "--set", "collaborative=true", "--set", "attributes=nope"]),
        ("tiger", [*CODES, "--set", "select=nope"]),
        ("rocket", ["--set", "select=nope"]),
        ("age", ["--set", "base.hidden="]),
        ("keep", [*ORDER, "--set", "base.hidden="]),
        ("keep", [*ORDER, "--set", "base.history=nope"]),
        ("keep", [*ORDER, "--set", "select=nope"]),
        ("keep", [*ORDER, "--set", "slices=9999"]),
        ("res-embedding", ["--set", "select=nope"]),
        ("res-embedding", ["--set", "learning_rate=0.2"]),
        ("sasrec", ["--set", "tables=sparse-adam"]),
        ("tiger", [*CODES, "--set", "tables=sparse-adam"]),
        (
            "unirec",
            [*CODES, "--set", "collaborative=true", "--set", "collaborating.tables=sparse-adam"],
        ),
        ("res-embedding", ["--set", "weights=attention", "--set", "tables=sparse-adam"]),
    ],
)
def test_a_refused_command_does_not_change_the_folder(
    model: str, settings: list[str], data: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(["train", "popularity", "--data", data, "--out", str(out)]) == 0
    for name in ("sids.parquet", "graph.safetensors"):
        (out / name).write_bytes(b"of a training before")
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert run(["train", model, "--data", data, *settings, "--out", str(out)]) != 0
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_resuming_a_finished_tokenizer_keeps_its_metrics(data: str, tmp_path: Path) -> None:
    out = tmp_path / "sids"
    command = ["tokenize", "--data", data, "--levels", "2", "--codes", "4", "--out", str(out)]
    assert run([*command, "--seed", str(2**63 - 1)]) == 0
    before = (out / "metrics.json").read_bytes()
    assert run([*command, "--seed", str(2**63 - 1), "--resume"]) == 0
    assert (out / "metrics.json").read_bytes() == before


def test_resume_refuses_another_job(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    command = ["train", "sasrec", "--data", data, *SMALL, "--quick", "--out", out]
    assert run(command) == 0
    weights, _ = load_tensors(tmp_path / "out" / "model.safetensors", kind="recommender")
    assert run([*command, "--resume"]) == 0
    resumed, _ = load_tensors(tmp_path / "out" / "model.safetensors", kind="recommender")
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    capsys.readouterr()
    assert run([*command, "--resume", "--seed", "1"]) == 1
    assert "seed 0, not 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "gru", "--data", "ml-100k"], "no model 'gru'"),
        (["train", "sasrec", "--data", "ml-100k", "--set", "wide=3"], "no setting 'wide'"),
        (
            ["train", "din", "--data", "ml-100k", "--set", "wide=3"],
            "attention_weights, batch, ",
        ),
        (
            ["train", "sasrec", "--data", "ml-100k", "--set", "width=big"],
            "width must be int",
        ),
        (
            ["train", "din", "--data", "ml-100k", "--set", "hidden=8,x"],
            "must be ints with commas",
        ),
        (["train", "din", "--data", "ml-100k", "--set", "tables=sgd"], "one of adamw, adam, "),
        (
            ["train", "din", "--data", "ml-100k", "--set", "compile=1"],
            "must be true or false",
        ),
        (["train", "din", "--data", "ml-100k", "--set", "clip=no"], "clip must be float"),
        (
            ["train", "din", "--data", "ml-100k", "--set", "table_learning_rate=x"],
            "must be float or none",
        ),
        (["train", "sasrec", "--data", "ml-100k", "--set", "width"], "must be key=value"),
        (
            ["train", "rocket", "--data", "ml-100k", "--set", "booster=sasrec"],
            "no net 'sasrec'; available: sum-pool, din",
        ),
        (["train", "rocket", "--data", "ml-100k", "--set", "booster=none"], "no net None"),
        (["train", "rocket", "--data", "ml-100k", "--set", "light.wide=3"], "light.width"),
        (["train", "rocket", "--data", "ml-100k", "--set", "hidden=8"], "no setting 'hidden'"),
    ],
)
def test_bad_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "setting", "message"),
    [
        ("din", "epochs=0", "training: epochs must be ≥ 1, got 0"),
        ("mimn", "epochs=-1", "training: epochs must be ≥ 1, got -1"),
        ("sasrec", "batch=0", "training: batch must be ≥ 1, got 0"),
        ("unirec", "batch=-1", "training: batch must be ≥ 1, got -1"),
        ("tiger", "patience=-1", "training: patience must be ≥ 1, got -1"),
        ("din", "weight_decay=-1", "training: weight_decay must be ≥ 0, got -1.0"),
        ("din", "clip=-1", "training: clip must be ≥ 0, got -1.0"),
        ("din", "decay=-1", "training: decay must be ≥ 0, got -1.0"),
        ("din", "learning_rate=-1", "training: learning_rate must be ≥ 0, got -1.0"),
        ("din", "table_learning_rate=-1", "training: table_learning_rate must be ≥ 0, got -1.0"),
        ("din", "warmup_epochs=-1", "training: warmup_epochs must be ≥ 0, got -1.0"),
        ("din", "checkpoint_minutes=-1", "training: checkpoint_minutes must be ≥ 0, got -1.0"),
        ("din", "learning_rate=nan", "setting learning_rate must be finite, got 'nan'"),
        ("din", "table_learning_rate=nan", "setting table_learning_rate must be finite, got 'nan'"),
        ("din", "dropout=inf", "setting dropout must be finite, got 'inf'"),
        ("din", "positive=-inf", "setting positive must be finite, got '-inf'"),
        ("mimn", "usage_scale=inf", "setting usage_scale must be finite, got 'inf'"),
        ("unirec", "level_weights=1,nan", "setting level_weights must be finite, got '1,nan'"),
        ("unirec", "align_epochs=0", "alignment: align_epochs must be ≥ 1, got 0"),
        ("unirec", "reward_clip=0", "alignment: reward_clip must be > 0, got 0.0"),
        ("unirec", "collaborating.epochs=0", "training: epochs must be ≥ 1, got 0"),
        ("unirec", "sasrec.heads=3", "sasrec: heads must divide width 64, got 3"),
        ("unirec", "dropout=1", "unirec: dropout must lie within [0, 1), got 1.0"),
        ("sasrec", "heads=3", "sasrec: heads must divide width 64, got 3"),
        ("sasrec", "heads=-1", "sasrec: heads must be ≥ 1, got -1"),
        ("sasrec", "width=-1", "sasrec: width must be ≥ 1, got -1"),
        ("sasrec", "history=0", "sasrec: history must be ≥ 1, got 0"),
        ("sasrec", "layers=-1", "sasrec: layers must be ≥ 1, got -1"),
        ("tiger", "heads=3", "tiger: heads must divide width 128, got 3"),
        ("tiger", "codes=-1", "semantic IDs: codes must be ≥ 1, got -1"),
        ("sum-pool", "width=0", "sum-pool: width must be ≥ 1, got 0"),
        ("din", "hidden=8,0", "din: hidden must be ≥ 1, got (8, 0)"),
        ("din", "attention_hidden=-1", "din: attention_hidden must be ≥ 1, got (-1,)"),
        ("din", "dropout=1", "din: dropout must lie within [0, 1), got 1.0"),
        ("din", "table_std=-1", "din: table_std must be ≥ 0, got -1.0"),
        ("din", "max_len=0", "examples: max_len must be ≥ 1, got 0"),
        ("gru-attention", "layers=-1", "gru-attention: layers must be ≥ 1, got -1"),
        ("dien", "auxiliary_hidden=-1", "dien: auxiliary_hidden must be ≥ 1, got (-1,)"),
        ("dien", "auxiliary_hidden=", "dien: auxiliary_hidden must have ≥ 1 numbers, got ()"),
        ("can", "network=-1,4", "can: network must be ≥ 1, got (-1, 4)"),
        ("can", "network=16", "can: network must have ≥ 2 numbers, got (16,)"),
        ("mimn", "hidden=0", "mimn: hidden must be ≥ 1, got (0,)"),
        ("mimn", "state=0", "mimn: state must be ≥ 1, got 0"),
        ("mimn", "usage_scale=0", "mimn: usage_scale must be > 0, got 0.0"),
        ("hpmn", "hidden=0", "hpmn: hidden must be ≥ 1, got (0,)"),
        ("hpmn", "hops=0", "hpmn: hops must be ≥ 1, got 0"),
        ("keep", "plug_hidden=-1", "keep: plug_hidden must be ≥ 1, got -1"),
        (
            "keep",
            "parts=",
            "keep: parts must be one or more of user, item and pair, each once, got ()",
        ),
        ("keep", "test=0", "domains: test must be > 0, got 0.0"),
        ("keep", "passes=-1", "domains: passes must be ≥ 1, got -1"),
        ("keep", "extractor.task_weight=-1", "extractor: task_weight must be ≥ 0, got -1.0"),
        ("age", "gate_hidden=-1", "age: gate_hidden must be ≥ 1, got (-1,)"),
        ("age", "base.hidden=0", "din: hidden must be ≥ 1, got (0,)"),
        ("rocket", "temperature=0", "rocket: temperature must be > 0, got 0.0"),
        ("res-embedding", "attention=-1", "res-embedding: attention must be ≥ 1, got -1"),
        ("res-embedding", "residual_scale=2", "res-embedding: residual_scale must be ≤ 1, got 2.0"),
    ],
)
def test_settings_out_of_range_are_bad_usage(
    model: str, setting: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", model, "--data", "ml-100k", "--set", setting]) == 2
    error = capsys.readouterr().err
    assert error == f"recops: Invalid value: {message} (see `recops train --help`)\n"


@pytest.mark.parametrize("settings", [("width=48", "heads=3"), ("heads=3", "width=48")])
def test_settings_are_checked_together(settings: tuple[str, str]) -> None:
    chosen = dict(text.split("=") for text in settings)
    sizes = job_of("sasrec", "ml-100k", chosen, seed=0, quick=False).config()["sizes"]
    assert (sizes["width"], sizes["heads"]) == (48, 3)


@pytest.mark.parametrize(
    ("model", "setting"),
    [("rocket", "teacher"), ("res-embedding", "graph_file"), ("keep", "knowledge")],
)
def test_a_missing_file_is_named_with_its_setting(
    model: str, setting: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, out = tmp_path / "nowhere", tmp_path / "out"
    command = [
        "train",
        model,
        "--data",
        data,
        "--set",
        f"{setting}={missing}",
        "--set",
        "max_len=6",
    ]
    assert run([*command, "--out", str(out)]) == 1
    message = f"recops: {model}: {setting} must be an existing file, got {missing}\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("arguments", [[], ["data"]])
def test_without_a_command_the_help_is_shown(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert "Usage:" in captured.out + captured.err
    assert "recops: " not in captured.err


def test_a_folder_belongs_to_the_command_that_created_it(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert run(["tokenize", "--data", data, "--levels", "2", "--codes", "4", "--out", out]) == 0
    before = (tmp_path / "out" / "config.json").read_bytes()
    for command in (["train", "popularity"], ["quickstart"]):
        assert run([*command, "--data", data, "--out", out]) == 1
        assert "its config.json belongs to `recops tokenize`" in capsys.readouterr().err
    assert (tmp_path / "out" / "config.json").read_bytes() == before
    with out_folder(tmp_path / "out", kind="tokenizer-config"):
        assert run(["train", "popularity", "--data", data, "--out", out]) == 1
    assert "another command is writing into it" in capsys.readouterr().err


def test_a_folder_without_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(tmp_path)]) == 1
    assert "holds no training" in capsys.readouterr().err


def test_a_training_without_its_model(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["train", "popularity", "--data", data, "--out", str(out)]) == 0
    (out / "model.safetensors").unlink()
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"recops: {out}: model.safetensors is missing; train again with ")
    assert "Errno" not in error


def test_a_flipped_bit_is_detected(data: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(["train", "popularity", "--data", data, "--out", str(out)]) == 0
    path = out / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="damaged"):
        load_model(path)
