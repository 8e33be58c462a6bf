"""Check the pages of results against the evidence protocol.

``python tools/check_evidence.py`` reads ``docs/results/league``. It reports each violation, and
generated pages that differ from the results.
"""

from __future__ import annotations

import sys

from render_league import ROOT, pages

from recops_evidence.league.protocol import faults
from recops_evidence.league.stored import read_league


def main() -> None:
    """Print the violations, and exit with status 1 if there are any."""
    content = pages(ROOT)
    league = ROOT / "docs" / "results" / "league.md"
    lines = faults(read_league(league.with_suffix("")), content[league])
    lines += [
        f"{path.relative_to(ROOT)} must be written again: python tools/render_league.py"
        for path, text in content.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    print("\n".join(lines) or "The pages follow the protocol.")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
