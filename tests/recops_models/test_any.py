"""Limit on the use of `Any` in recops_models."""

from __future__ import annotations

import ast
from pathlib import Path

import recops_models

PACKAGE = Path(recops_models.__file__).parent
MOST = 60


def lines_of_any(source: str) -> set[int]:
    return {
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and node.id == "Any"
    }


def test_any_is_recognized() -> None:
    source = "from typing import Any\n\n\ndef f(x: Any, y: dict[str, Any]) -> Any:\n    return x\n"
    assert lines_of_any(source) == {4}


def test_few_lines_use_any() -> None:
    lines = {path: lines_of_any(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    assert len(lines) > 300
    assert sum(map(len, lines.values())) < MOST
