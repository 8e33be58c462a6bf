"""Where a type is known it is written: `Any` is rationed."""

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


def test_any_is_found() -> None:
    source = "from typing import Any\n\n\ndef f(x: Any, y: dict[str, Any]) -> Any:\n    return x\n"
    assert lines_of_any(source) == {4}


def test_few_lines_say_any() -> None:
    found = {path: lines_of_any(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    assert len(found) > 300
    assert sum(map(len, found.values())) < MOST
