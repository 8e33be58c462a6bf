"""Kernels under sanitizers: they write all outputs and access nothing outside their arrays."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from instruction_sets import HERE

DTYPES = ["f32", "bf16", "f16", "f64"]
# Arguments of each family's driver in csrc/tests, in all combinations.
ARGUMENTS = {
    "balance_assignment": [
        # rows, dimension, codewords: ragged, single, empty, no dimensions, exact vectors
        ["300 19 17", "1 1 1", "0 5 3", "70 0 9", "400 32 40"],
        ["spread", "pile", "heavy"],
        ["f32", "f64"],
    ],
    # Seconds, readers; tests/recops/state/test_catalog_threads.py uses ThreadSanitizer.
    "catalog": [["0.3 3"]],
    "coaction": [
        ["forward", "backward"],
        # candidates, users (0: one each), positions, widths, orders: whole vectors, ragged, no
        # positions, fewer candidates than lanes, one layer
        ["70 0 9 16-8-4 3", "131 3 13 5-3-7-2 4", "9 2 0 4-4 1", "3 2 21 4-4-4 2", "20 1 5 17-1 7"],
        ["tanh", "selu", "none"],
        ["plain", "full"],
        DTYPES,
    ],
    "codebook_overlap": [
        ["forward", "backward"],
        # codewords, dimension: ragged, single, no dimensions, exact tiles
        ["131 19", "1 1", "7 0", "128 16"],
        ["bhattacharyya", "product", "minimum"],
        ["f32", "f64"],
    ],
    "dice": [
        ["forward", "backward"],
        # rows, columns: ragged, single, no rows, no columns, exact strips
        ["131 203", "1 1", "0 5", "7 0", "64 128"],
        ["batch", "given"],
        DTYPES,
    ],
    "embedding": [
        ["sums", "gradient", "sgd", "adagrad", "rowwise_adagrad"],
        # table, bags: vectors and a part, copies, single, none, of none, no columns, many vectors
        [
            *("50 18 9 30", "7 3 40 2", "7 3 40 1", "9 67 40 1", "1 1 1 1", "5 4 0 3", "5 4 3 0"),
            *("6 0 5 4", "300 131 3 300"),
        ],
        DTYPES,
        ["int32", "int64"],
    ],
    "memory": [
        ["mimn", "hpmn"],
        ["forward", "backward", "stream"],
        # rows, steps, input, state, slots: exact vectors, ragged, one of all, no rows, no steps
        ["32 5 32 32 8", "37 7 5 9 3", "1 1 1 1 1", "0 3 4 4 2", "9 0 3 2 4"],
        ["none 0", "paper 1", "code 2"],
        ["full", "ragged"],
        DTYPES,
    ],
    "next_event": [
        ["forward", "backward"],
        # places: no cell, a block's end within, whole blocks; widths: ragged, none, exact vectors
        ["1 3", "43 5", "0 2", "7 0", "65 32"],
        ["9-4", "16", "1-1-1"],
        DTYPES,
    ],
    "recurrent": [
        ["forward", "backward", "checkpoint"],
        # rows, steps, state, input (0: gates), sources: exact vectors, ragged, shared gates, no
        # steps, one value
        ["16 5 32 32 16", "21 4 19 7 21", "9 3 5 0 2", "3 0 4 4 3", "1 2 1 1 1"],
        ["after", "before"],
        ["full", "ragged"],
        DTYPES,
    ],
    "residual_quantization": [
        [
            "encode",
            "encode-unpacked",
            "encode-grid8",
            "encode-grid16",
            "beams",
            "beams-table",
            "beams-coarse",
            "flips",
            "nearest",
            "decode",
            "accumulate",
        ],
        # rows, dimension, levels, codes, k: ragged, single, empty, no dimensions, exact tiles
        ["100 33 3 70 7", "1 1 1 1 1", "0 5 2 3 2", "7 0 2 3 3", "403 64 2 64 64", "13 17 4 129 9"],
        DTYPES,
    ],
    "trie": [
        # items, vocabulary, depth, beams: ragged, single, empty, one token, more beams than items
        ["3000 97 3 37", "1 1 1 1", "0 5 2 3", "9 1 4 2", "40 8 2 100"],
        ["vocab", "children", "none"],
        ["all", "half"],
        DTYPES,
    ],
}

# These families take minutes to compile and run.
LONG = {"coaction", "residual_quantization"}


def runs() -> Iterator[object]:
    """CI takes the highest level; .ci/full the others, whose kernels have the same source."""
    for family in ARGUMENTS:
        for isa in HERE:
            in_ci = isa == HERE[-1] and family not in LONG
            yield pytest.param(family, isa, marks=pytest.mark.slow if in_ci else pytest.mark.full)


@pytest.mark.parametrize(("family", "isa"), [*runs()])
def test_sanitizers_find_nothing(
    sanitized_driver: Callable[[str], Path], family: str, isa: str
) -> None:
    # The comments at the top of the drivers explain the ASAN option.
    settings = {"RECOPS_ISA": isa, "ASAN_OPTIONS": "detect_stack_use_after_return=0"}
    driver = sanitized_driver(family)
    for arguments in itertools.product(*ARGUMENTS[family]):
        command = [driver, *" ".join(arguments).split()]
        result = subprocess.run(
            command, env={**os.environ, **settings}, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
