"""Training of KEEP: two stages, knowledge of other trainings, streams, interruptions."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from callback_doubles import Interrupt
from jobs import job_of
from recops.files import CorruptFileError, read_json
from recops_evidence.experiments.synthetic_domains import SyntheticDomains
from recops_models.cli import run
from recops_models.click.extractor import Extractor, ExtractorConfig
from recops_models.click.keep import Keep
from recops_models.data import Dataset, load
from recops_models.data.errors import DataError
from recops_models.examples.click import click_data
from recops_models.examples.domains import DomainConfig
from recops_models.examples.knowledge_features import KNOWN
from recops_models.examples.lookup import UNKNOWN
from recops_models.examples.task_maker import DOMAIN
from recops_models.graphs.knowledge import Knowledge, KnowledgeError, LeakageError
from recops_models.recipes.job import load_job
from recops_models.recipes.keep_stage import KeepStage
from recops_models.recipes.keep_task import KeepTask
from recops_models.recipes.knowledge_task import KnowledgeTask
from recops_models.recipes.run import load_trained, run_job, task_of
from recops_models.recipes.stage import TrainResult
from recops_models.training.example_config import ExampleConfig

pytestmark = pytest.mark.usefixtures("one_thread")

GUIDE = Path(__file__).resolve().parents[3] / "docs/guide/keep.md"
MODEL, KNOWLEDGE = "model.safetensors", "knowledge/knowledge.safetensors"
LAW = SyntheticDomains(0.3, users=40, items=30, of_super=60, of_small=20)
CUT = {"domain_column": "domain", "domain": "small", "until": "0.6", "validation": "0.3"}
SMALL = {"base.hidden": "8", "extractor.width": "4", "extractor.hidden": "6", "max_len": "4"}


@pytest.fixture(scope="module")
def domains() -> Dataset:
    return LAW.draw(0)


def train(data: Dataset, folder: Path, *, seed: int = 3, **settings: Any) -> TrainResult:
    folder.mkdir(exist_ok=True, parents=True)
    resume, callbacks = settings.pop("resume", False), settings.pop("callbacks", None)
    text = {"batch": "64", "extracting.batch": "256", **CUT, **SMALL, **settings}
    job = job_of("keep", "synthetic", text, seed=seed, quick=True)
    return run_job(job, data, folder, resume=resume, callbacks=callbacks)


def test_the_command_line_trains_both_stages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], domains: Dataset
) -> None:
    shop, out = tmp_path / "shop", tmp_path / "out"
    shop.mkdir()
    events = domains.interactions
    text = pa.array([f"u{user}" for user in events["user_id"].to_pylist()])
    pa.parquet.write_table(events.set_column(0, "user_id", text), shop / "interactions.parquet")
    settings = {**CUT, **SMALL}
    pairs = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = ["train", "keep", "--data", str(shop), *pairs, "--quick", "--out", str(out)]
    assert run(command) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert metrics["model"] == "keep"
    assert metrics["test"]["unknown_user"] == 0.0
    rows = read_json(out / "knowledge/curves.json", kind="curves")["rows"]
    assert len(rows) == 2
    knowledge = Knowledge.load(out / KNOWLEDGE)
    assert knowledge.source == "shop"
    assert knowledge.window.seconds
    assert knowledge.lookups["user"].keys.to_pylist()[:2] == ["u0", "u1"]
    job, model = load_trained(out)
    assert isinstance(model, Keep)
    assert model.config.version == knowledge.version
    asked = job_of("keep", str(shop), settings, seed=0, quick=True)
    assert job == load_job(out) == dataclasses.replace(asked, repeats="keep")
    capsys.readouterr()
    assert run(["evaluate", str(out)]) == 0
    output = capsys.readouterr().out
    assert f"{metrics['test']['auc']:.4f}" in output
    assert run(["recommend", str(out), "--user", "u3", "-k", "4"]) == 0
    assert run([*command, "--resume"]) == 0
    assert run([*command, "--resume", "--set", "base.dropout=0.1"]) == 1
    assert "with base.dropout 0.3, not 0.1" in capsys.readouterr().err
    assert run([*command, "--set", "base=shelf"]) == 2
    assert "no net 'shelf'; available: sum-pool, din," in capsys.readouterr().err
    assert run([*command, "--force", "--split", "leave-one-out"]) == 1
    assert "split must be left out, since until and test define it" in capsys.readouterr().err
    assert run([*command, "--set", "version=1"]) == 2


def test_the_command_line_names_the_columns_of_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], domains: Dataset
) -> None:
    shop, out = tmp_path / "shop", tmp_path / "out"
    shop.mkdir()
    table = domains.interactions
    rows = np.arange(table.num_rows)
    table = table.append_column("bought", pa.array(rows % 3 == 0))
    table = table.append_column("price", pa.array(rows % 7 * 1.5))
    pa.parquet.write_table(table, shop / "interactions.parquet")
    settings = {**CUT, **SMALL, "task_labels": "auto,bought", "task_value": "price"}
    pairs = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = ["train", "keep", "--data", str(shop), *pairs, "--quick", "--out", str(out)]
    assert run(command) == 0
    assert Knowledge.load(out / KNOWLEDGE).tasks == ("click", "heavy", "bought")
    rows_of_curve = read_json(out / "knowledge/curves.json", kind="curves")["rows"]
    assert {"auc_heavy", "auc_bought"} <= set(rows_of_curve[0])
    assert run([*command, "--force", "--set", "task_labels=sold"]) == 1
    assert (
        "task_labels must name columns of the interactions, got 'sold'" in capsys.readouterr().err
    )


PROGRAM = """
import json, sys
from pathlib import Path
from recops_models.recipes.files import load_model
load_model(Path(sys.argv[1]))
print(json.dumps([name for name in sys.modules if name.startswith("recops_models")]))
"""


@pytest.mark.slow
def test_loading_imports_nothing_that_trains(tmp_path: Path, domains: Dataset) -> None:
    train(domains, tmp_path / "out", coding="int8")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "out" / MODEL)]
    modules = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert len(modules) <= 50
    folders = {name.split(".")[1] for name in modules if "." in name}
    allowed = {"click", "data", "examples", "item_vectors", "layers", "recipes", "graphs"}
    allowed |= {"dotted", "setting_checks", "settings", "workers"}
    assert folders <= allowed
    files = {n.split(".")[2] for n in modules if n.startswith("recops_models.click.")}
    assert files == {"model", "din", "keep"}


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "epoch"), [("knowledge", 0), ("keep", 1)])
def test_a_resumed_training_gives_the_same_bits(
    stage: str, epoch: int, tmp_path: Path, domains: Dataset
) -> None:
    train(domains, tmp_path / "whole")
    interrupt = Interrupt(stage, after=(epoch + 0.4) / 2)
    parts = tmp_path / "parts"
    checkpoints = {"checkpoint_minutes": "0", "extracting.checkpoint_minutes": "0"}
    with pytest.raises(KeyboardInterrupt):
        train(domains, parts, callbacks=interrupt, **checkpoints)
    train(domains, parts, resume=True, **checkpoints)
    for name in (MODEL, KNOWLEDGE, "predictions.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (parts / name).read_bytes()


def test_knowledge_does_not_depend_on_the_downstream_model(
    tmp_path: Path, domains: Dataset
) -> None:
    """The saved bytes depend only on the extractor's settings and seed."""
    settings = {"plug": "gate", "base": "sum-pool", "learning_rate": "0.01"}
    train(domains, tmp_path / "one")
    train(domains, tmp_path / "other", **settings)
    train(domains, tmp_path / "third", seed=4)
    one, other, third = (
        (tmp_path / name / KNOWLEDGE).read_bytes() for name in ("one", "other", "third")
    )
    assert one == other != third
    # A downstream training with another seed does not change the given file.
    path = tmp_path / "one" / KNOWLEDGE
    result = train(domains, tmp_path / "given", seed=9, knowledge=str(path))
    assert path.read_bytes() == one
    assert not (tmp_path / "given" / KNOWLEDGE).parent.exists()
    assert result.model.config.version == Knowledge.load(path).version


