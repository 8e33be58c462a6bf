"""Wrappers of a click model predict clicks only, and refuse settings of several heads by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from recops_models.cli import run
from small_shop import write_shop


@pytest.mark.parametrize(
    ("model", "setting"),
    [
        ("keep", "base.heads=mmoe"),
        ("age", "base.heads=shared-bottom"),
        ("rocket", "light.heads=mmoe"),
        ("rocket", "booster.label_weight=2"),
        ("res-embedding", "base.experts=3"),
        ("keep", "heads=mmoe"),
    ],
)
def test_heads_of_wrappers_are_refused_in_one_line(
    model: str, setting: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, out = write_shop(tmp_path / "shop"), tmp_path / "out"
    command = ["train", model, "--data", str(shop), "--set", setting, "--out", str(out)]
    assert run(command) == 2
    error = capsys.readouterr().err
    name = setting.partition("=")[0]
    assert f"{model}: {name} must be left out: {model} predicts only clicks" in error
    assert error.count("\n") == 1
    assert not out.exists()
