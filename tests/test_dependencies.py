"""Third-party imports and the dependencies that pyproject.toml declares."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    pytest.skip("tomllib is new in Python 3.11", allow_module_level=True)

import tomllib

ROOT = Path(__file__).resolve().parents[1]

DISTRIBUTIONS = {"faiss": "faiss-cpu", "model_zoo": "fuxictr", "sklearn": "scikit-learn"}
"""Distributions whose name differs from their import name."""

EXTRAS = {
    "src/recops": (),
    "src/recops/_hub.py": ("hf",),
    "src/recops/benchmarks": ("bench", "hf", "peers"),
    "src/recops/benchmarks/cuda": ("bench", "peers", "test"),
    "src/recops/integrations": ("bench", "hf"),
    "src/recops/ops/balance_assignment/triton": ("test",),
    "src/recops/ops/coaction/triton": ("test",),
    "src/recops/ops/codebook_overlap/triton": ("test",),
    "src/recops/ops/embedding/triton": ("test",),
    "src/recops/ops/residual_quantization/triton": ("test",),
    "python_models": ("models",),
    "python_models/recops_models/cli/uic": ("models", "serve"),
    "python_models/recops_models/data/frames.py": ("models", "frames"),
    "python_models/recops_models/item_vectors/minilm.py": ("models", "minilm"),
    "python_models/recops_models/serving": ("models", "serve"),
    "tests": ("test",),
    "bench": ("test", "peers"),
    "tools": ("test",),
    "examples": ("models", "serve"),
    "examples/encode_with_ray.py": ("models", "ray"),
}
"""Extras that the files of a path may import in addition to the base dependencies.

The longest matching path applies.
"""

INDIRECT = {
    "cmake": "the build runs it",
    "mkdocs": "a command",
    "mkdocs-material": "a theme of mkdocs",
    "mkdocstrings": "a plugin of mkdocs",
    "ninja": "the build runs it",
    "pandas": "to_pandas of pyarrow imports it",
    "pybind11": "headers of the build",
    "pytest-benchmark": "a plugin of pytest",
    "pytest-rerunfailures": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "requests": "deepctr-torch imports it",
    "scikit-build-core": "the build backend",
}
"""Declared distributions that no file imports by name, and the reason for each."""

TOOLS = {"cuda", "dev"}
"""Extras whose distributions are commands."""


_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of a statement that hold other statements, handlers or cases."""


@cache
def third_party_imports(source: str) -> frozenset[str]:
    """Return the top-level names of absolute imports outside the standard library.

    Imports within functions count, and those under ``if TYPE_CHECKING`` do not.
    """
    names = set[str]()
    for statement in _runtime_statements(ast.parse(source).body):
        if isinstance(statement, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.level == 0:
            assert statement.module is not None
            names.add(statement.module.partition(".")[0])
    return frozenset(names - sys.stdlib_module_names)


def _runtime_statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    for node in body:
        yield node
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for field in ("orelse",) if is_typing else _BODIES:
            yield from _runtime_statements(getattr(node, field, ()))


def distribution_of(module: str) -> str:
    """Return the normalized name of the distribution that contains a top-level module."""
    return DISTRIBUTIONS.get(module, re.sub(r"[-_.]+", "-", module).lower())


@cache
def project() -> Mapping[str, object]:
    """Return the ``[project]`` table of pyproject.toml."""
    table: Mapping[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


@cache
def declared(extra: str | None) -> frozenset[str]:
    """Return the distributions of an extra, or of the base dependencies for None.

    An extra that contains other extras of this project includes their distributions.
    """
    optional = project()["optional-dependencies"]
    assert isinstance(optional, dict)
    requirements = project()["dependencies"] if extra is None else optional[extra]
    assert isinstance(requirements, list)
    names = set[str]()
    for requirement in requirements:
        match = re.match(r"[\w.-]+", requirement)
        assert match is not None
        if match[0] == "recops":
            for other in re.findall(r"[\w-]+", requirement.partition("[")[2]):
                names |= declared(other)
        else:
            names.add(re.sub(r"[-_.]+", "-", match[0]).lower())
    return frozenset(names)


def undeclared(path: str, source: str, modules: set[str]) -> frozenset[str]:
    """Return the imports of a file whose distributions its extras do not declare.

    Args:
        path: path of the file, relative to the repository.
        source: text of the file.
        modules: top-level modules of this repository.
    """
    root = max((root for root in EXTRAS if f"{path}/".startswith(f"{root}/")), key=len)
    allowed = declared(None).union(*map(declared, EXTRAS[root]))
    imports = third_party_imports(source) - modules
    return frozenset(name for name in imports if distribution_of(name) not in allowed)


def python_files() -> list[Path]:
    """Return the Python files that users or developers run."""
    roots = {root.partition("/")[0] for root in EXTRAS}
    return sorted(path for root in roots for path in (ROOT / root).rglob("*.py"))


def own_modules() -> set[str]:
    """Return the top-level modules of this repository."""
    packages = {"recops", "recops_models", "recops_evidence"}
    scripts = {path.stem for root in ("bench", "tools") for path in (ROOT / root).rglob("*.py")}
    support = ROOT / "tests" / "support"
    helpers = {path.stem for path in (*support.iterdir(), *(ROOT / "tests").iterdir())}
    return packages | scripts | helpers


def test_every_import_is_declared() -> None:
    modules = own_modules()
    findings = {}
    for path in python_files():
        name = path.relative_to(ROOT).as_posix()
        if names := undeclared(name, path.read_text("utf-8"), modules):
            findings[name] = names
    assert not findings


def test_every_declared_distribution_is_used() -> None:
    optional = project()["optional-dependencies"]
    assert isinstance(optional, dict)
    names = declared(None).union(*(declared(extra) for extra in optional.keys() - TOOLS))
    imported = {
        distribution_of(name)
        for path in python_files()
        for name in third_party_imports(path.read_text("utf-8"))
    }
    assert names - imported == INDIRECT.keys()


@pytest.mark.parametrize(
    ("path", "source", "names"),
    [
        ("src/recops/ops/trie/trie.py", "import scipy.sparse", {"scipy"}),
        ("src/recops/integrations/hf.py", "def f():\n    from transformers import x", set()),
        ("python_models/recops_models/data/storage.py", "import fastapi", {"fastapi"}),
        ("python_models/recops_models/serving/http/app.py", "import fastapi", set()),
        ("tests/test_dependencies.py", "import planted, os, torch", {"planted"}),
        ("bench/test_trie.py", "from sklearn import svm\nimport deepctr_torch", set()),
        ("src/recops/files.py", "if TYPE_CHECKING:\n    import scipy", set()),
        ("src/recops/files.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import scipy", {"scipy"}),
        ("src/recops/files.py", "from . import scipy\nimport recops.ops", set()),
    ],
)
def test_an_undeclared_import_is_reported(path: str, source: str, names: set[str]) -> None:
    assert undeclared(path, source, {"recops"}) == names
