"""Check the quickstart's claim on the files of its output folder.

``python .ci/quickstart_holds.py FOLDER`` checks that UniRec's HR@10 exceeds that of popularity: the
95 % confidence interval over users must lie above 0. Every semantic ID that UniRec recommends must
belong to a real item.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recops.files import read_json


def main(folder: Path) -> int:
    metrics = read_json(folder / "metrics.json", kind="metrics")
    bounds = [
        difference["interval"][0]
        for difference in metrics["differences"]
        if (difference["model"], difference["against"]) == ("UniRec", "popularity")
    ]
    holds = bounds[0] > 0 and metrics["real_items"] == 1
    print(f"HR@10 − popularity at least {bounds[0]:+.4f}, {metrics['real_items']:.0%} real items")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
