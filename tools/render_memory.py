"""Write the page of the memory question from ``docs/results/memory/results.json``.

``python tools/render_memory.py [FOLDER]`` first copies the results of
``python -m recops_evidence.league.memory_question --out FOLDER``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from recops.files import read_json
from recops_evidence.league.memory_page import memory_page

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "results" / "memory.md"
STORED = PAGE.with_suffix("") / "results.json"


def main() -> None:
    """Copy results if a folder is given, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="folder of the memory question")
    folder = parser.parse_args().folder
    if folder is not None:
        page_of(folder / STORED.name)
        STORED.parent.mkdir(exist_ok=True)
        shutil.copy(folder / STORED.name, STORED)
    PAGE.write_text(page_of(STORED), encoding="utf-8")
    print(PAGE)


def page_of(results: Path) -> str:
    """Return the page of a ``results.json``."""
    return memory_page(read_json(results, kind="memory-question"))


if __name__ == "__main__":
    main()
