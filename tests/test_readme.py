"""Python blocks of the README run unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_readme_runs(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {})


def test_commands_come_first() -> None:
    """The first two blocks are the commands, which CI runs from the README."""
    first, second = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)[:2]
    assert first == ("bash", 'pip install ".[models]" && recops quickstart\n')
    assert second == ("bash", 'pip install ".[test]" && pytest\n')
