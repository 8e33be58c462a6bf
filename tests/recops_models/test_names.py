"""A class name stands for one thing in the whole project."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "src/recops", ROOT / "python_models/recops_models")


def public_types(source: str) -> Iterator[str]:
    """The classes and type aliases that a module defines at its top level."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            name = ast.unparse(node.target)
        else:
            continue
        if not name.startswith("_"):
            yield name


def test_types_are_found() -> None:
    source = "X: TypeAlias = int\ny: int = 0\nclass A: ...\nclass _B: ...\ndef C(): ...\n"
    assert list(public_types(source)) == ["X", "A"]


def test_no_two_types_share_a_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            for name in public_types(path.read_text("utf-8")):
                places[name].append(str(path.relative_to(ROOT)))
    assert len(places) > 100
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
