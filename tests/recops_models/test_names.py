"""A type's name stands for one thing in the whole project."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    ROOT / "src/recops",
    ROOT / "python_models/recops_models",
    ROOT / "python_models/recops_evidence",
)


def public_types(source: str) -> Iterator[tuple[str, str | None]]:
    """Yield the name of each class, type alias and type variable at a module's top level.

    The second value is the definition of an alias or a variable. Two modules may repeat one
    definition. A class has None, since two classes of one name are always two things.
    """
    for node in ast.parse(source).body:
        definition = None
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            name, definition = ast.unparse(node.target), ast.unparse(node.value or node.target)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, definition = node.targets[0].id, ast.unparse(node.value)
            if name.isupper() and len(name) > 1:  # a constant
                continue
        else:
            continue
        if name[0].isupper():
            yield name, definition


def test_types_are_found() -> None:
    source = "X: TypeAlias = int\ny: int = 0\nclass A: ...\nclass _B: ...\ndef C(): ...\n"
    source += "T = TypeVar('T')\nKind = Literal['a']\nCODES = 3\ncodes = 3\n"
    found_types = [("X", "int"), ("A", None), ("T", "TypeVar('T')"), ("Kind", "Literal['a']")]
    assert list(public_types(source)) == found_types


def test_no_two_types_share_a_name() -> None:
    definitions: defaultdict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            for name, definition in public_types(path.read_text("utf-8")):
                definitions[name].append((str(path.relative_to(ROOT)), definition))
    assert len(definitions) > 100
    clashes = {
        name: [path for path, _ in uses]
        for name, uses in definitions.items()
        if len(uses) > 1 and (len({text for _, text in uses}) > 1 or uses[0][1] is None)
    }
    assert clashes == {}
