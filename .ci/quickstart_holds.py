"""The quickstart's claim, on what it wrote: ``python .ci/quickstart_holds.py FOLDER``.

UniRec's HR@10 is above popularity's, the 95 % interval over users included, and every semantic ID
that it recommends is a real item's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from recops.files import read_json


def main(folder: Path) -> int:
    metrics = read_json(folder / "metrics.json", kind="metrics")
    gains = [
        found["interval"][0]
        for found in metrics["differences"]
        if (found["model"], found["against"]) == ("UniRec", "popularity")
    ]
    holds = gains[0] > 0 and metrics["real_items"] == 1
    print(f"HR@10 − popularity at least {gains[0]:+.4f}, {metrics['real_items']:.0%} real items")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
