"""The product does not import the experiments, and imports within the experiments go down only."""

from __future__ import annotations

import ast
from pathlib import Path

from import_graph import cycles, import_graph, imports_against

PYTHON_MODELS = Path(__file__).resolve().parents[2] / "python_models"
PRODUCT = PYTHON_MODELS / "recops_models"
EXPERIMENTS = PYTHON_MODELS / "recops_evidence"
MAY_IMPORT = {"cli/reproduce.py", "cli/run_bars.py", "api/reproducing.py"}


def imports_experiments(source: str) -> bool:
    """Return whether a module imports ``recops_evidence``, also in a function or for types only."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.append(node.value if node.value.startswith("recops_evidence") else "")
    return any(name.split(".")[0] == "recops_evidence" for name in names)


def test_only_reproduce_imports_the_experiments() -> None:
    importers = {
        str(path.relative_to(PRODUCT))
        for path in PRODUCT.rglob("*.py")
        if imports_experiments(path.read_text("utf-8"))
    }
    assert "cli/reproduce.py" in importers
    assert importers <= MAY_IMPORT


def test_imports_are_recognized() -> None:
    assert imports_experiments("def f():\n    from recops_evidence.harness import claim")
    assert imports_experiments("import recops_evidence as experiments")
    assert imports_experiments("importlib.import_module('recops_evidence.claims')")
    assert not imports_experiments("from recops_models import data\n'see recops_evidence'")


def test_no_files_import_each_other() -> None:
    assert cycles(import_graph(EXPERIMENTS)) == []


def test_imports_go_down() -> None:
    folders = ("daily_loop", "league", "claims", "experiments", "harness")
    order = [f"recops_evidence.{folder}" for folder in folders]
    assert imports_against(import_graph(EXPERIMENTS), order) == []
