"""Imports within recops_models: only down the levels, and without cycles."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from import_graph import Graph, cycles, import_graph, imports_against
from stored_fixtures.fixture import STORED

PACKAGE = Path(__file__).resolve().parents[2] / "python_models" / "recops_models"
LEVELS = (
    "cli",
    "api",
    "quickstart",
    ("serving", "export"),
    "recipes",
    "tokenizers",
    "training",
    "evaluation",
    "exploration",
    ("click", "generative"),
    "layers",
    ("item_vectors", "graphs"),
    "examples",
    "data",
    (
        *("callbacks", "settings", "versions", "printable", "out_folder", "dotted"),
        *("setting_checks", "process", "workers", "training.device"),
    ),
)
"""Levels from the top down. Folders of one level do not import each other."""

ORDER = [
    [f"recops_models.{folder}" for folder in ([level] if isinstance(level, str) else level)]
    for level in LEVELS
]


def test_imports_form_no_cycle() -> None:
    assert cycles(import_graph(PACKAGE)) == []


def test_imports_go_down() -> None:
    assert imports_against(import_graph(PACKAGE), ORDER) == []


KNOWN_TO_TRAINING = {
    *(f"recops_models.click.{name}" for name in ("model", "loss")),
    *(
        f"recops_models.generative.{name}"
        for name in ("ranker", "windows", "path_ranker", "path_losses")
    ),
}
"""Contracts and losses that training may import from the folders of models."""


def models_known_to_training(graph: Graph) -> set[str]:
    """Return the modules of the folders of models that training imports."""
    return {
        other
        for module, imported in graph.items()
        if module.startswith("recops_models.training.")
        for other in imported
        if other.startswith(("recops_models.click.", "recops_models.generative."))
    }


def test_training_imports_no_concrete_model() -> None:
    graph = import_graph(PACKAGE)
    assert models_known_to_training(graph) == KNOWN_TO_TRAINING
    graph = graph | {"recops_models.training.trainer": {"recops_models.click.din"}}
    assert models_known_to_training(graph) == {*KNOWN_TO_TRAINING, "recops_models.click.din"}


PROGRAM = """
import sys
{planted}
from recops_models.recipes.registry import names, recipe_of
recipes = [recipe_of(name) for name in names()]
assert recipes
print(*(name for name in sys.modules if name.startswith("recops_models.training")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("planted", ["", "import recops_models.training.trainer"])
def test_recipes_import_nothing_that_trains(planted: str) -> None:
    command = [sys.executable, "-c", PROGRAM.format(planted=planted)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert bool(output.split()) == bool(planted)


NET = """
import sys
import recops_models.click.din
{planted}
print(*sys.modules.keys() & {{"torch._dynamo", "triton", "sympy"}})
"""


@pytest.mark.slow
@pytest.mark.parametrize("planted", ["", "import torch._dynamo"])
def test_a_net_imports_no_compiler(planted: str) -> None:
    command = [sys.executable, "-c", NET.format(planted=planted)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert bool(output.split()) == bool(planted)


RECOMMEND = """
import sys
from recops_models.cli import run
assert run(["recommend", sys.argv[1], "--user", "3", "-k", "2"]) == 0
{planted}
print(*(name for name in sys.modules if name.startswith("recops_models.")))
"""
WORK_OF_OTHERS = (
    "recops_models.training.",
    "recops_models.evaluation",
    "recops_models.tokenizers",
    "recops_models.click.",
    "recops_models.layers.",
    "recops_models.recipes.run",
    "recops_models.data.importers.letter",
)
USED_BY_RECOMMEND = {"recops_models.training.device", "recops_models.training.config"}


@pytest.mark.parametrize("planted", ["", "import recops_models.recipes.run"])
def test_recommend_imports_only_what_it_needs(planted: str, tmp_path: Path) -> None:
    copy = shutil.copytree(STORED, tmp_path / "stored")
    command = [sys.executable, "-c", RECOMMEND.format(planted=planted), "item-knn/1"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=copy).stdout
    names = set(output.splitlines()[-1].split()) - USED_BY_RECOMMEND
    assert len(names) > 20
    assert bool([name for name in names if name.startswith(WORK_OF_OTHERS)]) == bool(planted)
