"""Write the tables of claims into the pages of papers, ``docs/results/PAPER.md``.

``python tools/render_claims.py`` reads the league and ``docs/results/PAPER/results.json``, and that
of each subfolder, for every paper and fills the tables between the comments of its page.
"""

from __future__ import annotations

from pathlib import Path

from recops_evidence.claims import papers
from recops_evidence.harness.page.claim_tables import Runs, with_claim_tables
from recops_evidence.harness.stored_results import RESULTS, read_results
from recops_evidence.league.paper_tables import with_league_tables
from recops_evidence.league.stored import read_league

ROOT = Path(__file__).resolve().parents[1]
LEAGUE = ROOT / "docs" / "results" / "league"


def main() -> None:
    """Write the pages."""
    league = read_league(LEAGUE)
    for path, runs in paper_pages(ROOT).items():
        page = path.read_text(encoding="utf-8")
        page = with_league_tables(with_claim_tables(page, runs), path.stem, league)
        path.write_text(page, encoding="utf-8")
        print(path)


def paper_pages(root: Path) -> dict[Path, Runs]:
    """Return the results behind the page of each paper in a checkout."""
    docs = root / "docs" / "results"
    pages = {docs / f"{paper}.md": docs / paper for paper in papers()}
    return {path: runs_of(folder) for path, folder in pages.items() if path.exists()}


def runs_of(folder: Path) -> Runs:
    """Return the results in a folder and in its subfolders, by the subfolder's name."""
    runs = {"": read_results(folder)}
    return runs | {
        path.parent.name: read_results(path.parent) for path in folder.glob(f"*/{RESULTS}")
    }


if __name__ == "__main__":
    main()
