"""Check that two trainings have equal metrics, up to the order of sums."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

first, second = (json.loads(Path(folder, "metrics.json").read_text()) for folder in sys.argv[1:])
for part in ("validation", "test"):
    for name, value in first[part].items():
        other = second[part][name]
        print(f"{part} {name}: {value:.6f} and {other:.6f}")
        if not math.isclose(value, other, rel_tol=1e-3, abs_tol=1e-4):
            sys.exit(f"{part} {name} must be equal, got {value} and {other}")
