"""Write the tables of claims into the pages of papers, ``docs/results/PAPER.md``.

``python tools/render_claims.py`` reads ``docs/results/PAPER/results.json`` for every paper and
fills the tables between the comments of its page.
"""

from __future__ import annotations

from pathlib import Path

from recops_evidence.claims import papers
from recops_evidence.harness.page.claim_tables import with_claim_tables
from recops_evidence.harness.results import Results
from recops_evidence.harness.stored_results import read_results

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the pages."""
    for path, content in paper_pages(ROOT).items():
        page = path.read_text(encoding="utf-8")
        path.write_text(with_claim_tables(page, content), encoding="utf-8")
        print(path)


def paper_pages(root: Path) -> dict[Path, Results]:
    """Return the results behind the page of each paper in a checkout."""
    folder = root / "docs" / "results"
    pages = {folder / f"{paper}.md": folder / paper for paper in papers()}
    return {path: read_results(stored) for path, stored in pages.items() if path.exists()}


if __name__ == "__main__":
    main()
