"""Sizes that are printed before a training."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from click_parquet import write_click_folder
from recops_models.cli import run
from small_shop import SETTINGS, write_shop


def settings_of(model: str) -> list[str]:
    return [f"--set={name}={value}" for name, value in SETTINGS[model].items()]


def summaries(model: str, data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines about sizes that a training prints to stderr."""
    command = ["train", model, "--data", str(data), *settings_of(model), "--out", str(out)]
    assert run(command) == 0
    output = capsys.readouterr()
    assert "parameters" not in output.out
    return [line for line in output.err.splitlines() if "parameters" in line]


def test_a_click_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = write_shop(tmp_path / "shop")
    (line,) = summaries("din", shop, tmp_path / "din", capsys)
    assert re.fullmatch(
        r"din: 388 events, 40 users, 30 items, \d+ examples \(50\.0% positive\), \d+ features, "
        r"[\d,]+ parameters",
        line,
    )


def test_every_stage_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = write_shop(tmp_path / "shop")
    command = ["train", "tiger", "--data", str(shop), *settings_of("tiger"), "--quick"]
    more = ["--set", "collaborative=true", "--set", "sasrec.width=8"]
    assert run([*command, *more, "--out", str(tmp_path / "tiger")]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "parameters" in line]
    assert [line.partition(":")[0] for line in lines] == ["collaborative", "tiger"]
    assert all("388 events, 40 users, 30 items" in line for line in lines)


def test_a_counting_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = write_shop(tmp_path / "shop")
    (line,) = summaries("popularity", shop, tmp_path / "popularity", capsys)
    assert line == "popularity: 388 events, 40 users, 30 items, 0 parameters"


def test_streamed_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "clicks"
    write_click_folder(data, megabytes=0.01, users=20, items=40, piece=300)
    (line,) = summaries("din", data, tmp_path / "din", capsys)
    assert re.fullmatch(r"din: (streamed|[\d,]+) examples, \d+ features, [\d,]+ parameters", line)
