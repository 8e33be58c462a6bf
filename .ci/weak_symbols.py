"""Check that objects of different instruction sets share no weak symbol.

The linker keeps one copy of a weak symbol, from any of the objects. If it keeps an AVX-512 copy,
the base path crashes on machines without AVX-512. ``python .ci/weak_symbols.py BUILD`` checks all
objects below BUILD.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def weak_symbols(path: Path) -> set[str]:
    """Return the weak and unique symbols that an object defines."""
    command = ["nm", "--defined-only", "--format=posix", "--demangle", path]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    weak = (line for line in listing.splitlines() if re.search(r" [WVu] ", line))
    return {line.rsplit(" ", 3)[0] for line in weak}


def main(build: Path) -> int:
    objects = sorted(build.rglob("*.cpp.o"))
    if not any("cpu_base.cpp" in path.name for path in objects):
        print(f"weak_symbols: no kernel objects below {build}")
        return 1
    levels: dict[str, set[str]] = defaultdict(set)
    for path in objects:
        level = re.match(r"cpu_(\w+)\.cpp", path.name)
        for symbol in weak_symbols(path):
            levels[symbol].add(level[1] if level else "base")
    shared = {symbol: names for symbol, names in levels.items() if len(names) > 1}
    for symbol, names in sorted(shared.items()):
        print(f"weak in {', '.join(sorted(names))}: {symbol}")
    print(f"{len(objects)} objects, {len(shared)} weak symbols shared between levels")
    return int(bool(shared))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
