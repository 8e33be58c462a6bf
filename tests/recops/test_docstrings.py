"""The examples in docstrings, run."""

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
def test_examples_print_what_they_show(name: str) -> None:
    documented = getattr(recops, name)
    # Its own module says where the example stands; names it has from these two alone.
    module, names = sys.modules[documented.__module__], {"recops": recops, "torch": torch}
    found = doctest.DocTestFinder().find(documented, name, module, globs=names)
    examples = {test.name: test.examples for test in found}
    assert examples[name], f"recops.{name} has no example"
    report: list[str] = []
    for test in found:
        doctest.DocTestRunner().run(test, out=report.append)
    assert not report, "".join(report)
