"""Check the pages of results against the evidence protocol.

``python tools/check_evidence.py`` reads the league, the memory question and the page of every paper
in ``docs/results``. It reports each violation, and generated text that differs from the results.
"""

from __future__ import annotations

import sys

from render_claims import LEAGUE, paper_pages
from render_league import ROOT, pages
from render_memory import PAGE, STORED, page_of

from recops_evidence.claims import papers
from recops_evidence.league.page_faults import page_faults
from recops_evidence.league.protocol import faults
from recops_evidence.league.stored import read_league


def main() -> None:
    """Print the violations, and exit with status 1 if there are any."""
    lines = [*_league(), *_memory(), *_papers()]
    print("\n".join(lines) or "The pages follow the protocol.")
    sys.exit(1 if lines else 0)


def _league() -> list[str]:
    content = pages(ROOT)
    league = ROOT / "docs" / "results" / "league.md"
    return faults(read_league(league.with_suffix("")), content[league]) + [
        f"{path.relative_to(ROOT)} must be written again: python tools/render_league.py"
        for path, text in content.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def _memory() -> list[str]:
    if STORED.exists() and page_of(STORED) == PAGE.read_text(encoding="utf-8"):
        return []
    return [f"{PAGE.relative_to(ROOT)} must be written again: python tools/render_memory.py"]


def _papers() -> list[str]:
    by_page, league = paper_pages(ROOT), read_league(LEAGUE)
    missing = {*papers()} - {path.stem for path in by_page}
    return [f"docs/results/{paper}.md is missing" for paper in sorted(missing)] + [
        f"{path.relative_to(ROOT)}: {fault}"
        for path, runs in by_page.items()
        for fault in page_faults(path.read_text(encoding="utf-8"), path.stem, runs, league)
    ]


if __name__ == "__main__":
    main()
