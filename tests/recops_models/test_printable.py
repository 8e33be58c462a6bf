"""Removal of control characters from untrusted text, also in commands."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops_models import cli
from recops_models.printable import printable


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("plain", "plain"),
        ("naïve 日本 👩\u200d🚀", "naïve 日本 👩\u200d🚀"),
        ("two\n\tlines", "two\n\tlines"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\x9b2Jb\x7f\x00\r", "a2Jb"),
        ("exe\u202egnp.", "exegnp."),
        ("\u2066isolated\u2069\u200f\u061c", "isolated"),
        ("half a \ud83d pair", "half a  pair"),
        ("", ""),
    ],
)
def test_control_characters_are_removed(text: str, output: str) -> None:
    assert printable(text) == output


@given(st.text(st.characters()))
def test_any_text_becomes_free_of_control_characters(text: str) -> None:
    output = printable(text)
    assert printable(output) == output
    output.encode()
    for character in output:
        changes_direction = unicodedata.bidirectional(character) in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        )
        assert not changes_direction
        assert character in "\n\t" or unicodedata.category(character) != "Cc"


HOSTILE = "\x1b[31m\u202e[/b]name"


def test_commands_print_no_control_character_of_the_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "user_id,item_id,timestamp\n"
    (tmp_path / "interactions.csv").write_text(f"{head}1,2,3\n1,{HOSTILE},4\n2,2,5\n")
    (tmp_path / "items.csv").write_text(f"item_id,{HOSTILE}\n2,{HOSTILE}\n3,b\n")
    out = str(tmp_path / "out")
    arguments = ["data", "import", "csv", str(tmp_path), "--name", HOSTILE, "--out", out]
    assert cli.run(arguments) == 0
    assert cli.run(["data", "describe", out]) == 0
    assert cli.run(["data", "describe", HOSTILE]) == 2
    captured = capsys.readouterr()
    output = captured.out + captured.err
    assert output.count("name") > 4
    assert "\x1b" not in output
    assert "\u202e" not in output
