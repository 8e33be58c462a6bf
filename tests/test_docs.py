"""What the guide's pages say at the prompt, said again."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
GUIDE = DOCS / "guide"


@pytest.mark.parametrize("page", ["tries.md", "ranking.md", "res-embedding.md", "generative.md"])
def test_examples_print_what_the_page_shows(page: str) -> None:
    blocks = re.findall(r"^```pycon\n(.*?)^```$", (GUIDE / page).read_text(), re.M | re.S)
    session = doctest.DocTestParser().get_doctest("".join(blocks), {}, page, page, 0)
    assert session.examples
    report: list[str] = []
    outcome = doctest.DocTestRunner().run(session, out=report.append)
    assert outcome.failed == 0, "".join(report)


def test_files_are_shown_whole() -> None:
    """A formatter that takes the inclusion of a file for Python breaks it silently."""
    broken = [page.name for page in DOCS.rglob("*.md") if "--8 <" in page.read_text()]
    assert not broken