def test_knowledge_of_another_training(tmp_path: Path, domains: Dataset) -> None:
    train(domains, tmp_path / "before")
    path = tmp_path / "before" / KNOWLEDGE
    knowledge = Knowledge.load(path)
    # With an earlier cut, the knowledge covers events of the training examples.
    with pytest.raises(LeakageError, match="must come from events before domains's first example"):
        train(domains, tmp_path / "late", knowledge=str(path), until="0.3", domain_column="none",
              domain="none")  # fmt: skip
    strangers = dataclasses.replace(
        domains,
        users=pa.table({"user_id": np.arange(500, 540)}),
        interactions=domains.interactions.set_column(
            0, "user_id", pa.array(domains.interactions["user_id"].to_numpy() + 500)
        ),
    )
    with pytest.raises(KnowledgeError, match="but that of domains has none of them"):
        train(strangers, tmp_path / "strangers", knowledge=str(path))
    (tmp_path / "broken").write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CorruptFileError):
        train(domains, tmp_path / "broken-run", knowledge=str(tmp_path / "broken"))
    with pytest.raises(CorruptFileError, match="holds 'recommender', not 'knowledge'"):
        train(domains, tmp_path / "no", knowledge=str(tmp_path / "before" / MODEL))
    # A data set of the small domain alone, without events before its first example.
    later = domains.interactions["timestamp"].to_numpy() > knowledge.window.last
    small_domain = dataclasses.replace(
        domains, interactions=domains.interactions.filter(pa.array(later))
    )
    settings = {"until": "0", "domain": "none", "domain_column": "none"}
    result = train(small_domain, tmp_path / "alone", knowledge=str(path), **settings)
    assert result.metrics["test"]["unknown_user"] == 0
    with pytest.raises(DataError, match="domains: no event before until=0"):
        train(small_domain, tmp_path / "nothing", **settings)
    # Half of the users are unknown, and the metrics report their share.
    half = domains.interactions.filter(
        pa.array(
            (domains.interactions["user_id"].to_numpy() % 2 == 0)
            | (domains.interactions["domain"].to_numpy(zero_copy_only=False) == "small")
        )
    )
    result = train(dataclasses.replace(domains, interactions=half), tmp_path / "half", until="0.4")
    assert result.metrics["test"]["unknown_user"] == pytest.approx(0.5, abs=0.1)
    assert result.metrics["test"]["unknown_item"] == 0
    assert knowledge.window.last < half["timestamp"].to_numpy().max()


