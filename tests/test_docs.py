"""What the guide's pages say at the prompt, said again."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide"


@pytest.mark.parametrize("page", ["tries.md", "ranking.md", "res-embedding.md", "generative.md"])
def test_examples_print_what_the_page_shows(page: str) -> None:
    blocks = re.findall(r"^```pycon\n(.*?)^```$", (GUIDE / page).read_text(), re.M | re.S)
    session = doctest.DocTestParser().get_doctest("".join(blocks), {}, page, page, 0)
    assert session.examples
    report: list[str] = []
    outcome = doctest.DocTestRunner().run(session, out=report.append)
    assert outcome.failed == 0, "".join(report)
