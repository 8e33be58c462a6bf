"""Examples in docstrings."""

from __future__ import annotations

import doctest
import inspect
import sys

import pytest
import torch

import recops

FUNCTIONS = [
    name
    for name in recops.__all__
    if callable(getattr(recops, name)) and not inspect.isclass(getattr(recops, name))
]


@pytest.mark.parametrize("name", [*FUNCTIONS, "SidCatalog", "SidTrie"])
def test_examples_print_the_expected_output(name: str) -> None:
    documented = getattr(recops, name)
    # Examples may use only the names recops and torch; the module gives their location.
    module, names = sys.modules[documented.__module__], {"recops": recops, "torch": torch}
    tests = doctest.DocTestFinder().find(documented, name, module, globs=names)
    examples = {test.name: test.examples for test in tests}
    assert examples[name], f"recops.{name} has no example"
    report: list[str] = []
    for test in tests:
        doctest.DocTestRunner().run(test, out=report.append)
    assert not report, "".join(report)
