"""Examples in docstrings: public classes and functions have one, and it prints its output."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

import recops_models

FOLDERS = ("click", "layers", "generative")
"""Folders whose public classes and functions all have an example."""

WITHOUT_EXAMPLE = {
    "recops_models.api.reproducing.reproduce": "it trains models for minutes",
}
"""Full names of classes and functions without an example, and the reason."""


def modules_of(folder: str) -> Iterator[ModuleType]:
    """Yield the modules of a folder of the package and of its subfolders."""
    package = importlib.import_module(f"recops_models.{folder}")
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not info.ispkg:
            yield importlib.import_module(info.name)


def public_objects(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the value of each public class and function that a module defines."""
    for name, value in vars(module).items():
        is_documented = inspect.isclass(value) or inspect.isfunction(value)
        if is_documented and not name.startswith("_") and value.__module__ == module.__name__:
            yield f"{module.__name__}.{name}", value


def examples_of(name: str, documented: Any) -> list[doctest.DocTest]:
    """Return the examples of an object and of its methods; each imports all names that it uses."""
    module = importlib.import_module(documented.__module__)
    tests = doctest.DocTestFinder().find(documented, name, module, globs={})
    return [test for test in tests if test.examples]


def faults(test: doctest.DocTest) -> str:
    """Run an example; return a report of its differences, empty if there are none."""
    report: list[str] = []
    with torch.random.fork_rng():
        doctest.DocTestRunner().run(test, out=report.append)
    return "".join(report)


DOCUMENTED = {
    name: value
    for folder in FOLDERS
    for module in modules_of(folder)
    for name, value in public_objects(module)
}
DOCUMENTED |= {
    f"{value.__module__}.{value.__name__}": value
    for value in (getattr(recops_models, name) for name in recops_models.__all__)
}
EXAMPLES = {
    test.name: test for name, value in DOCUMENTED.items() for test in examples_of(name, value)
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_prints_the_expected_output(name: str) -> None:
    report = faults(EXAMPLES[name])
    assert not report, report


def test_public_classes_and_functions_have_an_example() -> None:
    missing = {name for name in DOCUMENTED if name not in EXAMPLES}
    assert missing == WITHOUT_EXAMPLE.keys()


def test_a_wrong_output_and_a_missing_import_are_reported() -> None:
    def wrong() -> None:
        """Return nothing.

        Example:
            >>> 1 + 1
            3
        """

    def without_import() -> None:
        """Return nothing.

        Example:
            >>> torch.Size([1])
            torch.Size([1])
        """

    reports = [faults(examples_of("name", documented)[0]) for documented in (wrong, without_import)]
    assert "Expected:\n    3\nGot:\n    2" in reports[0]
    assert "NameError" in reports[1]


def test_private_and_imported_objects_need_no_example() -> None:
    module = ModuleType("recops_models.planted")
    source = "class Public: ...\nclass _Private: ...\ndef public(): ...\nCONSTANT = 1\n"
    exec(source, vars(module))
    vars(module)["Imported"] = recops_models.__class__
    assert [name.rpartition(".")[2] for name, _ in public_objects(module)] == ["Public", "public"]