def test_data_that_cannot_be_cut_are_refused(tmp_path: Path, domains: Dataset) -> None:
    untimed = dataclasses.replace(domains, time="none")
    with pytest.raises(DataError, match="domains: cut=clock needs times"):
        train(untimed, tmp_path / "none")
    result = train(untimed, tmp_path / "order", cut="order", domain_column="none", domain="none")
    assert not Knowledge.load(tmp_path / "order" / KNOWLEDGE).window.seconds
    assert 0 <= result.metrics["test"]["auc"] <= 1
    with pytest.raises(ValueError, match=r"keep: data must be a data set.* the examples of dom"):
        train(click_data(domains), tmp_path / "examples")
    with pytest.raises(ValueError, match=r"keep: base.hidden must have at least one layer"):
        train(domains, tmp_path / "flat", **{"base.hidden": ""})
    with pytest.raises(DataError, match=r"no history 'carts'; available: history"):
        train(domains, tmp_path / "unknown", **{"base.history": "carts"})
    assert not any(path.is_file() for path in (tmp_path / "unknown").rglob("*"))
    with pytest.raises(FileNotFoundError, match="keep: knowledge must be an existing file"):
        train(domains, tmp_path / "absent", knowledge=str(tmp_path / "none.safetensors"))
    with pytest.raises(ValueError, match=r"domains: slices must be ≤ \d+, the .*, got 9,999"):
        train(domains, tmp_path / "sliced", slices="9999")
    assert not any(path.is_file() for path in (tmp_path / "sliced").rglob("*"))
    with pytest.raises(KnowledgeError, match="examples need knowledge, or a trained model"):
        KeepTask(domains, DomainConfig(until=0.6), ExampleConfig())


def test_a_base_whose_table_is_fitted(tmp_path: Path, domains: Dataset) -> None:
    result = train(domains, tmp_path / "out", base="can", **{"base.interaction": "cartesian"})
    _, model = load_trained(tmp_path / "out")
    assert model.base.unit is not None
    weights = result.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_a_stream_is_trained_slice_by_slice(tmp_path: Path, domains: Dataset) -> None:
    expected = train(domains, tmp_path / "one", slices="4", epochs="7", patience="1")
    assert len(expected.curve) == 4
    passes = train(domains, tmp_path / "two", slices="4", passes="2")
    assert len(passes.curve) == 8
    losses = [epoch.train_loss for epoch in expected.curve]
    assert len(set(losses)) == 4
    job, model = load_trained(tmp_path / "one")
    task = task_of(job, domains, model)
    # The last state is saved, not the best one.
    measured = task.measure(model, "validation")[0]
    assert measured["auc"] == pytest.approx(expected.curve[-1].validation["auc"], abs=1e-9)
    sizes = [source.num_examples for source in task.slices]
    assert sum(sizes) == task.data.train.num_examples
    assert max(sizes) - min(sizes) <= 1


