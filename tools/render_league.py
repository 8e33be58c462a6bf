"""Write the pages of the league from ``docs/results/league/results.json``.

``python tools/render_league.py [FOLDER]`` first copies the results of a finished or unfinished
``recops reproduce league --out FOLDER``. It then writes ``docs/results/league.md``, and the tables
in README.md and docs/results.md between their markers.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from recops_evidence.league.overview import overview, overview_pages, with_overview
from recops_evidence.league.page import league_page
from recops_evidence.league.stored import RESULTS, USERS, read_league

ROOT = Path(__file__).resolve().parents[1]
STORED = ROOT / "docs" / "results" / "league"


def main() -> None:
    """Copy results if a folder is given, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="folder of `recops reproduce league`")
    folder = parser.parse_args().folder
    if folder is not None:
        read_league(folder)
        shutil.rmtree(STORED / USERS, ignore_errors=True)
        shutil.copytree(folder / USERS, STORED / USERS)
        shutil.copy(folder / RESULTS, STORED / RESULTS)
    for path, text in pages(ROOT).items():
        path.write_text(text, encoding="utf-8")
        print(path)


def pages(root: Path) -> dict[Path, str]:
    """Return the content of all generated pages of a checkout, by path."""
    docs = root / "docs" / "results"
    results = read_league(docs / "league")
    tables = overview(results)
    return {
        docs / "league.md": league_page(results),
        **{
            path: with_overview(path.read_text(encoding="utf-8"), tables, name=path.name)
            for path in overview_pages(root)
        },
    }


if __name__ == "__main__":
    main()
