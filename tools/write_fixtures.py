"""Write stored fixtures with the current version; see ``tests/fixtures/stored``.

After a format or a name changes on purpose, ``python tools/write_fixtures.py NAME …`` writes the
named fixtures again. ``names`` means the listing ``names.json``, ``all`` means every fixture.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))


def main() -> None:
    """Write the fixtures that the command line names."""
    fixtures = importlib.import_module("stored_fixtures")
    stored = importlib.import_module("stored_fixtures.fixture").STORED
    names = importlib.import_module("stored_fixtures.names")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [*fixtures.FIXTURES, "names", "all"]
    parser.add_argument("name", nargs="+", choices=known, metavar="NAME", help=", ".join(known))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    every = [*fixtures.FIXTURES, "names"]
    with tempfile.TemporaryDirectory() as temporary:
        # Stores record the absolute path of their model: a temporary one names no machine's home.
        copy = Path(temporary) / "stored"
        stored.mkdir(parents=True, exist_ok=True)
        shutil.copytree(stored, copy)
        os.chdir(copy)
        for name in every:
            if name not in chosen.name and "all" not in chosen.name:
                continue
            if name == "names":
                names.write_listing(stored / names.LISTING)
                print(stored / names.LISTING)
                continue
            folder = fixtures.write_fixture(name)
            if (stored / folder).exists():
                shutil.rmtree(stored / folder)
            shutil.copytree(folder, stored / folder)
            print(stored / folder)


if __name__ == "__main__":
    main()
