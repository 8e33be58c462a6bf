"""Instruction counts of the kernels, compared with the record in instructions.json.

``python bench/instructions.py`` builds the drivers of csrc/tests and runs each recorded case under
callgrind at RECOPS_ISA=avx2. It fails if a kernel executes over 3 % more instructions than
recorded. ``--update`` records the counts of this tree instead. Only instructions in a kernel's
namespace count, so set-up and the C library have no influence. Counts depend on the compiler: with
another compiler than the recorded one they are printed but not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = Path(__file__).with_suffix(".json")
ISA = "avx2"  # the highest level that valgrind emulates
TOLERANCE = 0.03


def build_drivers(folder: Path) -> str:
    """Build csrc/tests into ``folder``, and return the name and version of the compiler."""
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    # The flags of CI's build, so that the compiler cache contains the kernels.
    subprocess.run(
        ["cmake", "-G", "Ninja", "-DRECOPS_WERROR=ON", "-S", ROOT / "csrc/tests", "-B", folder],
        **quiet,
    )
    subprocess.run(["cmake", "--build", folder], **quiet)
    (settings,) = folder.glob("CMakeFiles/*/CMakeCXXCompiler.cmake")
    values = dict(re.findall(r'set\((CMAKE_CXX_COMPILER_\w+) "(.*?)"\)', settings.read_text()))
    return f"{values['CMAKE_CXX_COMPILER_ID']} {values['CMAKE_CXX_COMPILER_VERSION']}"


def count_instructions(folder: Path, case: str) -> int:
    """Run the case ``"<driver> <arguments>"`` and return the instructions of its kernels."""
    driver, *arguments = case.split()
    profile = folder / "callgrind.out"
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
    subprocess.run(
        [*callgrind, folder / driver, *arguments],
        env={**os.environ, "RECOPS_ISA": ISA},
        check=True,
        capture_output=True,
    )
    return sum_of_kernels(profile.read_text())


def sum_of_kernels(profile: str) -> int:
    """Return the instructions of all functions in namespaces ``recops::<family>::avx2``."""
    names: dict[str, str] = {}
    total, inside, skip = 0, False, False
    for line in profile.splitlines():
        if function := re.match(r"fn=(\(\d+\))(?: (.*))?", line):
            name = names.setdefault(function[1], function[2])
            # callgrind cannot demangle the names of some lambdas.
            inside = f"::{ISA}::" in name or f"{len(ISA)}{ISA}" in name
        elif function := re.match(r"cfn=(\(\d+\))(?: (.*))?", line):
            names.setdefault(function[1], function[2])
        elif line.startswith("calls="):
            skip = True  # the next line is the cost of the called function
        elif re.match(r"[\d+*-]", line):
            total += 0 if skip or not inside else int(line.split()[1])
            skip = False
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="record the counts of this tree")
    update = parser.parse_args().update

    record = json.loads(RECORD.read_text())
    with tempfile.TemporaryDirectory() as folder:
        compiler = build_drivers(Path(folder))
        counts = {case: count_instructions(Path(folder), case) for case in record["cases"]}
    if update:
        record = {"compiler": compiler, "cases": counts}
        RECORD.write_text(json.dumps(record, indent=2) + "\n")

    is_comparable = compiler == record["compiler"]
    failed = False
    for case, count in counts.items():
        change = count / record["cases"][case] - 1
        verdict = "too many" if is_comparable and change > TOLERANCE else ""
        failed |= bool(verdict)
        print(f"{case:<60} {count:>14,} {change:>+8.2%} {verdict}")
    if not is_comparable:
        print(f"not compared: recorded with {record['compiler']}, built with {compiler}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
