"""The checker of plain English: its findings in each kind of file, and the bounds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "check_prose.py"


@pytest.fixture(scope="module")
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_prose", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ARCHAIC = "up" + "on"  # In two parts, so that this file has no finding.
CLAUSE = "Wh" + "at"


@pytest.mark.parametrize(
    ("source", "rules"),
    [
        (f'"""{CLAUSE} a model returns."""\n', [f"docstring opens with {CLAUSE}"]),
        ('"""Return the scores of a model."""\n', []),
        (f"x = 1  # built {ARCHAIC} the trie\n", [f"phrase '{ARCHAIC}'"]),
        (f"raise ValueError('op: rests {ARCHAIC} nothing')\n", [f"phrase '{ARCHAIC}'"]),
        (f"raise ValueError(f'op: rests {{x}} {ARCHAIC} nothing')\n", [f"phrase '{ARCHAIC}'"]),
        (
            f"option = Option(help='The folder {ARCHAIC} a disk')\n",
            [f"phrase '{ARCHAIC}'"],
        ),
        (f"def test_a_model_rests_{ARCHAIC}_nothing(): ...\n", [f"phrase '{ARCHAIC}'"]),
        (f"key = '{ARCHAIC}'\n", []),
        ("to" + "ld = 1\n", ["vague name"]),
        ("def f(_ma" + "de): ...\n", ["vague name"]),
        ("# " + "word " * 46 + "\n", ["long sentence"]),
        ("# " + "word " * 23 + "\n# " + "word " * 23 + "\n", ["long sentence"]),
    ],
)
def test_findings_in_python(checker: ModuleType, source: str, rules: list[str]) -> None:
    assert [finding.rule for finding in checker.python_findings(source)] == rules


def test_examples_in_docstrings_are_skipped(checker: ModuleType) -> None:
    session = "    >>> f(\n" + "    ... word\n" * 46 + f"    ... )\n    {ARCHAIC}\n"
    source = f'"""Return it.\n\nExample:\n{session}\nRests {ARCHAIC} it.\n"""\n'
    assert [finding.text for finding in checker.python_findings(source)] == [f"Rests {ARCHAIC} it."]


def test_findings_in_cpp_are_in_comments(checker: ModuleType) -> None:
    source = f"// One two.\nint {ARCHAIC};\n// Rests\n// {ARCHAIC} it.\n"
    assert [(finding.line, finding.text) for finding in checker.cpp_findings(source)] == [
        (3, f"Rests {ARCHAIC} it.")
    ]


def test_code_in_markdown_is_skipped(checker: ModuleType) -> None:
    source = f"# Title\n\n```\n{ARCHAIC}\n```\n\nA `{ARCHAIC}` b\n\n| a | {ARCHAIC} |\n"
    assert [finding.line for finding in checker.markdown_findings(source)] == [9]


def test_drawings_in_markdown_are_skipped(checker: ModuleType) -> None:
    source = f"<svg>\n<text>{ARCHAIC}</text>\n</svg>\n\nRests {ARCHAIC} it.\n"
    assert [finding.line for finding in checker.markdown_findings(source)] == [5]


def test_findings_in_html_are_in_visible_text(checker: ModuleType) -> None:
    source = f"<script>{ARCHAIC}</script>\n<p title='rests {ARCHAIC} it'>rests {ARCHAIC} it</p>\n"
    assert [finding.line for finding in checker.html_findings(source)] == [2, 2]


def test_bounds_grow_with_the_number_of_lines(checker: ModuleType) -> None:
    assert checker.most_findings("src", 1000) == 1
    assert checker.most_findings("csrc", 2000) == 3
    assert checker.most_findings("tests", 1000) == 3
    assert checker.most_findings("docs", 300) == 0


@pytest.mark.parametrize("path", ["src/recops/odd.py", "docs/odd.md"])
def test_odd_english_in_a_file_is_an_error(
    checker: ModuleType,
    path: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(checker, "ROOT", tmp_path)
    monkeypatch.setattr(checker, "tracked_files", lambda: [path])
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"# It rests {ARCHAIC} a table {ARCHAIC} legs.\n" + "x = 1\n" * 99)
    assert checker.main([]) == 1
    assert f"{path}:1: phrase '{ARCHAIC}'" in capsys.readouterr().out


def test_the_project_meets_its_bounds(
    checker: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (SCRIPT.parent.parent / ".git").exists():
        pytest.skip("the check lists files with git, and this is no git checkout")
    assert checker.main([]) == 0, capsys.readouterr().out
