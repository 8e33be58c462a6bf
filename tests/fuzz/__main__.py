"""Command line of the fuzzer; the exit code is 1 if there is any finding."""

from __future__ import annotations

import argparse
import collections
import datetime
import random
import re
import sys
import time

from fuzz import processes
from fuzz.call import Call, Outcome
from fuzz.draw import Drawing
from fuzz.shrink import shrink
from fuzz.targets import public_targets, raw_targets

_BATCH = 1000


def main() -> int:
    options = _options()
    seed = options.seed
    if seed is None:
        seed = datetime.datetime.now(datetime.timezone.utc).date().toordinal()
    targets = [
        target
        for target in (*public_targets(), *raw_targets())
        if re.search(options.only, target.function) and (target.parameters or target.is_method)
    ]
    order = random.Random(seed)
    end = time.monotonic() + options.seconds
    kinds: collections.Counter[str] = collections.Counter()
    findings: dict[tuple[str, str, str], Call] = {}
    while time.monotonic() < end:
        drawn = [Drawing(order.choice(targets), order.getrandbits(64)) for _ in range(_BATCH)]
        calls = [drawing.call() for drawing in drawn]
        for call, outcome in zip(calls, processes.run(calls), strict=True):
            kinds[outcome.kind] += 1
            if outcome.is_finding:
                findings.setdefault(_signature(call, outcome), call)
    for number, ((function, kind, text), call) in enumerate(findings.items(), 1):
        print(f"\n# finding {number}: {function}: {kind}: {text}")
        print(_smallest(call, options.shrink).code(), flush=True)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    print(
        f"{sum(kinds.values()):,} calls of {len(targets)} functions from seed {seed}: {counts}; "
        f"{len(findings)} findings"
    )
    return 1 if findings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60, help="time for drawing and making calls"
    )
    parser.add_argument("--seed", type=int, help="default: the number of today's date")
    parser.add_argument("--only", default="", help="regular expression of the functions to call")
    parser.add_argument(
        "--shrink", type=float, default=20, help="seconds per finding for simplifying its call"
    )
    return parser.parse_args()


def _signature(call: Call, outcome: Outcome) -> tuple[str, str, str]:
    """Return the key of a finding; calls with equal keys show the same finding."""
    return call.function, outcome.kind, re.sub(r"[-\d.]+|'[^']*'|\[.*?\]", "…", outcome.text)[:100]


def _smallest(call: Call, seconds: float) -> Call:
    (outcome,) = processes.run([call])
    if not outcome.is_finding:
        return call  # Earlier calls in the same process caused the finding.
    signature = _signature(call, outcome)

    def fails(other: Call) -> bool:
        return _signature(other, processes.run([other])[0]) == signature

    return shrink(call, fails, seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