def test_extracted_knowledge_equals_the_output_of_the_towers(domains: Dataset) -> None:
    torch.manual_seed(0)
    cut = DomainConfig(domain_column="domain", domain="small", until=0.6)
    task = KnowledgeTask(domains, cut, ExampleConfig(max_len=6))
    config = ExtractorConfig(width=4, tower_hidden=(6,), hidden=(5,), attention_hidden=(3,))
    model = Extractor(task.data.fitted, config, task.tasks, 2)
    for table in model.embedding.tables.values():
        torch.nn.init.normal_(table.weight[1:])
    knowledge = task.extract(model)
    assert knowledge.tasks == ("click",)
    assert [len(knowledge.tables[name].values) - 2 for name in ("user", "item")] == [40, 30]
    assert (knowledge.tables["user"].values[: UNKNOWN + 1] == 0).all()
    # Item features do not depend on time, so the tower gives one vector per item in any batch.
    (batch,) = task.data.train.batches(10_000, seed=None)
    ids = task.source.train["item_id"].to_numpy()
    with torch.no_grad():
        item_vectors = model.of_items(batch)
        x, _ = model.bottom(batch)
    rows = torch.from_numpy(knowledge.lookups["item"].rows(ids))
    torch.testing.assert_close(knowledge.tables["item"].take(rows), item_vectors)
    assert torch.equal(model.task_logits(batch)[:, 0], model(batch))
    # The heads read pair vectors, which are computed from the two stored vectors.
    torch.testing.assert_close(x[:, 8:12], model.pair(x[:, :4], x[:, 4:8]))
    # The domain changes the logits but not the knowledge.
    other_domain = 1 - batch.features[DOMAIN]
    other = batch._replace(features={**batch.features, DOMAIN: other_domain})
    with torch.no_grad():
        assert torch.equal(model.of_users(other), model.of_users(batch))
        assert not torch.equal(model(other), model(batch))


def test_domain_files_keep_their_domain_column(tmp_path: Path, domains: Dataset) -> None:
    pa.parquet.write_table(domains.interactions, tmp_path / "interactions.parquet")
    assert load(str(tmp_path)).interactions["domain"].to_pylist()[0] == "super"
    assert KNOWN["user"] not in load(str(tmp_path)).users.column_names


def test_the_program_of_the_guide_extends_a_trained_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, domains: Dataset
) -> None:
    train(domains, tmp_path / "runs/keep")
    (tmp_path / "runs/din").mkdir()
    job = job_of("din", "synthetic", {"hidden": "8", "max_len": "4"}, seed=0, quick=True)
    run_job(job, domains, tmp_path / "runs/din")
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    namespace: dict[str, Any] = {}
    exec(block, namespace)  # The program on the page.
    model, before = namespace["model"], load_trained(tmp_path / "runs/din")[1]
    task = KeepTask(domains, DomainConfig(until=0.6), ExampleConfig(max_len=4), fitted=model.schema)
    (batch,) = task.data.test.batches(10_000, seed=None)
    assert torch.equal(model.eval()(batch), before(batch))
    assert len(namespace["optimizer"].param_groups) == 2


def test_recommended_items_are_of_the_small_domain(
    domains: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Items of the small domain are numbered separately from those of all domains."""
    columns = ("user_id", "item_id", "timestamp", "domain", "label")
    table = domains.interactions.select(columns).to_pylist()
    rows = [",".join(columns)]
    rows += [
        ",".join(f"{value:g}" if isinstance(value, float) else f"{value}" for value in row.values())
        for row in table
        if row["domain"] != "small" or row["item_id"] >= 10
    ]
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/interactions.csv").write_text("\n".join(rows) + "\n")
    settings = [f"--set={name}={value}" for name, value in {**CUT, **SMALL}.items()]
    folder, out = tmp_path / "run", tmp_path / "lists.parquet"
    command = ["train", "keep", "--data", str(tmp_path / "shop"), "--quick", "--out", str(folder)]
    assert run([*command, *settings]) == 0
    assert run(["recommend", str(folder), "--users", "all", "-k", "5", "--out", str(out)]) == 0
    lists = pyarrow.parquet.read_table(out)
    assert lists.num_rows > 0
    assert min(lists["item"].to_pylist()) >= 10
    capsys.readouterr()


def test_epochs_are_counted_over_slices() -> None:
    settings = {**CUT, **SMALL, "slices": "12", "passes": "3"}
    job = job_of("keep", "synthetic", settings, seed=0, quick=False)
    stage = job.recipe.stages()[-1]
    assert isinstance(stage, KeepStage)
    assert stage.config(job.parts).epochs == 36
