"""Drawing of mutants (tools/mutants.py)."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "tools/mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_seed_draws_the_same_mutants(tool: ModuleType) -> None:
    assert tool.draw(1) == tool.draw(1)
    assert tool.draw(1) != tool.draw(2)


def test_mutants_come_from_every_group_and_have_tests(tool: ModuleType) -> None:
    mutants = tool.draw(1)
    assert [mutant.path.split("/")[0] for mutant in mutants] == ["csrc"] * 3 + ["python_models"] * 7
    paths = [arguments[-1] for mutant in mutants for arguments in mutant.tests]
    assert all((ROOT / path).is_dir() for path in paths)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_mutant_changes_one_token(tool: ModuleType, seed: int) -> None:
    for mutant in tool.draw(seed):
        before = (ROOT / mutant.path).read_text().splitlines()
        changes = list(difflib.unified_diff(before, mutant.mutated.splitlines(), n=0))
        removed, added = changes[-2][1:], changes[-1][1:]
        assert len(changes) == 5  # two names, a position, two lines
        assert added == removed[: mutant.column] + mutant.new + removed[mutant.column :].replace(
            mutant.old, "", 1
        )


def test_only_code_is_mutated(tool: ModuleType, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    source = (
        '"""Returns a + b."""\nimport a\n\n\ndef f(a, b=2) -> int:\n    return a + b  # 1 + 1\n'
    )
    (tmp_path / "f.py").write_text(source)
    (tmp_path / "f.h").write_text(
        "// a + b\n#if A > 0\ntemplate <int n = 1>\nint f = a + b; // + c\n"
    )
    assert [(m.line, m.old, m.new) for m in tool.python_mutants(tmp_path / "f.py")] == [
        (6, "+", "-")
    ]
    assert [(m.line, m.old, m.new) for m in tool.cpp_mutants(tmp_path / "f.h")] == [(4, "+", "-")]
