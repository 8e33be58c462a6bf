"""Registry of recipes: a recipe from outside the package, and the imports of loading."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from click_inputs import batch, schema
from click_recipes import CLICK, net
from jobs import job_of
from recops.files import CorruptFileError, load_tensors, read_json, save_tensors, write_json
from recops_models.cli import run
from recops_models.click.model import ClickConfig, ClickModel
from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.recipes import registry
from recops_models.recipes.click import ClickRecipe
from recops_models.recipes.files import load_model, save_model
from recops_models.recipes.job import load_job, save_job
from recops_models.recipes.registry import names, recipe_of, register
from recops_models.recipes.run import load_trained
from synthetic_histories import NUM_ITEMS, paths, write_ring


@dataclass(frozen=True)
class LastEventConfig(ClickConfig):
    """Sizes, and the factor ``scale`` of the last event."""

    scale: float = 1.0


class LastEvent(ClickModel):
    """Click model of the last event only, defined outside the package."""

    config: LastEventConfig

    def __init__(self, schema: FittedSchema, config: LastEventConfig) -> None:
        super().__init__(schema, config)
        self.head = config.head(self.output_dim())

    def bottom(self, batch: Batch) -> tuple[Tensor, None]:
        last = (self.embedding.lengths(batch) - 1).clamp(min=0)[:, None, None]
        event = self.embedding.keys(batch).take_along_dim(last, 1).squeeze(1)
        context = self.embedding.context(batch)
        return torch.cat([*context, self.config.scale * event], -1), None


recipe = ClickRecipe("last-event", LastEvent, LastEventConfig())


@pytest.fixture
def from_outside() -> Iterator[None]:
    before = dict(registry._RECIPES)
    register("last-event", f"{__name__}:recipe")
    yield
    registry._RECIPES.clear()
    registry._RECIPES.update(before)


@pytest.mark.usefixtures("from_outside")
def test_a_model_from_outside_the_package_is_trained_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_ring(tmp_path / "shop", users=40), tmp_path / "out"
    settings = ["--set", "scale=2", "--set", "hidden=8", "--set", "max_len=6"]
    command = ["train", "last-event", "--data", data, *settings, "--quick", "--out", str(out)]
    assert run(command) == 0
    metrics = read_json(out / "metrics.json", kind="metrics")
    assert metrics["model"] == "last-event"
    assert 0 <= metrics["test"]["auc"] <= 1
    assert run(["evaluate", str(out)]) == 0
    capsys.readouterr()
    assert run(["recommend", str(out), "--user", "3", "-k", "4"]) == 0
    job, model = load_trained(out)
    assert isinstance(model, LastEvent)
    assert model.config == job.parts["sizes"] == replace(LastEventConfig(), scale=2.0, hidden=(8,))
    # Rocket can wrap it as one of its nets.
    rocket = ["train", "rocket", "--data", data, "--quick", "--out", str(tmp_path / "rocket")]
    assert run([*rocket, "--set", "booster=last-event", "--set", "booster.scale=3"]) == 0


@pytest.mark.parametrize("name", names())
def test_recipes_on_click_examples_have_settings_of_examples(name: str) -> None:
    recipe = recipe_of(name)
    assert (recipe.data_kind == "click") == ("examples" in recipe.defaults())


def test_a_name_can_be_registered_once() -> None:
    with pytest.raises(ValueError, match=r"'din' must be a new name, but .* has it"):
        register("din", "elsewhere:recipe")
    with pytest.raises(ValueError, match="target must be 'module:attribute', got 'elsewhere'"):
        register("mine", "elsewhere")
    with pytest.raises(ValueError, match="no model 'mine'; available: popularity, "):
        recipe_of("mine")


def test_recipes_have_the_names_of_their_entries() -> None:
    assert [recipe_of(name).name for name in names()] == list(names())


# Forks share torch, which is slow to import.
PROGRAM = """
import json, os, sys
from pathlib import Path
import recops
for path in sys.argv[1:]:
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    from recops_models.recipes.files import load_model
    {planted}
    load_model(Path(path))
    modules = [name for name in sys.modules if name.startswith("recops_models")]
    print(json.dumps(modules), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder of each model."""
    folder = tmp_path_factory.mktemp("models")
    for name in CLICK:
        save_model(folder / name, name, net(name, replace(schema(), moments={"age": (0.0, 1.0)})))
    tokens, vocab_sizes = paths()
    unirec = UniRec(tokens, vocab_sizes, torch.zeros(NUM_ITEMS), UniRecConfig(width=8, heads=2))
    save_model(folder / "unirec", "unirec", unirec)
    return {name: folder / name for name in (*CLICK, "unirec")}


def imported_for(models: dict[str, Path], planted: str = "") -> dict[str, list[str]]:
    """Return the modules that loading each model imports, with a planted statement before it."""
    command = [sys.executable, "-c", PROGRAM.replace("{planted}", planted), *models.values()]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(zip(models, map(json.loads, output.splitlines()), strict=True))


@pytest.fixture(scope="module")
def imported(models: dict[str, Path]) -> dict[str, list[str]]:
    return imported_for(models)


def is_too_much_for_unirec(modules: list[str]) -> bool:
    packages = {name.split(".")[1] for name in modules if "." in name}
    return len(modules) > 45 or bool(packages & {"click", "examples", "training", "tokenizers"})


@pytest.mark.slow
def test_loading_unirec_imports_little(imported: dict[str, list[str]]) -> None:
    assert not is_too_much_for_unirec(imported["unirec"])


def test_a_planted_import_of_click_models_is_too_much(models: dict[str, Path]) -> None:
    unirec = {"unirec": models["unirec"]}
    modules = imported_for(unirec, "import recops_models.click.dien")["unirec"]
    assert is_too_much_for_unirec(modules)
    assert len(modules) > 45


@pytest.mark.parametrize("name", CLICK)
def test_loading_a_model_imports_its_own_file_and_layers(
    name: str, imported: dict[str, list[str]]
) -> None:
    modules = imported[name]
    assert len(modules) <= 41
    folders = {name.split(".")[1] for name in modules if "." in name}
    bottom = {"dotted", "setting_checks", "settings", "workers"}
    assert folders <= {"click", "data", "examples", "item_vectors", "layers", "recipes", *bottom}
    assert not [name for name in modules if "importers" in name]
    expected_files = {
        "din": {"din"},
        "sum-pool": {"sum_pool"},
        "gru-attention": {"din", "gru_attention"},
    }
    if name in expected_files:
        files = {n.split(".")[2] for n in modules if n.startswith("recops_models.click.")}
        assert files == {"model", *expected_files[name]}


def test_a_file_of_another_version_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = net("din", replace(schema(), moments={"age": (0.0, 1.0)}))
    save_model(path, "din", model)
    assert torch.equal(load_model(path).eval()(batch([3])), model.eval()(batch([3])))
    save_tensors(path, {}, kind="recommender", meta={"model": "mind"})
    with pytest.raises(CorruptFileError, match="holds a mind, a model unknown to this version"):
        load_model(path)
    save_tensors(path, {}, kind="recommender", meta={"model": "sasrec", "config": {"depth": 3}})
    message = (
        r"holds a sasrec of another version of recops than .* \(SASRecConfig has no setting depth"
    )
    with pytest.raises(CorruptFileError, match=message):
        load_model(path)
    # A DIN from before each history had its own attention.
    save_model(path, "din", model)
    tensors, meta = load_tensors(path, kind="recommender")
    old_tensors = {
        name.replace("attention.each.0.", "attention."): t for name, t in tensors.items()
    }
    save_tensors(path, old_tensors, kind="recommender", meta=meta)
    with pytest.raises(CorruptFileError, match="holds a din of another version") as refused:
        load_model(path)
    assert "\n" not in str(refused.value)


def test_a_job_of_another_version_loads_or_is_refused_in_one_line(tmp_path: Path) -> None:
    job = job_of("din", "shop", {"hidden": "8"}, seed=3, quick=True)
    save_job(tmp_path, job)
    assert load_job(tmp_path) == job
    old_content = {**job.config(), "sids": None, "light": None, "booster": None}
    del old_content["sizes"]["attention_weights"]
    write_json(tmp_path / "config.json", old_content, kind="training-config")
    assert load_job(tmp_path) == job, "older files also list settings of other models"
    old_content["sizes"]["depth"] = 3
    write_json(tmp_path / "config.json", old_content, kind="training-config")
    message = r"a training of another version of recops than .* \(DinConfig has no setting depth"
    with pytest.raises(CorruptFileError, match=message):
        load_job(tmp_path)
