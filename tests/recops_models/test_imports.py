"""Imports in recops_models go down only, and never in a circle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from import_graph import cycles, import_graph, imports_against

PACKAGE = Path(__file__).resolve().parents[2] / "python_models" / "recops_models"
ROOMS = (
    "cli",
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
        *("setting_checks", "process"),
    ),
)
"""From the top down; those of one place do not import each other."""

ORDER = [
    [f"recops_models.{room}" for room in ([place] if isinstance(place, str) else place)]
    for place in ROOMS
]


def test_no_files_import_each_other() -> None:
    assert cycles(import_graph(PACKAGE)) == []


def test_imports_go_down() -> None:
    assert imports_against(import_graph(PACKAGE), ORDER) == []


def test_training_knows_no_model_by_name() -> None:
    graph = import_graph(PACKAGE)
    named = {"recops_models.click.model", "recops_models.click.loss"}
    named |= {
        f"recops_models.generative.{name}"
        for name in ("ranker", "windows", "path_ranker", "path_losses")
    }
    imported = {
        other
        for module in graph
        if module.startswith("recops_models.training.")
        for other in graph[module]
        if other.startswith(("recops_models.click.", "recops_models.generative."))
    }
    assert imported == named


PROGRAM = """
import sys
from recops_models.recipes.registry import names, recipe_of
recipes = [recipe_of(name) for name in names()]
assert recipes
print(*(name for name in sys.modules if name.startswith("recops_models.training")))
"""


def test_recipes_import_nothing_that_trains() -> None:
    command = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told.split() == []
