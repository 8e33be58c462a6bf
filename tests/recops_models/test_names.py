"""Names of types are unique in the project."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    ROOT / "src/recops",
    ROOT / "python_models/recops_models",
    ROOT / "python_models/recops_evidence",
)
TYPE_FACTORIES = ("TypeVar", "TypeVarTuple", "ParamSpec", "NewType", "NamedTuple", "TypedDict")


def public_types(source: str) -> Iterator[tuple[str, str | None]]:
    """Yield the name of each class, type alias and type variable at a module's top level.

    The second value is the definition of an alias or a variable, which two modules may repeat. It
    is None for a class, since two classes with one name always clash.
    """
    for node in _statements(ast.parse(source).body):
        if isinstance(node, ast.ClassDef):
            name, definition = node.name, None
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
            name, definition = ast.unparse(node.target), ast.unparse(node.value or node.target)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, definition = node.targets[0].id, ast.unparse(node.value)
            if name.isupper() and len(name) > 1 and not _makes_type(node.value):  # a constant
                continue
        else:
            continue
        if name[0].isupper():
            yield name, definition


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, also those under ``if`` and ``try``."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            handlers = [statement for handler in node.handlers for statement in handler.body]
            yield from _statements([*node.body, *handlers, *node.orelse, *node.finalbody])


def _makes_type(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return False
    return ast.unparse(value.func).rpartition(".")[2] in TYPE_FACTORIES


def clashes(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names of types with two meanings, and the files that define them."""
    definitions: defaultdict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for path, source in sources.items():
        for name, definition in public_types(source):
            definitions[name].append((path, definition))
    return {
        name: [path for path, _ in uses]
        for name, uses in definitions.items()
        if len(uses) > 1 and (len({text for _, text in uses}) > 1 or uses[0][1] is None)
    }


def test_types_are_recognized() -> None:
    source = "X: TypeAlias = int\ny: int = 0\nclass A: ...\nclass _B: ...\ndef C(): ...\n"
    source += "T = TypeVar('T')\nKind = Literal['a']\nCODES = 3\ncodes = 3\n"
    source += (
        "KT = typing.TypeVar('KT')\nif TYPE_CHECKING:\n    Path = str\nelse:\n    class P: ...\n"
    )
    assert list(public_types(source)) == [
        *(("X", "int"), ("A", None), ("T", "TypeVar('T')"), ("Kind", "Literal['a']")),
        *(("KT", "typing.TypeVar('KT')"), ("Path", "str"), ("P", None)),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("class Step: ...", "class Step: ..."),
        ("class Step: ...", "Step: TypeAlias = int"),
        ("Step: TypeAlias = int", "Step: TypeAlias = float"),
        ("Step = Literal['a']", "Step = Literal['b']"),
        ("Step = TypeVar('Step')", "Step = TypeVar('Step', bound=int)"),
        ("try:\n    import rich\nexcept ImportError:\n    class Step: ...", "class Step: ..."),
    ],
)
def test_planted_clashes_are_reported(first: str, second: str) -> None:
    assert clashes({"a.py": first, "b.py": second}) == {"Step": ["a.py", "b.py"]}


def test_repeated_definitions_are_no_clash() -> None:
    assert clashes({"a.py": "T = TypeVar('T')", "b.py": "T = TypeVar('T')"}) == {}


def test_no_two_types_share_a_name() -> None:
    sources = {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for package in PACKAGES
        for path in package.rglob("*.py")
    }
    types = {name for source in sources.values() for name, _ in public_types(source)}
    assert len(types) > 100
    assert clashes(sources) == {}
