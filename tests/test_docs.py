"""Examples of the docs: interactive sessions print the shown output, and programs run."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
GUIDE = DOCS / "guide"


@pytest.mark.parametrize("page", ["tries.md", "ranking.md", "res-embedding.md", "generative.md"])
def test_sessions_print_the_output_on_the_page(page: str) -> None:
    blocks = re.findall(r"^```pycon\n(.*?)^```$", (GUIDE / page).read_text(), re.M | re.S)
    session = doctest.DocTestParser().get_doctest("".join(blocks), {}, page, page, 0)
    assert session.examples
    report: list[str] = []
    outcome = doctest.DocTestRunner().run(session, out=report.append)
    assert outcome.failed == 0, "".join(report)


@pytest.mark.parametrize(
    "page",
    [
        "../README.md",
        "index.md",
        *(f"guide/{name}.md" for name in ("csv", "files", "memory", "metrics", "python", "unirec")),
        *(
            f"reference/{name}.md"
            for name in ("codebook_overlap", "next_event", "residual_quantization")
        ),
    ],
)
def test_complete_programs_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_inclusions_of_files_are_intact() -> None:
    """A formatter may read the inclusion of a file as Python and break it without an error."""
    broken = [page.name for page in DOCS.rglob("*.md") if "--8 <" in page.read_text()]
    assert not broken
