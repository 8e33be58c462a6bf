"""Rewrite stored results of ``recops reproduce`` in the current format, and render their pages.

``python tools/render_results.py FOLDER …`` reads ``results.json`` of any format in each folder. It
takes the wording of claims (text, source, reported figures) from the current claims, writes
``results.json`` and ``seeds.jsonl.xz``, and renders ``results.md``. No figure changes and nothing
is measured again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recops_evidence.claims import claims_of
from recops_evidence.harness.results import Results
from recops_evidence.harness.stored_results import read_results, read_seed_values, write_results


def main() -> None:
    """Rewrite the folders that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="+", type=Path, help="folder with a results.json")
    for folder in parser.parse_args().folder:
        render(folder)
        print(folder)


def render(folder: Path) -> None:
    """Rewrite the results in ``folder``."""
    content, values = read_results(folder), read_seed_values(folder)
    _reword(content)
    write_results(folder, content, values)


def _reword(content: Results) -> None:
    """Take the wording of claims that are still declared; others keep theirs."""
    declared = {claim.id: claim for claim in claims_of(content["paper"])}
    for result in content["claims"]:
        if claim := declared.get(result["id"]):
            result["text"] = claim.text
            result["source"] = claim.source
            result["reported"] = claim.reported


if __name__ == "__main__":
    main()
