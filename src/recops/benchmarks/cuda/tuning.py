"""Search for the launch configurations that are fastest on a card.

``python -m recops.benchmarks.cuda.tuning table.json`` measures candidates for every class of the
table that this card uses, and writes a table with the fastest ones. The codes of a candidate must
equal those of the configuration that it would replace.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from recops.benchmarks.cuda.cases import vectors
from recops.benchmarks.cuda.timer import CudaTimer, best_times, cuda_device
from recops.ops.residual_quantization.triton.table import (
    SHARED_BYTES,
    Configuration,
    format_table,
    load_table,
)

Stopwatch = Callable[[Configuration], float]
"""Function that returns the seconds of a configuration, or raises an error if it does not run."""

_SCAN = "scan_codewords"
_MOST_SUMS = 128
"""Largest number of float32 sums that one thread holds: half of its registers."""

_LEAST_GAIN = 0.02
"""A candidate replaces a configuration only if it is faster by this share."""

# rows, dimension, levels, codewords per level
_SHAPES = {
    "few rows": (256, 768, 3, 1024),
    "few dimensions": (500_000, 64, 3, 1024),
    "few codewords": (500_000, 256, 3, 128),
    "large": (200_000, 768, 3, 1024),
}


def candidates(configuration: Configuration) -> Iterator[Configuration]:
    """Yield the configuration itself, then variants of its scan that fit on the card."""
    yield configuration
    scan = configuration.kernels[_SCAN]
    most_shared = SHARED_BYTES[90 if configuration.capability >= 90 else 80]
    for rows, codes, dim, warps, stages in itertools.product(
        (16, 32, 64, 128, 256), (64, 128, 256), (32, 64, 128), (4, 8), (2, 3, 4, 5)
    ):
        tiles = {"BLOCK_ROWS": rows, "BLOCK_CODES": codes, "BLOCK_DIM": dim}
        fits = 2 * stages * (rows + codes) * dim <= most_shared
        if fits and rows * codes <= _MOST_SUMS * 32 * warps and rows * codes >= 512 * warps:
            launch = dataclasses.replace(scan, tiles=tiles, num_warps=warps, num_stages=stages)
            if launch != scan:
                kernels = {**configuration.kernels, _SCAN: launch}
                yield dataclasses.replace(configuration, kernels=kernels)


def fastest(configuration: Configuration, measure: Stopwatch) -> tuple[Configuration, float, float]:
    """Return the fastest candidate, its seconds, and those of the configuration itself.

    A candidate that raises an error is skipped. The configuration itself must run.
    """
    first, *others = candidates(configuration)
    best, current = first, measure(first)
    least = current
    for candidate in others:
        seconds = _measured(measure, candidate)
        if seconds < least and seconds < current * (1 - _LEAST_GAIN):
            best, least = candidate, seconds
    return best, least, current


def _measured(measure: Stopwatch, configuration: Configuration) -> float:
    try:
        return measure(configuration)
    except Exception:  # Compilers and drivers refuse configurations by many errors.
        return float("inf")


def measure_on(device: torch.device, name: str) -> Stopwatch:
    """Return a function that times greedy encoding of a class's shape, and checks the codes."""
    from recops.ops.residual_quantization.triton.launch import encode

    x, books = vectors(*_SHAPES[name], device=device, clustered=True)
    words, sizes = books.flatten(0, 1), [books.shape[1]] * len(books)
    timer = CudaTimer(device)
    expected: list[torch.Tensor] = []

    def measure(configuration: Configuration) -> float:
        codes, _ = encode(x, words, sizes, configuration)
        if not expected:
            expected.append(codes)
        if not torch.equal(codes, expected[0]):
            raise AssertionError("the codes differ from those of the configuration in the table")

        def run() -> object:
            return encode(x, words, sizes, configuration)

        return best_times([run], timer, cold=True, rounds=10, seconds=1.0)[0]

    return measure


def main() -> None:
    """Write a table with the fastest configurations for one card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="file for the table")
    parser.add_argument("--device", default="cuda", help="cuda or cuda:i")
    arguments = parser.parse_args()
    device = cuda_device(arguments.device)
    major, minor = torch.cuda.get_device_capability(device)
    own = max(entry.capability for entry in load_table() if entry.capability <= 10 * major + minor)
    table = []
    with torch.cuda.device(device):
        for entry in load_table():
            if entry.capability == own:
                entry, seconds, before = fastest(entry, measure_on(device, entry.name))
                scan = entry.kernels[_SCAN]
                print(f"{entry.name}: {before * 1e3:.3g} ms, tuned {seconds * 1e3:.3g} ms: {scan}")
            table.append(entry)
    arguments.out.write_text(format_table(table))


if __name__ == "__main__":
    main()
