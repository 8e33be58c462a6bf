"""Names in files: kinds of sealed files, files of a training, TensorBoard tags."""

from __future__ import annotations

import ast
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recops_models.data.storage import read_table
from stored_fixtures.fixture import ROOT
from stored_fixtures.trainings import SETTINGS, run_training

_PACKAGES = (ROOT / "src", ROOT / "python_models")
_SEALING = ("write_json", "save_tensors", "seal_tensors")
_TRAINED = ("popularity", "sasrec", "sum-pool")


def sealed_kinds() -> dict[str, set[str]]:
    """Collect the kinds that the source gives to sealed files; few files take long to write."""
    kinds = {
        kind
        for package in _PACKAGES
        for path in package.rglob("*.py")
        if "kind=" in (source := path.read_text("utf-8"))
        for kind in _kinds_in(ast.parse(source))
    }
    return {"kinds of sealed files": kinds}


def _kinds_in(module: ast.Module) -> Iterator[str]:
    constants = {
        ast.unparse(target): node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _SEALING:
            yield from _kind_of(node, constants)


def _kind_of(call: ast.Call, constants: Mapping[str, Any]) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == "kind" and isinstance(keyword.value, ast.Constant):
            yield str(keyword.value.value)
        elif keyword.arg == "kind" and ast.unparse(keyword.value) in constants:
            yield str(constants[ast.unparse(keyword.value)])


def file_names() -> dict[str, set[str]]:
    """Train small models; collect their files with kinds and keys, and their TensorBoard tags."""
    files: set[str] = set()
    tags: set[str] = set()
    with tempfile.TemporaryDirectory() as temporary:
        for model in _TRAINED:
            folder = Path(temporary) / model
            run_training(folder, model, SETTINGS[model])
            for path in folder.iterdir():
                if path.name.startswith("events.out.tfevents."):
                    events = EventAccumulator(str(path)).Reload()
                    tags |= {f"{model}: {tag}" for tag in events.Tags()["scalars"]}
                else:
                    files |= {f"{model}: {path.name}: {line}" for line in _contents(path)}
    return {"files of a training": files, "TensorBoard tags": tags}


def _contents(path: Path) -> Iterator[str]:
    """List a file's sealed kind, and its keys or columns."""
    if path.suffix == ".json":
        content = json.loads(path.read_text())
        yield f"sealed as {content.pop('format')['kind']}"
        yield from content
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            header = json.loads(file.metadata()["recops"])
        yield f"sealed as {header['kind']}"
        yield from header["meta"]
    else:
        yield from read_table(path).column_names
