"""The code of the guide to AGE, and of docstrings, runs."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from recops_models.cli import run
from recops_models.click import age_scores
from recops_models.click.age import AgeConfig
from recops_models.exploration import policy
from synthetic_histories import write_ring

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "age.md"


def test_the_code_of_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.chdir(tmp_path)
    write_ring(tmp_path / "shop", users=40)
    command = re.search(r"^recops (train age .*)$", GUIDE.read_text("utf-8"), re.M)
    assert command is not None
    words = command[1].split()
    assert run([*words, "--quick", "--set", "max_len=6"]) == 0
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert names["choice"].items.shape == (1, 5)  # type: ignore[attr-defined]
    assert names["low"] < names["high"]  # type: ignore[operator]
    config = names["model"].config  # type: ignore[attr-defined]
    assert isinstance(config, AgeConfig)
    assert config.base == "din"


@pytest.mark.parametrize("module", [age_scores, policy])
def test_examples_in_docstrings_run(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 3
    assert result.failed == 0
