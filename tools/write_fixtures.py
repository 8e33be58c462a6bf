"""Write stored fixtures with the current version; see ``tests/fixtures/stored``.

After a format changes on purpose: ``python tools/write_fixtures.py NAME …`` writes the next number
of each named fixture and leaves the older folders as they are. ``all`` means every fixture.
``names`` adds new names to the listing ``names.json``; with ``--replace`` it also drops names that
are gone.
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
    parser.add_argument(
        "--replace", action="store_true", help="drop frozen names that are no longer there"
    )
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
                names.write_listing(stored / names.LISTING, replace=chosen.replace)
                print(stored / names.LISTING)
                continue
            folder = fixtures.write_fixture(name)
            shutil.copytree(folder, stored / folder)
            print(stored / folder)


if __name__ == "__main__":
    main()
