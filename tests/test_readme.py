"""Python blocks of the README run unchanged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_readme_runs(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {})


def test_the_bash_blocks_begin_with_the_commands_of_ci() -> None:
    """CI runs the first two bash blocks."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert blocks[0] == 'pip install ".[models]" && recops quickstart\n'
    assert blocks[1] == 'pip install ".[test]" && pytest\n'


def test_a_data_frame_comes_first() -> None:
    """The first screen leads from a data frame to a click model's list in at most ten lines."""
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 10
    assert "rm.Dataset.from_frames(log" in BLOCKS[0]
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[0], "README.md", "exec"), names)
    assert names["model"].config["model"] == "din"
    assert list(names["top"].columns) == ["user_id", "rank", "item_id", "score"]
    assert README.index(BLOCKS[0]) < README.index("## Figures")
